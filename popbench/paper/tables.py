"""Makes the paper's tables 2 to 8 from runs, in the paper's layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from popbench.paper.choices import GENERATOR, RAG_GENERATOR, RAG_LLM, enhanced_modes
from popbench.paper.entries import Column, Lookup, PaperTable, TableRow, by_prompts, system
from popbench.paper.gaps import Missing, gap
from popbench.paper.published import HUMAN, MODES, PROMPTS, published
from popbench.planning.human import NAME as HUMAN_SYSTEM

HUMAN_ROW = "human (matched)"

PAIRED = [
    Column(f"{prompts.capitalize()} {'PE' if mode == 'pe' else mode}, %", "rate", prompts, mode)
    for prompts in PROMPTS
    for mode in MODES
]


def medians(look: Lookup) -> PaperTable:
    """Make table 2: LLMs beside human-made videos."""
    mode, generator = look.choices.mode, look.choices.generators[2]
    llms = look.llms(generator, [mode])
    rows: list[TableRow] = []
    for llm in llms:
        name = _own_name(look, llm)
        rows.append(
            (
                [llm],
                [look.median(p, system(llm, mode, generator), published(2).value(name, p)) for p in PROMPTS],
            )
        )
    shown = list(llms)
    human = [look.median(prompts, HUMAN_SYSTEM, published(2).value(HUMAN, prompts)) for prompts in PROMPTS]
    if any(entry.value is not None for entry in human):
        rows.append(([HUMAN_ROW], human))
        shown.append(HUMAN_SYSTEM)
    lacking = [name for name in look.lacking(2, "llm", llms) if name != HUMAN or HUMAN_SYSTEM not in shown]
    missing = Missing(lacking, look.lacks(GENERATOR, generator))
    return PaperTable(
        2,
        "Median popularity by LLM, beside human-made videos",
        f"mode {mode}, generator {generator}",
        ["LLM"],
        by_prompts("median"),
        rows,
        gap(look, missing, generator=generator, modes=[mode]),
    )


def _own_name(look: Lookup, llm: str) -> str | None:
    """Return the paper's name of an LLM; None unless mode and generator are those of the paper's tables 2 and 3."""
    same = look.names.of(look.choices.generators[2]) == GENERATOR and look.choices.mode == look.choices.basic
    return look.names.of(llm) if same else None


def categories(look: Lookup) -> PaperTable:
    """Make table 3: LLMs by category."""
    mode, generator = look.choices.mode, look.choices.generators[3]
    llms = look.llms(generator, [mode])
    rows: list[TableRow] = [
        (
            [category, prompts],
            [
                look.median(
                    prompts,
                    system(llm, mode, generator),
                    published(3).value(_own_name(look, llm), category, prompts),
                    category,
                )
                for llm in llms
            ],
        )
        for category in _categories(look)
        for prompts in PROMPTS
    ]
    missing = Missing(look.lacking(3, "llm", llms), look.lacks(GENERATOR, generator))
    return PaperTable(
        3,
        "Median popularity by category",
        f"mode {mode}, generator {generator}",
        ["Category", "Prompts"],
        [Column(llm, "median") for llm in llms],
        rows,
        gap(look, missing, generator=generator, modes=[mode]),
    )


def _categories(look: Lookup) -> list[str]:
    """Return the categories: the paper's in its order, then others."""
    tasks = [task for task in look.choices.tasks.values() if task is not None]
    rows = [row for row in look.evidence.results["systems"] if row["task"] in tasks]
    present = {name for row in rows for name in row["by_category"]}
    in_paper = [str(name) for name in published(3).names("category")]
    return [name for name in in_paper if name in present] + sorted(present - set(in_paper))


def enhancement_by_llm(look: Lookup) -> PaperTable:
    """Make table 4: prompt enhancement against basic, a row for each LLM."""
    generator = look.choices.generators[4]
    llms = look.llms(generator, _both(look)) if look.choices.pe else []
    rows: list[TableRow] = []
    for llm in llms:
        pe, basic = system(llm, look.choices.pe, generator), system(llm, look.choices.basic, generator)
        name = look.names.of(llm)
        rows.append(([llm], [look.rate(p, pe, basic, published(4).value(name, p)) for p in PROMPTS]))
    missing = Missing(look.lacking(4, "llm", llms), modes=_lacking_modes(look))
    return PaperTable(
        4,
        "Win rate of prompt enhancement over basic, by LLM",
        f"{_setting(look)}, generator {generator} (the paper does not say its own)",
        ["LLM"],
        by_prompts("rate"),
        rows,
        gap(look, missing, generator=generator, modes=_specs(look)),
    )


def enhancement_by_generator(look: Lookup) -> PaperTable:
    """Make table 5: prompt enhancement against basic, a row for each generator."""
    llm = look.choices.llms[5]
    generators = look.generators(llm, _both(look)) if look.choices.pe else []
    rows: list[TableRow] = []
    for generator in generators:
        pe, basic = system(llm, look.choices.pe, generator), system(llm, look.choices.basic, generator)
        name = look.names.of(generator)
        rows.append(([generator], [look.rate(p, pe, basic, published(5).value(name, p)) for p in PROMPTS]))
    missing = Missing(generators=look.lacking(5, "generator", generators), modes=_lacking_modes(look))
    return PaperTable(
        5,
        "Win rate of prompt enhancement over basic, by generator",
        f"{_setting(look)}, LLM {llm} (the paper does not say its own)",
        ["Generator"],
        by_prompts("rate"),
        rows,
        gap(look, missing, llm=llm, modes=_specs(look)),
    )


def llm_pairs(look: Lookup) -> PaperTable:
    """Make table 6: every LLM against every other, in both directions, as the paper prints them."""
    generator = look.choices.generators[6]
    llms = look.llms(generator, _both(look), any)
    rows = _against_each_other(look, 6, llms, lambda llm, mode: system(llm, mode, generator))
    missing = Missing(look.lacking(6, "llm", llms), modes=_lacking_modes(look))
    return PaperTable(
        6,
        "Win rate of an LLM over another",
        f"{_setting(look)}, generator {generator} (the paper does not say its own)",
        ["LLM", "Opponent"],
        PAIRED,
        rows,
        gap(look, missing, generator=generator, modes=_specs(look)),
    )


def generator_pairs(look: Lookup) -> PaperTable:
    """Make table 7: every generator against every other, in both directions."""
    llm = look.choices.llms[7]
    generators = look.generators(llm, _both(look), any)
    rows = _against_each_other(look, 7, generators, lambda generator, mode: system(llm, mode, generator))
    missing = Missing(generators=look.lacking(7, "generator", generators), modes=_lacking_modes(look))
    return PaperTable(
        7,
        "Win rate of a generator over another",
        f"{_setting(look)}, LLM {llm} (the paper does not say its own)",
        ["Generator", "Opponent"],
        PAIRED,
        rows,
        gap(look, missing, llm=llm, modes=_specs(look)),
    )


def _against_each_other(
    look: Lookup, number: int, labels: Sequence[str], system_of: Callable[[str, str | None], str]
) -> list[TableRow]:
    """Compare every two labels, in both directions, on concrete and abstract prompts, in basic and PE."""
    return [
        (
            [a, b],
            [
                look.rate(
                    column.prompts,
                    system_of(a, _mode(look, column)),
                    system_of(b, _mode(look, column)),
                    published(number).value(look.names.of(a), look.names.of(b), column.prompts, column.mode),
                )
                for column in PAIRED
            ],
        )
        for a in labels
        for b in labels
        if a != b
    ]


def rag_sizes(look: Lookup) -> PaperTable:
    """Make table 8: one LLM with one generator, a row for each RAG size."""
    llm, generator = look.choices.llms[8], look.choices.generators[8]
    own = not look.lacks(RAG_LLM, llm) and not look.lacks(RAG_GENERATOR, generator)
    rows: list[TableRow] = []
    sizes: list[int] = []
    for mode in (look.choices.basic, *enhanced_modes(look.evidence)):
        if mode is None or not look.has(llm, mode, generator):
            continue
        size = look.evidence.modes[mode].size or 0
        sizes.append(size)
        paper_size = size if own else None
        rows.append(
            (
                [str(size or "basic"), mode],
                [look.median(p, system(llm, mode, generator), published(8).value(paper_size, p)) for p in PROMPTS],
            )
        )
    lacking = [int(size) for size in published(8).names("rag_size") if size not in sizes]
    missing = Missing(look.lacks(RAG_LLM, llm), look.lacks(RAG_GENERATOR, generator), [spec(size) for size in lacking])
    every = [spec(int(size)) for size in published(8).names("rag_size")]
    return PaperTable(
        8,
        "Median popularity by RAG size",
        f"LLM {llm}, generator {generator}",
        ["RAG size", "Mode"],
        by_prompts("median"),
        rows,
        gap(look, missing, llm=llm, generator=generator, modes=every),
    )


def spec(size: int) -> str:
    """Return the spec of the mode with a RAG size."""
    return f"pe,k={size}" if size else "basic"


def _both(look: Lookup) -> tuple[str | None, str | None]:
    return look.choices.basic, look.choices.pe


def _mode(look: Lookup, column: Column) -> str | None:
    return look.choices.pe if column.mode == "pe" else look.choices.basic


def _specs(look: Lookup) -> list[str]:
    """Return the specs of the modes of tables 4 to 7; of a missing PE mode, the default one."""
    size = look.evidence.modes[look.choices.pe].size if look.choices.pe else None
    return [spec(0), spec(size or 10)]


def _lacking_modes(look: Lookup) -> list[str]:
    return [mode for mode, label in zip(_specs(look), _both(look), strict=True) if label is None]


def _setting(look: Lookup) -> str:
    pe = look.choices.pe
    return "no PE mode" if pe is None else f"PE is {pe} (RAG size {look.evidence.modes[pe].size})"
