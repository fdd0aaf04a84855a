"""A ballot's key: which samples stand behind the ids of its page. It stays in the run, as `ballots/ID.json`."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Literal

import pydantic
from typing_extensions import TypedDict  # pydantic reads no other TypedDict before Python 3.12

from popbench.errors import UsageError, damage
from popbench.files import read_json

FOLDER = "ballots"
ID = re.compile(r"[0-9a-f]{16}")


class Shown(TypedDict):
    """A clip of the page: its id there, and its system; None for the black clip of a check."""

    id: str
    system: str | None
    video_sha256: str | None


class KeyPair(TypedDict):
    """A pair of the page, its prompt, and the clips in their places; a voter may see them the other way round."""

    id: str
    task: str
    prompt_id: str
    category: str
    repeat: int
    left: Shown
    right: Shown
    check: Literal["same", "black"] | None


class Key(TypedDict):
    """The content of a key: `made` is a moment in ISO 8601, `questions` are by task."""

    schema: Literal[1]
    ballot: str
    made: str
    seed: int
    questions: dict[str, str]
    pairs: list[KeyPair]


_KEY = pydantic.TypeAdapter(Key)


def key_path(ballot: str) -> str:
    """Return the path of a ballot's key, relative to the run."""
    return f"{FOLDER}/{ballot}.json"


def read_key(run: Path, ballot: str) -> Key:
    """Read the key of a ballot; raises UsageError if the run has none, or it is damaged."""
    path = run / key_path(ballot)
    if not ID.fullmatch(ballot) or not path.exists():
        raise UsageError(f"these are votes on ballot {ballot!r:.40}, which is none of {run}: name its run")
    try:
        key = _KEY.validate_python(read_json(path), strict=True)
        if datetime.fromisoformat(key["made"]).tzinfo is None:
            raise ValueError("made states no time zone")
        if {pair["task"] for pair in key["pairs"]} - key["questions"].keys():
            raise ValueError("the question of a task is missing")
        return key
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
