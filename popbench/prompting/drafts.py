"""From completions to drafts: the last JSON object with a title and a video prompt wins.

Models wrap JSON in prose, fences and thoughts, and write it with single quotes, trailing commas, raw newlines or
without its end. What can be read is read; what breaks a requirement is kept and counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import json_repair

from popbench.records import JSON, Draft

DRAFT_SCHEMA: Mapping[str, JSON] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "video_prompt": {"type": "string", "minLength": 1},
    },
    "required": ["title", "video_prompt"],
    "additionalProperties": False,
}
"""The JSON schema of an answer, for LLMs that can be held to one."""

DRAFTS_VERSION = 1
"""Goes up when the same completion comes to be read as another draft: drafts of other versions are made anew."""

_THINK_TAG = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)
_CURLY = re.compile("[“”„‟]")
_CURLY_KEY = re.compile("[“”„‟](?:title|video_prompt)[“”„‟]")
_BROKEN = ("not valid JSON",)
_MAX_STARTS = 64
_MAX_ENCLOSING = 8
_MAX_REPAIR = 20_000
_STRICT = json.JSONDecoder()
_LENIENT = json.JSONDecoder(strict=False)


def parse_draft(text: str, reasoning: str | None, title_max_chars: int, examples: Sequence[Draft] = ()) -> Draft | None:
    """Read a completion: its last usable draft with the requirements it breaks, or None where there is none.

    `reasoning` is what the LLM reported apart from its answer; thoughts inside the answer are added to it, and
    so is the prose before the JSON. A draft that copies one of `examples` does not count. Never raises.
    """
    answer, reasoning = split_reasoning(text, reasoning)
    examples_seen = {_folded(value) for example in examples for value in (example.title, example.video_prompt)}
    for start, draft in _drafts_backwards(answer):
        if _folded(draft.title) in examples_seen or _folded(draft.video_prompt) in examples_seen:
            continue
        prose = answer[:start].replace("```json", "").replace("```", "").strip()
        return Draft(
            title=draft.title.strip(),
            video_prompt=draft.video_prompt.strip(),
            reasoning=_joined(reasoning or "", prose),
            breaches=(*draft.breaches, *_breaches(draft, title_max_chars)),
        )
    return None


def find_drafts(text: str) -> list[Draft]:
    """Find all drafts in a text, last first."""
    return [draft for _, draft in _drafts_backwards(text)]


def split_reasoning(text: str, reasoning: str | None) -> tuple[str, str | None]:
    """Return a completion's answer without its `<think>` sections, and these joined to the `reasoning` given.

    Splitting an answer once more leaves it as it is: the engine splits what a component yields, and `parse_draft`
    takes completions that no engine has seen.
    """
    thoughts, answer = split_thoughts(text)
    return (answer.strip() if thoughts else answer), _joined(reasoning or "", thoughts)


def _joined(*parts: str) -> str | None:
    return "\n\n".join(part.strip() for part in parts if part.strip()) or None


def split_thoughts(text: str) -> tuple[str, str]:
    """Split `<think>` sections from an answer: returns (thoughts, answer).

    A section that never closes is an answer cut short: the draft may still be in it. One that never opens began
    in the chat template, with the answer.
    """
    thoughts: list[str] = []
    answer: list[str] = []
    opened: re.Match[str] | None = None
    position = 0
    for tag in _THINK_TAG.finditer(text):
        opens = not tag[0].startswith("</")
        if opens and opened is None:
            answer.append(text[position : tag.start()])
            opened = tag
        elif not opens and opened is not None:
            thoughts.append(text[opened.end() : tag.start()])
            opened, position = None, tag.end()
        elif not opens:
            thoughts += [*answer, text[position : tag.start()]]
            answer, position = [], tag.end()
    answer.append(text[position:] if opened is None else text[opened.start() :])
    return "\n\n".join(part.strip() for part in thoughts if part.strip()), "".join(answer)


def _drafts_backwards(text: str) -> Iterator[tuple[int, Draft]]:
    """Yield (start, draft) from the last object to the first, outermost ones where they lie in one another."""
    start = end = len(text)
    for _ in range(_MAX_STARTS):
        # An object that is a draft holds both keys, so it opens before the last of each.
        last_keys = min(text.rfind(key, 0, end) for key in ("title", "video_prompt"))
        start = text.rfind("{", 0, min(start, max(last_keys, 0)))
        if start < 0:
            return
        draft = _read_object(text, start, end)
        if draft is not None:
            start, draft = _outermost(text, start, draft)
            yield start, draft
            end = start


def _outermost(text: str, start: int, draft: Draft) -> tuple[int, Draft]:
    """Prefer an object in valid JSON that encloses a draft and is one itself: what looked like one was its text."""
    before = start
    for _ in range(_MAX_ENCLOSING):
        before = text.rfind("{", 0, before)
        if before < 0:
            break
        try:
            value, stop = _STRICT.raw_decode(text, before)
        except (ValueError, RecursionError):
            continue
        outer = _as_draft(value, ()) if stop > start else None
        if outer is not None:
            return before, outer
    return start, draft


def _read_object(text: str, start: int, end: int) -> Draft | None:
    for decoder, breaches in ((_STRICT, ()), (_LENIENT, _BROKEN)):
        try:
            value, stop = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        return _as_draft(value, breaches) if stop <= end else None
    piece = text[start : min(end, start + _MAX_REPAIR)]
    # The repair starts at this brace and must not swallow prose behind the object.
    closed = piece.rfind("}") + 1
    piece = piece[:closed] if closed else piece.rstrip().removesuffix("```")
    if _CURLY_KEY.search(piece):
        piece = _CURLY.sub('"', piece)
    try:
        value = json_repair.loads(piece)
    except Exception:  # a library that repairs anything may still fail on something: that is no draft
        return None
    for candidate in reversed(value if isinstance(value, list) else [value]):
        draft = _as_draft(candidate, _BROKEN)
        if draft is not None:
            return draft
    return None


def _as_draft(value: Any, breaches: tuple[str, ...]) -> Draft | None:
    if not isinstance(value, dict):
        return None
    title, video_prompt = value.get("title"), value.get("video_prompt")
    if not (isinstance(title, str) and isinstance(video_prompt, str)):
        return None
    title, video_prompt = _clean(title), _clean(video_prompt)
    if not title.strip() or not video_prompt.strip():
        return None
    return Draft(title, video_prompt, None, breaches)


def _clean(text: str) -> str:
    """Replace lone surrogates, which no file or API takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _breaches(draft: Draft, title_max_chars: int) -> Iterator[str]:
    title, video_prompt = draft.title.strip(), draft.video_prompt.strip()
    if len(title) > title_max_chars:
        yield f"title has {len(title)} characters, more than {title_max_chars}"
    if len(title.splitlines()) > 1:
        yield "title has several lines"
    if len(video_prompt.splitlines()) > 1:
        yield "video prompt has several paragraphs"


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
