"""Work queues: what waits for one component, read from the ledger and fed by the stages before.

A queue reads a chunk of its samples from the ledger once. What earlier stages finish of that chunk afterwards they
offer to the queue directly, so that the ledger is not searched again for every item.

Queues are bounded: a fast LLM before a slow generator would otherwise pile up all of a run's drafts in memory. The LLM
is not made to wait either, since that would keep its GPU or its workers idle. What does not fit is dropped, because the
ledger has it, and its chunk is read again once the queue is empty. So memory holds at most one chunk and one full queue
of each component, and no stage waits for a slower one after it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from popbench.ledger.ledger import STAGES, StageKey
from popbench.pipeline.items import ResultErrors, SampleKey, WorkItem
from popbench.pipeline.ledger_view import LedgerView, ReadyItems, RowCounts
from popbench.pipeline.stages import Stage
from popbench.planning.systems import Part, SampleSet
from popbench.records import JSON, Prompt

Chunk = tuple[StageKey, int]
"""Some samples of a stage key, and the how many-th such chunk it is."""


@dataclass(frozen=True, slots=True)
class SharedState:
    """What all queues of a run share: the lock for all their state, errors by sample, and whether the run is to end."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    errors: ResultErrors = field(default_factory=ResultErrors)
    stopping: threading.Event = field(default_factory=threading.Event)


class WorkQueue:
    """One component's share of a run. Every method but `items`, `stop` and `skip_whole` needs the shared `lock` held.

    `before` are the queues of earlier stages, `followers` those of later ones; `total` and `done` count what progress
    shows. `quiet` queues are shown only once they have something to do.
    """

    LIMIT = 1000
    """Items that wait at most of those offered."""
    CHUNK = 1000
    """Samples that are read at a time: their rows lie all over a ledger that may be on a slow disk."""

    def __init__(self, stage: Stage, sample_sets: Sequence[SampleSet], view: LedgerView, shared: SharedState) -> None:
        self.stage = stage
        # Components that are equal but for their labels share stage keys, and so their results.
        self.sample_sets = {samples.stage_key(stage.name): samples for samples in sample_sets}
        self.before: Sequence[WorkQueue] = ()
        self.followers: Sequence[WorkQueue] = ()
        self.total = self.done = 0
        self.started = self.over = self.stopped = False
        self.grown = False
        """Whether `total` has grown since progress was last told."""
        self.gone = 0
        """How many results that are gone, since their clips are, were found to be made again."""
        self.quiet = False
        self.skipped: dict[StageKey, RowCounts | None] = {}
        self._view, self._errors = view, shared.errors
        self._changed = threading.Condition(shared.lock)
        self._queue: deque[WorkItem] = deque()
        self._unopened = deque(self.sample_sets)
        self._unread: deque[Chunk] = deque()
        self._again: deque[Chunk] = deque()
        self._live: set[Chunk] = set()
        """Chunks that were read, and of which everything since was taken up: only for these are offers accepted."""
        self._out: set[SampleKey] = set()
        earlier = STAGES[: self.rank]
        sets = self.sample_sets.items()
        self._own_key = {samples.stage_key(earlier[-1]): key for key, samples in sets} if earlier else {}
        self._through = Counter(samples.stage_key(name) for name in earlier for _, samples in sets)

    @property
    def part(self) -> Part:
        """The component that the items wait for."""
        return self.stage.part

    @property
    def name(self) -> str:
        """Its name in progress."""
        return f"{self.stage.name} {self.part.label}"

    @property
    def rank(self) -> int:
        """The number of its stage: queues of a higher rank go on from its results."""
        return STAGES.index(self.stage.name)

    def skip_whole(self, counted: dict[StageKey, tuple[int, int]]) -> None:
        """Skip the stage keys that lack no row; only their clips need to be looked at, which can wait.

        `counted` is shared with other queues (see `LedgerView.row_counts`).
        """
        for key, samples in self.sample_sets.items():
            counts = self._view.row_counts(samples, counted)
            if counts.done + counts.lost >= len(samples):
                self.skipped[key] = counts

    @property
    def whole(self) -> int:
        """How many results the skipped stage keys have by their rows."""
        return sum(counts.done for counts in self.skipped.values() if counts is not None)

    @property
    def idle(self) -> bool:
        """Whether every stage key is skipped."""
        return len(self.skipped) == len(self.sample_sets)

    def begin(self) -> None:
        """Count what there is to do, by the ledger's rows alone; no item is read yet."""
        self.started = True
        self._unopened = deque(key for key in self.sample_sets if key not in self.skipped)
        waits = any(not queue.over for queue in self.before)
        counted: dict[StageKey, tuple[int, int]] = {}
        for key, samples in self.sample_sets.items():
            counts = self.skipped.get(key) or self._view.row_counts(samples, counted)
            self.done += counts.done
            self.total += len(samples) - counts.lost if waits else counts.done + counts.ready

    def items(self, ends: Callable[[], bool] = lambda: False) -> Iterator[WorkItem]:
        """Yield what is to do, waiting for earlier queues, until this one is `finished`.

        They also end where it would wait and `ends` says so; then they can be asked for again.
        """
        while True:
            with self._changed:
                item = self._next()
                if item is not None:
                    self._out.add(item.sample_key)
                elif self.finished or (self._all_read and ends()):
                    return
                elif self._all_read:
                    self.wait()
            if item is not None:
                yield item
            else:
                time.sleep(0)  # others may have waited for the lock while a chunk was read

    def offer(self, item: WorkItem, inputs: Mapping[str, JSON]) -> None:
        """Take up an item that an earlier stage finished, if it leads here and its chunk was read already.

        An item of a chunk that is still to be read is left out: it is found when the chunk is read.
        """
        key = self._own_key.get(item.stage_key)
        if key is None or (chunk := (key, item.number // self.CHUNK)) not in self._live or self.over:
            return
        if len(self._queue) >= self.LIMIT:
            self._live.discard(chunk)
            self._again.append(chunk)
        else:
            method = self.sample_sets[key].method
            self._queue.append(WorkItem(key, method, item.prompt, item.repeat, inputs, item.number))
        self._changed.notify()

    def lose(self, key: StageKey) -> bool:
        """Expect one item less: an earlier stage lost one under its `key`. Return whether `total` has changed."""
        lost = self._through[key] if self.started and not self.over else 0
        self.total -= lost
        return bool(lost)

    def settle(self, sample_key: SampleKey) -> None:
        """Count an item as done."""
        self._out.discard(sample_key)
        self.done += 1

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to do: all was taken up and earlier queues are over, or it was stopped."""
        nothing = not self._queue and self._all_read and all(queue.over for queue in self.before)
        return self.stopped or nothing

    def wait(self) -> None:
        """Wait until something has changed: an item was offered, or `wake` or `stop` called."""
        self._changed.wait()

    def wake(self) -> None:
        """Let those who `wait` look again, such as `items` after an earlier queue is over."""
        self._changed.notify_all()

    def stop(self) -> None:
        """End `items`."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def left(self) -> int:
        """Count the items that could be worked on and are not done."""
        unread = [*self._unread, *self._again, *(chunk for key in self._unopened for chunk in self._chunks(key))]
        return len(self._out) + len(self._queue) + sum(len(self._read(chunk).ready) for chunk in unread)

    def _next(self) -> WorkItem | None:
        if self.stopped:
            return None
        if not self._queue:
            self._read_on()
        return self._queue.popleft() if self._queue else None

    def _read_on(self) -> None:
        """Read one chunk more into the queue, if there is one."""
        if not self._unread and self._unopened:
            self._unread.extend(self._lacking_first(self._unopened.popleft()))
        first = bool(self._unread)
        if not first and not self._again:
            return
        chunk = key, _ = (self._unread if first else self._again).popleft()
        self._live.add(chunk)
        items = self._read(chunk)
        if first and items.gone:
            self.total += items.gone  # these were counted as done, and are done once more
            self.grown = True
            self.gone += items.gone
        method = self.sample_sets[key].method
        for number, prompt, repeat, inputs in items.ready:
            sample_key = SampleKey(key, prompt.id, repeat)
            if sample_key not in self._out and sample_key not in self._errors:
                self._queue.append(WorkItem(key, method, prompt, repeat, inputs, number))

    @property
    def _all_read(self) -> bool:
        return not (self._unread or self._unopened or self._again)

    def _chunks(self, key: StageKey) -> list[Chunk]:
        return [(key, number) for number in range(math.ceil(len(self.sample_sets[key]) / self.CHUNK))]

    def _lacking_first(self, key: StageKey) -> list[Chunk]:
        """Return the chunks of a stage key, first those that lack rows: of the others, only clips are looked at."""
        chunks = self._chunks(key)
        if len(chunks) < 2:
            return chunks
        rows = self._view.has_rows(self.sample_sets[key])
        return sorted(chunks, key=lambda chunk: all((prompt.id, n) in rows for _, prompt, n in self._samples(chunk)))

    def _samples(self, chunk: Chunk) -> Iterator[tuple[int, Prompt, int]]:
        return self.sample_sets[chunk[0]].numbered(self._slice(chunk))

    def _slice(self, chunk: Chunk) -> slice:
        return slice(chunk[1] * self.CHUNK, (chunk[1] + 1) * self.CHUNK)

    def _read(self, chunk: Chunk) -> ReadyItems:
        return self._view.ready(self.stage.name, self.sample_sets[chunk[0]], self._slice(chunk))
