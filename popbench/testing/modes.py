"""Checks modes: plays them with made-up answers, and no language model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from popbench.interfaces import Ask, Mode, Turn
from popbench.keys import digest
from popbench.prompting.conversations import MAX_TURNS, Conversation, ModeError
from popbench.prompting.drafts import DRAFT_SCHEMA
from popbench.records import JSON, Completion, Draft, Message, Prompt, Reference
from popbench.tasks.schema import DraftRules
from popbench.testing.components import check_component, check_used, find_subject, fingerprint_before, require
from popbench.testing.requests import sample_chats
from popbench.testing.rules import Book, Report

Answered = Completion | Draft | None
Answers = Callable[[Turn, str], Answered]
"""Makes the answer to a turn; the text is a digest of what was asked."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One sample: its prompt, what the task asks, and the references."""

    id: str
    prompt: Prompt
    messages: tuple[Message, ...]
    references: tuple[Reference, ...]
    seed: int

    def begin(self, mode: Mode) -> Conversation:
        """Begin its draft. Raises ModeError."""
        ask = Ask(self.messages, DRAFT_SCHEMA, bool(self.references), self.seed)
        return Conversation(mode, "", self.prompt, self.references, ask, DraftRules())


@dataclass(slots=True)
class _Play:
    """What a mode yields for a case: its turns, then its draft."""

    case: _Case
    conversation: Conversation
    answers: Answers
    yielded: list[Any]

    def step(self) -> bool:
        """Answer one turn; False at the end. Raises ModeError."""
        turn = self.conversation.turn
        if turn is None:
            self.yielded.append(self.conversation.draft)
            return False
        self.yielded.append(turn)
        asked = digest(turn.messages, dict(turn.schema), self.case.seed, self.conversation.number)
        self.conversation.answer(self.answers(turn, asked), asked)
        return True


def check_mode(mode: str | Mode | type[Mode], *, other_options: Mapping[str, JSON] | None = None) -> Report:
    """Check a mode: every rule of components, and that its turns depend on prompt and answers alone and end in a draft.

    Options of references cannot be given here: it is checked with a few references, and with none. `other_options`
    gives values to try where the kit cannot guess one, for the fingerprint rules. Raises ConformanceError, an
    AssertionError with all breaches; UsageError for a spec that does not resolve.
    """
    subject = find_subject("mode", mode)
    book = Book("mode", subject.name)
    require(book, check_component(book, subject, other_options or {}))
    cases = _cases()
    before = fingerprint_before(subject.component)
    first = {case.id: _played(book, "ending", subject.component, case, _ordinary) for case in cases}
    cases = [case for case in cases if first[case.id] is not None]  # of the others, the breach is known
    for case in cases:
        _check_end(book, subject.component, case, first[case.id])
        again = _played(book, "repetition", subject.component, case, _ordinary)
        _compare(book, "repetition", "played again", case, first[case.id], again)
        fresh = book.attempt("fresh", "making another instance", subject.fresh)
        if fresh is not None:
            other = _played(book, "fresh", fresh, case, _ordinary)
            _compare(book, "fresh", "played by another instance", case, first[case.id], other)
        for name, answers in _ODD.items():
            _played(book, "odd_answers", subject.component, case, answers, f"{case.id}, {name}")
    for case, yielded in zip(cases, _side_by_side(book, subject.component, cases), strict=True):
        _compare(book, "company", "played side by side with others", case, first[case.id], yielded)
    check_used(book, subject.component, before)
    book.attempt("close", "close() after use", subject.component.close)
    return book.conclude()


def _cases() -> list[_Case]:
    return [
        _Case(chat.id, Prompt(chat.id, chat.prompt, "all", "kit"), chat.messages, tuple(chat.references), chat.seed)
        for chat in sample_chats()
    ]


def _played(
    book: Book, rule: str, mode: Mode, case: _Case, answers: Answers, item: str | None = None
) -> list[Any] | None:
    """Play a mode to its end; None with a breach if it fails."""
    book.look(rule)
    try:
        play = _Play(case, case.begin(mode), answers, [])
        while play.step():
            pass
    except ModeError as error:
        book.breach(rule, str(error).partition(": ")[2].partition(": ")[2], item or case.id)
        return None
    return play.yielded


def _side_by_side(book: Book, mode: Mode, cases: Sequence[_Case]) -> list[list[Any] | None]:
    """Play all cases in turns, each one step at a time."""
    try:
        plays = [_Play(case, case.begin(mode), _ordinary, []) for case in cases]
        going = list(plays)
        while going:
            going = [play for play in going if play.step()]
    except ModeError as error:
        book.breach("company", f"played side by side, it failed: {error}")
        return [None] * len(cases)
    return [play.yielded for play in plays]


def _check_end(book: Book, mode: Mode, case: _Case, yielded: list[Any] | None) -> None:
    if yielded is None:
        return
    draft = yielded[-1]
    if book.expect("ending", draft is not None, "it ended without a usable draft", case.id):
        for breach in draft.breaches:
            book.note(f"{case.id}: {breach}")
    calls = len(yielded) - 1
    fine = isinstance(mode.turns, int) and mode.turns >= 1
    if book.expect("turns", fine, f"turns is {mode.turns!r}") and calls > 2 * mode.turns:
        book.note(f"{case.id}: {calls} calls, and turns says {mode.turns}: estimates of costs go by that")
    book.expect("turns", calls <= max(MAX_TURNS, mode.turns), f"{calls} calls", case.id)


def _compare(book: Book, rule: str, how: str, case: _Case, first: list[Any] | None, other: list[Any] | None) -> None:
    book.look(rule)
    if first is None or other is None or first == other:
        return
    differs = [number for number, (a, b) in enumerate(zip(first, other, strict=False), 1) if a != b]
    where = f"turn {differs[0]} is another" if differs else f"{len(other) - 1} turns, {len(first) - 1} before"
    book.breach(rule, f"{how}, {where}", case.id)


def _ordinary(turn: Turn, asked: str) -> Answered:
    """Answer as an LLM does that can do what it is asked."""
    if turn.draft:
        return Draft(f"A kite, take {asked[:6]}", f"A kite climbs over a beach, in version {asked}")
    if turn.schema:
        return _completion(json.dumps(_instance(turn.schema, asked)))
    return _completion(f"The title says too little, and the camera stands still ({asked[:6]}). Try 2.")


def _completion(text: str) -> Completion:
    return Completion("kit", text, None, {"input": 10, "output": 5}, 0.1)


def _instance(schema: Mapping[str, JSON], asked: str) -> JSON:
    """Return a value of a JSON schema, of the plain sort."""
    if "enum" in schema:
        return schema["enum"][int(asked[:4], 16) % len(schema["enum"])]
    match schema.get("type"):
        case "object":
            return {name: _instance(of, asked) for name, of in schema.get("properties", {}).items()}
        case "array":
            return [_instance(schema.get("items", {}), asked)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return f"text {asked[:6]}"


def _odd(text: str) -> Answers:
    def answer(turn: Turn, asked: str) -> Answered:
        return _ordinary(turn, asked) if turn.draft else _completion(text)

    return answer


def _missing(turn: Turn, asked: str) -> Answered:
    return None if turn.draft and not turn.required else _ordinary(turn, asked)


_ODD: Mapping[str, Answers] = {
    "answered with nothing": _odd(""),
    "answered with half a JSON object": _odd('{"best": 99, "'),
    "answered with a list of JSON": _odd('["a", {"b": null}]'),
    "without the drafts that are not required": _missing,
}
