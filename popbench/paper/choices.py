"""Chooses what the paper leaves open: which of a run's tasks, modes, LLMs and generators its tables show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from popbench.errors import UsageError, unknown
from popbench.leaderboard.pairs import BASIC
from popbench.paper.evidence import Evidence
from popbench.paper.paper_names import PaperNames
from popbench.paper.published import PROMPTS

RAG_SIZE = 10
GENERATOR, RAG_GENERATOR, RAG_LLM = "CogVideoX-5B", "LTX-Video", "DeepSeek-V3"
"""The paper's own choices: of tables 2 and 3 (the default also for 4 and 6), and of table 8."""


@dataclass(frozen=True)
class Asked:
    """The options of `popbench report --paper`; None for options that were not given."""

    tasks: Mapping[str, str] = field(default_factory=dict)
    """`concrete` and `abstract` to names of tasks."""
    rag_size: str | None = None
    llm: str | None = None
    generator: str | None = None
    mode: str | None = None
    matches: Sequence[str] = ()


@dataclass
class Choices:
    """What was asked or else taken; `notes` has a line for each choice that the paper leaves open."""

    tasks: dict[str, str | None]
    names: PaperNames
    basic: str | None
    pe: str | None
    mode: str
    llms: dict[int, str]
    """Of tables 5, 7 and 8."""
    generators: dict[int, str]
    """Of tables 2, 3, 4, 6 and 8."""
    notes: list[str]


def choose(evidence: Evidence, asked: Asked) -> Choices:
    """Make every choice; raises UsageError for an option that fits no system of the runs."""
    notes: list[str] = []
    tasks = _tasks(evidence, asked, notes)
    llms = sorted({llm for llm, _, _ in evidence.systems})
    generators = sorted({generator for _, _, generator in evidence.systems})
    names = PaperNames([*llms, *generators], asked.matches)
    for what, name, labels in (("llm", asked.llm, llms), ("generator", asked.generator, generators)):
        if name is not None and name not in labels:
            raise unknown(what, name, labels, f"in --{what}")
    basic = next((label for label, mode in evidence.modes.items() if mode.name == BASIC), None)
    pe = _enhanced(evidence, asked, notes)
    mode = asked.mode if asked.mode is not None else basic or next(iter(evidence.modes))
    if mode not in evidence.modes:
        raise unknown("mode", mode, evidence.modes, "in --mode")
    how = "as asked" if asked.mode is not None else "the default; --mode chooses"
    notes.append(f"Tables 2 and 3: mode {mode} ({how}).")
    modes = (basic, pe)

    def systems_of(generator: str) -> int:
        return sum(system[1] in modes for system in evidence.systems if system[2] == generator)

    def systems_by(llm: str) -> int:
        return sum(system[1] in modes for system in evidence.systems if system[0] == llm)

    generator, why = _pick(names.order(generators), names, GENERATOR, systems_of, asked.generator)
    notes.append(f"Tables 2, 3, 4 and 6: generator {generator} ({why}; --generator chooses).")
    llm, why = _pick(names.order(llms), names, None, systems_by, asked.llm)
    notes.append(f"Tables 5 and 7: LLM {llm} ({why}; --llm chooses).")

    def sizes_of(llm: str) -> int:
        return sum(bool(evidence.modes[system[1]].size) for system in evidence.systems if system[0] == llm)

    rag_llm, why = _pick(names.order(llms), names, RAG_LLM, sizes_of, asked.llm)

    def sizes_with(generator: str) -> int:
        return sum(bool(evidence.modes[mode].size) for llm, mode, other in evidence.systems
                   if (llm, other) == (rag_llm, generator))  # fmt: skip

    rag_generator, other = _pick(names.order(generators), names, RAG_GENERATOR, sizes_with, asked.generator)
    notes.append(
        f"Table 8: LLM {rag_llm} ({why}; --llm chooses), generator {rag_generator} ({other}; --generator chooses)."
    )
    return Choices(
        tasks,
        names,
        basic,
        pe,
        mode,
        llms={5: llm, 7: llm, 8: rag_llm},
        generators={**dict.fromkeys((2, 3, 4, 6), generator), 8: rag_generator},
        notes=notes,
    )


def _pick(
    labels: Sequence[str], names: PaperNames, usual: str | None, covers: Callable[[str], int], asked: str | None
) -> tuple[str, str]:
    """Return a label and why: the one asked for, else the paper's, else the one that covers most systems."""
    if asked is not None:
        return asked, "as asked"
    if usual is not None:
        own = [label for label in names.labels(usual) if covers(label)]
        if own:
            return own[0], "the paper's, the default"
    best = max(labels, key=covers)
    reason = "the paper does not say; the default" if usual is None else f"the default without the paper's {usual}"
    return best, f"{reason}, which has most systems here" if len(labels) > 1 else f"{reason}, the only one here"


def _tasks(evidence: Evidence, asked: Asked, notes: list[str]) -> dict[str, str | None]:
    """Find the tasks of the prompt sets by their names; both of one family if possible, the paper's first."""
    for prompts, name in asked.tasks.items():
        if name not in evidence.tasks:
            raise unknown("task", name, evidence.tasks, f"in --{prompts}")
    families: dict[str, dict[str, str]] = {}
    for task in evidence.tasks:
        for prompts in PROMPTS:
            if prompts in task.lower():
                families.setdefault(task.lower().replace(prompts, ""), {})[prompts] = task
    family = max(families, key=lambda name: (len(families[name]), name.startswith("llmpopcorn")), default=None)
    by_prompts = {**(families[family] if family is not None and len(asked.tasks) < len(PROMPTS) else {}), **asked.tasks}
    if not by_prompts:
        raise UsageError(
            f"no task is named concrete or abstract (tasks: {', '.join(evidence.tasks)}): say which stands for which, "
            "as in --concrete TASK or --abstract TASK"
        )
    if len(set(by_prompts.values())) < len(by_prompts):
        raise UsageError(f"task {by_prompts['concrete']!r} cannot stand for the concrete and the abstract prompts")
    for prompts in PROMPTS:
        how = "as asked" if prompts in asked.tasks else f"by its name; --{prompts} chooses"
        if prompts in by_prompts:
            notes.append(f"{prompts.capitalize()} prompts: task {by_prompts[prompts]} ({how}).")
        else:
            notes.append(
                f"{prompts.capitalize()} prompts: none of the tasks ({', '.join(evidence.tasks)}); --{prompts} chooses."
            )
    return {prompts: by_prompts.get(prompts) for prompts in PROMPTS}


def enhanced_modes(evidence: Evidence) -> list[str]:
    """Return the modes that show references, by their number; of equal numbers `pe` first, then the shortest label."""
    modes = [(label, mode) for label, mode in evidence.modes.items() if mode.size]
    ordered = sorted(modes, key=lambda item: (item[1].size, item[1].name != "pe", len(item[0]), item[0]))
    return [label for label, _ in ordered]


def _enhanced(evidence: Evidence, asked: Asked, notes: list[str]) -> str | None:
    """Choose the mode for prompt enhancement in tables 4 to 7, by its label or RAG size."""
    modes = enhanced_modes(evidence)
    if asked.rag_size is not None:
        wanted = [label for label in modes if asked.rag_size in (label, str(evidence.modes[label].size))]
        if not wanted:
            sizes = [str(evidence.modes[label].size) for label in modes]
            raise unknown("RAG size", asked.rag_size, [*sizes, *modes], "in --rag-size")
        exact = [label for label in wanted if label == asked.rag_size]
        chosen, how = (exact or wanted)[0], "as asked"
    elif not modes:
        notes.append("Tables 4 to 7: no mode of these runs shows references, so none stands for prompt enhancement.")
        return None
    else:
        usual = [label for label in modes if evidence.modes[label].size == RAG_SIZE]
        chosen = usual[0] if usual else max(modes, key=lambda label: _count(evidence, label))
        how = "the default; --rag-size chooses" if usual else "the default without RAG size 10; --rag-size chooses"
    size = evidence.modes[chosen].size
    notes.append(
        f"Tables 4 to 7: RAG size {size}, mode {chosen} ({'the paper does not say; ' * (how != 'as asked')}{how})."
    )
    return chosen


def _count(evidence: Evidence, label: str) -> int:
    return sum(mode == label for _, mode, _ in evidence.systems)


def listed(names: Iterable[str]) -> str:
    """Return names as in `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
