"""Writes the findings of the reanalysis: which comparisons are decided, and what more prompts would decide."""

from __future__ import annotations

from collections.abc import Iterator

from popbench import stats
from popbench.leaderboard.shown import p_value, percent
from popbench.paper.contrasts import (
    LEVEL,
    TABLES,
    Contrast,
    contrasts,
    decided,
    fewest_wins,
    of_table,
    published_rates,
)
from popbench.paper.document import Block, Bullets, Cell, Grid, Heading, Paragraph, Picture, Words
from popbench.paper.forest import ForestLine, forest
from popbench.paper.published import paper

PICTURE = "intervals.svg"
SIZES = (100, 200, 500, 1_000, 2_000, 5_000)
"""Numbers of prompts in the table of detectable win rates."""

_WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def word(count: int) -> str:
    """Return a count as a word, if it is small."""
    return _WORDS[count] if count < len(_WORDS) else str(count)


def findings() -> Iterator[Block]:
    """Yield how many comparisons are decided: in words, as a picture and by table."""
    items, n = contrasts(), int(paper()["prompts"])
    single, holm, everywhere = (decided(items, judged) for judged in ("alone", "holm", "holm_all"))
    fewest, size = fewest_wins(n)
    yield Paragraph(
        f"Of the {len(items)} comparisons by win rate in tables 4 to 7 of the paper, {word(single)} are decided at "
        f"the {100 * LEVEL:.0f} % level when each is taken alone, and {word(holm)} after Holm's correction for the "
        "comparisons of its table.",
        "lead",
    )
    yield Paragraph(
        f"{published_rates()} published rates make {len(items)} comparisons, since tables 6 and 7 print both "
        f"directions of a pair. On {n} prompts a lone comparison is decided from {fewest} % on. Equal systems reach "
        f"that, either way, in {100 * size:.1f} % of comparisons: {len(items) * size:.1f} of {len(items)} would be "
        f"decided by chance if no two systems differed. Corrected over all {len(items)} at once, {word(everywhere)} "
        f"{'is' if everywhere == 1 else 'are'} decided."
    )
    low, high = stats.proportion_interval(n // 2, n, LEVEL)
    yield Paragraph(
        f"Undecided does not mean equal. It means that {n} prompts do not tell the two apart: even a published 50 % "
        f"goes with true win rates from {percent(low)} to {percent(high)} %."
    )
    yield Picture(picture(), PICTURE, _description())
    yield Heading("By table", "tables")
    head = ["Table", "Comparisons", "Decided alone", "By Bonferroni", "By Holm", "Detectable alone, %", "At once, %"]
    rows = []
    for number in TABLES:
        of_this = of_table(number)
        rows.append(
            [
                Cell(f"{number}: {_subject(number)}"),
                Cell(str(len(of_this))),
                *(Cell(str(decided(of_this, judged))) for judged in ("alone", "bonferroni", "holm")),
                Cell(percent(stats.minimum_detectable_win_rate(n))),
                Cell(percent(stats.minimum_detectable_win_rate(n, len(of_this)))),
            ]
        )
    yield Grid(head, rows)
    yield Paragraph(
        "Detectable: the true win rate that the sign test finds in four of five repetitions (80 % power), for one "
        "comparison and for all of the table at once.",
        "note",
    )


def _subject(number: int) -> str:
    return {
        4: "prompt enhancement, by LLM",
        5: "prompt enhancement, by generator",
        6: "LLMs",
        7: "generators",
    }[number]


def _description() -> str:
    items = contrasts()
    return (
        f"Intervals of the {len(items)} win rates of tables 4 to 7 against 50 %: "
        f"{decided(items, 'alone')} leave it out alone, {decided(items, 'bonferroni')} among all of their table"
    )


def picture() -> str:
    """Draw every interval by table, highest win rate first."""
    groups = []
    for table in TABLES:
        items = sorted(of_table(table), key=lambda item: -item.rate)  # of equal rates, as published
        lines = [
            ForestLine(
                _label(item),
                item.rate,
                _in_percent(item.interval),
                _in_percent(item.simultaneous),
                item.alone != "undecided",
                item.n - item.reverse if item.disagrees and item.reverse is not None else None,
            )
            for item in items
        ]
        groups.append((f"Table {table}: {_subject(table)}", lines))
    return forest(groups, _description())


def mode_name(mode: str) -> str:
    """Return a mode's name as the tables write it."""
    return {"pe": "PE"}.get(mode, mode)


def brackets(interval: tuple[float, float]) -> str:
    """Return an interval of fractions in percent."""
    return f"[{percent(interval[0])}, {percent(interval[1])}]"


def _in_percent(interval: tuple[float, float]) -> tuple[float, float]:
    return 100 * interval[0], 100 * interval[1]


def _label(item: Contrast) -> str:
    if item.mode is None:
        return f"{item.a} over basic · {item.prompts}"
    return f"{item.a} over {item.b} · {item.prompts}, {mode_name(item.mode)}"


def power() -> Iterator[Block]:
    """Yield the win rates that more prompts would detect."""
    many = len(of_table(6))
    yield Heading("What more prompts would decide", "power")
    rows = [
        [
            Cell(f"{size:,}"),
            Cell(percent(stats.minimum_detectable_win_rate(size))),
            Cell(percent(stats.minimum_detectable_win_rate(size, many))),
        ]
        for size in SIZES
    ]
    yield Grid(["Prompts", "One comparison, %", f"All {many} of table 6 at once, %"], rows)
    yield Paragraph("The least true win rate that is detected with 80 % power, without ties.", "note")


def alone() -> Iterator[Block]:
    """Yield the comparisons that are decided when taken alone, smallest p-value first."""
    yield Heading("Decided when taken alone", "alone")
    total = len(contrasts())
    rows = [
        [
            Cell(f"{item.table}: {_label(item)}"),
            Cell(item.alone),
            Cell(str(item.rate), brackets(item.interval), strong=True),
            Cell("", brackets(item.simultaneous)),
            Cell(p_value(item.p)),
            Cell(p_value(item.p_holm)),
            Cell(p_value(item.p_holm_all)),
        ]
        for item in sorted(contrasts(), key=lambda item: item.p)
        if item.alone != "undecided"
    ]
    head = ["Comparison", "Verdict", "Win rate, %", "Among its table", "p", "p, Holm", f"p, Holm over {total}"]
    yield Grid(head, rows, labels=2)


def disagreements() -> Iterator[Block]:
    """Yield the pairs whose two published rates do not add up to 100."""
    yield Heading("Where two published directions do not add up", "directions")
    pairs = [item for item in contrasts() if item.reverse is not None]
    items: list[Words] = [
        f"Table {item.table}, {item.prompts} prompts, {mode_name(str(item.mode))}: {item.a} over {item.b} is "
        f"{item.rate} % {brackets(item.interval)}, and {item.b} over {item.a} is {item.reverse} % "
        f"{brackets(item.reverse_interval or item.interval)}. The two make {item.rate + (item.reverse or 0)}. "
        f"Whichever is taken, the comparison is {item.alone}."
        for item in pairs
        if item.disagrees
    ]
    yield Bullets(items)
    yield Paragraph(
        f"The other {len(pairs) - len(items)} pairs of tables 6 and 7 add up to 100. Where two readings differ, the "
        "one that decides less counts."
    )
