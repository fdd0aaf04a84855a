"""Puts into words what the predictors of a board say of its pairs together, for markdown, pages and terminals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from popbench.leaderboard.markup import escaped, table
from popbench.leaderboard.pairs import OTHER_SIDE
from popbench.leaderboard.panel import panel_of
from popbench.leaderboard.shown import percent
from popbench.text import counted

HEAD = (
    "Pair, by all predictors together",
    "Win rate, %",
    "Verdict",
    "Predictors that agree, %",
    "Without any one of them",
)
PAIRS = 10
"""Pairs that are shown at most: decided ones first, by the distance of their win rate from one half."""


def panel_sentence(results: Mapping[str, Any], task: str) -> str:
    """Say how many pairs of a task all predictors decide together, and how far they agree; empty without a panel."""
    found = panel_of(results, task)
    if found is None:
        return ""
    pairs = found["pairs"]
    agree = percent(sum(pair["agreeing"] for pair in pairs) / len(pairs))
    text = f"Together, {len(found['predictors'])} predictors"
    if pairs[0]["verdict"] is None:
        return (
            f"{text} judge no pair on so few prompts of {task}; {agree} % of them agree on the better one, on average."
        )
    decided = [pair for pair in pairs if pair["verdict"] != "undecided"]
    firm = sum(pair["survives"] for pair in decided)
    of = "the one pair" if len(pairs) == 1 else f"the {len(pairs):,} pairs"
    left = f", of which {firm:,} would be the same without any one of them" if decided else ""
    return (
        f"{text} decide {len(decided) or 'none'} of {of} on {task}{left}; on average {agree} % of them agree on the "
        "better system of a pair."
    )


def panel_rows(results: Mapping[str, Any], task: str) -> list[tuple[str, ...]]:
    """Return rows of a table of pairs, the one with more wins first, as far as there is room."""
    found = panel_of(results, task)
    if found is None:
        return []
    pairs = sorted(
        found["pairs"],
        key=lambda pair: (pair["verdict"] in (None, "undecided"), -abs(pair["win_rate"] - 0.5)),
    )
    return [_row(pair) for pair in pairs[:PAIRS]]


def _row(pair: Mapping[str, Any]) -> tuple[str, ...]:
    turned = pair["win_rate"] < 0.5
    a, b = (pair["b"], pair["a"]) if turned else (pair["a"], pair["b"])
    verdict = OTHER_SIDE[pair["verdict"]] if turned else pair["verdict"]
    stays = {True: "the same", False: "another", None: "–"}[pair["survives"]]
    rate = 1 - pair["win_rate"] if turned else pair["win_rate"]
    return f"{a} over {b}", percent(rate), verdict or "–", percent(pair["agreeing"]), stays


def panel_markdown(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines on what predictors say together, of each task that several of them scored."""
    for found in results.get("panel", []):
        yield from (escaped(panel_sentence(results, found["task"])), "")
        rows = [[escaped(row[0]), *row[1:]] for row in panel_rows(results, found["task"])]
        yield from table(list(HEAD), "lrlrl", rows)
        yield ""
        if len(found["pairs"]) > PAIRS:
            yield f"{counted(len(found['pairs']) - PAIRS, 'more pair')}: in the JSON file beside this board."
            yield ""


def panel_view(results: Mapping[str, Any], task: str) -> dict[str, Any] | None:
    """Return what a page shows of what predictors say together; None without a panel."""
    told = panel_sentence(results, task)
    if not told:
        return None
    caption = "What the predictors decide together"
    return {"lead": told, "caption": caption, "head": HEAD, "rows": panel_rows(results, task), "notes": []}
