"""`popbench report --paper`: makes the paper's tables and figures as a document, and writes its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from popbench.errors import RunError, UsageError, one_line
from popbench.files import write_files
from popbench.leaderboard.markdown import remarks
from popbench.leaderboard.shown import number, percent
from popbench.paper import cost_tables, figures, tables
from popbench.paper.choices import Asked, choose, listed
from popbench.paper.document import (
    Block,
    Bullets,
    Cell,
    Document,
    Grid,
    Heading,
    Paragraph,
    Picture,
    as_html,
    as_markdown,
    standalone,
)
from popbench.paper.entries import Column, Entry, Lookup, PaperTable
from popbench.paper.evidence import Evidence, read_evidence
from popbench.paper.published import paper
from popbench.runs.directory import check_free

FOLDER = "paper"
_MAKERS = (
    tables.medians, tables.categories, tables.enhancement_by_llm, tables.enhancement_by_generator, tables.llm_pairs,
    tables.generator_pairs, tables.rag_sizes, cost_tables.stages, cost_tables.llm_costs,
)  # fmt: skip
_DEMO = (
    "Demo scores. A demonstration predictor or corpus took part. These numbers show that the machinery works; they say "
    "nothing about the popularity of any video, model or prompt, and do not compare with the paper's."
)


@dataclass(frozen=True)
class Written:
    """What was written: the folder, its files, and one line for each choice that was made."""

    folder: Path
    files: Sequence[str]
    notes: Sequence[str]


def write_paper(
    sources: Sequence[Path],
    out: Path | None = None,
    asked: Asked | None = None,
    predictor: str | None = None,
    *,
    common: bool = False,
) -> Written:
    """Write paper.md, paper.html and figures/ from runs and score files, into `paper` in the first run by default.

    Raises UsageError if the runs do not compare or an option fits none of them, RunError if the disk refuses.
    """
    for path in sources:
        if not path.exists():
            raise UsageError(f"{path}: no such run or score file")
        if path.is_dir():
            check_free(path)
    if out is None and not sources[0].is_dir():
        raise UsageError(f"{sources[0]} is a file: say with --out which folder the report goes to")
    folder = out if out is not None else sources[0] / FOLDER
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: the report needs a folder; choose another --out")
    document, notes = paper_report(read_evidence(sources, predictor, common=common), asked or Asked(), sources)
    pictures = {block.file: standalone(block.svg) for block in document.blocks if isinstance(block, Picture)}
    files = {**pictures, "paper.md": as_markdown(document), "paper.html": as_html(document)}
    write_files(folder, files)
    try:
        for old in (folder / "figures").glob("figure-[3-8].svg"):  # an earlier report may have covered more
            if f"figures/{old.name}" not in files:
                old.unlink()
    except OSError as error:
        raise RunError(f"{folder}: an earlier figure cannot be removed ({one_line(error)})") from error
    return Written(folder, sorted(files), notes)


def paper_report(evidence: Evidence, asked: Asked, sources: Sequence[Path]) -> tuple[Document, list[str]]:
    """Return the report and a line for each choice; raises UsageError if an option fits none of the runs."""
    choices = choose(evidence, asked)
    look = Lookup(evidence, choices)
    made = paper_tables(look)
    drawn = _figures(made, look)
    notes = [
        f"Predictor of {evidence.measure}: {evidence.predictor} (--predictor chooses).",
        *choices.notes,
        _matched(look),
        _covered(made, drawn),
    ]
    facts = paper()
    blocks: list[Block] = [
        Paragraph(
            f"Tables 2 to 10 and figures 3 to 8 of {facts['name']} (arXiv {facts['arxiv']}), laid out as there, from "
            f"the systems of {listed([source.name for source in map(Path.absolute, sources)])}."
        ),
        Bullets([*notes, *_remarks(evidence)[0]]),
        Paragraph(_reading(evidence, any(table.compared for table in made)), "note"),
    ]
    for table in made:
        blocks += table_blocks(table)
        blocks += drawn.get(table.number, [])
    return Document(
        "The paper's tables and figures",
        blocks,
        warnings=list(_warnings(evidence)),
        footer=list(_footer(evidence, sources)),
    ), notes


def paper_tables(look: Lookup) -> list[PaperTable]:
    """Return tables 2 to 10."""
    return [make(look) for make in _MAKERS]


def _warnings(evidence: Evidence) -> Iterator[str]:
    if evidence.results["demo"]:
        yield _DEMO
    yield from _remarks(evidence)[1]
    if evidence.results["restricted_to_common"]:
        yield "Restricted to the prompts that all systems have (--common)."


def _remarks(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Return the remarks of the runs, and apart from them the one that prompts are missing."""
    lines = remarks(evidence.results)
    limited = lines[-1:] if evidence.results["limited"] else []
    return lines[: len(lines) - len(limited)], limited


def _matched(look: Lookup) -> str:
    pairs = look.names.matched()
    if pairs:
        named = listed([f"{label} as {name}" for label, name in pairs])
        return f"Beside the paper's numbers: {named} (--match adds to these)."
    return "No name here is one of the paper's systems (--match LABEL=NAME says which is)."


def _covered(made: Sequence[PaperTable], drawn: dict[int, list[Block]]) -> str:
    numbers = [str(table.number) for table in made if table.covered]
    shown = [str(figure) for figure, table in _PLACES.items() if table in drawn]
    lacking = [str(table.number) for table in made if not table.covered]
    sentence = f"Covered: tables {listed(numbers)}" if numbers else "Covered: no table"
    sentence += f", figures {listed(shown)}" if shown else ""
    return f"{sentence}. Not covered: table{'s' * (len(lacking) > 1)} {listed(lacking)}." if lacking else f"{sentence}."


def _reading(evidence: Evidence, compared: bool) -> str:
    text = (
        "Win rates are percent of prompts, ties half, with paired, stratified bootstrap intervals; medians have "
        "Woodruff intervals, all at 95 %. Bold: decided, by intervals that hold for all "
        f"{_pairs(evidence):,} pairs of a task at once. –: not in these runs. Below each table stands what of the "
        "paper's it lacks, with the options of popbench eval that run it: with the tasks, predictor, corpus and seed "
        "of these runs, in a directory of its own. Then report both directories together. Figures are numbered after "
        "the tables that they show."
    )
    if compared:
        text += (
            f" “Paper” is the published number: popularity as {paper()['predictor']} predicts it, on the paper's own "
            "prompts, with no interval. It compares as far as predictor and prompts are the same."
        )
    return text


def _pairs(evidence: Evidence) -> int:
    return max((int(row["pairs"]) for row in evidence.results["minimum_detectable_win_rate"]), default=0)


def table_blocks(table: PaperTable) -> Iterator[Block]:
    """Yield one table: its heading and setting, its numbers, and what the runs lack of it."""
    yield Heading(f"Table {table.number}: {table.title}", f"table-{table.number}", f"Table {table.number}")
    yield Paragraph(f"{table.setting[:1].upper()}{table.setting[1:]}.", "note")
    if table.covered:
        yield _grid(table)
    else:
        yield Paragraph("Nothing of this table is in these runs.")
    if table.gap is not None:
        yield Paragraph(table.gap, "gap")


def _grid(table: PaperTable) -> Grid:
    """Lay a table out; a column is followed by the paper's numbers if there are any to compare."""
    beside = [
        table.compared and any(entries[column_number].published is not None for _, entries in table.rows)
        for column_number in range(len(table.columns))
    ]
    head = list(table.names)
    for column, has in zip(table.columns, beside, strict=True):
        head += [column.name, *(["Paper"] if has else [])]
    rows = []
    for names, entries in table.rows:
        cells = [Cell(name) for name in names]
        for column, entry, has in zip(table.columns, entries, beside, strict=True):
            text, interval = shown(entry, column.kind)
            cells.append(Cell(text, interval, strong=entry.decided))
            if has:
                cells.append(Cell(_published(entry, column), soft=True))
        rows.append(cells)
    return Grid(head, rows, labels=len(table.names))


def shown(entry: Entry, kind: str) -> tuple[str, str]:
    """Return a number and its interval as text."""
    if entry.value is None:
        return "–", ""
    if kind == "mb":  # a peak
        return f"{entry.value:,.0f}", ""
    write = percent if kind == "rate" else number
    interval = "[–]" if entry.low is None or entry.high is None else f"[{write(entry.low)}, {write(entry.high)}]"
    return write(entry.value), interval


def _published(entry: Entry, column: Column) -> str:
    if entry.published is None:
        return "–"
    return f"{100 * entry.published:.0f}" if column.kind == "rate" else f"{entry.published:,.10g}"


_PLACES = {3: 2, 4: 3, 5: 5, 6: 6, 7: 7, 8: 8}
"""For each figure, the table that it stands below."""

_CAPTIONS = {
    3: "Popularity by LLM: a tick for each prompt, the median with its interval.",
    4: "Median popularity by category and LLM, with intervals.",
    5: "Win rate of prompt enhancement over basic, with intervals.",
    6: "Win rate of the LLM at the left over the one above, in percent with its interval; grey: undecided.",
    7: "Win rate of the generator at the left over the one above, in percent with its interval; grey: undecided.",
    8: "Median popularity by RAG size, with intervals.",
}


def _figures(made: Sequence[PaperTable], look: Lookup) -> dict[int, list[Block]]:
    """Draw the figures, by the number of the table that each stands below."""
    table_of = {table.number: table for table in made}
    charts = {
        3: figures.popularity(table_of[2], look),
        4: figures.by_category(table_of[3], look),
        5: figures.enhancement([table_of[4], table_of[5]]),
        6: figures.pairwise(table_of[6]),
        7: figures.pairwise(table_of[7]),
        8: figures.by_rag_size(table_of[8], look),
    }
    shows: dict[int, list[int]] = {**{figure: [table] for figure, table in _PLACES.items()}, 5: [4, 5]}
    blocks: dict[int, list[Block]] = {}
    for figure, chart in charts.items():
        if chart is None:
            continue
        caption = f"Figure {figure}. {_CAPTIONS[figure]}"
        if any(table_of[table].compared for table in shows[figure]):
            caption += " Hollow diamonds: the paper's numbers."
        if figure in (3, 4, 8) and look.zeros():
            caption += " Invalid samples score 0, which a logarithmic axis does not show."
        picture = Picture(chart, f"figures/figure-{figure}.svg", caption)
        blocks[_PLACES[figure]] = [picture, Paragraph(caption, "note")]
    return blocks


def _footer(evidence: Evidence, sources: Sequence[Path]) -> Iterator[str]:
    for source in sources:
        yield f"From {source.absolute().name}"
    for task in evidence.results["tasks"]:
        yield f"Task {task['name']}: hash {task['hash'] or 'unknown'}"
    for predictor in evidence.results["predictors"]:
        yield f"Predictor {predictor['name']}: fingerprint {predictor['digest'] or 'unknown'}"
    if evidence.costs.machines:
        yield f"Times and memory of tables 9 and 10: {'; '.join(evidence.costs.machines)}; seconds are medians of calls"
