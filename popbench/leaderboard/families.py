"""Says which tables of a board are primary: those whose verdicts hold together, all of them at once.

A board with a table for each task, each group and each predictor asks the same question several times, and a wrong
verdict somewhere is more likely than in one table. So the tables that answer for the board are chosen beforehand: those
of the first predictor, of a group where tasks are pooled, and of a task that is in none. Their verdicts hold together
with 95 %. The others are exploratory: each holds with 95 % by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


P_VALUES = (
    "p: 1 less the highest level at which the exact interval excludes 50 %; adjusted: the same of the intervals that "
    "hold together, so 0.05 at most where a pair is decided"
)
CONTRASTS = "Contrasts with basic are judged among themselves: one can be decided there and open among all pairs"


def p_words(results: Mapping[str, Any]) -> str:
    """Return what the p-values of results are; those of earlier versions tested another hypothesis than verdicts."""
    if "sequential" in results:
        return "Where prompts are taken in rounds, pairs have no p-values, and contrasts are judged among all pairs."
    inverted = "families" in results or not results["pairs"]
    return f"{P_VALUES}. {CONTRASTS}." if inverted else "p by the sign test, adjusted by Holm."


def role_words(results: Mapping[str, Any], predictor: str, task: str) -> str:
    """Return a sentence about what the verdicts of a table hold together with; empty if there is no other table."""
    rows = results.get("families", [])
    row = next((row for row in rows if (row["predictor"], row["task"]) == (predictor, task)), None)
    if row is None or len(rows) < 2:
        return ""
    if row["family"] == EXPLORATORY:
        return "This table is exploratory: its verdicts hold together (95 %), but not with those of other tables."
    with_others = f" with those of the {row['tables']} primary tables" if row["tables"] > 1 else ""
    further = "; other tables are exploratory" if any(of["family"] == EXPLORATORY for of in rows) else ""
    return f"This table is primary: its verdicts hold together{with_others} (95 %){further}."
