"""Starts and stops workers as room allows: the part of the scheduler that knows nodes, not single items."""

from __future__ import annotations

from itertools import islice

from popbench_ray.nodes import Cluster
from popbench_ray.state import Action, ComponentState, Limits, Start, Stop, WorkerState

EXAMINED = 64
"""The most workers or items that a search examines, so that an event costs the same however many there are."""


class WorkerPool:
    """All workers of all components, and the nodes of the cluster."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.cluster = Cluster()
        self.components: dict[str, ComponentState] = {}
        self.workers: dict[int, WorkerState] = {}
        self.actions: list[Action] = []
        self.unbalanced = False
        self.loading = 0
        self._on_node: dict[str, dict[int, WorkerState]] = {}
        self._numbers = 0
        self._stopping = 0

    def on_node(self, name: str) -> list[WorkerState]:
        """List the workers of a node."""
        return list(self._on_node.get(name, {}).values())

    def balance(self, now: float) -> list[WorkerState]:
        """Start workers while items wait and nodes have room; stop idle workers whose room another component needs.

        The component with the most waiting work comes first. If the time for an item is not known yet, the longest
        known one is assumed. Returns the workers that were started.
        """
        self.unbalanced = False
        lacking = {
            component: lacks
            for component in self.components.values()
            if (lacks := self._missing_workers(component)) > 0
        }
        dearest = max((component.pace for component in lacking if component.pace is not None), default=1.0)
        stopping = self._stopping
        started = []
        while lacking:
            component = max(
                lacking,
                key=lambda component: lacking[component] * (dearest if component.pace is None else component.pace),
            )
            node = self.cluster.find(component.need, component.avoided)
            if node is not None:
                started.append(self._start(component, node, now))
                lacking[component] = self._missing_workers(component)
                if lacking[component] > 0:
                    continue
            else:
                covered = min(stopping, lacking[component])
                stopping -= covered
                while covered < lacking[component] and (spare := self._find_removable(component)) is not None:
                    self.stop(spare)
                    covered += 1
            del lacking[component]
        return started

    def _missing_workers(self, component: ComponentState) -> int:
        """Count the workers that a component could use beside those that it has or that are coming."""
        lacks = component.demand - component.coming - len(component.idle)
        if self.limits.workers is not None:
            lacks = min(lacks, self.limits.workers - component.ready - component.coming)
        if lacks > 0 and component.ready and component.pace is not None and component.startup is not None:
            # another worker is no help if everything is done before it is ready
            return lacks if component.demand * component.pace / component.ready > component.startup else 0
        return lacks

    def _start(self, component: ComponentState, node: str, now: float) -> WorkerState:
        self._numbers += 1
        worker = WorkerState(
            self._numbers,
            component,
            node,
            self.cluster.take(node, component.need),
            now,
            self.limits.batch,
            started_at=now,
        )
        self.workers[worker.number] = component.workers[worker.number] = component.free[worker.number] = worker
        self._on_node.setdefault(node, {})[worker.number] = worker
        component.nodes[node] += 1
        component.coming += 1
        self.actions.append(Start(worker.number, component.name, node))
        return worker

    def _find_removable(self, component: ComponentState) -> WorkerState | None:
        """Find a worker without items that, stopped together with others like it, makes room for a component."""
        for other in self.components.values():
            if other is component or other.demand or bool(other.need.gpus) != bool(component.need.gpus):
                continue
            for worker in islice(other.free.values(), EXAMINED):
                beside = [near for near in self._on_node[worker.node].values() if not near.items]
                leaving = [near for near in beside if near.state == "stopping" or not near.component.demand]
                node = self.cluster.nodes[worker.node]
                if worker.node in component.avoided or node.shut:
                    continue
                if node.would_fit(component.need, [(near.component.need, near.gpus) for near in leaving]):
                    return worker
        return None

    def placed(self, worker: WorkerState, now: float) -> None:
        """Record that a worker's process runs."""
        if worker.stuck:
            worker.stuck, worker.started_at = False, now
            worker.component.coming += 1
            worker.component.nodes[worker.node] += 1
            self.cluster.shut(worker.node, -1)
        worker.state, worker.since = "placed", now
        self.loading += 1

    def ready(self, worker: WorkerState, now: float) -> None:
        """Record that a worker can take items."""
        worker.state, worker.since = "ready", now
        self.loading -= 1
        worker.component.coming -= 1
        worker.component.ready += 1
        worker.component.idle[worker.number] = worker

    def stick(self, worker: WorkerState) -> None:
        """Record that Ray does not place a worker: it is not counted as coming, and its node gets no more workers.

        Ray may count room that the scheduler does not know of, for instance of other users.
        """
        worker.stuck = True
        worker.component.coming -= 1
        self._uncount_on_node(worker)
        self.cluster.shut(worker.node, 1)
        self.unbalanced = True

    def stop(self, worker: WorkerState) -> None:
        """Stop a worker without items. Its room stays taken until it is gone, unless it was never placed."""
        if worker.state == "stopping":
            return
        hard = worker.state == "starting"
        self.actions.append(Stop(worker.number, hard))
        if hard:
            self.forget(worker)
        else:
            self._uncount(worker)
            worker.state = "stopping"
            self._stopping += 1

    def forget(self, worker: WorkerState) -> None:
        """Remove a worker from all records, and free its room."""
        self._uncount(worker)
        self.workers.pop(worker.number)
        worker.component.workers.pop(worker.number)
        self._on_node[worker.node].pop(worker.number)
        self.cluster.give(worker.node, worker.component.need, worker.gpus)
        self.unbalanced = True

    def _uncount(self, worker: WorkerState) -> None:
        """Remove a worker from its component's counts."""
        component = worker.component
        component.free.pop(worker.number, None)
        component.idle.pop(worker.number, None)
        if worker.stuck:
            worker.stuck = False
            self.cluster.shut(worker.node, -1)
        elif worker.state == "stopping":
            self._stopping -= 1
        else:
            self._uncount_on_node(worker)
            component.coming -= worker.state != "ready"
            component.ready -= worker.state == "ready"
            self.loading -= worker.state == "placed"

    @staticmethod
    def _uncount_on_node(worker: WorkerState) -> None:
        nodes = worker.component.nodes
        nodes[worker.node] -= 1
        if not nodes[worker.node]:
            del nodes[worker.node]
