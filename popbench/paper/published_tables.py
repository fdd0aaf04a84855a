"""Lists the paper's tables as published, with intervals of the win rates."""

from __future__ import annotations

from collections.abc import Iterator

from popbench import stats
from popbench.paper.contrasts import LEVEL, TABLES
from popbench.paper.document import Block, Cell, Grid, Heading, Paragraph
from popbench.paper.findings import brackets, mode_name
from popbench.paper.published import HUMAN, MODES, PROMPTS, Key, Published, paper, published

_NAMES = {"llm": "LLM", "generator": "Generator", "opponent": "Opponent", "stage": "Stage", "rag_size": "RAG size"}


def rates() -> Iterator[Block]:
    """Yield tables 4 to 7."""
    n = int(paper()["prompts"])
    yield Heading("Every published win rate with its interval", "rates")
    yield Paragraph(
        f"Percent of {n} prompts, with the 95 % interval of each rate alone; bold where that leaves out 50."
    )
    for table in map(published, TABLES):
        pairs = "mode" in table.keys
        columns: list[Key] = [(p, m) for p in PROMPTS for m in MODES] if pairs else [(p,) for p in PROMPTS]
        names = len(table.keys) - len(columns[0])
        starts = list(dict.fromkeys(key[:names] for key in table.entries))
        heads = [" ".join([str(prompts).capitalize(), *map(mode_name, map(str, mode))]) for prompts, *mode in columns]
        yield Paragraph(f"Table {table.number}: {table.subject}.")
        yield Grid(
            [*(_NAMES[key] for key in table.keys[:names]), *heads],
            [
                [*(Cell(str(name)) for name in start), *(_rate(table, (*start, *column), n) for column in columns)]
                for start in starts
            ],
            labels=names,
        )


def _rate(table: Published, key: Key, n: int) -> Cell:
    rate = table.value(*key)
    if rate is None:
        return Cell("–", soft=True)
    interval = stats.proportion_interval(int(rate), n, LEVEL)
    return Cell(f"{rate:g}", brackets(interval), strong=not interval[0] <= 0.5 <= interval[1])


def medians() -> Iterator[Block]:
    """Yield tables 2, 3 and 8."""
    yield Heading("Medians", "medians")
    yield Paragraph(
        "A median has no interval without the popularity of each prompt, which is not published. Differences between "
        "these medians therefore cannot be judged, however large they look: a median of 20 prompts (table 3) varies "
        "more than one of 100."
    )
    two, three, eight = published(2), published(3), published(8)
    yield Paragraph(f"Table 2: {two.subject}.")
    yield Grid(
        ["", *(prompts.capitalize() for prompts in PROMPTS)],
        [
            [
                Cell("human (matched)" if llm == HUMAN else str(llm)),
                *(_median(two, llm, prompts) for prompts in PROMPTS),
            ]
            for llm in two.names("llm")
        ],
    )
    yield Paragraph(f"Table 3: {three.subject}; 20 prompts in each.")
    llms = three.names("llm")
    yield Grid(
        ["Category", "Prompts", *map(str, llms)],
        [
            [Cell(str(category)), Cell(prompts), *(_median(three, llm, category, prompts) for llm in llms)]
            for category in three.names("category")
            for prompts in PROMPTS
        ],
        labels=2,
    )
    yield Paragraph(f"Table 8: {eight.subject}.")
    yield Grid(
        ["RAG size", *(prompts.capitalize() for prompts in PROMPTS)],
        [
            [Cell(str(size or "basic")), *(_median(eight, size, prompts) for prompts in PROMPTS)]
            for size in eight.names("rag_size")
        ],
    )


def _median(table: Published, *key: str | int) -> Cell:
    value = table.value(*key)
    return Cell("–" if value is None else f"{value:.2f}")


def costs() -> Iterator[Block]:
    """Yield tables 9 and 10."""
    yield Heading("Costs", "costs")
    for table in map(published, (9, 10)):
        yield Paragraph(f"Table {table.number}: {table.subject}.")
        yield Grid(
            [*(_NAMES[key] for key in table.keys), "VRAM, MB", "Seconds"],
            [
                [
                    *(Cell("basic" if part == 0 else str(part)) for part in key),
                    *(Cell(f"{value:,.0f}") for value in values),
                ]
                for key, values in table.entries.items()
            ],
            labels=len(table.keys),
        )
