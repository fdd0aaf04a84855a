"""Chooses the system that win rates are shown against beside the mean one, which depends on who else is on the board.

A win rate against one system does not: it is that of the pair, with the pair's own interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from popbench.errors import unknown
from popbench.leaderboard.pairs import BASIC, flipped
from popbench.records import parts_of

HUMAN, CONTROL = "human", "verbatim"
"""The system of human-made videos, and the LLM that repeats the request: what is shown unless the user chooses."""
_FEWEST = 3
"""Systems of a table with such a column: with two, the mean win rate is that against the other one."""


def check_reference(reference: str, systems: Sequence[str], hint: str = "") -> None:
    """Raise UsageError for a reference that is none of the systems."""
    if reference not in systems:
        raise unknown("reference", reference, systems, hint)


def reference_of(results: Mapping[str, Any], predictor: str, task: str) -> str | None:
    """Return the reference of a table: the user's choice, else the human row, else the control in its plainest mode.

    None if the table has no such system, or fewer than three systems.
    """
    rows = [row for row in results["systems"] if (row["predictor"], row["task"]) == (predictor, task)]
    systems = [row["system"] for row in rows]
    if len(systems) < _FEWEST or rows[0]["rank"] is None:
        return None
    chosen = results.get("reference")
    if chosen is not None:
        return chosen if chosen in systems else None
    if HUMAN in systems:
        return HUMAN
    controls = [(parts[1] != BASIC, system) for system in systems if (parts := parts_of(system)) and _control(parts[0])]
    return min(controls)[1] if controls else None


def _control(llm: str) -> bool:
    return llm.partition("[")[0] == CONTROL


def against(results: Mapping[str, Any], predictor: str, task: str, reference: str) -> dict[str, dict[str, Any]]:
    """Return by system its win rate over the reference, with its intervals; none for the reference itself."""
    found = {}
    for pair in results["pairs"]:
        if (pair["predictor"], pair["task"]) == (predictor, task) and reference in (pair["a"], pair["b"]):
            side = pair if pair["b"] == reference else flipped(pair)
            found[side["a"]] = side["win_rate"]
    return found
