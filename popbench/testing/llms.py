"""Checks language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from popbench.errors import one_line
from popbench.interfaces import LLM
from popbench.prompting.drafts import read_answer
from popbench.records import JSON, Chat, Completion, Message
from popbench.testing.components import (
    Subject,
    check_component,
    check_usd,
    check_used,
    find_subject,
    fingerprint_before,
    require,
)
from popbench.testing.requests import LONG, sample_chats
from popbench.testing.rules import Book, Report
from popbench.testing.streams import Outcomes, Traits, check_stream

_TITLE_LIMIT = 50
_LENGTHS = tuple(100 * 4**step for step in range(7))
"""Lengths in characters of prompts for `fits()`; the longest is longer than most contexts."""
_USAGE: Mapping[str, int] = {"input": 1000, "output": 100}


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    reasoning: str | None


def check_llm(
    llm: str | LLM | type[LLM],
    *,
    requests: Sequence[Chat] | None = None,
    repeatable: bool = True,
    other_options: Mapping[str, JSON] | None = None,
) -> Report:
    """Check a language model: every rule of components and of streams, and that completions are text.

    `requests` replaces the sample chats; a slow model does with two. `repeatable=False` is for a model behind an
    API that promises no equal answers to equal seeds: differences become notes. `other_options` gives values to
    try where the kit cannot guess one, for the fingerprint rules. Raises ConformanceError, an AssertionError with
    all breaches; UsageError for a spec that does not resolve and for a model that cannot run here.
    """
    subject = find_subject("llm", llm)
    book = Book("llm", subject.name, repeatable and subject.component.repeatable is not False)
    require(book, check_component(book, subject, other_options or {}))
    chats = sample_chats() if requests is None else list(requests)
    check_usd(book, "cost", subject.component.cost, _USAGE)
    _check_fits(book, subject)
    traits = Traits(lambda component, items: component.generate(items), _judge, _differ, _rename)
    _note_drafts(book, chats, check_stream(book, traits, subject, chats))
    return book.conclude()


def _check_fits(book: Book, subject: Subject) -> None:
    """Check `fits()` of an instance that generates nothing, with chats of several lengths.

    Shorter chats are compared with longer ones, and a chat with the same chat after a system message. Nothing else is
    compared: a chat template may add any text to messages of other roles.
    """
    try:
        component: LLM = subject.fresh()
    except Exception:  # another rule reports it
        return
    before = fingerprint_before(component)
    shortest = min((chat.messages for chat in sample_chats()), key=lambda messages: sum(map(_length, messages)))
    fits = _fits(book, component, shortest, "short chat")
    book.expect("fits", fits is not False, "fits() is False", "short chat")
    text = " ".join([LONG] * (_LENGTHS[-1] // len(LONG) + 1))
    system = Message(role="system", content=LONG)
    answers: dict[tuple[int, bool], bool | None] = {}
    for length in _LENGTHS:
        user = Message(role="user", content=text[:length])
        answers[length, False] = _fits(book, component, [user], f"chat of {length:,} characters")
        answers[length, True] = _fits(book, component, [system, user], f"chat of {length:,} after a system message")
    longer = [((one, kind), (two, kind)) for one, two in pairwise(_LENGTHS) for kind in (False, True)]
    longer += [((length, False), (length, True)) for length in _LENGTHS]
    for less, more in longer:
        if answers[less] is False and answers[more]:
            seen = "fits() is False, and True of " + ("more text" if more[0] > less[0] else "it after a system message")
            book.breach("fits", seen, f"chat of {less[0]:,} characters")
    check_used(book, component, before, "after fits()")
    book.attempt("close", "close() after fits()", component.close)


def _length(message: Message) -> int:
    return len(message["content"])


def _fits(book: Book, component: LLM, messages: Sequence[Message], what: str) -> bool | None:
    """Return `fits()` of messages; None with a breach if it is not True or False."""
    book.look("fits")
    try:
        found: Any = component.fits(messages)
    except Exception as error:
        book.breach("fits", f"raised {one_line(error)}", what)
        return None
    return found if book.expect("fits", isinstance(found, bool), f"fits() returned {found!r}", what) else None


def _judge(book: Book, chat: Chat, answer: Any) -> _Text | None:
    book.look("text")
    if not book.expect("type", isinstance(answer, Completion), f"yielded {type(answer).__name__}", chat.id):
        return None
    text, reasoning = answer.text, answer.reasoning
    if not book.expect("text", isinstance(text, str), f"text is {type(text).__name__}", chat.id):
        return None
    fine = reasoning is None or isinstance(reasoning, str)
    book.expect("text", fine, f"reasoning is {type(reasoning).__name__}", chat.id)
    said = isinstance(answer.remarks, tuple) and all(isinstance(remark, str) for remark in answer.remarks)
    book.expect("text", said, f"remarks are {answer.remarks!r}", chat.id)
    book.expect("text", isinstance(answer.cut, bool), f"cut is {answer.cut!r}", chat.id)
    return _Text(text, reasoning if fine else None)


def _differ(one: _Text, two: _Text) -> str | None:
    for was, now in ((one.text, two.text), (one.reasoning or "", two.reasoning or "")):
        if was != now:
            place = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
            start = max(0, place - 20)
            return (
                f"text differs from character {place}: {was[start : place + 20]!r} became {now[start : place + 20]!r}"
            )
    return None


def _rename(chat: Chat) -> Chat:
    return replace(chat, id=f"other-{chat.id}")


def _note_drafts(book: Book, chats: Sequence[Chat], first: Outcomes) -> None:
    texts = {id_: value for id_, value in first.items() if isinstance(value, _Text)}
    for id_, value in texts.items():
        draft, reason = read_answer(value.text, value.reasoning, _TITLE_LIMIT)
        if draft is None:
            book.note(f"{id_}: no usable draft in the completion: {value.text[:80]!r} ({reason})")
        elif draft.breaches:
            book.note(f"{id_}: {'; '.join(draft.breaches)}")
    by_prompt: dict[Any, list[str]] = {}
    for chat in chats:
        if chat.id in texts:
            by_prompt.setdefault((chat.prompt, chat.references), []).append(texts[chat.id].text)
    if any(len(same) > 1 and len(set(same)) == 1 for same in by_prompt.values()):
        book.note("another seed gave the same text")
