"""Which queues are worked off at the same time: as many as the engine lets overlap, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from popbench.errors import ComponentError
from popbench.interfaces import Engine
from popbench.pipeline.dispatch import Dispatcher
from popbench.pipeline.queues import SharedState, WorkQueue
from popbench.progress import Progress


class Scheduler:
    """Starts queues, in their order, as soon as their components may work beside those at work."""

    _grace = 5.0
    """Seconds that interrupted queues have to end in."""

    def __init__(
        self,
        queues: Sequence[WorkQueue],
        dispatcher: Dispatcher,
        engine: Engine,
        progress: Progress,
        shared: SharedState,
    ) -> None:
        self._queues = queues
        self._dispatcher = dispatcher
        self._engine = engine
        self._progress = progress
        self._lock, self._stopping = shared.lock, shared.stopping
        self._over = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._fatal: list[BaseException] = []

    def run(self) -> None:
        """Work until all queues are over. Raises what ended the run, after the other queues were stopped."""
        try:
            while not self._fatal:
                over = self._count()  # before asking what may start: a queue may end meanwhile
                for queue in self._queues:
                    if not queue.started and allowed(queue, self._queues, self._overlap):
                        self._start(queue)
                with self._over:
                    if all(queue.over for queue in self._queues):
                        break
                    self._wait(over)
            if self._fatal:  # also if the error has let all queues end before it was looked for
                raise self._fatal[0]
        except BaseException:
            self._stop()
            raise

    def _wait(self, over: int) -> None:
        """Wait until one more queue is over, or the run has to end."""
        self._over.wait_for(lambda: self._fatal or self._count() > over)

    def _count(self) -> int:
        return sum(queue.over for queue in self._queues)

    def _overlap(self, queue: WorkQueue, others: Sequence[WorkQueue]) -> bool:
        try:
            return self._engine.overlaps(queue.part.resolved.spec, [other.part.resolved.spec for other in others])
        except ComponentError:  # a component that cannot be made: told when it starts, with nothing beside it
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
            self._dispatcher.run(queue)
        except BaseException as error:  # raised again in the thread that runs the scheduler
            with self._over:
                self._fatal.append(error)
        finally:
            with self._over:
                queue.over = True
                for other in self._queues:
                    other.wake()
                if not self._fatal:
                    self._progress.finish(queue.name)
                self._over.notify_all()

    def _stop(self) -> None:
        """End the queues at work; what is committed is kept."""
        self._stopping.set()
        for queue in self._queues:
            queue.stop()
        self._engine.interrupt()
        for thread in self._threads:
            if thread.is_alive():  # the interrupt may have come before it was started
                thread.join(self._grace)


def allowed(
    queue: WorkQueue, queues: Sequence[WorkQueue], overlaps: Callable[[WorkQueue, Sequence[WorkQueue]], bool]
) -> bool:
    """Return whether a queue may start now: it fits beside those at work, and leaves room for those it waits for.

    It is not enough to look at the queues at work. A queue that has started keeps its component loaded while it waits
    for items of earlier queues. If one of these has not started and does not fit beside it, neither ever ends: the
    later queue waits for items, and the earlier one for the GPU. So every queue that has not started must fit beside
    all queues after it that are, or would now be, at work.
    """
    at_work = [other for other in queues if other.started and not other.over]
    waiting = [other for other in queues if not other.started and other is not queue]
    if any(other.part.digest == queue.part.digest and other.rank == queue.rank for other in at_work):
        return False  # equal components share their results: the second finds them all done
    if not at_work:
        return all(other.rank >= queue.rank for other in waiting)
    if not overlaps(queue, at_work):
        return False
    for other in waiting:
        after = [each for each in (*at_work, queue) if each.rank > other.rank]
        if after and not overlaps(other, after):
            return False
    return True
