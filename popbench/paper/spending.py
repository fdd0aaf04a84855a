"""The paper's tables 9 and 10: seconds and memory of the runs' own calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popbench import stats
from popbench.paper.choices import enhanced_modes
from popbench.paper.entries import Column, Entry, Lookup, PaperTable, Row
from popbench.paper.evidence import Spent
from popbench.paper.missing import Missing, gap
from popbench.paper.published import paper, published
from popbench.paper.tables import spec

COLUMNS = [Column("Peak memory, MB", "mb"), Column("Seconds", "seconds")]
_UNKNOWN = (None, None)


def stages(look: Lookup) -> PaperTable:
    """Table 9: retrieval, each generator, evaluation."""
    costs, known = look.evidence.costs, published(9).entries
    real = not look.evidence.results["demo"]  # a demonstration's parts are not the paper's
    rows: list[Row] = [(["retrieval"], entries(Spent(), known["retrieval",] if real else _UNKNOWN))]
    for generator in look.names.order(costs.clips):
        published_one = known.get((look.names.of(generator) or "",), _UNKNOWN)
        rows += [([generator], entries(costs.clips[generator], published_one))]
    rows.append((["evaluation"], entries(costs.scores, known["evaluation",] if real else _UNKNOWN)))
    timed = [generator for generator, spent in costs.clips.items() if spent.seconds]
    there = {look.names.of(generator) for generator in timed}
    lacking = [name for name in paper()["generators"] if name not in there]
    more = ["seconds of retrieval (runs retrieve for all prompts at once, before any model is loaded)"]
    if not costs.scores.seconds:
        more.append(f"seconds of predictor {look.evidence.predictor}")
    missing = Missing(generators=lacking, more=more)
    return PaperTable(9, "Cost of each stage", "one call each", ["Stage"], COLUMNS, rows, gap(look, missing))


def llm_costs(look: Lookup) -> PaperTable:
    """Table 10: each LLM at each RAG size."""
    costs = look.evidence.costs
    rows: list[Row] = []
    there: dict[str, set[int]] = {}
    labels = look.names.order({llm for llm, _ in costs.drafts})
    for llm in labels:
        for mode in (look.choices.basic, *enhanced_modes(look.evidence)):
            spent = None if mode is None else costs.drafts.get((llm, mode))
            if mode is None or spent is None:
                continue
            size, name = look.evidence.modes[mode].size or 0, look.names.of(llm) or ""
            known = published(10).entries.get((name, size), _UNKNOWN)
            rows.append(([llm, str(size or "basic"), mode], entries(spent, known)))
            there.setdefault(name, set()).add(size)
    names, sizes = published(10).names("llm"), [int(size) for size in published(10).names("rag_size")]
    lacking = [str(name) for name in names if name not in there]
    partly = [str(name) for name in names if name in there and not there[str(name)].issuperset(sizes)]
    fewer = [spec(size) for size in sizes if any(size not in there[name] for name in partly)]
    missing = Missing(lacking, modes=fewer)
    llm_of = next((label for label in labels if look.names.of(label) in partly), None)
    return PaperTable(
        10, "Cost of an LLM by RAG size", "one draft each", ["LLM", "RAG size", "Mode"], COLUMNS, rows,
        gap(look, missing, llm=llm_of, modes=[spec(size) for size in sizes]),
    )  # fmt: skip


def entries(spent: Spent, known: Sequence[float | None]) -> list[Entry]:
    """Return the peak of the memory, which has no interval, and the median of the seconds, which has one."""
    memory = Entry(max(spent.memory, default=None), published=known[0])
    if not spent.seconds:
        return [memory, Entry(published=known[1])]
    median, low, high = stats.median_interval(spent.seconds, np.zeros(len(spent.seconds), dtype=np.int64))
    few = stats.too_few_for_a_median(len(spent.seconds))
    return [memory, Entry(median, None if few else low, None if few else high, known[1])]
