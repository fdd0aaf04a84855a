"""Lanes: one component each with the queue before it, so that stages overlap.

A lane is fed by what is settled before it: it reads a piece of a cell of the ledger once, and from then on earlier
lanes offer it what they settle there. Its queue is bounded; a piece of which something did not fit is read again later.
So no lane ever waits for a slower one after it, and memory holds one piece of a lane at most.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from popbench.ledger.ledger import STAGES, Stage, StageKey
from popbench.pipeline.ledger_view import LedgerView, ReadyItems, RowCounts
from popbench.planning.plan import Plan
from popbench.planning.systems import Line, Part, TaskMethod
from popbench.records import JSON, Prompt, Reference

SampleKey = tuple[StageKey, str, int]
"""Where a result belongs: cell, prompt id, repeat."""

Chunk = tuple[StageKey, int]
"""Some places of a cell, and the how many-th such piece it is."""


@dataclass(slots=True)
class WorkItem:
    """One sample's share of a stage: where its result belongs, and what the stage before settled.

    `number` is that of its place among those of its track.
    """

    stage_key: StageKey
    method: TaskMethod
    prompt: Prompt
    repeat: int
    before: Mapping[str, JSON] = field(default_factory=dict)
    number: int = 0
    attempt: int = 0
    costs: dict[str, JSON] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()

    @property
    def sample_key(self) -> SampleKey:
        """Where its result belongs."""
        return self.stage_key, self.prompt.id, self.repeat

    @property
    def name(self) -> str:
        """What messages call it."""
        repeat = f" repeat {self.repeat}" if self.repeat else ""
        return f"{self.prompt.task}/{self.prompt.id}{repeat} ({self.method.label})"


class ResultErrors(dict[SampleKey, str]):
    """Why places have no result: errors of their own, and why the rest of a cell is pending."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: dict[StageKey, str] = {}

    def why(self, stage_key: StageKey, prompt: str, repeat: int) -> str | None:
        """Return why a place has no result, where that is known."""
        return self.get((stage_key, prompt, repeat)) or self.pending.get(stage_key)


@dataclass(frozen=True, slots=True)
class SharedState:
    """What all lanes of a run share: a lock for whatever is settled, why the rest is not, and that all are to end."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    errors: ResultErrors = field(default_factory=ResultErrors)
    stopping: threading.Event = field(default_factory=threading.Event)


class WorkQueue:
    """One component's share of a run. All of it but `items` is called with the `lock` held that all lanes share."""

    LIMIT = 1000
    """Units that wait at most of what was offered."""
    CHUNK = 1000
    """Places of a cell that are read at a time: they lie all over a ledger that may be on a slow disk."""

    def __init__(
        self, stage: Stage, part: Part, lines: Sequence[Line], plan: Plan, view: LedgerView, shared: SharedState
    ) -> None:
        self.stage = stage
        self.part = part
        self.lines = {line.stage_key(stage): line for line in lines}  # equal components share their cells
        self.total = self.done = 0
        self.over = self.started = self.stopped = self.grown = False
        self.quiet = False
        """Whether it is told of only once there is something to do."""
        self.before: Sequence[WorkQueue] = ()
        self._plan, self._view, self._errors = plan, view, shared.errors
        self._changed = threading.Condition(shared.lock)
        self._queue: deque[WorkItem] = deque()
        self.skipped: dict[StageKey, RowCounts | None] = {}
        self._unopened = deque(self.lines)
        self._unread: deque[Chunk] = deque()
        self._again: deque[Chunk] = deque()
        self._live: set[Chunk] = set()
        self._out: set[SampleKey] = set()
        earlier = STAGES[: self.rank]
        self._after = (
            {line.stage_key(earlier[-1]): stage_key for stage_key, line in self.lines.items()} if earlier else {}
        )
        self._through = Counter(line.stage_key(each) for each in earlier for line in self.lines.values())

    @property
    def name(self) -> str:
        """What progress calls it."""
        return f"{self.stage} {self.part.label}"

    @property
    def rank(self) -> int:
        """Its stage as a number: lanes of a higher one go on from it."""
        return STAGES.index(self.stage)

    def skip_whole(self, known: dict[StageKey, tuple[int, int]]) -> None:
        """Leave out the cells that lack no row: those are only to be looked at, whether their clips are there.

        `known` are counts that lanes share.
        """
        for stage_key, line in self.lines.items():
            found = self._count(line, known)
            if found.settled + found.lost >= self._wanted(line):
                self.skipped[stage_key] = found

    @property
    def whole(self) -> int:
        """How many rows the cells have that lack none."""
        return sum(found.settled for found in self.skipped.values() if found is not None)

    @property
    def idle(self) -> bool:
        """Whether there is no cell to read."""
        return len(self.skipped) == len(self.lines)

    def begin(self) -> None:
        """Count what there is to do, by the ledger's rows alone; nothing is kept of it yet."""
        self.started = True
        self._unopened = deque(stage_key for stage_key in self.lines if stage_key not in self.skipped)
        waits = any(not queue.over for queue in self.before)
        known: dict[StageKey, tuple[int, int]] = {}
        for stage_key, line in self.lines.items():
            found = self.skipped.get(stage_key) or self._count(line, known)
            self.done += found.settled
            self.total += self._wanted(line) - found.lost if waits else found.settled + found.ready

    def items(self) -> Iterator[WorkItem]:
        """Yield what is to do, waiting for earlier lanes, until they are over or this one is stopped."""
        while True:
            with self._changed:
                item = self._next()
                if item is not None:
                    self._out.add(item.sample_key)
                elif self.stopped or (self._all_read and all(queue.over for queue in self.before)):
                    return
                elif self._all_read:
                    self._changed.wait()
            if item is not None:
                yield item
            else:
                time.sleep(0)  # others may have waited for the lock while a piece was read

    def offer(self, stage_key: StageKey, item: WorkItem, before: Mapping[str, JSON]) -> None:
        """Take what an earlier stage settled in its `stage_key`, if that leads here and its piece was read already."""
        own = self._after.get(stage_key)
        if own is None or (chunk := (own, item.number // self.CHUNK)) not in self._live or self.over:
            return
        if len(self._queue) >= self.LIMIT:
            self._live.discard(chunk)
            self._again.append(chunk)
        else:
            self._queue.append(WorkItem(own, self.lines[own].method, item.prompt, item.repeat, before, item.number))
        self._changed.notify()

    def lose(self, stage_key: StageKey) -> bool:
        """Count on one less where an earlier stage lost it in its `stage_key`; say whether that changes anything."""
        lost = self._through[stage_key] if self.started and not self.over else 0
        self.total -= lost
        return bool(lost)

    def settle(self, sample_key: SampleKey) -> None:
        """A unit is over."""
        self._out.discard(sample_key)
        self.done += 1

    def wake(self) -> None:
        """Look again: an earlier lane is over."""
        self._changed.notify_all()

    def stop(self) -> None:
        """Have nothing more to do."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def left(self) -> int:
        """Count what could be gone on with and is not over."""
        unread = [
            *self._unread,
            *self._again,
            *(chunk for stage_key in self._unopened for chunk in self._chunks(stage_key)),
        ]
        return len(self._out) + len(self._queue) + sum(len(self._read(chunk).ready) for chunk in unread)

    def _next(self) -> WorkItem | None:
        if self.stopped:
            return None
        if not self._queue:
            self._read_on()
        return self._queue.popleft() if self._queue else None

    def _read_on(self) -> None:
        """Read one piece more, if there is one, into the queue."""
        if not self._unread and self._unopened:
            self._unread.extend(self._lacking_first(self._unopened.popleft()))
        first = bool(self._unread)
        if not first and not self._again:
            return
        chunk = stage_key, number = (self._unread if first else self._again).popleft()
        self._live.add(chunk)
        found = self._read(chunk)
        if first and found.gone:
            self.total += found.gone  # these were counted as done, and are done once more
            self.grown = True
        method = self.lines[stage_key].method
        for at, (prompt, repeat) in enumerate(self._places(chunk), number * self.CHUNK) if found.ready else ():
            before, sample_key = found.ready.get((prompt.id, repeat)), (stage_key, prompt.id, repeat)
            if before is not None and sample_key not in self._out and sample_key not in self._errors:
                self._queue.append(WorkItem(stage_key, method, prompt, repeat, before, at))

    def _count(self, line: Line, known: dict[StageKey, tuple[int, int]]) -> RowCounts:
        prompts = self._plan.prompts[line.method.task.name]
        return self._view.count(self.stage, line.method, line.parts, prompts, self._plan.config.repeats, known)

    def _wanted(self, line: Line) -> int:
        return len(self._plan.prompts[line.method.task.name]) * self._plan.config.repeats

    @property
    def _all_read(self) -> bool:
        return not (self._unread or self._unopened or self._again)

    def _chunks(self, stage_key: StageKey) -> list[Chunk]:
        return [(stage_key, number) for number in range(math.ceil(self._wanted(self.lines[stage_key]) / self.CHUNK))]

    def _lacking_first(self, stage_key: StageKey) -> list[Chunk]:
        """Return the pieces of a cell, first those that lack rows: of the others, only clips are to be looked at."""
        chunks = self._chunks(stage_key)
        if len(chunks) < 2:
            return chunks
        there = self._view.rows(stage_key)
        return sorted(chunks, key=lambda chunk: all((prompt.id, n) in there for prompt, n in self._places(chunk)))

    def _places(self, chunk: Chunk) -> Iterator[tuple[Prompt, int]]:
        stage_key, number = chunk
        part = slice(number * self.CHUNK, (number + 1) * self.CHUNK)
        return self._plan.places(self.lines[stage_key].method, part)

    def _read(self, chunk: Chunk) -> ReadyItems:
        line = self.lines[chunk[0]]
        places = ((prompt.id, repeat) for prompt, repeat in self._places(chunk))
        return self._view.open(self.stage, line.method, line.parts, places)
