"""The plan of a run: its components, tasks, prompts, modes and systems."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from popbench.keys import digest
from popbench.ledger.ledger import STAGES, StageName
from popbench.planning.config import EvalConfig
from popbench.planning.human import methods
from popbench.planning.pairs import Pair, paired
from popbench.planning.systems import Part, SampleSet, System, TaskMethod, TaskMode, made_by
from popbench.prompting.chats import Shown, show
from popbench.prompting.mode_specs import SelectedMode
from popbench.records import JSON, Message, Prompt, Reference
from popbench.registry import Resolved
from popbench.retrieval import Retriever
from popbench.tasks.task import Task, spread


@dataclass
class Plan:
    """Everything a run needs, made and checked; no model or index is loaded yet."""

    config: EvalConfig
    tasks: list[Task]
    prompts: Mapping[str, Sequence[Prompt]]
    llms: list[Part]
    modes: list[SelectedMode]
    generators: list[Part]
    predictors: list[Part]
    corpus: Part | None
    embedder: Part | None
    engine: Resolved
    task_modes: Mapping[tuple[str, str], TaskMode] = field(default_factory=dict)
    writers: list[Part] = field(default_factory=list)
    """The modes that plugins register."""
    human: Part | None = None
    """The human baseline, if it was asked for."""
    written: Collection[tuple[str, str]] | None = None
    """The LLMs and modes, by their labels, that make systems; None for every LLM in every mode."""
    taken: Mapping[str, int] | None = None
    """The prompts per task that each system gets, by its id, where they are taken in rounds; None for all of them."""
    rounds: Mapping[str, JSON] | None = None
    """How prompts are taken in rounds, and what has been decided, for run.json."""
    earlier_looks: Sequence[Mapping[str, int]] = ()
    """The prompts per task of earlier boards of the run, which had fewer."""
    compared: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    """What comparisons of pairs came to, by the predictor's label, for run.json."""
    leaks: Mapping[str, str] = field(default_factory=dict)
    """How predictors were trained on the videos that they judge by, by label."""

    @property
    def systems(self) -> list[System]:
        """All systems, in the order of their ids."""
        systems = [
            System(llm, mode, generator)
            for llm in self.llms
            for mode in self.modes
            if self._writes(llm, mode.label)
            for generator in self.generators
        ]
        return sorted(systems, key=lambda system: system.id)

    def _writes(self, llm: Part, mode: str) -> bool:
        """Say whether an LLM writes in a mode."""
        return self.written is None or (llm.label, mode) in self.written

    def of_system(self, task: Task, system: System) -> TaskMode:
        """Return the mode of a system on a task."""
        return self.task_modes[task.name, system.mode.label]

    @property
    def parts(self) -> Iterator[Part]:
        """Every component that a system or a score depends on."""
        yield from (*self.llms, *self.writers, *self.generators, *self.predictors)
        yield from (part for part in (self.human, self.corpus, self.embedder) if part is not None)

    @property
    def human_samples(self) -> list[SampleSet]:
        """The samples of the human baseline, one set for each task; none if the run has no baseline."""
        if self.human is None or self.corpus is None:
            return []
        return [
            self.sample_set(method, self.human, self.human) for method in methods(self.human, self.corpus, self.tasks)
        ]

    @property
    def stages(self) -> Sequence[StageName]:
        """The stages that the run goes through."""
        stop = self.config.stop_after
        return STAGES if stop is None else STAGES[: STAGES.index(stop) + 1]

    def sample_set(self, method: TaskMethod, *parts: Part) -> SampleSet:
        """Return the samples of a method by one component per stage."""
        prompts = self.prompts[method.task.name]
        if self.taken is not None:
            prompts = spread(prompts, self._taken(method.label, parts))
        return SampleSet(method, parts, prompts, self.config.repeats)

    def _taken(self, label: str, parts: Sequence[Part]) -> int:
        """Return the most prompts per task of the systems that a mode and these components are of."""
        assert self.taken is not None
        if self.human is not None and parts[0] is self.human:
            return self.taken[self.human.label]
        llm, *rest = parts
        return max(
            self.taken[system.id]
            for system in self.systems
            if system.mode.label == label and system.llm is llm and (not rest or system.generator is rest[0])
        )

    def system_samples(self) -> Iterator[tuple[System | None, SampleSet]]:
        """Yield the samples of every system on every task, then those of the human baseline, which is no `System`."""
        for system in self.systems:
            for task in self.tasks:
                yield system, self.sample_set(self.of_system(task, system), system.llm, system.generator)
        yield from ((None, samples) for samples in self.human_samples)

    def stage_samples(self, stage: StageName) -> Iterator[tuple[Part, list[SampleSet]]]:
        """Yield every component that works in a stage, with the samples that it works on.

        Predictors that compare pairs are not among them: see `comparisons`.
        """
        earlier: list[tuple[Part, ...]]
        match stage:
            case "write":
                earlier, parts = [()], self.llms
            case "render":
                earlier, parts = [(llm,) for llm in self.llms], self.generators
            case "score":
                earlier, parts = [(llm, gen) for llm in self.llms for gen in self.generators], self.scorers
        for part in parts:
            sets = [
                self.sample_set(mode, *before, part)
                for before in earlier
                for mode in self.task_modes.values()
                if self._writes((*before, part)[0], mode.label)
            ]
            if stage == "score":
                sets += [samples.extended(part) for samples in self.human_samples]
            yield part, sets

    @property
    def scorers(self) -> list[Part]:
        """The predictors that score one sample at a time."""
        return [part for part in self.predictors if not part.pairwise]

    @property
    def comparers(self) -> list[Part]:
        """The predictors that compare two samples."""
        return [part for part in self.predictors if part.pairwise]

    @property
    def contenders(self) -> dict[str, dict[str, SampleSet]]:
        """The samples of all systems, and of the human baseline, by task and name of the system."""
        by_task: dict[str, dict[str, SampleSet]] = {task.name: {} for task in self.tasks}
        for system, samples in self.system_samples():
            by_task[samples.method.task.name][samples.method.label if system is None else system.id] = samples
        return by_task

    def comparisons(self, part: Part) -> list[Pair]:
        """Return every ordered pair of systems that a predictor compares, with the samples; none if it stops before."""
        if "score" not in self.stages:
            return []
        systems = self.contenders.values()
        return [pair for of_task in systems for pair in paired(of_task, part, self.config.seed)]

    @property
    def demo(self) -> bool:
        """Whether a predictor or the corpus is a demonstration, so that results mean nothing."""
        return any(part.resolved.component.demo for part in (*self.predictors, *([self.corpus] if self.corpus else [])))

    @cached_property
    def retriever(self) -> Retriever:
        """The retriever of references and human videos, made when it is first used."""
        assert self.corpus is not None
        assert self.embedder is not None
        return Retriever(
            self.corpus.resolved.component,
            self.embedder.resolved.component,
            corpus_name=self.corpus.label,
            embedder_name=self.embedder.label,
            corpus_fingerprint=self.corpus.fingerprint,
            embedder_fingerprint=self.embedder.fingerprint,
        )

    @property
    def reference_warnings(self) -> list[str]:
        """What readers of the results have to know about the references, one line each; loads the corpus."""
        prompts = {name: [prompt.text for prompt in prompts] for name, prompts in self.prompts.items()}
        return list(self.retriever.warnings(prompts))

    @property
    def references_about(self) -> dict[str, JSON] | None:
        """Where references and human videos come from; None if there are none, or the corpus is not built yet."""
        if self.corpus is None or self.embedder is None or not self.retriever.ready:
            return None
        return {
            "corpus": self.corpus.label,
            "part": self.retriever.part,
            "videos": self.retriever.load().n,
            "embedder": self.embedder.label,
            "remarks": self.reference_warnings,
        }

    @cached_property
    def previews_references(self) -> bool:
        """Whether a preview can show real references: nothing is missing, and the corpus is built or tiny."""
        if self.corpus is None or self.embedder is None:
            return False
        corpus, embedder = self.corpus.resolved.component, self.embedder.resolved.component
        return bool(corpus.demo or self.retriever.ready) and not (corpus.check() or embedder.check())

    @property
    def uses_references(self) -> bool:
        """Whether any mode of the run shows references."""
        return any(task_mode.uses_references for task_mode in self.task_modes.values())

    def close(self) -> None:
        """Close the components made for the plan; the engine closes those that work."""
        for part in self.parts:
            with suppress(Exception):  # the run is over: a plugin that fails to close must not hide its results
                part.resolved.component.close()

    @property
    def notes(self) -> dict[str, str]:
        """Notes for boards about components, and about what stands behind labels that were given, by label."""
        noted: dict[str, list[str]] = {}
        named = [(part.label, part.resolved.automatic_label) for part in self.parts]
        named += [(mode.label, mode.automatic_label) for mode in self.modes]
        for label, automatic in dict.fromkeys(named):
            if automatic not in ("", label):
                noted.setdefault(label, []).append(f"a label given by hand, for {automatic}")
        for part in self.parts:
            if part.resolved.component.note:
                noted.setdefault(part.label, []).append(part.resolved.component.note)
            if not part.resolved.component.repeatable:
                noted.setdefault(part.label, []).append("not repeatable: asked again, it may answer otherwise")
        for label, why in self.leaks.items():
            noted.setdefault(label, []).append(f"the predictor {why}")
        return {label: "; ".join(notes) for label, notes in noted.items()}

    def shown(self, task_mode: TaskMode, prompt: Prompt, llm: Part | None = None, seed: int = 0) -> Shown:
        """Begin a draft, with what an LLM is shown first; without an LLM, all references count as fitting.

        `seed` is for what the mode draws by itself. Raises UsageError if the mode or its template fails on the prompt.
        """
        found, options = None, task_mode.mode.retrieval
        if task_mode.uses_references and options is not None:
            found = self.retriever.find(prompt.text, options)
        fits = _fits_any if llm is None else llm.fits
        return show(lambda references: task_mode.begin(prompt, references, seed), found, fits)

    def preview(self, task_mode: TaskMode, prompt: Prompt) -> tuple[Message, ...]:
        """Return the messages of a prompt's first call, with made-up references unless `previews_references`."""
        if not task_mode.uses_references or self.previews_references:
            return self.shown(task_mode, prompt).messages
        options = task_mode.mode.retrieval
        references = () if options is None else SPECIMENS * math.ceil(options.k / 2)
        return task_mode.begin(prompt, references).messages

    @property
    def fingerprints(self) -> dict[str, dict[str, str]]:
        """Digests of everything that a system's results depend on, by system and task: boards compare them."""
        digests = {
            system.id: {
                task.name: digest(
                    made_by(system.llm.digest, system.generator.digest, rendered=True),
                    self.of_system(task, system).fingerprint,
                )
                for task in self.tasks
            }
            for system in self.systems
        }
        if self.human is not None:
            digests[self.human.label] = {task.name: self.human.digest for task in self.tasks}
        return digests


def _fits_any(messages: Sequence[Message]) -> bool:  # noqa: ARG001 - LLM.fits has it
    return True


SPECIMENS = tuple(
    Reference(
        f"specimen-{popular}",
        "A specimen of a title as it would be",
        "A specimen of a description, which is found in the corpus",
        "A specimen of a caption",
        "Specimens",
        3,
        popular=popular,
    )
    for popular in (True, False)
)
