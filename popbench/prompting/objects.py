"""Finds the JSON objects of a text that have a title and a video prompt, the last first; also those in broken JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import json_repair

from popbench.prompting.invisible import strip_invisible, whole
from popbench.prompting.loose_json import read_loose
from popbench.records import JSON, Draft

BROKEN = "not valid JSON"
LOST = "text was lost where the JSON is broken"
_KEYS = ("title", "video_prompt")
_MAX_STARTS = 64
_MAX_ENCLOSING = 8
_MAX_REPAIR = 20_000
_MAX_LOST = 2
"""Letters and digits that a repair may leave out: those of a comment, or of a word that is no value."""
_STRICT = json.JSONDecoder()
_LENIENT = json.JSONDecoder(strict=False)
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")


def objects_backwards(text: str, wanted: Collection[str] = ()) -> Iterator[tuple[int, Draft]]:
    """Yield (start, draft) from the last object to the first; of nested ones, the outermost.

    Invisible characters at the ends of its texts are removed, which may leave nothing of them. What else the object
    holds is in `extra` as it was written; of broken JSON at least the texts, and `wanted` if they can be read.
    """
    start = end = len(text)
    for _ in range(_MAX_STARTS):
        # An object that is a draft holds both keys, so it opens before the last of each.
        before = min(start, max(0, min(text.rfind(key, 0, end) for key in _KEYS)))
        start = max(text.rfind(brace, 0, before) for brace in "{｛")
        if start < 0:
            return
        draft = _read_object(text, start, end, wanted)
        if draft is not None:
            start, draft = _outermost(text, start, draft)
            yield start, draft
            end = start


def _outermost(text: str, start: int, draft: Draft) -> tuple[int, Draft]:
    """Return the outermost object in valid JSON that encloses a draft and is a draft itself, else the draft.

    The inner one is then text of the outer: a model may quote a draft in a video prompt.
    """
    before = start
    for _ in range(_MAX_ENCLOSING):
        before = text.rfind("{", 0, before)
        if before < 0:
            break
        try:
            value, stop = _STRICT.raw_decode(text, before)
        except (ValueError, RecursionError):
            continue
        outer = _as_draft(value) if stop > start else None
        if outer is not None:
            return before, outer
    return start, draft


def _read_object(text: str, start: int, end: int, wanted: Collection[str]) -> Draft | None:
    for decoder, breaches in ((_STRICT, ()), (_LENIENT, (BROKEN,))):
        try:
            value, stop = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        return _as_draft(value, *breaches) if stop <= end else None
    piece = text[start : min(end, start + _MAX_REPAIR)]
    loose = read_loose(piece)
    draft = None if loose is None else _as_draft(loose, BROKEN)
    if draft is None or all(name in draft.extra for name in wanted):
        return draft or _repaired(piece)
    other = _repaired(piece)  # which reads more than texts
    return draft if other is None else replace(draft, extra={**other.extra, **draft.extra})


def _repaired(piece: str) -> Draft | None:
    """Read an object that only a repair makes readable; a breach says if the repair left out text."""
    # Cut at the last brace: the repair would take the prose after the object for part of it.
    closed = piece.rfind("}") + 1
    piece = piece[:closed] if closed else piece.rstrip().removesuffix("```")
    try:
        value = json_repair.loads(piece)
    except Exception:  # the library raises all kinds of errors for text that it cannot repair
        return None
    for candidate in reversed(value if isinstance(value, list) else [value]):
        draft = _as_draft(candidate, BROKEN)
        if draft is not None:
            lost = _solid(_first_object(piece)) - _solid(json.dumps(candidate, ensure_ascii=False))
            return _as_draft(candidate, BROKEN, LOST) if lost > _MAX_LOST else draft
    return None


def _first_object(piece: str) -> str:
    """Return the text up to the first brace that closes after both keys."""
    return piece[: piece.find("}", max(piece.find(key) for key in _KEYS))]


def _solid(text: str) -> int:
    """Count letters and digits, without those of escapes."""
    return sum(map(str.isalnum, _ESCAPE.sub("", text)))


def _as_draft(value: JSON, *breaches: str) -> Draft | None:
    if not isinstance(value, dict):
        return None
    texts: list[Any] = [value.get(key) for key in _KEYS]
    if not all(isinstance(text, str) for text in texts):
        return None
    title, video_prompt = (strip_invisible(whole(text)) for text in texts)
    return Draft(title, video_prompt, None, breaches, {name: value[name] for name in value if name not in _KEYS})
