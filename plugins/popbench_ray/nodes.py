"""The nodes of a cluster and their free resources. It finds a node with room for a worker; no I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

_SLACK = 1e-6
"""Tolerance, since shares of a GPU are sums of decimals."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one worker occupies: whole GPUs or a share of one, or else processors and bytes of memory."""

    cpus: float = 0.0
    gpus: float = 0.0
    memory: float = 0.0

    def __str__(self) -> str:
        if self.gpus:
            return f"{self.gpus:g} GPU" + "s" * (self.gpus > 1)
        memory = f" and {self.memory / 2**30:.1f} GiB of memory" if self.memory else ""
        return f"{self.cpus:g} CPU" + "s" * (self.cpus > 1) + memory


@dataclass(frozen=True, slots=True)
class Size:
    """A node's resources, and its name in messages."""

    cpus: float = 0.0
    gpus: int = 0
    memory: float = math.inf
    name: str = field(default="", compare=False)

    def holds(self, need: Need) -> bool:
        """Return whether an empty node of this size has room for a worker."""
        return need.cpus <= self.cpus + _SLACK and need.gpus <= self.gpus and need.memory <= self.memory


@dataclass(slots=True, eq=False)
class Node:
    """One node and its free resources, GPU by GPU. Nothing is placed on it while `shut`, a count, is above 0."""

    id: str
    size: Size
    cpus: float = 0.0
    memory: float = 0.0
    gpus: list[float] = field(default_factory=list)
    shut: int = 0

    def __post_init__(self) -> None:
        self.cpus, self.memory, self.gpus = self.size.cpus, self.size.memory, [1.0] * self.size.gpus

    def fits(self, need: Need) -> bool:
        """Return whether there is room for a worker now."""
        return need.cpus <= self.cpus + _SLACK and need.memory <= self.memory and self._choose(need.gpus) is not None

    def _choose(self, gpus: float) -> tuple[int, ...] | None:
        """Choose free whole GPUs, or for a share the fullest GPU with room, as Ray does."""
        if not gpus:
            return ()
        if gpus < 1:
            rooms = [(free, index) for index, free in enumerate(self.gpus) if free + _SLACK >= gpus]
            return (min(rooms)[1],) if rooms else None
        whole = [index for index, free in enumerate(self.gpus) if free + _SLACK >= 1]
        count = math.ceil(gpus)
        return tuple(whole[:count]) if len(whole) >= count else None

    def take(self, need: Need) -> tuple[int, ...]:
        """Occupy what a worker needs, and return the indices of its GPUs."""
        chosen = self._choose(need.gpus)
        assert chosen is not None
        for index in chosen:
            self.gpus[index] -= min(need.gpus, 1.0)
        self.cpus -= need.cpus
        self.memory -= need.memory
        return chosen

    def give(self, need: Need, gpus: Iterable[int]) -> None:
        """Free what a worker occupied."""
        for index in gpus:
            self.gpus[index] += min(need.gpus, 1.0)
        self.cpus += need.cpus
        self.memory += need.memory

    def would_fit(self, need: Need, leaving: Iterable[tuple[Need, tuple[int, ...]]]) -> bool:
        """Return whether there would be room without these workers."""
        empty = Node(self.id, self.size)
        empty.cpus, empty.memory, empty.gpus = self.cpus, self.memory, list(self.gpus)
        for other, gpus in leaving:
            empty.give(other, gpus)
        return empty.fits(need)


class Cluster:
    """All nodes, with an index of those that have room for each need."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._open: dict[Need, tuple[dict[str, None], dict[str, None]]] = {}

    def resize(self, sizes: Mapping[str, Size]) -> list[str]:
        """Set the nodes; return the names of those that are gone."""
        gone = [name for name in self.nodes if name not in sizes]
        for name in gone:
            del self.nodes[name]
            for rooms in self._open.values():
                for room in rooms:
                    room.pop(name, None)
        for name, size in sizes.items():
            if name not in self.nodes:
                self.nodes[name] = Node(name, size)
                self._note(self.nodes[name], self._open)
        return gone

    def _note(self, node: Node, needs: Iterable[Need]) -> None:
        for need in needs:
            rooms = self._open[need]
            room = rooms[bool(node.size.gpus)]
            if not node.shut and node.fits(need):
                room[node.id] = None
            else:
                room.pop(node.id, None)

    def find(self, need: Need, avoided: Collection[str] = ()) -> str | None:
        """Return a node with room, None if there is none.

        For a need without GPUs, nodes without GPUs come first, and nodes take turns.
        """
        if need not in self._open:
            self._open[need] = ({}, {})
            for node in self.nodes.values():
                self._note(node, (need,))
        for room in self._open[need]:
            for name in room:
                if name not in avoided:
                    if not need.gpus:
                        del room[name]
                        room[name] = None
                    return name
        return None

    def possible(self, need: Need, avoided: Collection[str] = ()) -> bool:
        """Return whether any node would hold such a worker if it were empty."""
        return any(node.size.holds(need) for name, node in self.nodes.items() if name not in avoided)

    def take(self, name: str, need: Need) -> tuple[int, ...]:
        """Occupy room on a node; return the indices of the worker's GPUs."""
        node = self.nodes[name]
        gpus = node.take(need)
        self._note(node, self._open)
        return gpus

    def give(self, name: str, need: Need, gpus: Iterable[int]) -> None:
        """Free room on a node, if it is still there."""
        node = self.nodes.get(name)
        if node is not None:
            node.give(need, gpus)
            self._note(node, self._open)

    def called(self, name: str) -> str:
        """Return a node's name for messages."""
        node = self.nodes.get(name)
        return (node.size.name if node is not None else "") or name

    def shut(self, name: str, by: int) -> None:
        """Place nothing more on a node (`by` 1), or undo that (-1): Ray does not place a worker there."""
        node = self.nodes.get(name)
        if node is not None:
            node.shut += by
            self._note(node, self._open)
