"""A simulated cluster for tests of popbench_ray's scheduler: it carries out the scheduler's actions without Ray."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from popbench_ray.nodes import Need, Size
from popbench_ray.scheduling import Scheduler
from popbench_ray.state import End, Fail, Leave, Limits, Send, Start, Stop

SIZES = {"cpu": Size(cpus=4, memory=100), "gpu": Size(cpus=2, gpus=2, memory=100), "big": Size(cpus=1, gpus=4)}


@dataclass
class SimulatedWorker:
    """A simulated worker."""

    component: str
    node: str
    state: str = "starting"
    held: list[Any] = field(default_factory=list)


class SimulatedCluster:
    """A simulated cluster in which events come in an order that a random source chooses.

    It raises AssertionError as soon as the scheduler takes room twice, sends items to a worker that is not ready, or
    gives an item to two workers or two answers.
    """

    def __init__(self, source: random.Random, needs: dict[str, Need], limits: Limits) -> None:
        self.source = source
        self.needs = needs
        self.scheduler = Scheduler(limits)
        self.now = 1.0
        self.eager = 0.1
        self.nodes: dict[str, Size] = {}
        self.workers: dict[int, SimulatedWorker] = {}
        self.outcomes: dict[str, dict[Any, str]] = {component: {} for component in needs}
        self.added: dict[str, list[Any]] = {component: [] for component in needs}
        self.ends: dict[str, list[str | None]] = {component: [] for component in needs}
        self.left: list[str] = []
        self.completed: set[str] = set()
        self.tried: Counter[Any] = Counter()
        for component, need in needs.items():
            self.scheduler.open(component, need)

    def act(self) -> None:
        """Carry out the scheduler's actions."""
        for action in self.scheduler.take(self.now):
            match action:
                case Start():
                    assert action.node in self.nodes
                    self.workers[action.worker] = SimulatedWorker(action.component, action.node)
                case Send():
                    worker = self.workers[action.worker]
                    assert worker.state == "ready"
                    assert worker.component == action.component
                    for item in action.items:
                        assert not any(item in other.held for other in self.workers.values())
                        assert item not in self.outcomes[action.component]
                    worker.held += action.items
                case Stop():
                    worker = self.workers[action.worker]
                    if action.hard:
                        del self.workers[action.worker]
                        self.tried.update(worker.held[:1])
                    else:
                        assert not worker.held
                        worker.state = "stopping"
                case Fail():
                    assert action.item not in self.outcomes[action.component]
                    self.outcomes[action.component][action.item] = action.error
                case Leave():
                    self.left.append(action.why)
                case End():
                    self.ends[action.component].append(action.error)
        self.check_room()

    def check_room(self) -> None:
        """Check that the workers on each node need no more than it has."""
        for name, size in self.nodes.items():
            there = [self.needs[worker.component] for worker in self.workers.values() if worker.node == name]
            assert sum(need.cpus for need in there) <= size.cpus + 1e-6
            assert sum(need.gpus for need in there) <= size.gpus + 1e-6
            assert sum(need.memory for need in there) <= size.memory

    def resize(self, nodes: dict[str, Size]) -> None:
        """Change the nodes of the cluster."""
        self.nodes = dict(nodes)
        self.scheduler.capacity(self.nodes, self.now)
        self.act()

    def add(self, component: str, count: int = 1) -> None:
        """Add new items of a component."""
        for _ in range(count):
            item = f"{component}{len(self.added[component])}"
            self.added[component].append(item)
            self.scheduler.add(component, item, self.now)
        self.act()

    def complete(self, component: str) -> None:
        """Say that all items of a component were added."""
        self.completed.add(component)
        self.scheduler.complete(component)
        self.act()

    def go_on(self, number: int) -> None:
        """Let a worker take its next step without a fault."""
        worker = self.workers[number]
        match worker.state:
            case "starting":
                worker.state = "placed"
                self.scheduler.placed(number, self.now)
            case "placed":
                worker.state = "ready"
                self.scheduler.ready(number, self.now)
            case "stopping":
                self.lose(number, "it was asked to")
                return
            case _ if worker.held:
                item = worker.held.pop(self.source.randrange(len(worker.held)))
                fine = self.scheduler.answered(number, item, self.now, eager=self.source.random() < self.eager)
                assert fine
                assert item not in self.outcomes[worker.component]
                self.outcomes[worker.component][item] = "ok"
                assert not self.scheduler.answered(number, item, self.now), "a second answer does not count"
        self.act()

    def lose(self, number: int, why: str = "it died", *, blame: bool = True) -> None:
        """Let a worker die."""
        self.tried.update(self.workers.pop(number).held[:1])
        self.scheduler.lost(number, why, self.now, blame=blame)
        self.act()

    def differ(self, number: int, why: str) -> None:
        """Let a worker report that the component on its node is another one."""
        assert not self.workers.pop(number).held
        self.scheduler.differs(number, why, self.now)
        self.act()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.scheduler.tick(self.now)
        self.act()

    def calm(self, steps: int = 20_000) -> None:
        """Run without further faults until all components have ended."""
        for component in self.needs:
            if component not in self.completed:
                self.complete(component)
        for _ in range(steps):
            if all(self.ends.values()):
                return
            moving = [number for number, worker in self.workers.items() if worker.state != "ready" or worker.held]
            if moving:
                self.go_on(self.source.choice(moving))
            else:
                self.wait(1.0)
        raise AssertionError(f"not over: {[component for component, ends in self.ends.items() if not ends]}")
