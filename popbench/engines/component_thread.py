"""A component at work in a thread of its own, from which another thread takes answers."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from popbench.engines.answer_stream import Rendered, answers
from popbench.engines.load_lock import LoadLock
from popbench.errors import ComponentError
from popbench.interfaces import Component
from popbench.records import Answer, Request

THREAD = "popbench-"
"""How the names of the threads begin in which components run."""

INTERRUPTED = "interrupted"


class ComponentThread:
    """A component at work in a thread of its own, which an engine takes answers from in another.

    The component's thread goes on only when the taker comes back, that is, after the answer before was stored. One
    clip of frames is the exception: while the taker encodes and stores it, the next one is rendered, and no more.
    An engine that keeps no watch over silence needs one line: `yield from Running(component, items, workspace)`.
    `load_lock` are shared by the components that compute in one process at the same time.
    """

    _grace = 2.0

    def __init__(
        self,
        component: Component,
        items: Iterable[Request],
        workspace: Path,
        label: str = "",
        *,
        load_lock: LoadLock | None = None,
        warm: bool = False,
    ) -> None:
        self._input = _Input(items, load_lock, self, warm=warm)
        self._source = answers(component, self._input, workspace, label)
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
            self._input.enter()
            found = next(self._source, None)
            self._input.warm = True
        except BaseException as error:  # whatever it is, the taker is told, and waits for ever otherwise
            return error
        finally:
            self._input.leave()
        return found

    def _is_asked(self) -> bool:
        """Wait until the taker comes back; False where it has stopped."""
        self._wanted.acquire()
        return not self._stopped

    def next(self, timeout: float | None = None) -> Answer | None:
        """Return the next answer, None at the end; the one before counts as stored.

        A clip is encoded here, in the thread that takes it. Raises what went wrong, and TimeoutError where the
        component is silent for `timeout` seconds; the time that encoding takes is not among them, nor is the time that
        the component waits for something to do.
        """
        since = time.monotonic()
        left = timeout
        self._wanted.release()
        while True:
            try:
                found = self._ready.get(timeout=left)
                break
            except queue.Empty:
                assert timeout is not None
                left = timeout - (time.monotonic() - max(since, self._input.busy_since))
                if left <= 0:
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

    @property
    def warm(self) -> bool:
        """Whether the component has answered, so that its models are loaded."""
        return self._input.warm

    def interrupt(self) -> None:
        """Make `next` raise ComponentError in the thread that waits there."""
        self._ready.put(ComponentError(INTERRUPTED))

    def stop(self) -> None:
        """Let the thread end: at once if it waits, after the item it computes otherwise, for a few seconds."""
        self._stopped = True
        self._wanted.release()
        self._thread.join(self._grace)
        self._input.abandon()


class _Input:
    """What a component is fed, which tells when it waits, and gives up its turn while it does."""

    def __init__(self, items: Iterable[Request], load_lock: LoadLock | None, owner: object, *, warm: bool) -> None:
        self._items = iter(items)
        self._load_lock = load_lock
        self._owner = owner
        self._waits = False
        self._since = time.monotonic()
        self.warm = warm

    @property
    def busy_since(self) -> float:
        """When the component last got something to do; now, while it waits."""
        return time.monotonic() if self._waits else self._since

    def enter(self) -> None:
        """Wait for a turn."""
        if (load_lock := self._load_lock) is not None:
            self._waits = True
            load_lock.enter(self._owner, alone=not self.warm)
            if self._load_lock is None:  # abandoned meanwhile
                load_lock.leave(self._owner)
        self._waits, self._since = False, time.monotonic()

    def leave(self) -> None:
        """End a turn, if there is one."""
        if (load_lock := self._load_lock) is not None:
            load_lock.leave(self._owner)

    def abandon(self) -> None:
        """Let the others go on beside a component that hangs."""
        load_lock, self._load_lock = self._load_lock, None
        if load_lock is not None:
            load_lock.leave(self._owner)

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        self._waits = True
        self.leave()
        try:
            return next(self._items)
        finally:
            self.enter()
