"""Shows a study's sizes, power and costs as tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from popbench.power.study import MOST_PROMPTS, Size, Study
from popbench.text import counted, dollars

_BAR = 30
_FEW = 50
"""From fewer prompts, variances are known to within a third or worse."""


def show(study: Study, console: Console) -> None:
    """Print what is compared and assumed, the sizes for the wanted power, what a budget buys, and the curve."""

    def say(line: str, style: str = "") -> None:
        console.print(Text(line, style=style), soft_wrap=True)

    effect = f"{100 * study.effect:g} %"
    say(
        f"Systems: {study.n_systems}, {counted(study.n_pairs, 'pair')} judged together; table {study.table}: "
        f"{counted(study.available.prompts, 'prompt')}"
    )
    say(_assumed(study))
    for cost in study.costs:
        if cost.usd is None:
            say(f"{cost.kind} {cost.label}: cost unknown", "yellow")
    console.print()
    if study.needed:
        console.print(_sizes(f"A win rate of {effect} with a power of {100 * study.wanted:.0f} %", study.needed))
        if study.needed[0].limit > study.available.limit:
            say(
                f"With one sample a prompt, this takes more prompts than the {study.available.limit} that a task has: "
                "add repeats, or prompts."
                if study.needed[0].repeats == 1
                else f"This takes more prompts than the {study.available.limit} that a task has."
            )
    else:
        wanted = f"A power of {100 * study.wanted:.0f} %"
        say(f"{wanted} takes more than {MOST_PROMPTS:,} prompts: only a larger effect can be found.")
    have = study.available
    say(
        f"With all {have.prompts} prompts and {counted(have.repeats, 'repeat')}, a win rate of {effect} is decided "
        f"with a power of {100 * have.power:.0f} %."
    )
    if study.affordable is not None:
        console.print()
        amounts = [dollars(value) if name == "usd" else f"{value:g} hours" for name, value in study.budget.items()]
        if study.affordable:
            console.print(_sizes(f"The most that {' and '.join(amounts)} buys", study.affordable))
        best = study.best
        say(
            "The budget buys no prompt."
            if best is None
            else f"The highest power: {100 * best.power:.0f} %, with --limit {best.limit} --repeats {best.repeats}."
        )
    say(
        "power: for a pair among all pairs; alone: if it were the only pair"
        + ("." if have.contrasts is None else "; basic: for a mode against basic, among all such contrasts.")
    )
    console.print()
    console.print(_curve(study))


def _assumed(study: Study) -> str:
    values, source = study.assumed.values, study.assumed.source
    told = [
        f"{100 * values.ties:.1f} % ties",
        f"{100 * values.invalid:.1f} % invalid samples",
        f"{100 * values.stable:.0f} % of the variance within a category stays over repeats"
        + ("" if study.assumed.has_repeats or source is None else " (a guess: with one repeat it is not known)"),
        f"categories have a standard deviation of {values.categories:.2f} times that within them",
    ]
    if source is None:
        return (
            "Assumed: no ties, no invalid samples, half of the variance of a prompt stays over repeats, categories are "
            "alike; --like RUN takes these from an earlier run."
        )
    few = study.assumed.prompts < _FEW
    rough = f" Of {counted(study.assumed.prompts, 'prompt')}, these are rough." if few else ""
    return f"As in {source}: {', '.join(told)}.{rough}"


def _sizes(title: str, sizes: Sequence[Size]) -> Table:
    table = Table(title=Text(title), title_justify="left")
    names = ["repeats", "prompts", "--limit", "clips", "cost", "hours", "power", "alone"]
    for name in [*names, *(["basic"] if sizes[0].contrasts is not None else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    for size in sizes:
        cells = [
            f"{size.repeats}",
            f"{size.prompts:,}",
            f"{size.limit}",
            f"{size.clips:,}",
            "?" if size.usd is None else dollars(size.usd),
            "?" if size.hours is None else f"{size.hours:,.{1 if size.hours >= 1 else 2}f}",
            f"{100 * size.power:.0f} %",
            f"{100 * size.one_pair:.0f} %",
        ]
        table.add_row(*cells, *([] if size.contrasts is None else [f"{100 * size.contrasts:.0f} %"]))
    return table


def _curve(study: Study) -> Table:
    """Power by prompts: a bar for the first number of repeats, and the percentages of all."""
    table = Table(title=Text("Power by prompts"), title_justify="left", show_edge=False, box=None)
    table.add_column("prompts", justify="right")
    for repeats in study.curves:
        table.add_column(counted(repeats, "repeat"), justify="right")
    table.add_column("", no_wrap=True)
    first = next(iter(study.curves.values()))
    for row, (prompts, power) in enumerate(first):
        bar = "█" * round(_BAR * power) + "·" * (_BAR - round(_BAR * power))
        table.add_row(f"{prompts:,}", *(f"{100 * points[row][1]:.0f} %" for points in study.curves.values()), bar)
    return table
