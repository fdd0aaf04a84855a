"""Which lanes are at work together: as many as the engine lets overlap, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from popbench.errors import ComponentError
from popbench.interfaces import Engine
from popbench.pipeline.queues import SharedState, WorkQueue
from popbench.progress import Progress


class Scheduler:
    """Starts lanes, in their order, as soon as they may work beside those that do."""

    _grace = 5.0
    """Seconds that interrupted lanes have to end in."""

    def __init__(
        self,
        queues: Sequence[WorkQueue],
        engine: Engine,
        shared: SharedState,
        progress: Progress,
        work: Callable[[WorkQueue], None],
    ) -> None:
        self._lanes = queues
        self._engine = engine
        self._lock, self._stopping = shared.lock, shared.stopping
        self._progress = progress
        self._work = work
        self._over = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._fatal: list[BaseException] = []

    def run(self) -> None:
        """Go on until all lanes are over; raises what ended the run, after the others were stopped."""
        try:
            while not self._fatal:
                over = self._count()  # before asking what may start: a lane may end meanwhile
                for queue in self._lanes:
                    if not queue.started and allowed(queue, self._lanes, self._overlap):
                        self._start(queue)
                with self._over:
                    if all(queue.over for queue in self._lanes):
                        return
                    self._wait(over)
            raise self._fatal[0]
        except BaseException:
            self._stop()
            raise

    def _wait(self, over: int) -> None:
        """Wait until another lane is over, or all is."""
        self._over.wait_for(lambda: self._fatal or self._count() > over)

    def _count(self) -> int:
        return sum(queue.over for queue in self._lanes)

    def _overlap(self, queue: WorkQueue, others: Sequence[WorkQueue]) -> bool:
        try:
            return self._engine.overlaps(queue.part.resolved.spec, [other.part.resolved.spec for other in others])
        except ComponentError:  # told when its turn comes
            return False

    def _start(self, queue: WorkQueue) -> None:
        with self._lock:
            queue.begin()
            if not queue.quiet:
                self._progress.stage(queue.name, queue.total, queue.done)
        thread = threading.Thread(target=self._run, args=(queue,), name=f"queue-{queue.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, queue: WorkQueue) -> None:
        try:
            self._work(queue)
        except BaseException as error:  # the thread that waits for it raises it
            with self._over:
                self._fatal.append(error)
        finally:
            with self._over:
                queue.over = True
                for other in self._lanes:
                    other.wake()
                if not self._fatal:
                    self._progress.finish(queue.name)
                self._over.notify_all()

    def _stop(self) -> None:
        """End what is at work; what is committed is kept."""
        self._stopping.set()
        for queue in self._lanes:
            queue.stop()
        self._engine.interrupt()
        for thread in self._threads:
            thread.join(self._grace)


def allowed(
    queue: WorkQueue, queues: Sequence[WorkQueue], overlaps: Callable[[WorkQueue, Sequence[WorkQueue]], bool]
) -> bool:
    """Say whether a lane may start now: it fits beside those at work, and leaves room for all that it waits for.

    A lane that is at work keeps what it occupies while it waits for earlier lanes, so each of those that have not
    started must be able to work beside all lanes that wait for it.
    """
    at_work = [other for other in queues if other.started and not other.over]
    waiting = [other for other in queues if not other.started and other is not queue]
    if any(other.part.digest == queue.part.digest and other.stage == queue.stage for other in at_work):
        return False
    if not at_work:
        return all(other.rank >= queue.rank for other in waiting)
    if not overlaps(queue, at_work):
        return False
    for other in waiting:
        after = [each for each in (*at_work, queue) if each.rank > other.rank]
        if after and not overlaps(other, after):
            return False
    return True
