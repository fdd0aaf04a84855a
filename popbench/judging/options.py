"""The options of judges that do not depend on who runs the model."""

from __future__ import annotations

from typing import Literal

import pydantic

from popbench.judging.marks import CRITERIA, SCORE
from popbench.options import Options, runtime


class PicturesOptions(Options):
    """What a judge of clips is shown, and how often it is asked."""

    model: str = pydantic.Field(min_length=1, description="a model that takes pictures")
    frames: int = pydantic.Field(8, ge=1, le=100, description="frames that are shown, evenly spaced in time")
    size: int = pydantic.Field(512, ge=16, le=4096, description="pixels of a frame's longer side, at most")
    picture: Literal["jpeg", "png"] = pydantic.Field("jpeg", description="the format of frames")
    draws: int = pydantic.Field(3, ge=1, le=100, description="judgements of a clip, which are averaged")
    rubric: str | None = pydantic.Field(None, min_length=1, description="a Jinja file, for the rubric that comes along")


class CriteriaOptions(Options):
    """What a judge is asked marks for."""

    criteria: dict[str, str] = pydantic.Field(
        CRITERIA, description="the marks besides the score, and what each is for, as a JSON object"
    )

    @pydantic.field_validator("criteria")
    @classmethod
    def _are_marks(cls, given: dict[str, str]) -> dict[str, str]:
        for name, question in given.items():
            if not name.strip() or len(name) > 60 or not name.isprintable() or not question.strip():
                raise ValueError(f"a criterion has a name of at most 60 characters, and says what it is for: {name!r}")
            if name.strip().lower() == SCORE:
                raise ValueError(f"{SCORE!r} is asked in any case, after the criteria: leave it out, or rename it")
        if len({name.strip().lower() for name in given}) < len(given):
            raise ValueError("two criteria have the same name, but for case and blanks")
        return given


class PairsOptions(Options):
    """How often a judge of pairs is asked, and about how many of them."""

    draws: int = pydantic.Field(1, ge=1, le=100, description="judgements of a pair in each order, which are averaged")
    opponents: int | None = runtime(
        None, ge=1, description="with how many others a system is compared on each prompt, for all others"
    )
