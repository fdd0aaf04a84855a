"""What a finished run's run.json has to hold for boards, exports and reports; anybody may have written it."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic

Count = Annotated[int, pydantic.Field(ge=0, le=10**9)]


class _Part(pydantic.BaseModel):
    """Types are what they are said to be; more keys may be there."""

    model_config = pydantic.ConfigDict(extra="allow", strict=True)


class _Config(_Part):
    seed: int | None = None
    repeats: Annotated[int, pydantic.Field(ge=1, le=10**9)] = 1
    limit: Count | None = None
    stop_after: str | None = None


class _Task(_Part):
    hash: str
    group: str | None
    n: Count = 0
    prompts: Count | None = None


class _Mode(_Part):
    name: str
    options: dict[str, Any]
    fingerprints: dict[str, str]


class _References(_Part):
    corpus: str
    part: str
    videos: Count
    embedder: str
    remarks: list[str] = []


class _Component(_Part):
    spec: str
    fingerprint: dict[str, Any]


class About(_Part):
    """The content of a run.json; raises pydantic.ValidationError for what is none."""

    finished: bool
    demo: bool
    config: _Config
    tasks: dict[str, _Task]
    modes: dict[str, _Mode]
    notes: dict[str, str]
    references: _References | None = None
    components: dict[str, _Component] = {}
    systems: dict[str, dict[str, str]]
    predictors: dict[str, str]
    units: dict[str, str]
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}

    @pydantic.model_validator(mode="after")
    def _names(self) -> About:
        for name in self.predictors:
            if name not in self.units:
                raise ValueError(f"the unit of predictor {name!r} is missing")
        return self
