"""Which worker does what, where and when: a state machine without Ray, threads or a clock of its own.

Events come in as calls, with the time; `take` returns what is to be done about them. The engine drives it with Ray,
and `tests/benchmarks/scale.py` with simulated workers. An event costs the same, however many workers there are.

A lane is one component. Free room goes to the lane with the most work that waits; nothing is started that no item
needs; a worker without items gives way where another lane lacks its room. A worker that dies, hangs or raises is
replaced; what it was at is tried again, alone and elsewhere if possible, and fails after `Limits.retries` further
losses.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from itertools import islice

from popbench.text import counted
from popbench_ray.lanes import Action, End, Fail, Item, ItemId, Lane, Limits, Send, Stop, Worker
from popbench_ray.nodes import Need, Size
from popbench_ray.pool import LOOKED_AT, Pool


class Scheduler:
    """Lanes, workers and items; see the module. All times are seconds of one clock."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._pool = Pool(self.limits)
        self._timers: list[tuple[float, int]] = []
        self._busy = 0

    # what there is to do

    def open(self, name: str, need: Need) -> None:
        """Begin with items for a component; workers that it has from before are kept."""
        lane = self._pool.lanes.setdefault(name, Lane(name, need))
        lane.open, lane.complete, lane.dark, lane.losses = True, False, None, 0
        lane.trouble.clear()
        lane.shunned.clear()

    def add(self, name: str, item: ItemId, now: float) -> None:
        """Take an item for a lane, if that is still there and open."""
        lane = self._pool.lanes.get(name)
        if lane is None or not lane.open:
            return
        lane.waiting.append(Item(item))
        if lane.idle:
            self._fill(next(iter(lane.idle.values())), now)
        else:
            self._pool.unbalanced = True

    def complete(self, name: str) -> None:
        """Take note that a lane gets no more items; one that is released may be told late."""
        lane = self._pool.lanes.get(name)
        if lane is not None:
            lane.complete = True
            self._check_end(lane)

    def cancel(self, name: str) -> None:
        """Give up a lane's items without a word; workers that are at them are ended."""
        lane = self._pool.lanes.get(name)
        if lane is not None:
            self._empty(lane)

    def release(self, name: str) -> None:
        """End a component's workers and forget it."""
        lane = self._pool.lanes.get(name)
        if lane is not None:
            self._empty(lane)
            for worker in list(lane.workers.values()):
                self._pool.stop(worker)
            del self._pool.lanes[name]

    def fail(self, name: str, error: str) -> None:
        """End a lane at once with an error."""
        lane = self._pool.lanes.get(name)
        if lane is not None and lane.open:
            self._end(lane, error)

    def interrupt(self, error: str) -> None:
        """End all lanes at once with an error."""
        for name in list(self._pool.lanes):
            self.fail(name, error)

    # what has happened

    def capacity(self, sizes: Mapping[str, Size], now: float) -> None:
        """Take over which nodes there are now; workers of those that are gone are lost."""
        for name in self._pool.cluster.resize(sizes):
            for worker in self._pool.on_node(name):
                self._pool.actions.append(Stop(worker.number, hard=True))
                self.lost(worker.number, "its node was lost", now, blame=False)
        self._pool.unbalanced = True

    def placed(self, number: int, now: float) -> None:
        """Take note that a worker's process is there."""
        worker = self._pool.workers.get(number)
        if worker is not None and worker.state == "starting":
            self._pool.placed(worker, now)

    def ready(self, number: int, now: float) -> None:
        """Take note that a worker can take items."""
        self.placed(number, now)
        worker = self._pool.workers.get(number)
        if worker is not None and worker.state == "placed":
            self._pool.ready(worker, now)
            self._fill(worker, now)

    def answered(self, number: int, item: ItemId, now: float, *, eager: bool = False) -> bool:
        """Take an answer; False where it is of a worker given up, or to nothing it was asked: it does not count.

        `eager`: the component would have taken more items before this answer.
        """
        worker = self._pool.workers.get(number)
        if worker is None or worker.items.pop(item, None) is None:
            return False
        lane = worker.lane
        lane.held -= 1
        lane.losses = 0
        lane.trouble.pop(worker.node, None)
        lane.shunned.discard(worker.node)
        if worker.born is not None:
            lane.startup, worker.born = max(lane.startup or 0.0, now - worker.born), None
        else:
            seconds = now - worker.since
            lane.pace = seconds if lane.pace is None else 0.8 * lane.pace + 0.2 * seconds
        worker.since = now
        if eager:
            worker.window = min(4 * worker.window, self.limits.most)
        self._busy -= not worker.items
        self._fill(worker, now)
        self._check_end(lane)
        return True

    def lost(self, number: int, why: str, now: float, *, blame: bool = True) -> None:
        """Take note that a worker is gone; `blame` where its component or an item may be the reason."""
        worker = self._pool.workers.get(number)
        if worker is None:
            return
        lane, state = worker.lane, worker.state
        self._pool.forget(worker)
        self._busy -= bool(worker.items)
        lane.held -= len(worker.items)
        begun = self._begun(worker)
        for item in begun:
            del worker.items[item.id]
            item.tries += 1
            item.places |= {worker.node}
            if item.tries > self.limits.retries:
                self._pool.actions.append(Fail(lane.name, item.id, f"{why} (tried {counted(item.tries, 'time')})"))
            else:
                lane.suspects[item.id] = item
        lane.waiting.extendleft(reversed(worker.items.values()))
        worker.items = {}
        self._check_end(lane)
        known = worker.alone and begun and lane.startup is not None  # a suspect again: it, and not the component
        if lane.open and blame and state != "stopping" and not known:
            self._blame(lane, worker.node, why, 1 if state == "ready" else -(-self.limits.fatal // 3))
        self._offer(lane, now)

    def differs(self, number: int, why: str, now: float) -> None:
        """Take note that a worker's node has another component: the lane does without that node while it has others."""
        worker = self._pool.workers.get(number)
        if worker is None:
            return
        lane = worker.lane
        lane.shunned.add(worker.node)
        lane.why = why
        self.lost(number, why, now, blame=False)
        if lane.open and self._nowhere(lane):
            self._end(lane, why)

    def _begun(self, worker: Worker) -> list[Item]:
        """Return the items that a worker was at: the oldest that it held, or all, of one that takes several."""
        items = list(worker.items.values())
        return items if worker.window > self.limits.batch else items[:1]

    def tick(self, now: float) -> None:
        """Look at what did not happen; to be called every second or so."""
        while self._timers and self._timers[0][0] <= now:
            at, number = heapq.heappop(self._timers)
            worker = self._pool.workers.get(number)
            if worker is not None and worker.due == at:  # else it was looked at earlier
                worker.due = math.inf
                self._look_at(worker, now)
        for lane in list(self._pool.lanes.values()):
            self._look_for_life(lane, now)

    # what is to be done

    def take(self, now: float) -> list[Action]:
        """Return what is to be done now."""
        if self._pool.unbalanced:
            for worker in self._pool.balance(now):
                self._time(worker, now + self.limits.pending)
        actions, self._pool.actions = self._pool.actions, []
        return actions

    def at_work(self, name: str) -> int:
        """Count the workers of a component that are ready."""
        lane = self._pool.lanes.get(name)
        return 0 if lane is None else lane.ready

    def _fill(self, worker: Worker, now: float) -> None:
        """Give a worker what it may hold: a suspect alone, else its share of what waits."""
        lane = worker.lane
        if worker.state != "ready":
            return
        if not worker.items:
            fresh = lane.losses and lane.waiting  # says more about the component than what was lost before
            suspect = self._suspect(worker) if lane.suspects and not fresh else None
            worker.alone = suspect is not None
            if suspect is not None:
                self._send(worker, [suspect], now)
                return
        if not worker.alone and lane.waiting:
            share = len(lane.waiting) // (lane.ready + lane.coming)
            count = min(worker.window - len(worker.items), max(share, 1 - len(worker.items)), len(lane.waiting))
            if count > 0:
                self._send(worker, [lane.waiting.popleft() for _ in range(count)], now)
        if not worker.items:
            lane.free[worker.number] = lane.idle[worker.number] = worker
            self._pool.unbalanced = True

    def _suspect(self, worker: Worker) -> Item | None:
        """Return an item that was lost elsewhere; one lost on this node only if the lane works nowhere else."""
        lane = worker.lane
        for item in islice(lane.suspects.values(), LOOKED_AT):
            elsewhere = len(lane.nodes) > sum(place in lane.nodes for place in item.places)
            if worker.node not in item.places or not elsewhere:
                return lane.suspects.pop(item.id)
        return None

    def _offer(self, lane: Lane, now: float) -> None:
        """Let idle workers have another look at what waits, since the lane may now work in fewer places."""
        if lane.demand:
            for worker in list(islice(lane.idle.values(), LOOKED_AT)):
                self._fill(worker, now)

    def _send(self, worker: Worker, items: list[Item], now: float) -> None:
        lane = worker.lane
        if not worker.items:
            worker.since = now
            self._busy += 1
            lane.free.pop(worker.number, None)
            lane.idle.pop(worker.number, None)
        worker.items.update((item.id, item) for item in items)
        lane.held += len(items)
        self._time(worker, now + self.limits.item_timeout)
        self._pool.actions.append(Send(worker.number, lane.name, tuple(item.id for item in items)))

    # how it ends

    def _check_end(self, lane: Lane) -> None:
        if lane.open and lane.complete and not lane.unfinished:
            lane.open = False
            self._pool.unbalanced = True
            self._pool.actions.append(End(lane.name, None))

    def _end(self, lane: Lane, error: str) -> None:
        self._empty(lane)
        self._pool.actions.append(End(lane.name, error))

    def _empty(self, lane: Lane) -> None:
        """Give up a lane's items; what its workers still answer does not count."""
        lane.open = False
        lane.waiting.clear()
        lane.suspects.clear()
        for worker in [worker for worker in lane.workers.values() if worker.items]:
            lane.held -= len(worker.items)
            worker.items = {}
            self._busy -= 1
            self._pool.actions.append(Stop(worker.number, hard=True))
            self._pool.forget(worker)
        self._pool.unbalanced = True

    def _blame(self, lane: Lane, node: str, why: str, weight: int) -> None:
        """Count a loss; shun a node that has nothing but losses, and end a lane that works on no other."""
        lane.losses += weight
        lane.trouble[node] += weight
        lane.why = f"on node {self._pool.cluster.called(node)}, {why}"
        fatal = self.limits.fatal
        if lane.trouble[node] >= fatal:
            lane.shunned.add(node)
        if self._nowhere(lane) or (lane.losses >= fatal and all(name in lane.trouble for name in lane.nodes)):
            self._end(lane, f"its workers ended again and again without an answer: {lane.why}")

    def _nowhere(self, lane: Lane) -> bool:
        """Say whether a lane has no worker, nor a node that could have one."""
        return not lane.nodes and not self._pool.cluster.possible(lane.need, lane.shunned)

    def _time(self, worker: Worker, at: float) -> None:
        """Have a look at a worker then, or earlier where that is planned already."""
        if at < worker.due:
            worker.due = at
            heapq.heappush(self._timers, (at, worker.number))

    def _look_at(self, worker: Worker, now: float) -> None:
        """Give up a worker that has been silent for too long; look again later at others."""
        if worker.state == "starting":
            if not worker.stuck:
                self._pool.stick(worker)
                self._offer(worker.lane, now)
        elif worker.items or worker.state == "placed":
            end = worker.since + self.limits.item_timeout
            if now < end:
                self._time(worker, end)
                return
            what = "gave no answer" if worker.items else "was not ready"
            self._pool.actions.append(Stop(worker.number, hard=True))
            self.lost(worker.number, f"its worker {what} for {self.limits.item_timeout:g} s", now)

    def _look_for_life(self, lane: Lane, now: float) -> None:
        """End a lane that has had no worker, and no hope of one, for too long."""
        cluster = self._pool.cluster
        hope = lane.ready or ((self._busy or self._pool.loading) and cluster.possible(lane.need, lane.shunned))
        if hope or not (lane.open and lane.unfinished):
            lane.dark = None
            return
        if lane.dark is None:
            lane.dark = now
        elif now - lane.dark >= self.limits.lost_after:
            seconds = f"{now - lane.dark:.0f} s"
            if not cluster.nodes:
                why = f"the cluster has had no node for {seconds}"
            elif not cluster.possible(lane.need):
                why = f"no node of the cluster has had {lane.need} for {seconds}"
            elif not cluster.possible(lane.need, lane.shunned):
                why = f"it has had no node to work on for {seconds}"
            else:
                why = f"no worker could be started for {seconds}: is the cluster busy with other work?"
            self._end(lane, why + (f" (before that, {lane.why})" if lane.why else ""))
