"""The scheduler's records of components, workers and items, and the actions that it asks of its driver."""

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
    """The scheduler's limits; times in seconds.

    `retries`: how often an item is tried again.
    `batch`: items that a worker holds at first; `most`: items that it may hold if its component takes many at once.
    `workers`: the most workers of one component.
    `item_timeout`: how long a worker with items, or one that is getting ready, may be silent.
    `lost_after`: how long a component may be without any worker.
    `pending`: how long Ray may take to place a worker before others are started in its stead.
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
        """Return how many losses in a row, without an answer, end a component, or its work on one node."""
        return 2 * (self.retries + 1)


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker of a component on a node. The driver reports `placed`, then `ready`, or `lost`."""

    worker: int
    component: str
    node: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send items to a worker. The driver reports `answered` for each, or `lost`."""

    worker: int
    component: str
    items: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """End a worker: at once if `hard`; otherwise it may finish, and the driver reports `lost` when it is gone."""

    worker: int
    hard: bool


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer an item with an error, because it was tried as often as allowed."""

    component: str
    item: ItemId
    error: str


@dataclass(frozen=True, slots=True)
class End:
    """End a component's call: every item is answered (`error` None), or no more will be."""

    component: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Leave:
    """Tell the user that a component uses a node no more while there are others; `why` names the node."""

    component: str
    why: str


Action: TypeAlias = Start | Send | Stop | Fail | End | Leave


@dataclass(slots=True, eq=False)
class Item:
    """One request, with the number of times it was lost and the nodes where that was."""

    id: ItemId
    tries: int = 0
    lost_on: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class WorkerState:
    """One worker. All times are those of the scheduler's clock.

    `since` is when it last answered or changed its state, `check_at` when its silence is checked next. `window` is how
    many items it may hold. `alone`: it works on one item that was lost before. `stuck`: Ray has not placed it in time.
    """

    number: int
    component: ComponentState
    node: str
    gpus: tuple[int, ...]
    since: float
    window: int
    state: Literal["starting", "placed", "ready", "stopping"] = "starting"
    items: dict[ItemId, Item] = field(default_factory=dict)
    started_at: float | None = None
    alone: bool = False
    stuck: bool = False
    check_at: float = math.inf


@dataclass(slots=True, eq=False)
class ComponentState:
    """One component: its items, its workers, and counts of losses.

    `waiting` are items that no worker has, `suspects` those that were lost with a worker and may have caused the loss.
    `free` are the workers that hold no item; those of them in `idle` are ready. `coming` counts workers that are not
    ready yet, `held` the items that workers have. `pace` is a worker's time for an item, `startup` its time until
    the first answer, both in seconds. `node_losses` counts losses by node since the node's last answer, `losses` all
    losses since the last answer. `avoided` are nodes where nothing more is started.
    """

    name: str
    need: Need
    waiting: deque[Item] = field(default_factory=deque)
    suspects: OrderedDict[ItemId, Item] = field(default_factory=OrderedDict)
    workers: dict[int, WorkerState] = field(default_factory=dict)
    free: dict[int, WorkerState] = field(default_factory=dict)
    idle: dict[int, WorkerState] = field(default_factory=dict)
    nodes: Counter[str] = field(default_factory=Counter)
    node_losses: Counter[str] = field(default_factory=Counter)
    avoided: set[str] = field(default_factory=set)
    ready: int = 0
    coming: int = 0
    held: int = 0
    open: bool = False
    all_added: bool = False
    losses: int = 0
    last_loss: str = ""
    pace: float | None = None
    startup: float | None = None
    hopeless_since: float | None = None

    @property
    def demand(self) -> int:
        """Return the number of items that no worker holds."""
        return len(self.waiting) + len(self.suspects)

    @property
    def unfinished(self) -> bool:
        """Return whether items are not answered yet."""
        return bool(self.waiting or self.suspects or self.held)
