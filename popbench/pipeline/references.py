"""The references that prompts are shown with, and what a run tells of prompts that got too few."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

from popbench.planning.plan import Plan
from popbench.planning.systems import Part, TaskMode
from popbench.prompting.chats import Shown
from popbench.records import Prompt
from popbench.text import counted


class _Counts(NamedTuple):
    """The numbers of a `Shown`, kept without its texts until a notice is made of all."""

    wanted: int
    found: int
    shown: int
    short: bool
    cut: bool
    scope: str

    @classmethod
    def of(cls, shown: Shown) -> _Counts:
        """Take the numbers."""
        short, cut = shown.short is not None, shown.cut is not None
        return cls(shown.wanted, shown.found, len(shown.references), short, cut, shown.scope)


class ShownReferences:
    """Makes messages with references for every LLM of a run, and counts the prompts that got fewer than asked for."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = threading.Lock()  # a retriever is for one thread at a time, and LLMs ask in threads of their own
        self._counts: dict[str, dict[tuple[str, str, str], _Counts]] = {}
        self._noticed: set[str] = set()

    def show(self, mode: TaskMode, prompt: Prompt, llm: Part, seed: int) -> Shown:
        """Begin a draft, with what an LLM is shown for a prompt."""
        with self._lock:
            shown = self._plan.shown(mode, prompt, llm, seed)
            self._counts.setdefault(llm.label, {})[mode.label, prompt.task, prompt.id] = _Counts.of(shown)
        return shown

    def notices(self, llm: Part) -> Iterator[str]:
        """Yield what to tell of the prompts that an LLM was shown since the last call.

        That a corpus has too few references for a mode is true for every LLM, and is told once.
        """
        with self._lock:
            counts = self._counts.pop(llm.label, {})
        for mode in dict.fromkeys(mode for mode, _, _ in counts):
            of_mode = [count for key, count in counts.items() if key[0] == mode]
            prompts = counted(len(of_mode), "prompt")
            short = [count.found for count in of_mode if count.short]
            if short and mode not in self._noticed:
                self._noticed.add(mode)
                yield (
                    f"{mode}: {len(short)} of {prompts} have fewer references than the "
                    f"{of_mode[0].wanted} asked for, {min(short)} at least: there are no more {of_mode[0].scope}"
                )
            cut = [count.shown for count in of_mode if count.cut]
            if cut:
                yield (
                    f"{llm.label}, {mode}: the references of {len(cut)} of {prompts} are cut to "
                    f"fit the model's context, to {min(cut)} at least"
                )
