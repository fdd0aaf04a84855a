"""Which workers there are: who is started, and who gives way. The half of the scheduler that knows rooms, not items."""

from __future__ import annotations

from itertools import islice

from popbench_ray.lanes import Action, Lane, Limits, Start, Stop, Worker
from popbench_ray.nodes import Cluster

LOOKED_AT = 64
"""How many workers or items are looked at for the best choice, at most."""


class Pool:
    """All workers of all lanes, on the nodes of a cluster."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.cluster = Cluster()
        self.lanes: dict[str, Lane] = {}
        self.workers: dict[int, Worker] = {}
        self.actions: list[Action] = []
        self.unbalanced = False
        self.loading = 0
        self._on_node: dict[str, dict[int, Worker]] = {}
        self._numbers = 0
        self._stopping = 0

    def on_node(self, name: str) -> list[Worker]:
        """List the workers of a node."""
        return list(self._on_node.get(name, {}).values())

    def balance(self, now: float) -> list[Worker]:
        """Start workers while there is room for what waits; make room where idle workers are in the way.

        The lane with the most work that waits comes first; items of unknown cost count as the dearest. Returns the
        workers that were started.
        """
        self.unbalanced = False
        lacking = {lane: lacks for lane in self.lanes.values() if (lacks := self._lacks(lane)) > 0}
        dearest = max((lane.pace for lane in lacking if lane.pace is not None), default=1.0)
        stopping = self._stopping
        started = []
        while lacking:
            lane = max(lacking, key=lambda lane: lacking[lane] * (dearest if lane.pace is None else lane.pace))
            node = self.cluster.find(lane.need, lane.shunned)
            if node is not None:
                started.append(self._start(lane, node, now))
                lacking[lane] = self._lacks(lane)
                if lacking[lane] > 0:
                    continue
            else:
                covered = min(stopping, lacking[lane])
                stopping -= covered
                while covered < lacking[lane] and (spare := self._spare(lane)) is not None:
                    self.stop(spare)
                    covered += 1
            del lacking[lane]
        return started

    def _lacks(self, lane: Lane) -> int:
        """Count the workers that a lane could use beside those it has and those that are coming."""
        lacks = lane.demand - lane.coming - len(lane.idle)
        if self.limits.workers is not None:
            lacks = min(lacks, self.limits.workers - lane.ready - lane.coming)
        if lacks > 0 and lane.ready and lane.pace is not None and lane.startup is not None:
            # what is done before another worker could be of help needs none
            return lacks if lane.demand * lane.pace / lane.ready > lane.startup else 0
        return lacks

    def _start(self, lane: Lane, node: str, now: float) -> Worker:
        self._numbers += 1
        worker = Worker(self._numbers, lane, node, self.cluster.take(node, lane.need), now, self.limits.batch, born=now)
        self.workers[worker.number] = lane.workers[worker.number] = lane.free[worker.number] = worker
        self._on_node.setdefault(node, {})[worker.number] = worker
        lane.nodes[node] += 1
        lane.coming += 1
        self.actions.append(Start(worker.number, lane.name, node))
        return worker

    def _spare(self, lane: Lane) -> Worker | None:
        """Find a worker without items whose end, with that of others like it, makes room for a lane."""
        for other in self.lanes.values():
            if other is lane or other.demand or bool(other.need.gpus) != bool(lane.need.gpus):
                continue
            for worker in islice(other.free.values(), LOOKED_AT):
                beside = [near for near in self._on_node[worker.node].values() if not near.items]
                leaving = [near for near in beside if near.state == "stopping" or not near.lane.demand]
                node = self.cluster.nodes[worker.node]
                if worker.node in lane.shunned or node.shut:
                    continue
                if node.would_fit(lane.need, [(near.lane.need, near.gpus) for near in leaving]):
                    return worker
        return None

    def placed(self, worker: Worker, now: float) -> None:
        """Take note that a worker's process is there."""
        if worker.stuck:
            worker.stuck, worker.born = False, now
            worker.lane.coming += 1
            worker.lane.nodes[worker.node] += 1
            self.cluster.shut(worker.node, -1)
        worker.state, worker.since = "placed", now
        self.loading += 1

    def ready(self, worker: Worker, now: float) -> None:
        """Take note that a worker can take items."""
        worker.state, worker.since = "ready", now
        self.loading -= 1
        worker.lane.coming -= 1
        worker.lane.ready += 1
        worker.lane.idle[worker.number] = worker

    def stick(self, worker: Worker) -> None:
        """Take note that a worker waits for its place in vain: it is not counted on, and nothing is put behind it."""
        worker.stuck = True
        worker.lane.coming -= 1
        self._off(worker)
        self.cluster.shut(worker.node, 1)
        self.unbalanced = True

    def stop(self, worker: Worker) -> None:
        """Ask a worker without items to go; its room is taken until it is lost, unless it never had any."""
        if worker.state == "stopping":
            return
        hard = worker.state == "starting"
        self.actions.append(Stop(worker.number, hard))
        if hard:
            self.forget(worker)
        else:
            self._leave(worker)
            worker.state = "stopping"
            self._stopping += 1

    def forget(self, worker: Worker) -> None:
        """Take a worker out of everything, and free its room."""
        self._leave(worker)
        self.workers.pop(worker.number)
        worker.lane.workers.pop(worker.number)
        self._on_node[worker.node].pop(worker.number)
        self.cluster.give(worker.node, worker.lane.need, worker.gpus)
        self.unbalanced = True

    def _leave(self, worker: Worker) -> None:
        """Take a worker out of its lane's counts."""
        lane = worker.lane
        lane.free.pop(worker.number, None)
        lane.idle.pop(worker.number, None)
        if worker.stuck:
            worker.stuck = False
            self.cluster.shut(worker.node, -1)
        elif worker.state == "stopping":
            self._stopping -= 1
        else:
            self._off(worker)
            lane.coming -= worker.state != "ready"
            lane.ready -= worker.state == "ready"
            self.loading -= worker.state == "placed"

    @staticmethod
    def _off(worker: Worker) -> None:
        nodes = worker.lane.nodes
        nodes[worker.node] -= 1
        if not nodes[worker.node]:
            del nodes[worker.node]
