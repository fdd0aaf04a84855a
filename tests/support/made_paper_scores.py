"""Made-up scores of the paper's systems: five LLMs, three generators, basic and prompt enhancement."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from made_scores import Row, write
from popbench.paper.choices import Asked, choose
from popbench.paper.document import Document, as_markdown
from popbench.paper.entries import Entry, Lookup, PaperTable
from popbench.paper.evidence import read_evidence
from popbench.paper.report import paper_report, paper_tables, table_blocks

CATEGORIES = ("Anime", "Delicacy", "Daily Sharing", "Film and TV", "Game")
LLMS = ("llama-3.3-70b", "deepseek-v3", "gpt-4o", "deepseek-r1", "qwen-2.5-72b")
GENERATORS = ("cogvideox-5b", "ltx", "hunyuan")
TASKS = ("popcorn_abstract", "popcorn_concrete")


def systems(
    llms: Sequence[str] = LLMS, generators: Sequence[str] = GENERATORS, modes: Sequence[str] = ("basic", "pe")
) -> list[str]:
    return [f"{llm}|{mode}|{generator}" for llm in llms for mode in modes for generator in generators]


def paper_rows(names: Iterable[str], tasks: Sequence[str] = TASKS, prompts: int = 20, seed: int = 5) -> list[Row]:
    """Rows of these systems on every prompt; some of them tie."""
    rng = random.Random(seed)
    return [
        {
            "system": name,
            "task": task,
            "prompt_id": f"p{prompt:03d}",
            "popularity": round(rng.lognormvariate(0, 1), 1) + 0.1,
            "category": CATEGORIES[prompt % 5],
        }
        for name in names
        for task in tasks
        for prompt in range(prompts)
    ]


def look(folder: Path, rows: Iterable[Mapping[str, Any]], **asked: Any) -> Lookup:
    evidence = read_evidence([write(folder / "scores.jsonl", rows)])
    return Lookup(evidence, choose(evidence, Asked(**asked)))


def report(folder: Path, rows: Iterable[Mapping[str, Any]], **asked: Any) -> tuple[Document, list[str]]:
    path = write(folder / "scores.jsonl", rows)
    return paper_report(read_evidence([path]), Asked(**asked), [path])


def parts(found: Lookup) -> dict[int, str]:
    """The markdown of every table, without figures."""
    return {table.number: as_markdown(Document("", list(table_blocks(table)))) for table in paper_tables(found)}


def cells(table: PaperTable) -> dict[tuple[str, ...], Entry]:
    """The entries of a table, by names and the column's heading."""
    return {
        (*names, column.name): entry
        for names, entries in table.rows
        for column, entry in zip(table.columns, entries, strict=True)
    }


def scores_of(rows: Iterable[Mapping[str, Any]], system: str, task: str) -> list[float]:
    found = {row["prompt_id"]: row["popularity"] for row in rows if (row["system"], row["task"]) == (system, task)}
    return [found[prompt] for prompt in sorted(found)]


def brute_rate(rows: Sequence[Mapping[str, Any]], a: str, b: str, task: str) -> float:
    pairs = list(zip(scores_of(rows, a, task), scores_of(rows, b, task), strict=True))
    return sum((x > y) + (x == y) / 2 for x, y in pairs) / len(pairs)


def brute_median(rows: Iterable[Mapping[str, Any]], system: str, task: str) -> float:
    return float(np.median(scores_of(rows, system, task)))
