"""Reads drafts from completions: the last JSON object with a title and a video prompt counts.

Models wrap JSON in prose, fences and reasoning, and write it with single or curly quotes, trailing commas, raw newlines
or cut short. Whatever can be read is read; a draft that breaks a requirement is kept, with the breach. What is empty, a
placeholder or a copy of the template's example is no draft, and an answer without a draft has the reason of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from popbench.prompting.fields import read_fields
from popbench.prompting.invisible import strip_invisible
from popbench.prompting.objects import objects_backwards
from popbench.prompting.usable import COPIED, EMPTY, PLACEHOLDER, copies_text, fault_of
from popbench.records import JSON, Draft
from popbench.tasks.schema import DraftField

DRAFT_SCHEMA: Mapping[str, JSON] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "video_prompt": {"type": "string", "minLength": 1},
    },
    "required": ["title", "video_prompt"],
    "additionalProperties": False,
}
"""The JSON schema of an answer, for LLMs that can be constrained to one."""

_SCHEMAS: Mapping[str, JSON] = {"array": {"type": "array", "items": {"type": "string"}}}


def draft_schema(fields: Mapping[str, DraftField]) -> Mapping[str, JSON]:
    """Return the JSON schema of an answer with further fields: `DRAFT_SCHEMA` if there are none."""
    if not fields:
        return DRAFT_SCHEMA
    properties = {
        name: {
            **_SCHEMAS.get(of.type, {"type": of.type}),
            **({"description": of.description} if of.description else {}),
        }
        for name, of in fields.items()
    }
    return {
        **DRAFT_SCHEMA,
        "properties": {**DRAFT_SCHEMA["properties"], **properties},
        "required": [*DRAFT_SCHEMA["required"], *fields],
    }


DRAFTS_VERSION = 2
"""Raise this when the same completion is read as another draft. Drafts of other versions are then read anew."""

CUT = "cut at the limit"
NO_JSON = "no JSON"
"""No object with a title and a video prompt, not even a broken one."""

_FORM = re.compile(r"```\w*|\b(?:title|video_prompt)\b")
_THINK_TAG = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)


class Reading(NamedTuple):
    """What an answer holds: a draft, or the reason why it has none.

    That is one of COPIED, CUT, PLACEHOLDER, EMPTY, what is wrong with a further field, and NO_JSON.
    """

    draft: Draft | None
    reason: str = ""


def read_answer(
    text: str,
    reasoning: str | None,
    title_max_chars: int,
    examples: Sequence[Draft] = (),
    *,
    cut: bool = False,
    fields: Mapping[str, DraftField] = MappingProxyType({}),
) -> Reading:
    """Return the last usable draft in a completion, with the requirements that it breaks, or why there is none.

    A usable draft has all of the further `fields`, each of its type; what else an object holds is left out.

    `reasoning` is what the LLM returned apart from its answer; `<think>` sections of the answer and the prose before
    the JSON are added to it. A draft that copies one of `examples`, or nearly so, does not count. `cut` says that the
    answer ended at the limit of tokens. Never raises.
    """
    answer, reasoning = split_reasoning(text, reasoning)
    examples, faults = tuple(examples), set[str]()
    unfit = ""
    for start, draft in objects_backwards(answer, fields):
        fault = fault_of(draft, examples)
        if fault is not None:
            faults.add(fault)
            continue
        extra, fault = read_fields(draft.extra, fields)
        if fault:
            unfit = unfit or fault
            continue
        prose = answer[:start].replace("```json", "").replace("```", "").strip()
        return Reading(
            Draft(
                title=draft.title,
                video_prompt=draft.video_prompt,
                reasoning=_joined(reasoning or "", prose),
                breaches=(*draft.breaches, *breaches_of(draft, title_max_chars)),
                extra=extra,
            )
        )
    if not faults and not unfit and not strip_invisible(answer):
        faults.add(EMPTY)
    said = _FORM.sub(" ", answer)
    if not faults and not unfit and any(copies_text(said, example) for example in examples):
        faults.add(COPIED)
    order = (COPIED, *([CUT] if cut else []), PLACEHOLDER, EMPTY)
    return Reading(None, next((reason for reason in order if reason == CUT or reason in faults), unfit or NO_JSON))


def parse_draft(text: str, reasoning: str | None, title_max_chars: int, examples: Sequence[Draft] = ()) -> Draft | None:
    """Return the draft of `read_answer`; None if there is none. Never raises."""
    return read_answer(text, reasoning, title_max_chars, examples).draft


def find_drafts(text: str) -> list[Draft]:
    """Return all drafts in a text, last first."""
    return [draft for _, draft in objects_backwards(text) if fault_of(draft, ()) is None]


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

    A section that is never closed stays in the answer, which was cut short: the draft may be in it. One that is never
    opened began in the chat template, so everything before its end is thoughts.
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


def breaches_of(draft: Draft, title_max_chars: int) -> Iterator[str]:
    """Yield the requirements that a draft breaks."""
    title, video_prompt = draft.title, draft.video_prompt
    if len(title) > title_max_chars:
        yield f"title has {len(title)} characters, more than {title_max_chars}"
    if len(title.splitlines()) > 1:
        yield "title has several lines"
    if len(video_prompt.splitlines()) > 1:
        yield "video prompt has several paragraphs"
