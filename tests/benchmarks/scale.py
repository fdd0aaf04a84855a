"""How many workers can one driver feed? 10,000 GPUs over the scheduling code of popbench_ray, with simulated workers.

Time is simulated, so that hours of a cluster take a minute; the scheduler is the real one, and only its own processor
time counts. Nodes of eight GPUs render with three generators of different speed, and score with a predictor of which
four share a GPU; rendered clips are scored. The scheduler starts workers, which take a minute to load. Instead of one
in 2,000 answers, a worker dies; every ten minutes a node is lost and another one joins. Each item has to be answered
once.

An event is an answer, a new item, a worker placed, ready or lost, or a check of the nodes or the clock. Its cost
includes the scheduler's reaction to this event alone, which costs more than a reaction to several at once. The driver
does more than that (Ray's calls, files, commits): `throughput.py` measures it as a whole.

    .venv/bin/python tests/benchmarks/scale.py [GPUS] [CLIPS]
"""

from __future__ import annotations

import heapq
import itertools
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from popbench_ray.nodes import Need, Size
from popbench_ray.scheduling import Scheduler
from popbench_ray.state import End, Fail, Limits, Send, Start, Stop

GPUS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
CLIPS = int(sys.argv[2]) if len(sys.argv) > 2 else 20 * GPUS
PACE = {"short": 40.0, "middle": 80.0, "long": 125.0, "judge": 2.0}
"""Seconds an item; the generators' mean is what the paper's take on one GPU."""
LOAD, DEATHS, NODE_LOST, ROOM = 60.0, 1 / 2000, 600.0, 512


class Simulation:
    """Simulates workers, and measures the time of the scheduler."""

    def __init__(self) -> None:
        self.source = random.Random(0)
        self.scheduler = Scheduler(Limits())
        self.now = 0.0
        self.took: list[float] = []
        self.kinds: Counter[str] = Counter()
        self.sizes = {f"node{number}": Size(cpus=64, gpus=8) for number in range(GPUS // 8)}
        self.answered: set[Any] = set()
        self.failed = self.most = 0
        self.ended: set[str] = set()
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self._alive: dict[int, tuple[str, str, deque[Any]]] = {}
        clips = {name: [f"{name}{number}" for number in range(CLIPS // 3)] for name in ("short", "middle", "long")}
        self._left = {name: iter(items) for name, items in clips.items()}
        self.wanted = 2 * sum(map(len, clips.values()))
        self._rendering = {name: len(items) for name, items in clips.items()}
        self.scheduler.capacity(self.sizes, 0.0)
        for name in PACE:
            self.scheduler.open(name, Need(gpus=0.25 if name == "judge" else 1))
        for name in list(clips) * ROOM:
            self.later(0.0, self.take_in, name, 1)

    def tell(self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Report an event to the scheduler, and carry out its actions. Only the scheduler's own time counts."""
        started = time.thread_time()
        told = call(*arguments, **options)
        actions = self.scheduler.take(self.now)
        self.took.append(time.thread_time() - started)
        self.kinds[what] += 1
        for action in actions:
            self.act(action)
        return told

    def later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        """Schedule a call."""
        heapq.heappush(self._agenda, (self.now + seconds, next(self._numbers), call, arguments))

    def act(self, action: Any) -> None:
        """Carry out an action of the scheduler."""
        match action:
            case Start(worker, component, node):
                self._alive[worker] = (component, node, deque())
                self.most = max(self.most, len(self._alive))
                self.later(self.source.uniform(2, 10), self.place, worker)
                if component in self._left:
                    self.later(0.0, self.take_in, component, 4)
            case Send(worker, component, items):
                held = self._alive[worker][2]
                if not held:
                    self.later(PACE[component] * self.source.uniform(0.8, 1.2), self.answer, worker)
                held.extend(items)
            case Stop(worker, hard):
                if hard:
                    self._alive.pop(worker, None)
                else:
                    self.later(2.0, self.die, worker, False)
            case Fail(component, item):
                self.failed += 1
                self.settle(component, item)
            case End(component, error):
                assert error is None, error
                self.ended.add(component)

    def take_in(self, component: str, count: int) -> None:
        """Add as many items as there is room for, as the engine does."""
        for item in itertools.islice(self._left[component], count):
            self.tell("added", self.scheduler.add, component, item, self.now)

    def place(self, worker: int) -> None:
        """Report that a worker's process runs."""
        if worker in self._alive:
            self.tell("placed", self.scheduler.placed, worker, self.now)
            self.later(LOAD * self.source.uniform(0.8, 1.2), self.load, worker)

    def load(self, worker: int) -> None:
        """Report that a worker's model is loaded."""
        if worker in self._alive:
            self.tell("ready", self.scheduler.ready, worker, self.now)

    def answer(self, worker: int) -> None:
        """Report an answer, or let the worker die."""
        if worker not in self._alive:
            return
        component, _, held = self._alive[worker]
        if self.source.random() < DEATHS:
            self.die(worker, True)
            return
        item = held.popleft()
        if held:
            self.later(PACE[component] * self.source.uniform(0.8, 1.2), self.answer, worker)
        assert (component, item) not in self.answered, "answered twice"
        assert self.tell("answered", self.scheduler.answered, worker, item, self.now)
        self.settle(component, item)

    def settle(self, component: str, item: Any) -> None:
        """Record an answer. A rendered clip is added for scoring, and makes room for another item."""
        self.answered.add((component, item))
        if component in self._left:
            self.tell("added", self.scheduler.add, "judge", item, self.now)
            self.take_in(component, 1)
            self._rendering[component] -= 1
            if not self._rendering[component]:
                self.scheduler.complete(component)
            if not any(self._rendering.values()):
                self.scheduler.complete("judge")

    def die(self, worker: int, blame: bool) -> None:
        """Report that a worker is lost."""
        if self._alive.pop(worker, None) is not None:
            self.tell("lost", self.scheduler.lost, worker, "it died", self.now, blame=blame)

    def change_nodes(self) -> None:
        """Remove a node and add another."""
        gone = self.source.choice(list(self.sizes))
        del self.sizes[gone]
        for worker in [number for number, (_, node, _) in self._alive.items() if node == gone]:
            del self._alive[worker]
        self.sizes[f"new{self.now:.0f}"] = Size(cpus=64, gpus=8)
        self.later(NODE_LOST, self.change_nodes)

    def tick(self) -> None:
        """Check the clock and the nodes, as often as the driver does."""
        self.tell("clock", self.scheduler.tick, self.now)
        if int(self.now) % 2 == 0:
            self.tell("nodes", self.scheduler.capacity, self.sizes, self.now)
        self.later(1.0, self.tick)

    def run(self) -> None:
        """Run until all components have ended."""
        self.later(1.0, self.tick)
        self.later(NODE_LOST, self.change_nodes)
        while len(self.ended) < len(PACE):
            self.now, _, call, arguments = heapq.heappop(self._agenda)
            call(*arguments)


def main() -> None:
    """Simulate and print."""
    world = Simulation()
    world.run()
    assert len(world.answered) == world.wanted, "something was not answered"
    took = sorted(world.took)
    rate = len(took) / sum(took)
    print(f"{GPUS:,} GPUs, {world.wanted // 2:,} clips rendered and scored in {world.now / 3600:.1f} simulated hours")
    print(f"at most {world.most:,} workers; {world.kinds['lost']:,} lost; {world.failed} items failed")
    print("events: " + ", ".join(f"{count:,} {kind}" for kind, count in world.kinds.most_common()))
    print(f"{len(took):,} events in {sum(took):.1f} s of processor time: {rate:,.0f} a second")
    middle, high, top = took[len(took) // 2], took[int(0.999 * len(took))], took[-1]
    print(f"one event: median {1e6 * middle:.0f} us, 99.9 % below {1e3 * high:.2f} ms, longest {1e3 * top:.0f} ms")
    per_clip = len(took) / (world.wanted / 2)
    mean = (PACE["short"] + PACE["middle"] + PACE["long"]) / 3
    print(
        f"{per_clip:.1f} events a clip of {mean:.0f} s on a GPU: the scheduler could feed {rate / per_clip * mean:,.0f}"
    )
    print(f"its share of the simulated time: {100 * sum(took) / world.now:.2f} %")


if __name__ == "__main__":
    main()
