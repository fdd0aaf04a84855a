"""A run's votes.jsonl: what people said of two of its samples at a time, one line a vote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pydantic
from typing_extensions import TypedDict  # pydantic reads no other TypedDict before Python 3.12

from popbench.errors import UsageError, damage
from popbench.files import read_lines

FILE = "votes.jsonl"
Choice = Literal["left", "right", "tie", "skip"]


class Vote(TypedDict):
    """A line of votes.jsonl: what a voter said of two samples of a prompt; `left` and `right` are systems as shown."""

    ballot: str
    pair: str
    task: str
    prompt_id: str
    category: str
    repeat: int
    left: str
    right: str
    choice: Choice
    question: str
    voter: str
    name: str
    seconds: float
    at: str


_VOTE = pydantic.TypeAdapter(Vote)


def read_run_votes(run: Path) -> list[Vote]:
    """Read the votes.jsonl of a run, empty if it has none; raises UsageError that names a line that is no vote."""
    path = run / FILE
    votes: list[Vote] = []
    if not path.exists():
        return votes
    try:
        for number, line in enumerate(read_lines(path), 1):
            try:
                votes.append(_VOTE.validate_python(json.loads(line), strict=True))
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no vote ({damage(error)})") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
    return votes
