"""Where candidates stand in a drawing of a search's lineage: a column for each round, children right of parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_COLUMN, _ROW, _MARGIN = 120, 36, 16


@dataclass(frozen=True)
class Node:
    """A candidate in the drawing; `on_path` says that the chosen one comes from it."""

    id: str
    x: float
    y: float
    status: str
    name: str
    tip: str
    on_path: bool


@dataclass(frozen=True)
class Tree:
    """A drawing in pixels. An edge is the path of a curve, and whether it leads to the chosen candidate."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, bool], ...]
    columns: tuple[tuple[float, str], ...]


def tree_of(candidates: Sequence[Mapping[str, Any]], chosen: str | None, tips: Mapping[str, tuple[str, str]]) -> Tree:
    """Place candidates, which come after their parents. `tips` are the name and the words of each, by id.

    Raises KeyError for a parent that is no candidate before.
    """
    path = _ancestors(candidates, chosen)
    columns: dict[int, list[Mapping[str, Any]]] = {}
    for candidate in candidates:
        columns.setdefault(int(candidate["round"]), []).append(candidate)
    places: dict[str, tuple[float, float]] = {}
    rounds = sorted(columns)
    tallest = max(len(of) for of in columns.values())
    for column, number in enumerate(rounds):
        # Children stand near their parents, and the chosen one's line is the first of equal ones.
        of = sorted(columns[number], key=lambda one: (_near(one, places), one["id"] not in path))
        top = _MARGIN * 3 + (tallest - len(of)) * _ROW / 2
        for row, one in enumerate(of):
            places[one["id"]] = (_MARGIN + column * _COLUMN, top + row * _ROW)
    nodes = tuple(
        Node(one["id"], *places[one["id"]], str(one["status"]), *tips[one["id"]], one["id"] in path)
        for one in candidates
    )
    edges = sorted(
        (
            (_curve(places[parent], places[one["id"]]), one["id"] in path and parent in path)
            for one in candidates
            for parent in one["parents"]
        ),
        key=lambda edge: edge[1],  # the chosen one's line is drawn over the others
    )
    titles = tuple(
        (_MARGIN + column * _COLUMN, "start" if not number else f"round {number}")
        for column, number in enumerate(rounds)
    )
    height = _MARGIN * 3.5 + tallest * _ROW
    return Tree(_MARGIN * 2 + len(rounds) * _COLUMN, height, nodes, tuple(edges), titles)


def _near(one: Mapping[str, Any], places: Mapping[str, tuple[float, float]]) -> float:
    heights = [places[parent][1] for parent in one["parents"] if parent in places]
    return sum(heights) / len(heights) if heights else 0.0


def _ancestors(candidates: Sequence[Mapping[str, Any]], chosen: str | None) -> set[str]:
    parents = {one["id"]: one["parents"] for one in candidates}
    found: set[str] = set()
    left = [chosen] if chosen is not None else []
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += parents[one]
    return found


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    middle = (x1 + x2) / 2
    return f"M{x1:g},{y1:g} C{middle:g},{y1:g} {middle:g},{y2:g} {x2:g},{y2:g}"
