"""Drafts in the making: runs a mode's `write` turn by turn, and checks what it yields.

It asks no LLM: whoever does hands the answers in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from popbench.errors import UsageError, one_line
from popbench.interfaces import Ask, Mode, Turn, Writing
from popbench.prompting.drafts import breaches_of
from popbench.prompting.fields import read_fields
from popbench.prompting.usable import fault_of
from popbench.records import Completion, Draft, Message, Prompt, Reference
from popbench.tasks.schema import DraftRules

MAX_TURNS = 50
"""Calls of an LLM that a mode may take for one draft, unless its `turns` says more."""


class ModeError(UsageError):
    """A mode's code fails on a prompt: it raises `reason`, or breaks what `popbench.Mode` asks."""

    reason: BaseException | None = None
    """Kept here as well, since whoever raises the error on may replace its cause."""


class TemplateMode(Mode):
    """A mode of a task: one call, with the messages that its template makes."""

    def write(self, prompt: Prompt, references: Sequence[Reference], ask: Ask) -> Writing:  # noqa: ARG002
        """Ask once."""
        yield (yield ask.draft())


class Conversation:
    """One draft in the making. After each answer, either `turn` is what to ask next, or `draft` is the end.

    If neither is, the mode ended without a draft since a turn gave no usable one. `number` counts turns from 0, `key`
    is the key of the call that the draft was read from, and `fault` says why a draft that the mode made is unusable.
    """

    def __init__(
        self, mode: Mode, name: str, prompt: Prompt, references: Sequence[Reference], ask: Ask, rules: DraftRules
    ) -> None:
        self.references = tuple(references)
        self.number = -1
        self.draft: Draft | None = None
        self.key = ""
        self.fault = ""
        self._turn: Turn | None = None
        self._error: ModeError | None = None
        self._who = f"mode {name}: prompt {prompt.id!r}"
        self._most = max(MAX_TURNS, mode.turns if isinstance(mode.turns, int) else 0)
        self._rules = rules
        self._drafts: list[tuple[Draft, str]] = []
        self._lacking = False
        self._writing: Any = None
        self._start = partial(mode.write, prompt, self.references, ask)
        self._go_on(None)
        if self._error is not None:
            raise self._error

    @property
    def turn(self) -> Turn | None:
        """The call to make next; None at the end. Raises ModeError if the mode failed on the last answer."""
        if self._error is not None:
            raise self._error
        return self._turn

    @property
    def over(self) -> bool:
        """Whether the mode has ended, and not failed."""
        return self._error is None and self._turn is None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages of the call to make next."""
        return () if self.turn is None else self.turn.messages

    def answer(self, answer: Completion | Draft | None, key: str) -> None:
        """Hand in the answer of the turn, for a turn with a draft the draft, or None if there is no usable one.

        What the mode does wrong with it is raised by `turn`, so that the answer can be stored before.
        """
        if isinstance(answer, Draft):
            self._drafts.append((answer, key))
        self._lacking = self._lacking or answer is None
        self.key = key
        self._go_on(answer)

    def close(self) -> None:
        """End the mode's generator."""
        with suppress(Exception, SystemExit):  # what it does at its end changes nothing any more
            self._writing.close()

    def _go_on(self, answer: Completion | Draft | None) -> None:
        """Run the mode to what it yields next, and note what is wrong with that."""
        try:
            self._take(self._step(answer))
        except ModeError as error:
            self._error = error
        except (Exception, SystemExit) as error:  # no plugin ends the host
            self._error = self._wrong(one_line(error))
            self._error.reason = error
        if self._turn is None or self._error is not None:
            self.close()

    def _step(self, answer: Completion | Draft | None) -> Any:
        if self._writing is None:
            self._writing = self._start()
            if not hasattr(self._writing, "send"):
                what = type(self._writing).__name__
                raise self._wrong(f"write returned {what}: it has to yield turns, and a draft at the end")
        try:
            return self._writing.send(answer)
        except StopIteration:
            return None

    def _take(self, yielded: Any) -> None:
        self._turn = None
        match yielded:
            case Turn():
                self.number += 1
                if self.number >= self._most:
                    raise self._wrong(f"no draft after {self._most} calls of the LLM: end write, or state more turns")
                self._turn = self._checked_turn(yielded)
            case Draft() if self.number < 0:
                raise self._wrong("no call of the LLM: write has to yield ask(...) or ask.draft() before its draft")
            case Draft():
                self.draft = self._checked_draft(yielded)
            case None:
                if not self._lacking:
                    raise self._wrong("it ended without a draft: yield it at the end")
            case _:
                what = type(yielded).__name__
                raise self._wrong(f"it yielded {what}: yield ask(...), ask.draft() or a popbench.Draft")

    def _checked_turn(self, turn: Turn) -> Turn:
        if not turn.messages or not isinstance(turn.schema, Mapping):
            raise self._wrong("a turn without messages" if not turn.messages else "a schema that is no mapping")
        for message in turn.messages:
            if not (isinstance(message["role"], str) and isinstance(message["content"], str)):
                raise self._wrong(f"role and content of a message are text, not {message!r:.80}")
            try:
                message["content"].encode()
            except UnicodeEncodeError:  # a lone surrogate, which cannot be sent
                raise self._wrong("a message that is no valid text") from None
        return turn

    def _checked_draft(self, draft: Draft) -> Draft | None:
        """Check a draft that the mode made itself, None if unusable; what was read from an answer stays as it is."""
        for read, key in self._drafts:
            if draft is read:
                self.key = key
                return draft
        texts = (draft.title, draft.video_prompt, draft.reasoning or "", *draft.breaches)
        if not all(isinstance(text, str) for text in texts):
            raise self._wrong("the texts of its draft are no text")
        title, video_prompt = (text.encode("utf-8", "replace").decode().strip() for text in texts[:2])
        extra, unfit = read_fields(draft.extra, self._rules.fields)
        made = replace(draft, title=title, video_prompt=video_prompt, extra=extra)
        self.fault = fault_of(made, ()) or unfit
        if self.fault:
            return None
        found = tuple(breaches_of(made, self._rules.title_max_chars))
        return replace(made, breaches=tuple(dict.fromkeys((*draft.breaches, *found))))

    def _wrong(self, what: str) -> ModeError:
        return ModeError(f"{self._who}: {what}")
