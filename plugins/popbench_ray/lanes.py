"""What the scheduler keeps of components, workers and items, and what it asks its driver to do."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from popbench_ray.nodes import Need

ItemId: TypeAlias = Hashable


@dataclass(frozen=True, slots=True)
class Limits:
    """What the scheduler goes by; times in seconds.

    `retries`: how often an item is tried again; `batch`: items that a worker holds at first; `most`: that it may
    hold where its component takes many at once; `workers`: of one component, at most; `item_timeout`: of silence of
    a worker with items, or one that is not ready; `lost_after`: without any worker; `pending`: after which a worker
    is not counted on that has not got its place.
    """

    retries: int = 3
    batch: int = 2
    most: int = 256
    workers: int | None = None
    item_timeout: float = 1800.0
    lost_after: float = 120.0
    pending: float = 20.0

    @property
    def fatal(self) -> int:
        """How many losses in a row, without an answer, end a lane, or a node's part in it."""
        return 2 * (self.retries + 1)


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker of a lane on a node; then say `placed`, `ready`, or `lost`."""

    worker: int
    lane: str
    node: str


@dataclass(frozen=True, slots=True)
class Send:
    """Give a worker items; then say `answered` for each, or `lost`."""

    worker: int
    lane: str
    items: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """End a worker, at once where it is `hard`; where it is not, say `lost` when it is gone."""

    worker: int
    hard: bool


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer an item with an error: it was tried as often as allowed."""

    lane: str
    item: ItemId
    error: str


@dataclass(frozen=True, slots=True)
class End:
    """End what a lane was opened for: everything is answered, or nothing more will be, for the reason given."""

    lane: str
    error: str | None


Action: TypeAlias = Start | Send | Stop | Fail | End


@dataclass(slots=True, eq=False)
class Item:
    """One request: how often it was lost, and where."""

    id: ItemId
    tries: int = 0
    places: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Worker:
    """One worker: where it is, what it holds, since when nothing was heard of it, and when it is looked at next."""

    number: int
    lane: Lane
    node: str
    gpus: tuple[int, ...]
    since: float
    window: int
    state: Literal["starting", "placed", "ready", "stopping"] = "starting"
    items: dict[ItemId, Item] = field(default_factory=dict)
    born: float | None = None
    alone: bool = False
    stuck: bool = False
    due: float = math.inf


@dataclass(slots=True, eq=False)
class Lane:
    """One component: its items, its workers, and how they have fared.

    `free` are the workers that hold nothing, of which those in `idle` are ready; `coming` counts those that are
    about to be ready. `pace` is how long an item takes a worker, `startup` a worker until its first answer, both in
    seconds. `trouble` counts losses by node since the node's last answer, `losses` all since the last answer.
    """

    name: str
    need: Need
    waiting: deque[Item] = field(default_factory=deque)
    suspects: OrderedDict[ItemId, Item] = field(default_factory=OrderedDict)
    workers: dict[int, Worker] = field(default_factory=dict)
    free: dict[int, Worker] = field(default_factory=dict)
    idle: dict[int, Worker] = field(default_factory=dict)
    nodes: Counter[str] = field(default_factory=Counter)
    trouble: Counter[str] = field(default_factory=Counter)
    shunned: set[str] = field(default_factory=set)
    ready: int = 0
    coming: int = 0
    held: int = 0
    open: bool = False
    complete: bool = False
    losses: int = 0
    why: str = ""
    pace: float | None = None
    startup: float | None = None
    dark: float | None = None

    @property
    def demand(self) -> int:
        """Items that no worker holds."""
        return len(self.waiting) + len(self.suspects)

    @property
    def unfinished(self) -> bool:
        """Whether it has been given items that are not answered."""
        return bool(self.waiting or self.suspects or self.held)
