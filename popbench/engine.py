"""Running components: a component at work in a thread of its own, and the local engine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from popbench.answers import Rendered, answers
from popbench.errors import ComponentError, one_line
from popbench.interfaces import Component, Engine, Options, runtime
from popbench.records import Answer, Request
from popbench.registry import create
from popbench.specs import ComponentSpec

THREAD = "popbench-"
"""How the names of the threads begin in which components run."""


class Running:
    """A component at work in a thread of its own, which an engine takes answers from in another.

    The component's thread goes on only when the taker comes back, that is, after the answer before was stored. One
    clip of frames is the exception: while the taker encodes and stores it, the next one is rendered, and no more.
    An engine that keeps no watch over silence needs one line: `yield from Running(component, items, workspace)`.
    """

    _grace = 2.0

    def __init__(self, component: Component, items: Iterable[Request], workspace: Path, label: str = "") -> None:
        self._source = answers(component, items, workspace, label)
        self._wanted = threading.Semaphore(0)
        self._ready: queue.SimpleQueue[Answer | Rendered | BaseException | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"{THREAD}{component.kind}-{label}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        ahead = False  # a clip was handed over, and the taker has not come back from it
        try:
            while ahead or self._is_asked():
                found = self._take()
                if ahead and not self._is_asked():
                    return
                if isinstance(found, Rendered):  # copied only now: there are never frames of three clips
                    found = found.copied()
                self._ready.put(found)
                if found is None or isinstance(found, BaseException):
                    return
                ahead = isinstance(found, Rendered)
                del found  # its frames must not stay while the next clip is rendered
        finally:
            self._source.close()

    def _take(self) -> Answer | Rendered | BaseException | None:
        try:
            return next(self._source, None)
        except BaseException as error:  # whatever it is, the taker is told, and waits for ever otherwise
            return error

    def _is_asked(self) -> bool:
        """Wait until the taker comes back; False where it has stopped."""
        self._wanted.acquire()
        return not self._stopped

    def next(self, timeout: float | None = None) -> Answer | None:
        """Return the next answer, None at the end; the one before counts as stored.

        A clip is encoded here, in the thread that takes it. Raises what went wrong, and TimeoutError where the
        component is silent for `timeout` seconds; the time that encoding takes is not among them.
        """
        self._wanted.release()
        try:
            found = self._ready.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(found, BaseException):
            raise found
        return found.encoded() if isinstance(found, Rendered) else found

    def __iter__(self) -> Iterator[Answer]:
        """Yield all answers; the component's thread ends with the iterator."""
        try:
            while (answer := self.next()) is not None:
                yield answer
        finally:
            self.stop()

    @property
    def alive(self) -> bool:
        """Whether the component's thread still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let the thread end: at once if it waits, after the item it computes otherwise, for a few seconds."""
        self._stopped = True
        self._wanted.release()
        self._thread.join(self._grace)


class LocalOptions(Options):
    """Options of the local engine."""

    inactivity_limit: float = runtime(1800.0, gt=0, description="seconds of silence after which a component is ended")


class LocalEngine(Engine):
    """Runs components in this process, one at a time, in threads of their own."""

    Options = LocalOptions

    def __init__(self, options: LocalOptions | None = None) -> None:
        super().__init__(options)
        self._workspace = Path()
        self._open: dict[int, _Open] = {}

    def start(self, workspace: Path) -> None:
        """Remember where finished clips go."""
        self._workspace = workspace

    def map(self, spec: ComponentSpec, items: Iterable[Request]) -> Iterator[Answer]:
        """Run the component in a thread and hand its answers over one by one."""
        made = self._component(spec)
        running = made.running = Running(made.component, items, self._workspace, spec.label)
        limit = self.options.inactivity_limit
        try:
            while True:
                try:
                    answer = running.next(timeout=limit)
                except TimeoutError:
                    raise ComponentError(
                        f"{spec.kind} {spec.label} gave no answer for {limit:g} s: it is given up "
                        "(--engine local,inactivity_limit=SECONDS allows more)"
                    ) from None
                if answer is None:
                    return
                yield answer
        finally:
            running.stop()

    def _component(self, spec: ComponentSpec) -> _Open:
        if id(spec) not in self._open:
            try:
                self._open[id(spec)] = _Open(spec, create(spec))
            except Exception as error:  # a plugin's constructor may raise anything
                raise ComponentError(f"{spec.kind} {spec.label} cannot be made: {one_line(error)}") from error
        return self._open[id(spec)]

    def release(self, spec: ComponentSpec) -> None:
        """Close the component that was made for this spec, unless its thread hangs: then it cannot be touched."""
        made = self._open.pop(id(spec), None)
        if made is not None and not (made.running is not None and made.running.alive):
            made.component.close()

    def close(self) -> None:
        """Close every component that is still open."""
        for made in list(self._open.values()):
            self.release(made.spec)


@dataclass(slots=True)
class _Open:
    """A component that was made, with the thread that ran it last."""

    spec: ComponentSpec
    component: Component
    running: Running | None = None
