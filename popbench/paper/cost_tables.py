"""Makes the paper's tables 9 and 10 from runs: seconds and memory of their calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popbench import stats
from popbench.paper.choices import enhanced_modes
from popbench.paper.entries import Column, Entry, Lookup, PaperTable, TableRow
from popbench.paper.evidence import Spent
from popbench.paper.gaps import Missing, gap
from popbench.paper.published import paper, published
from popbench.paper.tables import spec

COLUMNS = [Column("Peak memory, MB", "mb"), Column("Seconds", "seconds")]
_UNKNOWN = (None, None)


def stages(look: Lookup) -> PaperTable:
    """Make table 9: retrieval, each generator, evaluation."""
    costs, of_paper = look.evidence.costs, published(9).entries
    real = not look.evidence.results["demo"]  # a demonstration's parts are not the paper's
    rows: list[TableRow] = [(["retrieval"], entries(Spent(), of_paper["retrieval",] if real else _UNKNOWN))]
    for generator in look.names.order(costs.clips):
        one_of_paper = of_paper.get((look.names.of(generator) or "",), _UNKNOWN)
        rows += [([generator], entries(costs.clips[generator], one_of_paper))]
    rows.append((["evaluation"], entries(costs.scores, of_paper["evaluation",] if real else _UNKNOWN)))
    timed = [generator for generator, spent in costs.clips.items() if spent.seconds]
    timed_names = {look.names.of(generator) for generator in timed}
    lacking = [name for name in paper()["generators"] if name not in timed_names]
    more = ["seconds of retrieval (runs retrieve for all prompts at once, before any model is loaded)"]
    if not costs.scores.seconds:
        more.append(f"seconds of predictor {look.evidence.predictor}")
    missing = Missing(generators=lacking, more=more)
    return PaperTable(9, "Cost of each stage", "one call each", ["Stage"], COLUMNS, rows, gap(look, missing))


def llm_costs(look: Lookup) -> PaperTable:
    """Make table 10: each LLM at each RAG size."""
    costs = look.evidence.costs
    rows: list[TableRow] = []
    sizes_of: dict[str, set[int]] = {}
    labels = look.names.order({llm for llm, _ in costs.drafts})
    for llm in labels:
        for mode in (look.choices.basic, *enhanced_modes(look.evidence)):
            spent = None if mode is None else costs.drafts.get((llm, mode))
            if mode is None or spent is None:
                continue
            size, name = look.evidence.modes[mode].size or 0, look.names.of(llm) or ""
            of_paper = published(10).entries.get((name, size), _UNKNOWN)
            rows.append(([llm, str(size or "basic"), mode], entries(spent, of_paper)))
            sizes_of.setdefault(name, set()).add(size)
    names, sizes = published(10).names("llm"), [int(size) for size in published(10).names("rag_size")]
    lacking = [str(name) for name in names if name not in sizes_of]
    partly = [str(name) for name in names if name in sizes_of and not sizes_of[str(name)].issuperset(sizes)]
    fewer = [spec(size) for size in sizes if any(size not in sizes_of[name] for name in partly)]
    missing = Missing(lacking, modes=fewer)
    llm_of = next((label for label in labels if look.names.of(label) in partly), None)
    return PaperTable(
        10, "Cost of an LLM by RAG size", "one draft each", ["LLM", "RAG size", "Mode"], COLUMNS, rows,
        gap(look, missing, llm=llm_of, modes=[spec(size) for size in sizes]),
    )  # fmt: skip


def entries(spent: Spent, of_paper: Sequence[float | None]) -> list[Entry]:
    """Return two entries: the peak of the memory, without interval, and the median of the seconds with one."""
    memory = Entry(max(spent.memory, default=None), published=of_paper[0])
    if not spent.seconds:
        return [memory, Entry(published=of_paper[1])]
    median, low, high = stats.median_interval(spent.seconds, np.zeros(len(spent.seconds), dtype=np.int64))
    few = stats.too_few_for_a_median(len(spent.seconds))
    return [memory, Entry(median, None if few else low, None if few else high, of_paper[1])]
