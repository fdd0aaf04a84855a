"""A thread that runs a component, from which another thread takes the answers."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from popbench.engines.answer_stream import Rendered, answers
from popbench.engines.load_lock import LoadLock
from popbench.errors import ComponentError
from popbench.interfaces import Component
from popbench.records import Answer, Request, Submitted

THREAD = "popbench-"
"""The beginning of the names of threads that run components."""

INTERRUPTED = "interrupted"


class ComponentThread:
    """Runs a component in a thread of its own, while an engine takes the answers in another thread.

    The component goes on only when the engine asks for the next answer, which is after the last one was stored. Clips
    given as frames are the one exception: while a clip is encoded and stored, the component renders one more.

    Components that compute in one process share a `load_lock`; `warm` says that the models are loaded already.

    Example:
        An engine that does not watch for silent components needs one line in its `map`::

            yield from ComponentThread(component, items, workspace)
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
        self._ready: queue.SimpleQueue[Answer | Rendered | Submitted | BaseException | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"{THREAD}{component.kind}-{label}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        ahead = False  # a clip was handed over, and the next answer was not asked for yet
        try:
            while ahead or self._is_asked():
                answer = self._take()
                if ahead and not self._is_asked():
                    return
                if isinstance(answer, Rendered):  # copied only now: memory never holds the frames of three clips
                    answer = answer.copied()
                self._ready.put(answer)
                if answer is None or isinstance(answer, BaseException):
                    return
                ahead = isinstance(answer, Rendered)
                del answer  # its frames must not stay while the next clip is rendered
        finally:
            self._source.close()

    def _take(self) -> Answer | Rendered | Submitted | BaseException | None:
        try:
            self._input.enter()
            answer = next(self._source, None)
            self._input.answered(answer is not None and not isinstance(answer, Submitted))
        except BaseException as error:  # whatever it is: the other thread would wait for ever if it were not told
            return error
        finally:
            self._input.leave()
        return answer

    def _is_asked(self) -> bool:
        """Wait until the next answer is asked for; return False if none will be."""
        self._wanted.acquire()
        return not self._stopped

    def next(self, timeout: float | None = None) -> Answer | Submitted | None:
        """Return the next answer, or what was submitted, None at the end; the last one counts as stored.

        A clip is encoded here, in the thread that takes the answers. Raises what went wrong, and TimeoutError if the
        component is silent for `timeout` seconds. The time for encoding does not count, nor does the time that the
        component waits for requests.
        """
        since = time.monotonic()
        left = timeout
        self._wanted.release()
        while True:
            try:
                answer = self._ready.get(timeout=left)
                break
            except queue.Empty:
                assert timeout is not None
                left = timeout - (time.monotonic() - max(since, self._input.busy_since))
                if left <= 0:
                    raise TimeoutError from None
        if isinstance(answer, BaseException):
            raise answer
        return answer.encoded() if isinstance(answer, Rendered) else answer

    def __iter__(self) -> Iterator[Answer | Submitted]:
        """Yield all answers and what is submitted; the component's thread ends with the iterator."""
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
        """Make `next` raise ComponentError in the thread that waits for an answer."""
        self._ready.put(ComponentError(INTERRUPTED))

    def stop(self) -> None:
        """Tell the thread to end, and wait a few seconds for the item that it computes."""
        self._stopped = True
        self._wanted.release()
        self._input.stop()
        self._thread.join(self._grace)
        self._input.abandon()


class _Input:
    """A component's requests. It knows since when the component is busy, and leaves the load lock while it waits.

    The component may pull requests in a thread of its own, as `popbench.concurrently` does. It is then busy while a
    request is without an answer.
    """

    def __init__(self, items: Iterable[Request], load_lock: LoadLock | None, owner: object, *, warm: bool) -> None:
        self._items = iter(items)
        self._load_lock = load_lock
        self._owner = owner
        self._thread: int | None = None
        self._waits = False
        self._waits_elsewhere = False
        self._pulled = self._answered = 0
        self._since = time.monotonic()
        self._on_stop: list[Callable[[], object]] = []
        self.warm = warm

    @property
    def busy_since(self) -> float:
        """The moment since which the component is busy; now, if it waits for a request."""
        idle = self._waits_elsewhere and self._pulled == self._answered
        return time.monotonic() if self._waits or idle else self._since

    def enter(self) -> None:
        """Wait for the load lock, if there is one."""
        self._thread = threading.get_ident()
        if (load_lock := self._load_lock) is not None:
            self._waits = True
            load_lock.enter(self._owner, alone=not self.warm)
            if self._load_lock is None:  # abandoned meanwhile
                load_lock.leave(self._owner)
        self._waits, self._since = False, time.monotonic()

    def leave(self) -> None:
        """Leave the load lock, if there is one."""
        if (load_lock := self._load_lock) is not None:
            load_lock.leave(self._owner)

    def abandon(self) -> None:
        """Leave the load lock for good, so that a component that hangs blocks no other."""
        load_lock, self._load_lock = self._load_lock, None
        if load_lock is not None:
            load_lock.leave(self._owner)

    def answered(self, count: int) -> None:
        """Count answers: the component's models are loaded."""
        self.warm = True
        self._answered += count

    def on_stop(self, call: Callable[[], object]) -> None:
        """Have `call` called in another thread when the component is to end, to wake it if it waits."""
        self._on_stop.append(call)

    def stop(self) -> None:
        """Wake a component that waits."""
        for call in self._on_stop:
            call()

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        if threading.get_ident() != self._thread:
            return self._pull_elsewhere()
        self._waits = True
        self.leave()
        try:
            request = next(self._items)
        finally:
            self.enter()
        self._pulled += 1
        return request

    def _pull_elsewhere(self) -> Request:
        self._waits_elsewhere = True
        try:
            request = next(self._items)
            if self._pulled == self._answered:
                self._since = time.monotonic()
            self._pulled += 1
            return request
        finally:
            self._waits_elsewhere = False
