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

from popbench.ledger.ledger import STAGES, Cell, Stage
from popbench.pipeline.ledger_view import Counted, Open, View
from popbench.planning.plan import Plan
from popbench.planning.systems import Line, Part, Track
from popbench.records import JSON, Prompt, Reference

Place = tuple[Cell, str, int]
"""Where a result belongs: cell, prompt id, repeat."""

Piece = tuple[Cell, int]
"""Some places of a cell, and the how many-th such piece it is."""


@dataclass(slots=True)
class Unit:
    """One sample's share of a stage: where its result belongs, and what the stage before settled.

    `number` is that of its place among those of its track.
    """

    cell: Cell
    track: Track
    prompt: Prompt
    repeat: int
    before: Mapping[str, JSON] = field(default_factory=dict)
    number: int = 0
    attempt: int = 0
    costs: dict[str, JSON] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()

    @property
    def place(self) -> Place:
        """Where its result belongs."""
        return self.cell, self.prompt.id, self.repeat

    @property
    def name(self) -> str:
        """What messages call it."""
        repeat = f" repeat {self.repeat}" if self.repeat else ""
        return f"{self.prompt.task}/{self.prompt.id}{repeat} ({self.track.label})"


class Undone(dict[Place, str]):
    """Why places have no result: errors of their own, and why the rest of a cell is pending."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: dict[Cell, str] = {}

    def why(self, cell: Cell, prompt: str, repeat: int) -> str | None:
        """Return why a place has no result, where that is known."""
        return self.get((cell, prompt, repeat)) or self.pending.get(cell)


@dataclass(frozen=True, slots=True)
class Common:
    """What all lanes of a run share: a lock for whatever is settled, why the rest is not, and that all are to end."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    errors: Undone = field(default_factory=Undone)
    stopping: threading.Event = field(default_factory=threading.Event)


class Lane:
    """One component's share of a run. All of it but `units` is called with the `lock` held that all lanes share."""

    LIMIT = 1000
    """Units that wait at most of what was offered."""
    PIECE = 1000
    """Places of a cell that are read at a time: they lie all over a ledger that may be on a slow disk."""

    def __init__(self, stage: Stage, part: Part, lines: Sequence[Line], plan: Plan, view: View, common: Common) -> None:
        self.stage = stage
        self.part = part
        self.lines = {line.cell(stage): line for line in lines}  # equal components share their cells
        self.total = self.done = 0
        self.over = self.started = self.stopped = self.grown = False
        self.quiet = False
        """Whether it is told of only once there is something to do."""
        self.before: Sequence[Lane] = ()
        self._plan, self._view, self._errors = plan, view, common.errors
        self._changed = threading.Condition(common.lock)
        self._queue: deque[Unit] = deque()
        self.skipped: dict[Cell, Counted | None] = {}
        self._unopened = deque(self.lines)
        self._unread: deque[Piece] = deque()
        self._again: deque[Piece] = deque()
        self._live: set[Piece] = set()
        self._out: set[Place] = set()
        earlier = STAGES[: self.rank]
        self._after = {line.cell(earlier[-1]): cell for cell, line in self.lines.items()} if earlier else {}
        self._through = Counter(line.cell(each) for each in earlier for line in self.lines.values())

    @property
    def name(self) -> str:
        """What progress calls it."""
        return f"{self.stage} {self.part.label}"

    @property
    def rank(self) -> int:
        """Its stage as a number: lanes of a higher one go on from it."""
        return STAGES.index(self.stage)

    def skip_whole(self, known: dict[Cell, tuple[int, int]]) -> None:
        """Leave out the cells that lack no row: those are only to be looked at, whether their clips are there.

        `known` are counts that lanes share.
        """
        for cell, line in self.lines.items():
            found = self._count(line, known)
            if found.settled + found.lost >= self._wanted(line):
                self.skipped[cell] = found

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
        self._unopened = deque(cell for cell in self.lines if cell not in self.skipped)
        waits = any(not lane.over for lane in self.before)
        known: dict[Cell, tuple[int, int]] = {}
        for cell, line in self.lines.items():
            found = self.skipped.get(cell) or self._count(line, known)
            self.done += found.settled
            self.total += self._wanted(line) - found.lost if waits else found.settled + found.ready

    def units(self) -> Iterator[Unit]:
        """Yield what is to do, waiting for earlier lanes, until they are over or this one is stopped."""
        while True:
            with self._changed:
                unit = self._next()
                if unit is not None:
                    self._out.add(unit.place)
                elif self.stopped or (self._all_read and all(lane.over for lane in self.before)):
                    return
                elif self._all_read:
                    self._changed.wait()
            if unit is not None:
                yield unit
            else:
                time.sleep(0)  # others may have waited for the lock while a piece was read

    def offer(self, cell: Cell, unit: Unit, before: Mapping[str, JSON]) -> None:
        """Take what an earlier stage settled in its `cell`, if that leads here and its piece was read already."""
        own = self._after.get(cell)
        if own is None or (piece := (own, unit.number // self.PIECE)) not in self._live or self.over:
            return
        if len(self._queue) >= self.LIMIT:
            self._live.discard(piece)
            self._again.append(piece)
        else:
            self._queue.append(Unit(own, self.lines[own].track, unit.prompt, unit.repeat, before, unit.number))
        self._changed.notify()

    def lose(self, cell: Cell) -> bool:
        """Count on one less where an earlier stage lost it in its `cell`; say whether that changes anything."""
        lost = self._through[cell] if self.started and not self.over else 0
        self.total -= lost
        return bool(lost)

    def settle(self, place: Place) -> None:
        """A unit is over."""
        self._out.discard(place)
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
        unread = [*self._unread, *self._again, *(piece for cell in self._unopened for piece in self._pieces(cell))]
        return len(self._out) + len(self._queue) + sum(len(self._read(piece).ready) for piece in unread)

    def _next(self) -> Unit | None:
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
        piece = cell, number = (self._unread if first else self._again).popleft()
        self._live.add(piece)
        found = self._read(piece)
        if first and found.gone:
            self.total += found.gone  # these were counted as done, and are done once more
            self.grown = True
        track = self.lines[cell].track
        for at, (prompt, repeat) in enumerate(self._places(piece), number * self.PIECE) if found.ready else ():
            before, place = found.ready.get((prompt.id, repeat)), (cell, prompt.id, repeat)
            if before is not None and place not in self._out and place not in self._errors:
                self._queue.append(Unit(cell, track, prompt, repeat, before, at))

    def _count(self, line: Line, known: dict[Cell, tuple[int, int]]) -> Counted:
        prompts = self._plan.prompts[line.track.task.name]
        return self._view.count(self.stage, line.track, line.chain, prompts, self._plan.config.repeats, known)

    def _wanted(self, line: Line) -> int:
        return len(self._plan.prompts[line.track.task.name]) * self._plan.config.repeats

    @property
    def _all_read(self) -> bool:
        return not (self._unread or self._unopened or self._again)

    def _pieces(self, cell: Cell) -> list[Piece]:
        return [(cell, number) for number in range(math.ceil(self._wanted(self.lines[cell]) / self.PIECE))]

    def _lacking_first(self, cell: Cell) -> list[Piece]:
        """Return the pieces of a cell, first those that lack rows: of the others, only clips are to be looked at."""
        pieces = self._pieces(cell)
        if len(pieces) < 2:
            return pieces
        there = self._view.rows(cell)
        return sorted(pieces, key=lambda piece: all((prompt.id, n) in there for prompt, n in self._places(piece)))

    def _places(self, piece: Piece) -> Iterator[tuple[Prompt, int]]:
        cell, number = piece
        part = slice(number * self.PIECE, (number + 1) * self.PIECE)
        return self._plan.places(self.lines[cell].track, part)

    def _read(self, piece: Piece) -> Open:
        line = self.lines[piece[0]]
        places = ((prompt.id, repeat) for prompt, repeat in self._places(piece))
        return self._view.open(self.stage, line.track, line.chain, places)
