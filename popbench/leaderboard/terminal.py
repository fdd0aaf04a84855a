"""Shows a board as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from popbench.leaderboard.audit_text import verdict
from popbench.leaderboard.carries_text import lead, unknown_lines
from popbench.leaderboard.compact import by_predictor, headlines, part_tables, predictors_of
from popbench.leaderboard.families import role_words
from popbench.leaderboard.markdown import agreements, decided, decides, knows_copies, remarks
from popbench.leaderboard.panel_text import panel_sentence
from popbench.leaderboard.people_terminal import people_tables
from popbench.leaderboard.people_text import leads, meaning
from popbench.leaderboard.plain_tables import WIDE, plain_table, system_text
from popbench.leaderboard.reference import against, reference_of
from popbench.leaderboard.shown import (
    are_enhancement,
    knows_valid,
    median_interval,
    p_value,
    pair_rate,
    percent,
    rank_set,
    ranked,
    rate_interval,
    valid_rate,
)
from popbench.leaderboard.words import estimand
from popbench.scores.answers import unusable_lines

UNUSABLE = 10
"""The most systems whose answers without a usable draft are told of."""
_VALID = "among valid samples"
_HEAD = 12
"""Characters of a name in the head of a column before it takes a second line."""


def show(results: Mapping[str, Any], console: Console) -> None:
    """Print each task's board with its detectable win rate and other predictors beside it, then audits and remarks."""
    for predictor, task in headlines(results):
        for line in leads(results, predictor, task):
            console.print(Text(line, style="bold"))
        console.print(_ranking(results, predictor, task, console.width))
        for further in _further(results, predictor, task, console.width):
            console.print(further)
        contrasts = _contrasts(results, predictor, task, console.width)
        if contrasts is not None:
            console.print(contrasts)
        sentences = [of(results, predictor, task) for of in (decided, role_words, decides)]
        console.print(Text(" ".join(filter(None, sentences)), style="dim"))
        if told := lead(results, predictor, task):
            console.print(Text(told))
        console.print()
        for of_people in people_tables(results, predictor, task, console.width):
            console.print(of_people)
        for beside in _beside(results, predictor, task, console.width):
            console.print(beside)
    together = [panel_sentence(results, task) for _, task in headlines(results)[:1]]
    for line in (*agreements(results), *filter(None, together), *unknown_lines(results)):
        console.print(Text(line))
    if results["pairs"]:
        console.print(Text(estimand(), style="dim"))
    for line in meaning(results):
        console.print(Text(line, style="dim"))
    for entry in results.get("audit") or []:
        console.print(Text(f"Audit of predictor {entry['predictor']}: {verdict(entry)}"))
    for line in (*unusable_lines(results.get("unusable") or {}, UNUSABLE), *remarks(results)):
        console.print(Text(line))
    if results["demo"]:
        console.print(
            Text("Demo scores: they show that the machinery works and say nothing about real popularity.", "yellow")
        )


def _ranking(results: Mapping[str, Any], predictor: str, task: str, width: int) -> Table:
    unit = next(item["unit"] for item in results["predictors"] if item["name"] == predictor)
    demo = " (demo)" if results["demo"] else ""
    rows = ranked(results, predictor, task)
    copies = width >= WIDE and knows_copies(rows)
    table = plain_table(
        f"{task}, n = {rows[0]['n']}: {unit} by predictor {predictor}{demo}, 95 % intervals",
        [
            ("rank", "r"),
            ("system", "l"),
            ("win rate, %", "r"),
            (f"median {unit}", "r"),
            ("inv/err", "r"),
            *([("compl.", "r")] if width >= WIDE else []),
            *([("copies", "r")] if copies else []),
        ],
    )
    for row in rows:
        table.add_row(
            Text(rank_set(row["rank"])),
            system_text(row["system"], width),
            Text(rate_interval(row["mean_win_rate"], row["mean_win_rate_interval"])),
            Text(median_interval(row["median"])),
            f"{row['invalid']}/{row['errors']}",
            *([percent(row["compliance"])] if width >= WIDE else []),
            *([percent(row["copy_rate"])] if copies else []),
        )
    return table


def _further(results: Mapping[str, Any], predictor: str, task: str, width: int) -> Iterator[Table | Text]:
    """Yield a table of further win rates, where there are any."""
    rows = ranked(results, predictor, task)
    cells: dict[tuple[str, str], str] = {}
    names = []
    if knows_valid(rows):
        names.append(_VALID)
        cells |= {(row["system"], _VALID): " ".join(valid_rate(row)).strip() for row in rows}
    reference = reference_of(results, predictor, task)
    if reference is not None:
        over = against(results, predictor, task, reference)
        names.append(f"against {system_text(reference, 0)}")
        cells |= {(system, names[-1]): pair_rate(rate) for system, rate in over.items()}
    yield from _columns(f"{task}: further win rates, %", [row["system"] for row in rows], names, cells, width)


def _beside(results: Mapping[str, Any], predictor: str, task: str, width: int) -> Iterator[Table | Text]:
    """Yield a table of mean win rates by the other predictors, and one of the parts' medians, as far as they fit."""
    order = [row["system"] for row in ranked(results, predictor, task)]
    rates = by_predictor(results["systems"], task, "system")
    others = [name for name in predictors_of(results, task) if name != predictor]
    cells = {
        (system, other): percent(row["mean_win_rate"]) for other in others for (system,), row in rates[other].items()
    }
    yield from _columns(f"{task}: mean win rate, % by other predictors", order, others, cells, width)
    for name, parts, rows in part_tables(results, task):
        if name == predictor:
            medians = {key: median_interval(row["median"]) for key, row in rows.items()}
            yield from _columns(f"{task}: medians of the parts of {name}", order, parts, medians, width)


def _columns(
    title: str, order: Sequence[str], names: Sequence[str], cells: Mapping[tuple[str, str], str], width: int
) -> Iterator[Table | Text]:
    """Yield a table with a column for each name, and a line about those that do not fit; nothing without names."""
    if not names:
        return
    first = min(max(len(system_text(system, width)) for system in order), width // 2)
    widths = [max(min(len(name), _HEAD), *(len(cells.get((system, name), "")) for system in order)) for name in names]
    room = width - first - 4  # and the edges of the table
    fitting = max(1, sum(running <= room for running in accumulate(each + 2 for each in widths)))
    table = plain_table(title, [])
    table.add_column("system", overflow="fold", min_width=first)
    for name, least in zip(names[:fitting], widths, strict=False):
        table.add_column(Text(name), justify="right", overflow="fold", min_width=least, max_width=max(least, _HEAD))
    for system in order:
        table.add_row(system_text(system, width), *(Text(cells.get((system, name), "–")) for name in names[:fitting]))
    yield table
    if len(names) > fitting:
        yield Text(f"and {len(names) - fitting} more, which the board's file has: {', '.join(names[fitting:])}", "dim")
        yield Text()


def _contrasts(results: Mapping[str, Any], predictor: str, task: str, width: int) -> Table | None:
    rows = [row for row in results["enhancement"] if (row["predictor"], row["task"]) == (predictor, task)]
    if not rows:
        return None
    table = plain_table(
        f"{task}: {'prompt enhancement' if are_enhancement(rows) else 'other modes'} against basic",
        [
            ("system", "l"),
            ("win rate, %", "r"),
            ("verdict", "l"),
            ("wins", "r"),
            ("ties", "r"),
            ("losses", "r"),
            ("p, adjusted", "r"),
        ],
    )
    for row in rows:
        rate = row["win_rate"]
        table.add_row(
            system_text(row["a"], width),
            Text(rate_interval(rate["value"], (rate["low"], rate["high"]))),
            row["verdict"] or "–",
            *(str(row[name]) for name in ("wins", "ties", "losses")),
            p_value(row["p_adjusted"]),
        )
    return table
