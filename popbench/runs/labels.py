"""A run's labels.jsonl: what became of samples that were posted, one line a sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pydantic
from typing_extensions import TypedDict  # pydantic reads no other TypedDict before Python 3.12

from popbench.errors import UsageError, damage
from popbench.files import read_lines
from popbench.records import MAX_POPULARITY

FILE = "labels.jsonl"
Place = tuple[str, str, str, int]
"""A sample's system, task, prompt and repeat."""


class Label(TypedDict):
    """A line of labels.jsonl: a sample, its clip, what was counted and how often; `exposure` is null if unknown."""

    system: str
    task: str
    prompt_id: str
    category: str
    repeat: int
    video: str
    video_sha256: str | None
    measure: str
    count: Annotated[float, pydantic.Field(ge=0, le=MAX_POPULARITY)]
    exposure: Annotated[float, pydantic.Field(gt=0, le=MAX_POPULARITY)] | None
    exposure_in: str | None


_LABEL = pydantic.TypeAdapter(Label)


def place_of(label: Label) -> Place:
    """Return the sample of a label."""
    return label["system"], label["task"], label["prompt_id"], label["repeat"]


def read_run_labels(run: Path) -> list[Label]:
    """Read the labels.jsonl of a run, empty if it has none; raises UsageError that names a line that is no label."""
    path = run / FILE
    labels: list[Label] = []
    if not path.exists():
        return labels
    try:
        for number, line in enumerate(read_lines(path), 1):
            try:
                labels.append(_LABEL.validate_python(json.loads(line), strict=True))
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no label ({damage(error)})") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
    return labels
