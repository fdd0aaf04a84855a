"""Decides which worker gets which item, and on which node: a state machine without Ray, threads or a clock.

Events are method calls with the time; `take` returns the actions that follow. The engine drives it with Ray, and
`tests/benchmarks/scale.py` with simulated workers. An event costs the same however many workers there are.

Free room goes to the component with the most waiting work. No worker is started that no item needs, and a worker
without items is stopped if another component needs its room. A worker that dies, hangs or raises is replaced. The item
that it worked on is tried again, alone and on another node if possible, and fails after `Limits.retries` more losses.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from itertools import islice

from popbench.text import counted
from popbench_ray.nodes import Need, Size
from popbench_ray.pool import EXAMINED, WorkerPool
from popbench_ray.state import Action, ComponentState, End, Fail, Item, ItemId, Leave, Limits, Send, Stop, WorkerState


class Scheduler:
    """Lanes, workers and items; see the module. All times are seconds of one clock."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._pool = WorkerPool(self.limits)
        self._timers: list[tuple[float, int]] = []
        self._busy = 0

    # requests of the engine

    def open(self, name: str, need: Need) -> None:
        """Begin a component's call. Workers from its earlier calls are kept."""
        component = self._pool.components.setdefault(name, ComponentState(name, need))
        component.open, component.all_added, component.hopeless_since, component.losses = True, False, None, 0
        component.node_losses.clear()
        component.avoided.clear()

    def add(self, name: str, item: ItemId, now: float) -> None:
        """Add an item of a component; without effect if its call has ended."""
        component = self._pool.components.get(name)
        if component is None or not component.open:
            return
        component.waiting.append(Item(item))
        if component.idle:
            self._fill(next(iter(component.idle.values())), now)
        else:
            self._pool.unbalanced = True

    def complete(self, name: str) -> None:
        """Record that all items of a component were added. It may come late, when the component is released already."""
        component = self._pool.components.get(name)
        if component is not None:
            component.all_added = True
            self._check_end(component)

    def cancel(self, name: str) -> None:
        """Drop a component's items without an answer, and end the workers that hold them."""
        component = self._pool.components.get(name)
        if component is not None:
            self._drop_items(component)

    def release(self, name: str) -> None:
        """End a component's workers and forget it."""
        component = self._pool.components.get(name)
        if component is not None:
            self._drop_items(component)
            for worker in list(component.workers.values()):
                self._pool.stop(worker)
            del self._pool.components[name]

    def fail(self, name: str, error: str) -> None:
        """End a component at once with an error."""
        component = self._pool.components.get(name)
        if component is not None and component.open:
            self._end_component(component, error)

    def interrupt(self, error: str) -> None:
        """End all components at once with an error."""
        for name in list(self._pool.components):
            self.fail(name, error)

    # events

    def capacity(self, sizes: Mapping[str, Size], now: float) -> None:
        """Set the nodes of the cluster. Workers on nodes that are gone are lost."""
        for name in self._pool.cluster.resize(sizes):
            for worker in self._pool.on_node(name):
                self._pool.actions.append(Stop(worker.number, hard=True))
                self.lost(worker.number, "its node was lost", now, blame=False)
        self._pool.unbalanced = True

    def placed(self, number: int, now: float) -> None:
        """Record that a worker's process runs."""
        worker = self._pool.workers.get(number)
        if worker is not None and worker.state == "starting":
            self._pool.placed(worker, now)

    def ready(self, number: int, now: float) -> None:
        """Record that a worker can take items, and give it some."""
        self.placed(number, now)
        worker = self._pool.workers.get(number)
        if worker is not None and worker.state == "placed":
            self._pool.ready(worker, now)
            self._fill(worker, now)

    def answered(self, number: int, item: ItemId, now: float, *, eager: bool = False) -> bool:
        """Record an answer. Returns False if it does not count: the worker was given up, or does not hold the item.

        `eager`: the component would have taken more items before this answer.
        """
        worker = self._pool.workers.get(number)
        if worker is None or worker.items.pop(item, None) is None:
            return False
        component = worker.component
        component.held -= 1
        component.losses = 0
        component.node_losses.pop(worker.node, None)
        component.avoided.discard(worker.node)
        if worker.started_at is not None:
            component.startup, worker.started_at = max(component.startup or 0.0, now - worker.started_at), None
        else:
            seconds = now - worker.since
            component.pace = seconds if component.pace is None else 0.8 * component.pace + 0.2 * seconds
        worker.since = now
        if eager:
            worker.window = min(4 * worker.window, self.limits.most)
        self._busy -= not worker.items
        self._fill(worker, now)
        self._check_end(component)
        return True

    def lost(self, number: int, why: str, now: float, *, blame: bool = True) -> None:
        """Record that a worker is gone. `blame`: its component or an item may have caused it."""
        worker = self._pool.workers.get(number)
        if worker is None:
            return
        component, state = worker.component, worker.state
        self._pool.forget(worker)
        self._busy -= bool(worker.items)
        component.held -= len(worker.items)
        started = self._started_items(worker)
        for item in started:
            del worker.items[item.id]
            item.tries += 1
            item.lost_on |= {worker.node}
            if item.tries > self.limits.retries:
                self._pool.actions.append(Fail(component.name, item.id, f"{why} (tried {counted(item.tries, 'time')})"))
            else:
                component.suspects[item.id] = item
        component.waiting.extendleft(reversed(worker.items.values()))
        worker.items = {}
        self._check_end(component)
        item_to_blame = (
            worker.alone and started and component.startup is not None
        )  # a suspect again: it, and not the component
        if component.open and blame and state != "stopping" and not item_to_blame:
            self._count_loss(component, worker.node, why, 1 if state == "ready" else -(-self.limits.fatal // 3))
        self._refill_idle(component, now)

    def differs(self, number: int, why: str, now: float) -> None:
        """Record that a component is another one on a worker's node: that node is avoided while there are others."""
        worker = self._pool.workers.get(number)
        if worker is None:
            return
        component = worker.component
        known = worker.node in component.avoided
        component.avoided.add(worker.node)
        component.last_loss = why
        self.lost(number, why, now, blame=False)
        if component.open and self._has_no_node(component):
            self._end_component(component, why)
        elif component.open and not known:
            self._pool.actions.append(Leave(component.name, why))

    def _started_items(self, worker: WorkerState) -> list[Item]:
        """Return the items that a worker may have begun: the oldest, or all if its component takes several at once."""
        items = list(worker.items.values())
        return items if worker.window > self.limits.batch else items[:1]

    def tick(self, now: float) -> None:
        """Check for timeouts. Call it about once a second."""
        while self._timers and self._timers[0][0] <= now:
            when, number = heapq.heappop(self._timers)
            worker = self._pool.workers.get(number)
            if worker is not None and worker.check_at == when:  # else an earlier check was made
                worker.check_at = math.inf
                self._check_silence(worker, now)
        for component in list(self._pool.components.values()):
            self._end_if_hopeless(component, now)

    # actions

    def take(self, now: float) -> list[Action]:
        """Return the actions to carry out now."""
        if self._pool.unbalanced:
            for worker in self._pool.balance(now):
                self._schedule_check(worker, now + self.limits.pending)
        actions, self._pool.actions = self._pool.actions, []
        return actions

    def at_work(self, name: str) -> int:
        """Count the workers of a component that are ready."""
        component = self._pool.components.get(name)
        return 0 if component is None else component.ready

    def _fill(self, worker: WorkerState, now: float) -> None:
        """Give a worker items: one suspect alone, else its share of the waiting items."""
        component = worker.component
        if worker.state != "ready":
            return
        if not worker.items:
            fresh = component.losses and component.waiting  # says more about the component than what was lost before
            suspect = self._next_suspect(worker) if component.suspects and not fresh else None
            worker.alone = suspect is not None
            if suspect is not None:
                self._send(worker, [suspect], now)
                return
        if not worker.alone and component.waiting:
            share = len(component.waiting) // (component.ready + component.coming)
            count = min(worker.window - len(worker.items), max(share, 1 - len(worker.items)), len(component.waiting))
            if count > 0:
                self._send(worker, [component.waiting.popleft() for _ in range(count)], now)
        if not worker.items:
            component.free[worker.number] = component.idle[worker.number] = worker
            self._pool.unbalanced = True

    def _next_suspect(self, worker: WorkerState) -> Item | None:
        """Return a suspect that was not lost on this worker's node; any, if the component works on no other node."""
        component = worker.component
        for item in islice(component.suspects.values(), EXAMINED):
            elsewhere = len(component.nodes) > sum(place in component.nodes for place in item.lost_on)
            if worker.node not in item.lost_on or not elsewhere:
                return component.suspects.pop(item.id)
        return None

    def _refill_idle(self, component: ComponentState, now: float) -> None:
        """Offer items to idle workers again: with fewer nodes, they may take suspects that they left to others."""
        if component.demand:
            for worker in list(islice(component.idle.values(), EXAMINED)):
                self._fill(worker, now)

    def _send(self, worker: WorkerState, items: list[Item], now: float) -> None:
        component = worker.component
        if not worker.items:
            worker.since = now
            self._busy += 1
            component.free.pop(worker.number, None)
            component.idle.pop(worker.number, None)
        worker.items.update((item.id, item) for item in items)
        component.held += len(items)
        self._schedule_check(worker, now + self.limits.item_timeout)
        self._pool.actions.append(Send(worker.number, component.name, tuple(item.id for item in items)))

    # the end of a component

    def _check_end(self, component: ComponentState) -> None:
        if component.open and component.all_added and not component.unfinished:
            component.open = False
            self._pool.unbalanced = True
            self._pool.actions.append(End(component.name, None))

    def _end_component(self, component: ComponentState, error: str) -> None:
        self._drop_items(component)
        self._pool.actions.append(End(component.name, error))

    def _drop_items(self, component: ComponentState) -> None:
        """Drop a component's items. Later answers of its workers do not count."""
        component.open = False
        component.waiting.clear()
        component.suspects.clear()
        for worker in [worker for worker in component.workers.values() if worker.items]:
            component.held -= len(worker.items)
            worker.items = {}
            self._busy -= 1
            self._pool.actions.append(Stop(worker.number, hard=True))
            self._pool.forget(worker)
        self._pool.unbalanced = True

    def _count_loss(self, component: ComponentState, node: str, why: str, weight: int) -> None:
        """Count a loss. Avoid a node that has only losses, and end a component that works on no other node."""
        component.losses += weight
        component.node_losses[node] += weight
        component.last_loss = f"on node {self._pool.cluster.called(node)}, {why}"
        fatal = self.limits.fatal
        left = component.node_losses[node] >= fatal and node not in component.avoided
        if left:
            component.avoided.add(node)
        if self._has_no_node(component) or (
            component.losses >= fatal and all(name in component.node_losses for name in component.nodes)
        ):
            self._end_component(
                component, f"its workers ended again and again without an answer: {component.last_loss}"
            )
        elif left:
            self._pool.actions.append(Leave(component.name, f"{component.last_loss}, again and again"))

    def _has_no_node(self, component: ComponentState) -> bool:
        """Return whether a component has no worker, and no node that could hold one."""
        return not component.nodes and not self._pool.cluster.possible(component.need, component.avoided)

    def _schedule_check(self, worker: WorkerState, when: float) -> None:
        """Schedule a check of a worker's silence, unless an earlier one is scheduled."""
        if when < worker.check_at:
            worker.check_at = when
            heapq.heappush(self._timers, (when, worker.number))

    def _check_silence(self, worker: WorkerState, now: float) -> None:
        """Give up a worker that has been silent for too long; schedule the next check otherwise."""
        if worker.state == "starting":
            if not worker.stuck:
                self._pool.stick(worker)
                self._refill_idle(worker.component, now)
        elif worker.items or worker.state == "placed":
            end = worker.since + self.limits.item_timeout
            if now < end:
                self._schedule_check(worker, end)
                return
            what = "gave no answer" if worker.items else "was not ready"
            self._pool.actions.append(Stop(worker.number, hard=True))
            self.lost(worker.number, f"its worker {what} for {self.limits.item_timeout:g} s", now)

    def _end_if_hopeless(self, component: ComponentState, now: float) -> None:
        """End a component that has had no worker, and could get none, for too long."""

        cluster = self._pool.cluster
        hopeful = component.ready or (
            (self._busy or self._pool.loading) and cluster.possible(component.need, component.avoided)
        )
        if hopeful or not (component.open and component.unfinished):
            component.hopeless_since = None
            return
        if component.hopeless_since is None:
            component.hopeless_since = now
        elif now - component.hopeless_since >= self.limits.lost_after:
            seconds = f"{now - component.hopeless_since:.0f} s"
            if not cluster.nodes:
                why = f"the cluster has had no node for {seconds}"
            elif not cluster.possible(component.need):
                why = f"no node of the cluster has had {component.need} for {seconds}"
            elif not cluster.possible(component.need, component.avoided):
                why = f"it has had no node to work on for {seconds}"
            else:
                why = f"no worker could be started for {seconds}: is the cluster busy with other work?"
            self._end_component(
                component, why + (f" (before that, {component.last_loss})" if component.last_loss else "")
            )
