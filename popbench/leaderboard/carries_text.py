"""Puts into words how far a board's verdicts carry to real outcomes, for markdown, pages and terminals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from popbench.leaderboard.carries import carries_of
from popbench.leaderboard.markup import escaped, table
from popbench.leaderboard.pairs import flipped
from popbench.leaderboard.shown import pair_rate, percent
from popbench.text import counted

HEAD = ("Pair", "Win rate, %", "A win is one in truth, %", "Stands for a true win rate of, %")
PAIRS = 10
"""Pairs that are shown at most: decided ones first, by the distance of their win rate from one half."""
UNKNOWN = "how far its verdicts carry to real popularity is not known: there is no card of it"

Row = Mapping[str, Any]


def _share(of: Row) -> str:
    return f"{percent(of['value'])} % [{percent(of['low'])}, {percent(of['high'])}]"


def card_words(predictor: Row, *, demo: bool) -> str:
    """Say what a predictor's card says, or that it has none, to follow its name; empty on boards of demo scores.

    These say already that they tell nothing of real popularity.
    """
    card = predictor.get("card")
    if card is None:
        return "" if demo else UNKNOWN
    src = card.get("src")
    correlation = "" if src is None else f"SRC {src['value']:.2f} [{src['low']:.2f}, {src['high']:.2f}] and "
    return (
        f"by its card, {correlation}{_share(card['accuracy'])} of pairs in the order of their {card['measure']}, "
        f"on {card['data']}"
    )


def unknown_lines(results: Row) -> Iterator[str]:
    """Yield a line about each predictor without a card; none on boards of demo scores."""
    for predictor in results["predictors"]:
        if card_words(predictor, demo=results["demo"]) == UNKNOWN:
            yield f"Predictor {predictor['name']}: {UNKNOWN}."


def lead(results: Row, predictor: str, task: str) -> str:
    """Say what a win of a table is worth, and the smallest win rate that means anything; empty without a card."""
    found = carries_of(results, predictor, task)
    if found is None:
        return ""
    measure, win = found["measure"], found["win_in_truth"]
    if win is None:
        return f"By the card of {predictor}, nothing here is won in {measure}: no valid scores differ."
    text = (
        f"By the card of {predictor}, a win on a prompt here is a win in {measure} with probability {_share(win)} (by "
        "this table's own differences of scores)"
    )
    least = found["smallest_win_rate"]
    if least is not None:
        return (
            f"{text}; with {counted(found['n'], 'prompt')}, {percent(least)} % is the smallest predicted win rate of "
            "a pair by itself that means a true one above 50 %."
        )
    if win["low"] <= 0.5:
        return f"{text}: not known to be better than chance, so that no predicted win rate means a true one above 50 %."
    return f"{text}; with {counted(found['n'], 'prompt')}, no predicted win rate means a true one above 50 %."


def caveats(results: Row, predictor: str, task: str) -> Iterator[str]:
    """Yield sentences about what is taken for granted, and the remarks of the card; none without a card."""
    if carries_of(results, predictor, task) is None:
        return
    card = next(of["card"] for of in results["predictors"] if of["name"] == predictor)
    text = (
        "This takes the predictor to be as good on generated clips as on those real videos, and to have no taste for "
        "one of the systems"
    )
    between = card.get("between_categories")
    if between is not None:
        text += (
            "; of two categories of these videos, the one that it puts ahead is ahead in truth in "
            f"{_share(between)} of {counted(between['pairs'], 'pair')}"
        )
    yield f"{text}."
    yield from (f"Of the card: {remark}" for remark in card.get("remarks", []))


def pair_rows(results: Row, predictor: str, task: str) -> list[tuple[str, str, str, str]]:
    """Return rows of a table of pairs, the one with more wins first, as far as there is room."""
    found = carries_of(results, predictor, task)
    if found is None:
        return []
    of = {(row["a"], row["b"]): row for row in found["pairs"]}
    pairs = [pair for pair in results["pairs"] if (pair["predictor"], pair["task"]) == (predictor, task)]
    pairs.sort(key=lambda pair: (pair["verdict"] in (None, "undecided"), -abs(pair["win_rate"]["value"] - 0.5)))
    return [_pair(pair, of[pair["a"], pair["b"]]) for pair in pairs[:PAIRS] if (pair["a"], pair["b"]) in of]


def _pair(pair: dict[str, Any], of: Row) -> tuple[str, str, str, str]:
    true = of["true_win_rate"]
    if pair["win_rate"]["value"] < 0.5:
        pair = flipped(pair)
        true = {"value": 1 - true["value"], "low": 1 - true["high"], "high": 1 - true["low"]}
    return f"{pair['a']} over {pair['b']}", pair_rate(pair["win_rate"]), pair_rate(of["win_in_truth"]), pair_rate(true)


def further(results: Row, predictor: str, task: str) -> str:
    """Say where the other pairs are, if not all are shown."""
    found = carries_of(results, predictor, task)
    left = 0 if found is None else len(found["pairs"]) - PAIRS
    return f"{counted(left, 'more pair')}: in the JSON file beside this board." if left > 0 else ""


def carries_markdown(results: Row, predictor: str, task: str) -> Iterator[str]:
    """Yield the lines of a table's section on how far its verdicts carry; none without a card."""
    told = lead(results, predictor, task)
    if not told:
        return
    yield " ".join(["**How far a verdict carries.**", *map(escaped, (told, *caveats(results, predictor, task)))])
    yield ""
    yield from table(list(HEAD), "lrrr", [[escaped(row[0]), *row[1:]] for row in pair_rows(results, predictor, task)])
    yield ""
    if more := further(results, predictor, task):
        yield from (more, "")


def carries_view(results: Row, predictor: str, task: str) -> dict[str, Any] | None:
    """Return what a page shows of how far a table's verdicts carry; None without a card."""
    told = lead(results, predictor, task)
    if not told:
        return None
    return {
        "lead": told,
        "caption": "What win rates of pairs are worth by the predictor's card",
        "head": HEAD,
        "rows": pair_rows(results, predictor, task),
        "notes": [*caveats(results, predictor, task), *filter(None, [further(results, predictor, task)])],
    }
