"""Says which tables of a board are primary: those whose verdicts hold together, all of them at once.

A board with a table for each task, each group and each predictor asks the same question several times, and a wrong
verdict somewhere is more likely than in one table. So the tables that answer for the board are chosen beforehand: those
of the first predictor, of a group where tasks are pooled, and of a task that is in none. Their verdicts hold together
with 95 %. The others are exploratory: each holds with 95 % by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from popbench.leaderboard.pairs import Compared
from popbench.records import JSON
from popbench.scores.scores import Block, Scores

PRIMARY, EXPLORATORY = "primary", "exploratory"


@dataclass(frozen=True)
class Role:
    """What a table is on its board."""

    family: str
    tables: int
    """Tables that are judged together with it, itself included."""

    def row(self, compared: Compared, of_contrasts: float | None = None) -> dict[str, JSON]:
        """Return what results.json says of the families of a table: of its pairs, and of contrasts if it has any."""
        return {
            "family": self.family,
            "tables": self.tables,
            "pairs": len(compared.rates),
            "critical_value": compared.critical_value,
            **({} if of_contrasts is None else {"contrasts_critical_value": of_contrasts}),
        }


def roles(tables: Sequence[tuple[Scores, Block]]) -> list[Role]:
    """Return the role of each table, in the order of a board."""
    pooled = {block.name for scores, block in tables if block.name not in scores.tasks}
    answered: set[str] = set()
    primary = []
    for scores, block in tables:
        group = scores.tasks.get(block.name, {}).get("group")
        primary.append(block.name not in answered and group not in pooled)
        answered.add(block.name)
    return [Role(PRIMARY, sum(primary)) if first else Role(EXPLORATORY, 1) for first in primary]
