"""Writes what the tables say when they are pooled, and where the paper's text and its tables differ."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from popbench.leaderboard.shown import p_value, percent
from popbench.paper.contrasts import LEVEL, of_table
from popbench.paper.document import Block, Bullets, Cell, Grid, Heading, Paragraph
from popbench.paper.findings import brackets, mode_name, word
from popbench.paper.pooled import (
    Pooled,
    clearest_split,
    condition_rates,
    enhancement,
    enhancement_of_shared_drafts,
    systems,
)
from popbench.paper.published import MODES, PROMPTS, paper, published
from popbench.records import JSON

_LLAMA, _R1 = "Llama-3.3-70B", "DeepSeek-R1"
_PLACE = "abstract", "pe"
"""The prompts and the mode of the three statements below."""
TEXT_RATE = 56
"""What the paper's text gives as a win rate of Llama-3.3-70B there, in percent."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


def pooled_as_json() -> dict[str, JSON]:
    """Return the entry `pooled` of board.json."""
    shared, largest = enhancement_of_shared_drafts()
    return {
        "post_hoc": True,
        "groupings": [item.as_json() for item in groupings()],
        "systems": [item.as_json() for number in (6, 7) for item in systems(number)],
        "enhancement_of_shared_drafts": {
            "p_table_5": float(f"{shared:.10g}"),
            "p_tables_4_and_5": float(f"{largest:.10g}"),
        },
    }


def groupings() -> list[Pooled]:
    """Return the pooled comparisons: of generators, of LLMs, and of prompt enhancement."""
    return [clearest_split(7), clearest_split(6), enhancement()]


def together() -> Iterator[Block]:
    """Yield the pooled win rates: by group, with p under both assumptions, and by system."""
    n = len(PROMPTS) * int(paper()["prompts"])
    yield Heading("What the tables say together", "together", "Together")
    found = groupings()
    told = ", ".join(f"{_label(item)} {percent(item.rate)} %" for item in found)
    chosen, worst = (
        sum(p <= 1 - LEVEL for p in ps) for ps in zip(*((i.p_chosen, i.p_worst) for i in found), strict=True)
    )
    yield Paragraph(
        "Post hoc: chosen after the tables were seen. Pooled over prompt sets, modes and opponents, the rates are: "
        f"{told}. Decided at the {100 * LEVEL:.0f} % level: {word(chosen)} of {word(len(found))} if the videos of a "
        "prompt are exchangeable, with the choice of groups allowed for, prompt enhancement only if shared drafts are "
        f"left aside; in the worst case {word(worst)}. Which is nearer to the truth, only scores prompt by prompt "
        "would tell."
    )
    yield Grid(
        [
            "Pooled", "Comparisons", "Win rate, % [worst case]", "p, exchangeable", "Chosen from", "p, chosen",
            "p, worst case",
        ],
        [
            [
                Cell(f"{item.table}: {_label(item)}"),
                Cell(str(item.comparisons)),
                Cell(percent(item.rate), brackets(item.worst_interval)),
                Cell(p_value(item.p)),
                Cell(str(item.groupings) if item.groupings > 1 else "–"),
                Cell(p_value(item.p_chosen)),
                Cell(p_value(item.p_worst)),
            ]
            for item in found
        ],
    )  # fmt: skip
    shared, largest = enhancement_of_shared_drafts()
    yield Bullets(
        [
            "Exchangeable: if no system is better, every order of the videos of a prompt is equally likely, in each "
            "mode apart. Wins of one group over the other then follow Mann and Whitney's distribution, and p is exact.",
            f"Worst case: all comparisons of a prompt come out alike. They are then worth one comparison on {n} "
            "prompts, and no dependence gives a pooled rate more variance.",
            "Chosen from: the ways to divide the systems in two groups, of which the one with the smallest p is "
            "shown; the p next to it is multiplied by their number (Bonferroni). Prompt enhancement is the paper's "
            "own question, and was not chosen.",
            "Comparisons that render the same drafts are not exchangeable. If those of table 5, which has one LLM, "
            f"come out alike, p of prompt enhancement is {p_value(shared)}; if one of table 4 does so too, "
            f"{p_value(largest)}.",
        ]
    )
    heads = [f"{prompts.capitalize()} {mode_name(mode)}, %" for prompts, mode in product(PROMPTS, MODES)]
    yield Grid(
        ["System over all others", *heads, "Pooled, % [worst case]", "p, exchangeable", "p, worst case"],
        [
            [
                Cell(f"{number}: {item.a[0]}"),
                *(Cell(percent(rate)) for rate in condition_rates(number, item.a[0])),
                Cell(percent(item.rate), brackets(item.worst_interval)),
                Cell(p_value(item.p)),
                Cell(p_value(item.p_worst)),
            ]
            for number in (6, 7)
            for item in systems(number)
        ],
    )
    yield Paragraph("By system, p is that of one system alone, not corrected for the others.", "note")


def _label(item: Pooled) -> str:
    return f"{_group(item.a)} over {item.b[0] if len(item.b) == 1 else 'the others'}"


def _group(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def text_as_json() -> list[dict[str, JSON]]:
    """Return the entry `text_and_tables` of board.json."""
    prompts, mode = _PLACE
    rate, opponent = _highest(_LLAMA)
    ranks = _ranks()
    return [
        {
            "about": "highest win rate", "system": _LLAMA, "prompts": prompts, "mode": mode, "text": TEXT_RATE / 100,
            "table": rate / 100, "opponent": opponent,
        },
        {
            "about": "place among the LLMs", "system": _R1, "prompts": prompts, "mode": mode, "text": "leads",
            "table": ranks.index(_R1) + 1, "of": len(ranks), "mean_win_rate": _mean(_R1) / 100,
            "opponent": _LLAMA, "win_rate": _rate(_R1, _LLAMA) / 100,
        },
        {
            "about": "gaps", "prompts": prompts, "mode": mode, "text": "minor",
            "table": [{"a": a, "b": b, "win_rate": rate / 100, "reverse": back / 100} for a, b, rate, back in _gaps()],
        },
    ]  # fmt: skip


def text_and_tables() -> Iterator[Block]:
    """Yield where the paper's text says something else than its tables."""
    rate, opponent = _highest(_LLAMA)
    ranks, table = _ranks(), published(6)
    elsewhere = [
        f"{other} on {prompts} prompts, {mode_name(str(mode))}"
        for (name, other, prompts, mode), (value,) in table.entries.items()
        if name == _LLAMA and value == TEXT_RATE
    ]
    beaten = ", ".join(
        f"{_rate(_R1, str(other)):g} against {other}" for other in table.names("llm") if 0 < _rate(_R1, str(other)) < 50
    )
    split = clearest_split(6)
    yield Heading("Where text and tables differ", "text", "Text and tables")
    yield Paragraph("All three concern abstract prompts with PE.")
    yield Bullets(
        [
            f"{_LLAMA} has {TEXT_RATE} % in the text. In table 6 its highest rate there is {rate:g} %, over "
            f"{opponent}; {TEXT_RATE} is its rate over {'; and over '.join(elsewhere)}.",
            f"{_R1} is named among the leading LLMs. Pooled with {_group(tuple(n for n in split.a if n != _R1))} it "
            f"wins {percent(split.rate)} % against the others. On abstract prompts with PE it is "
            f"{_ORDINALS[ranks.index(_R1)]} of {word(len(ranks))} by mean win rate, {_mean(_R1):.1f} %: it "
            f"wins {beaten}.",
            "The text calls gaps minor. Among these the tables hold "
            + ", ".join(f"{rate:g} against {back:g} ({a} over {b})" for a, b, rate, back in _gaps())
            + ". On 100 prompts 60 against 40 is undecided: it may be minor, and the table does not show that it is.",
        ]
    )


def _rate(name: str, other: str) -> float:
    prompts, mode = _PLACE
    return published(6).value(name, other, prompts, mode) or 0.0


def _highest(name: str) -> tuple[float, str]:
    """Return an LLM's highest rate there, and the opponent."""
    return max((_rate(name, str(other)), str(other)) for other in published(6).names("llm"))


def _mean(name: str) -> float:
    names = published(6).names("llm")
    return sum(_rate(name, str(other)) for other in names) / (len(names) - 1)


def _ranks() -> list[str]:
    """Return the LLMs by mean win rate there, best first."""
    return sorted((str(name) for name in published(6).names("llm")), key=lambda name: -_mean(name))


def _gaps() -> Iterator[tuple[str, str, float, float]]:
    """Yield the comparisons there that are 60 against 40, the higher rate first."""
    for item in (*of_table(6), *of_table(7)):
        if (item.prompts, item.mode) == _PLACE and item.reverse is not None and {item.rate, item.reverse} == {60, 40}:
            ends = (item.a, item.b) if item.rate > item.reverse else (item.b, item.a)
            yield (*ends, max(item.rate, item.reverse), min(item.rate, item.reverse))
