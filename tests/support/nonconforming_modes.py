"""Modes that break one rule each."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import popbench


class Draftless(popbench.Mode):
    "Asks, and hands in nothing."

    version = "1"

    def write(self, prompt: Any, references: Any, ask: popbench.Ask) -> popbench.Writing:
        yield ask("Hello")


class Endless(popbench.Mode):
    "Asks and asks."

    version = "1"

    def write(self, prompt: Any, references: Any, ask: popbench.Ask) -> popbench.Writing:
        for number in count():
            yield ask(f"Again {number}")


class Timeless(popbench.Mode):
    "Says that it takes no turn."

    version = "1"
    turns = 0

    def write(self, prompt: Any, references: Any, ask: popbench.Ask) -> popbench.Writing:
        yield (yield ask.draft())


class Trusting(popbench.Mode):
    "Takes every answer for JSON."

    version = "1"

    def write(self, prompt: Any, references: Any, ask: popbench.Ask) -> popbench.Writing:
        draft = yield ask.draft()
        answer = yield ask("Rate it", {"type": "object", "properties": {"rate": {"type": "integer"}}})
        json.loads(answer.text)
        yield draft


class Numbering(popbench.Mode):
    "Numbers what it asks over all drafts."

    version = "1"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._number = count()

    def write(self, prompt: Any, references: Any, ask: popbench.Ask) -> popbench.Writing:
        draft = yield ask.draft()
        yield ask(f"Draft {next(self._number)}: {draft.title}")
        yield draft


class Remembering(popbench.Mode):
    "Keeps the draft of one prompt where the next one finds it."

    version = "1"

    def write(self, prompt: Any, references: Any, ask: popbench.Ask) -> popbench.Writing:
        self._draft = yield ask.draft()
        yield ask("What is weak?")
        yield self._draft
