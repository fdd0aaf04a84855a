"""Modes of several turns for tests, and a language model whose answers depend on what it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import popbench

ASKED: list[popbench.Chat] = []
"""The chats of all models of this process, in the order in which they were asked."""


class Clerk(popbench.LLM):
    """Writes a draft that holds its seed; answers what else it is asked with the number of messages."""

    version = "1"

    class Options(popbench.Options):
        batch: int = popbench.runtime(1)
        stop_after: int = popbench.runtime(0)
        fail: str = popbench.runtime("")
        refuse: str = ""
        silent: str = ""
        room: int = 0

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        held: list[popbench.Chat] = []
        for chat in chats:
            ASKED.append(chat)
            if self.options.stop_after and len(ASKED) > self.options.stop_after:
                raise RuntimeError("the power is off")
            held.append(chat)
            if len(held) >= self.options.batch:
                yield from map(self._answer, held)
                held = []
        yield from map(self._answer, held)

    def _answer(self, chat: popbench.Chat) -> popbench.Completion | popbench.Failure:
        last, usage = chat.messages[-1]["content"], {"input": 10, "output": 1}
        if self.options.fail and self.options.fail in last:
            return popbench.Failure(chat.id, "the line is dead")
        if self.options.refuse and self.options.refuse in last:
            return popbench.Failure(chat.id, "it would not", invalid=True, reason="refusal", usage=usage)
        if not chat.schema:
            return popbench.Completion(chat.id, f"{len(chat.messages)} messages", usage=usage, seconds=1.0)
        if self.options.silent and self.options.silent in last:
            return popbench.Completion(chat.id, f"Nothing {chat.seed}", usage=usage, seconds=1.0)
        draft = {"title": f"Title {chat.seed}", "video_prompt": f"{chat.prompt} in {len(chat.messages)} messages"}
        return popbench.Completion(chat.id, json.dumps(draft), usage=usage, seconds=1.0)

    def fits(self, messages: Any) -> bool:
        return not self.options.room or sum(len(message["content"]) for message in messages) <= self.options.room

    def cost(self, usage: Any) -> float | None:
        return float(usage["input"]) / 1000


class Longest(popbench.Predictor):
    """Takes long titles for popular, and looks at nothing else."""

    version = "1"
    uses = frozenset({"title"})

    class Options(popbench.Options):
        broken: bool = False
        lacking: bool = popbench.runtime(False)

    def check(self) -> list[str]:
        return ["set LONGEST_KEY"] if self.options.lacking else []

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            if self.options.broken:
                yield popbench.Failure(item.id, "it cannot read")
            else:
                yield popbench.Score(item.id, 1.0 + int(item.title.split()[-1]) % 1000)


class Again(popbench.Mode):
    """Writes a draft, asks what is weak, and writes it again."""

    version = "1"
    turns = 3

    class Options(popbench.Options):
        rounds: int = 1

    def write(self, prompt: popbench.Prompt, references: Any, ask: popbench.Ask) -> popbench.Writing:
        draft = yield ask.draft()
        for number in range(self.options.rounds):
            critique = yield ask(f"Criticise {draft.title}")
            better = yield ask.draft(f"Rewrite {draft.title}, round {number}: {critique.text}", required=False)
            draft = better or draft
        yield draft
