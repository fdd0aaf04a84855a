"""How the better of two clips is to be named, and how it is read from an answer."""

from __future__ import annotations

from collections.abc import Mapping

from popbench.judging.marks import answer_schema, objects
from popbench.records import JSON

FIELD, FIRST, SECOND, NEITHER = "better", "first", "second", "neither"
FORM = (
    f'Answer with one JSON object and nothing else. Its field, "{FIELD}", is "{FIRST}" or "{SECOND}", or "{NEITHER}" '
    "where people would watch the one as gladly as the other."
)
"""The last sentence of every rubric for pairs."""
SCHEMA: Mapping[str, JSON] = answer_schema({FIELD: {"type": "string", "enum": [FIRST, SECOND, NEITHER]}})
_MEANT = {
    **dict.fromkeys((FIRST, "1", "video 1"), 1.0),
    **dict.fromkeys((SECOND, "2", "video 2"), 0.0),
    **dict.fromkeys((NEITHER, "tie", "equal", "both"), 0.5),
}


def read_choice(text: str) -> float:
    """Return 1 for the first clip, 0 for the second, 1/2 for neither; raises ValueError, in a few words, for others.

    The choice stands in the last JSON object that has one.
    """
    found = [each[FIELD] for each in objects(text) if FIELD in each]
    if not found:
        raise ValueError(f"no JSON object with {FIELD!r}")
    given = found[-1]
    meant = None if isinstance(given, bool) else _MEANT.get(str(given).strip().lower())
    if meant is None:
        raise ValueError(f"{FIELD!r} is {given!r:.40}, not {FIRST!r}, {SECOND!r} or {NEITHER!r}")
    return meant
