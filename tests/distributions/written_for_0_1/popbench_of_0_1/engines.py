"""Two engines as they were written for popbench 0.1. Never to be changed: see the README."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import popbench
from popbench.engines import ComponentThread, LoadLock, Rendered, answers
from popbench.records import Answer, Request
from popbench.registry import create
from popbench.specs import ComponentSpec


class Plain(popbench.Engine):
    """Makes a component for each call and runs it in the thread of the call."""

    version = "1"

    def start(self, workspace: Path) -> None:
        self._workspace = workspace

    def map(self, spec: ComponentSpec, items: Iterable[Request]) -> Iterator[Answer]:
        component = create(spec)
        try:
            for answer in answers(component, items, self._workspace, spec.label):
                yield answer.encoded() if isinstance(answer, Rendered) else answer
        finally:
            component.close()


class Threaded(popbench.Engine):
    """Keeps components, and runs each in a thread of its own, side by side."""

    version = "1"

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._workspace = Path()
        self._made: dict[str, popbench.Component] = {}
        self._threads: list[ComponentThread] = []
        self._lock = LoadLock()
        self._told = False

    def start(self, workspace: Path) -> None:
        self._workspace = workspace

    def map(self, spec: ComponentSpec, items: Iterable[Request]) -> Iterator[Answer]:
        component = self._made.setdefault(spec.text, create(spec))
        thread = ComponentThread(component, items, self._workspace, spec.label, load_lock=self._lock)
        self._threads.append(thread)
        yield from thread

    def overlaps(self, spec: ComponentSpec, others: Sequence[ComponentSpec]) -> bool:
        return True

    def lacks(self, spec: ComponentSpec, component: popbench.Component) -> list[str]:
        return component.check()

    def at_work(self, spec: ComponentSpec) -> popbench.Workers:
        return popbench.Workers(1, 0.0)

    def notices(self) -> list[str]:
        told, self._told = self._told, True
        return [] if told else ["threaded: one machine is left out"]

    def interrupt(self) -> None:
        for thread in self._threads:
            thread.interrupt()

    def release(self, spec: ComponentSpec) -> None:
        component = self._made.pop(spec.text, None)
        if component is not None:
            component.close()

    def close(self) -> None:
        for component in self._made.values():
            component.close()
        self._made.clear()
