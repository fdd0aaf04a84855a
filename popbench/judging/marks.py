"""How marks are to be written, and how they are read from an answer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from popbench.records import JSON

SCORE = "score"
"""The mark that is the score; the others are its parts."""
CRITERIA = {
    "hook": "how strongly the first moment makes a viewer stay",
    "clarity": "how easily a viewer sees what happens, and what it is about",
    "novelty": "how far it shows what a viewer has not seen before",
    "fit": "how well clip and title suit each other, and what was asked for",
}
LEAST, MOST = 0.0, 10.0
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.IGNORECASE | re.DOTALL)
_THOUGHTS_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_READ = 2**15
"""Characters at the end of an answer that are read: a model that repeats itself must not take minutes to read."""


def answer_form(order: Sequence[str]) -> str:
    """Return the last sentences of every rubric: how the marks are to be written."""
    names = ", ".join(f'"{name}"' for name in (*order, SCORE))
    return (
        f"Answer with one JSON object and nothing else. Its fields, in this order: {names}. Each is a number from "
        f"{LEAST:g} to {MOST:g}."
    )


def answer_schema(properties: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return the JSON schema of an answer with these fields."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def read_marks(text: str, criteria: Collection[str]) -> dict[str, float]:
    """Return the marks by name, in the order of `criteria` and then the score.

    They stand in the last JSON object with a score, in any order, also as numbers in quotes. Raises ValueError, in a
    few words, if there is none, or if a mark is missing, is no number, or is not from 0 to 10.
    """
    given = next((found for found in reversed(objects(text)) if SCORE in found), None)
    if given is None:
        raise ValueError(f"no JSON object with {SCORE!r}")
    return {name: _mark(given.get(_plain(name)), name) for name in (*criteria, SCORE)}


def _mark(value: JSON, name: str) -> float:
    if value is None:
        raise ValueError(f"no mark for {name!r}")
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    except OverflowError:
        number = math.inf
    if math.isnan(number):
        raise ValueError(f"the mark for {name!r} is no number")
    if not LEAST <= number <= MOST:
        raise ValueError(f"the mark for {name!r} is {number:g}, not from {LEAST:g} to {MOST:g}")
    return number


def _plain(name: str) -> str:
    return name.strip().lower()


def objects(text: str) -> list[Mapping[str, JSON]]:
    """Return the JSON objects of an answer's end, without its thoughts, in their order; names are in lower case."""
    end = max((match.end() for match in _THOUGHTS_END.finditer(text)), default=0)
    # Up to there only: a search for an end that never comes would begin again at every start.
    said = _THOUGHTS.sub(" ", text[:end]) + text[end:]
    return [*_objects(said[-_READ:])]


def _objects(text: str) -> Iterator[Mapping[str, JSON]]:
    """Yield the JSON objects in a text that are in no other object, in their order."""
    at = text.find("{")
    while at >= 0:
        end = at + 1
        try:
            found, end = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            yield {_plain(name): value for name, value in found.items()}
        at = text.find("{", end)
