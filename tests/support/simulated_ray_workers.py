"""Workers that are not there, for the scheduler of popbench_ray: what becomes of its actions, and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from popbench_ray.lanes import End, Fail, Limits, Send, Start, Stop
from popbench_ray.nodes import Need, Size
from popbench_ray.scheduling import Scheduler

SIZES = {"cpu": Size(cpus=4, memory=100), "gpu": Size(cpus=2, gpus=2, memory=100), "big": Size(cpus=1, gpus=4)}


@dataclass
class Ghost:
    """A worker as the simulation sees it."""

    lane: str
    node: str
    state: str = "starting"
    held: list[Any] = field(default_factory=list)


class World:
    """A cluster in which everything happens in an order that a random source chooses.

    It fails as soon as a promise of the scheduler is broken: room is never taken twice, nobody is sent anything who
    is not there, an item is at one worker at a time, and gets one answer.
    """

    def __init__(self, source: random.Random, needs: dict[str, Need], limits: Limits) -> None:
        self.source = source
        self.needs = needs
        self.scheduler = Scheduler(limits)
        self.now = 1.0
        self.eager = 0.1
        self.nodes: dict[str, Size] = {}
        self.ghosts: dict[int, Ghost] = {}
        self.outcomes: dict[str, dict[Any, str]] = {lane: {} for lane in needs}
        self.added: dict[str, list[Any]] = {lane: [] for lane in needs}
        self.ends: dict[str, list[str | None]] = {lane: [] for lane in needs}
        self.completed: set[str] = set()
        self.tried: Counter[Any] = Counter()
        for lane, need in needs.items():
            self.scheduler.open(lane, need)

    def act(self) -> None:
        """Carry out what the scheduler wants."""
        for action in self.scheduler.take(self.now):
            match action:
                case Start():
                    assert action.node in self.nodes
                    self.ghosts[action.worker] = Ghost(action.lane, action.node)
                case Send():
                    ghost = self.ghosts[action.worker]
                    assert ghost.state == "ready"
                    assert ghost.lane == action.lane
                    for item in action.items:
                        assert not any(item in other.held for other in self.ghosts.values())
                        assert item not in self.outcomes[action.lane]
                    ghost.held += action.items
                case Stop():
                    ghost = self.ghosts[action.worker]
                    if action.hard:
                        del self.ghosts[action.worker]
                        self.tried.update(ghost.held[:1])
                    else:
                        assert not ghost.held
                        ghost.state = "stopping"
                case Fail():
                    assert action.item not in self.outcomes[action.lane]
                    self.outcomes[action.lane][action.item] = action.error
                case End():
                    self.ends[action.lane].append(action.error)
        self.check_room()

    def check_room(self) -> None:
        """No node holds more than it has."""
        for name, size in self.nodes.items():
            there = [self.needs[ghost.lane] for ghost in self.ghosts.values() if ghost.node == name]
            assert sum(need.cpus for need in there) <= size.cpus + 1e-6
            assert sum(need.gpus for need in there) <= size.gpus + 1e-6
            assert sum(need.memory for need in there) <= size.memory

    def resize(self, nodes: dict[str, Size]) -> None:
        """Have other nodes; whoever was on one that is gone is gone."""
        self.nodes = dict(nodes)
        self.scheduler.capacity(self.nodes, self.now)
        self.act()

    def add(self, lane: str, count: int = 1) -> None:
        """Give a lane new items."""
        for _ in range(count):
            item = f"{lane}{len(self.added[lane])}"
            self.added[lane].append(item)
            self.scheduler.add(lane, item, self.now)
        self.act()

    def complete(self, lane: str) -> None:
        """Give a lane no more items."""
        self.completed.add(lane)
        self.scheduler.complete(lane)
        self.act()

    def go_on(self, number: int) -> None:
        """Let a worker do the next thing that it does when all is well."""
        ghost = self.ghosts[number]
        match ghost.state:
            case "starting":
                ghost.state = "placed"
                self.scheduler.placed(number, self.now)
            case "placed":
                ghost.state = "ready"
                self.scheduler.ready(number, self.now)
            case "stopping":
                self.lose(number, "it was asked to")
                return
            case _ if ghost.held:
                item = ghost.held.pop(self.source.randrange(len(ghost.held)))
                fine = self.scheduler.answered(number, item, self.now, eager=self.source.random() < self.eager)
                assert fine
                assert item not in self.outcomes[ghost.lane]
                self.outcomes[ghost.lane][item] = "ok"
                assert not self.scheduler.answered(number, item, self.now), "a second answer does not count"
        self.act()

    def lose(self, number: int, why: str = "it died", *, blame: bool = True) -> None:
        """Let a worker die."""
        self.tried.update(self.ghosts.pop(number).held[:1])
        self.scheduler.lost(number, why, self.now, blame=blame)
        self.act()

    def differ(self, number: int, why: str) -> None:
        """Let a worker find another component where it is."""
        assert not self.ghosts.pop(number).held
        self.scheduler.differs(number, why, self.now)
        self.act()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.scheduler.tick(self.now)
        self.act()

    def calm(self, steps: int = 20_000) -> None:
        """Let everything go well from now on, until all is over."""
        for lane in self.needs:
            if lane not in self.completed:
                self.complete(lane)
        for _ in range(steps):
            if all(self.ends.values()):
                return
            moving = [number for number, ghost in self.ghosts.items() if ghost.state != "ready" or ghost.held]
            if moving:
                self.go_on(self.source.choice(moving))
            else:
                self.wait(1.0)
        raise AssertionError(f"not over: {[lane for lane, ends in self.ends.items() if not ends]}")
