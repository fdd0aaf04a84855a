"""The local engine: components in this process, in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from popbench.engines.component_thread import ComponentThread
from popbench.engines.load_lock import LoadLock
from popbench.errors import ComponentError, one_line
from popbench.interfaces import Component, Engine
from popbench.options import Options, runtime
from popbench.records import Answer, Needs, Request, Submitted, Workers
from popbench.registry import create
from popbench.specs import ComponentSpec


class LocalOptions(Options):
    """Options of the local engine."""

    inactivity_limit: float = runtime(1800.0, gt=0, description="seconds of silence after which a component is ended")
    overlap: bool = runtime(True, description="let stages overlap that use different resources")


class LocalEngine(Engine):
    """Runs components in this process, side by side where they can.

    Components that work elsewhere (`needs().remote`) may always run. Of those that compute here, one with GPUs and one
    without may run side by side, but not two with GPUs: components choose their devices, and would choose the same one.
    """

    Options = LocalOptions

    def __init__(self, options: LocalOptions | None = None) -> None:
        super().__init__(options)
        self._workspace = Path()
        self._open: dict[int, _Open] = {}
        self._lock = threading.Lock()
        self._load_lock = LoadLock()

    def start(self, workspace: Path) -> None:
        """Set the folder for finished clips."""
        self._workspace = workspace

    def map(self, spec: ComponentSpec, items: Iterable[Request]) -> Iterator[Answer | Submitted]:
        """Run the component in a thread and yield its answers one by one."""
        made = self._component(spec)
        load_lock = None if made.needs.remote else self._load_lock
        thread = ComponentThread(
            made.component, items, self._workspace, spec.label, load_lock=load_lock, warm=made.warm
        )
        made.thread = thread
        limit = self.options.inactivity_limit
        try:
            while True:
                try:
                    answer = thread.next(timeout=limit)
                except TimeoutError:
                    raise ComponentError(
                        f"{spec.kind} {spec.label} gave no answer for {limit:g} s: it is given up "
                        "(--engine local,inactivity_limit=SECONDS allows more)"
                    ) from None
                if answer is None:
                    return
                yield answer
        finally:
            thread.stop()
            made.warm = thread.warm

    def overlaps(self, spec: ComponentSpec, others: Sequence[ComponentSpec]) -> bool:
        """Allow components that work elsewhere, and of the others one with GPUs beside one without."""
        if not self.options.overlap:
            return False
        here = [self._component(each).needs for each in (spec, *others)]
        used = [bool(needs.gpus) for needs in here if not needs.remote]
        return len(used) == len(set(used))

    def at_work(self, spec: ComponentSpec) -> Workers:
        """One worker, with the GPUs that the component needs."""
        return Workers(1, self._component(spec).needs.gpus)

    def _component(self, spec: ComponentSpec) -> _Open:
        with self._lock:
            if id(spec) not in self._open:
                try:
                    component = create(spec)
                    self._open[id(spec)] = _Open(spec, component, component.needs())
                except Exception as error:  # a plugin's constructor may raise anything
                    raise ComponentError(f"{spec.kind} {spec.label} cannot be made: {one_line(error)}") from error
            return self._open[id(spec)]

    def interrupt(self) -> None:
        """End the waiting for answers, in every thread."""
        for made in list(self._open.values()):
            if made.thread is not None:
                made.thread.interrupt()

    def release(self, spec: ComponentSpec) -> None:
        """Close the component of a spec, unless its thread hangs: to close it then could hang too."""
        with self._lock:
            made = self._open.pop(id(spec), None)
        if made is not None and not (made.thread is not None and made.thread.alive):
            made.component.close()

    def close(self) -> None:
        """Close every component that is still open."""
        for made in list(self._open.values()):
            self.release(made.spec)


@dataclass(slots=True)
class _Open:
    """A component in use, with the thread that ran it last."""

    spec: ComponentSpec
    component: Component
    needs: Needs
    thread: ComponentThread | None = None
    warm: bool = False
