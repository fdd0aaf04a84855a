"""From a configuration to a plan: every component, task, template and system of a run, checked before any work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from popbench.drafts import VERSION as DRAFTS_VERSION
from popbench.errors import RunError, UsageError, one_line
from popbench.keys import digest
from popbench.ledger import Cell
from popbench.prompting import Mode, RetrievalOptions, Template, read_mode
from popbench.records import JSON, Draft, Message, Prompt, Reference
from popbench.registry import Resolved, load_registry
from popbench.retrieval import Retriever
from popbench.settings import EvalConfig
from popbench.specs import parse_spec
from popbench.tasks import Task, is_task_path, load_tasks, path_exists
from popbench.video import ENCODER


@dataclass(frozen=True, slots=True)
class Part:
    """A component of the run with the digest of its fingerprint."""

    resolved: Resolved
    fingerprint: Mapping[str, JSON]
    digest: str

    @property
    def label(self) -> str:
        """Its name on boards."""
        return self.resolved.spec.label

    def cost(self, usage: Mapping[str, int]) -> float | None:
        """Say what a call of an LLM with this usage costs in USD, where it knows; raises RunError if it fails."""
        try:
            found: float | None = self.resolved.component.cost(usage)
        except Exception as error:  # a plugin's code may raise anything
            raise RunError(f"llm {self.label}: cost of {dict(usage)}: {one_line(error)}") from error
        return found


@dataclass(frozen=True, slots=True)
class System:
    """What is compared: an LLM, a mode and a generator."""

    llm: Part
    mode: Mode
    generator: Part

    @property
    def id(self) -> str:
        """The labels joined: `llm|mode|generator`."""
        return f"{self.llm.label}|{self.mode.label}|{self.generator.label}"


def made_by(*parts: Part, rendered: bool) -> str:
    """Digest components with what the harness adds to them: how it reads drafts and, from there, encodes clips."""
    harness = {"drafts": DRAFTS_VERSION, "encoder": dict(ENCODER) if rendered else None}
    return digest(harness, *(part.digest for part in parts))


@dataclass(frozen=True)
class TaskMode:
    """One mode on one task: its template, what it is made of, and the examples its messages show."""

    task: Task
    mode: Mode
    template: Template
    fingerprint: str
    examples: tuple[Draft, ...]

    def cell(self, stage: Literal["write", "render", "score"], *parts: Part) -> Cell:
        """Name the ledger's cell of a stage of the components so far, and of what the harness does between them."""
        return Cell(made_by(*parts, rendered=stage != "write"), self.task.hash, self.fingerprint, stage)


@dataclass
class Plan:
    """Everything a run needs, made and checked; nothing is loaded yet that costs memory or time."""

    config: EvalConfig
    tasks: list[Task]
    prompts: Mapping[str, Sequence[Prompt]]
    llms: list[Part]
    modes: list[Mode]
    generators: list[Part]
    predictors: list[Part]
    corpus: Part | None
    embedder: Part | None
    engine: Resolved
    task_modes: Mapping[tuple[str, str], TaskMode] = field(default_factory=dict)

    @property
    def systems(self) -> list[System]:
        """All systems, in the order of their ids."""
        systems = [
            System(llm, mode, generator) for llm in self.llms for mode in self.modes for generator in self.generators
        ]
        return sorted(systems, key=lambda system: system.id)

    def of_system(self, task: Task, system: System) -> TaskMode:
        """Return the mode of a system on a task."""
        return self.task_modes[task.name, system.mode.label]

    @property
    def parts(self) -> Iterator[Part]:
        """Every component that a system or a score depends on."""
        yield from (*self.llms, *self.generators, *self.predictors)
        yield from (part for part in (self.corpus, self.embedder) if part is not None)

    @property
    def demo(self) -> bool:
        """Say whether a demonstration component takes part, so that no result is to be believed."""
        return any(part.resolved.component.demo for part in (*self.predictors, *([self.corpus] if self.corpus else [])))

    @cached_property
    def retriever(self) -> Retriever:
        """Where references come from."""
        assert self.corpus is not None
        assert self.embedder is not None
        return Retriever(self.corpus.resolved.component, self.embedder.resolved.component)

    def load_references(self) -> None:
        """Load and embed the corpus if a mode needs it; raises UsageError where that fails."""
        if any(task_mode.template.uses_references for task_mode in self.task_modes.values()):
            self.retriever.load()

    def close(self) -> None:
        """Close the components that were made for the plan itself; those that work are the engine's."""
        for part in self.parts:
            with suppress(Exception):  # nothing depends on them any more
                part.resolved.component.close()

    @property
    def notes(self) -> dict[str, str]:
        """What boards have to say of components, by label."""
        return {part.label: part.resolved.component.note for part in self.parts if part.resolved.component.note}

    def references(self, task_mode: TaskMode, prompt: Prompt) -> tuple[Reference, ...]:
        """Return what a prompt is shown in a mode: nothing where the template uses no references."""
        options = task_mode.mode.options
        if not task_mode.template.uses_references or not isinstance(options, RetrievalOptions):
            return ()
        return tuple(self.retriever.references(prompt.text, options))

    def messages(self, task_mode: TaskMode, prompt: Prompt) -> tuple[Message, ...]:
        """Render the messages an LLM gets for a prompt in a mode."""
        rules = task_mode.task.file.draft
        return task_mode.template.render(prompt, rules, self.references(task_mode, prompt))

    def system_fingerprint(self, system: System) -> dict[str, JSON]:
        """Return what a system's results depend on, for each task: what boards compare."""
        return {
            task.name: digest(
                made_by(system.llm, system.generator, rendered=True), self.of_system(task, system).fingerprint
            )
            for task in self.tasks
        }


def make_plan(config: EvalConfig, tasks: list[Task] | None = None) -> Plan:
    """Resolve a configuration; raises UsageError for the first thing in it that cannot be had.

    `tasks` are taken instead of loading those of the configuration.
    """
    registry = load_registry()
    runtime = {"concurrency": config.concurrency} if config.concurrency is not None else {}

    def parts(kind: str, specs: Sequence[str]) -> list[Part]:
        found = [_part(registry.resolve(kind, spec, runtime)) for spec in specs]
        by_label: dict[str, Part] = {}
        for part in found:
            other = by_label.setdefault(part.label, part)
            if other.digest != part.digest:
                named = re.sub(r",\s*label=[^,]*", "", part.resolved.spec.text)
                raise UsageError(
                    f"two {kind}s are labelled {part.label!r}: give one another name, as in {named},label=NAME"
                )
        return list(by_label.values())

    # Components come first: a wrong name is told before any data is loaded.
    llms, generators = parts("llm", config.llm), parts("generator", config.gen)
    predictors, engine = parts("predictor", config.predictor), registry.resolve("engine", config.engine, runtime)
    tasks = load_tasks(config.task) if tasks is None else tasks
    tasks = sorted(tasks, key=lambda task: task.name)  # in whatever order they were named
    config = replace(config, mode=config.mode or _default_modes(tasks), task=tuple(map(_absolute, config.task)))
    plan = Plan(
        config=config,
        tasks=tasks,
        prompts={task.name: task.limited(config.limit) for task in tasks},
        llms=llms,
        modes=_unique_modes([read_mode(text, tasks) for text in config.mode]),
        generators=generators,
        predictors=predictors,
        corpus=None,
        embedder=None,
        engine=engine,
    )
    modes = plan.modes
    templates = {(task.name, mode.label): Template(task.template(mode.name)) for task in tasks for mode in modes}
    if any(template.uses_references for template in templates.values()):
        plan.corpus = _part(registry.resolve("corpus", config.corpus, runtime))
        plan.embedder = _part(registry.resolve("embedder", config.embedder, runtime))
    plan.task_modes = {
        (task.name, mode.label): _task_mode(plan, task, mode, templates[task.name, mode.label])
        for task in tasks
        for mode in modes
    }
    return plan


def _default_modes(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Choose basic and pe where all tasks have them, otherwise whatever they have in common."""
    common = [mode for mode in tasks[0].file.templates if all(mode in task.file.templates for task in tasks)]
    if not common:
        raise UsageError("the tasks have no mode in common: run them one by one")
    return tuple(mode for mode in ("basic", "pe") if mode in common) or tuple(common)


def _absolute(spec: str) -> str:
    """Write a task's paths out in full, so that the recorded run can be repeated from elsewhere."""
    if path_exists(spec):
        return str(Path(spec).absolute()) if is_task_path(spec) else spec
    name, options = parse_spec(spec)
    if is_task_path(name) and path_exists(name):
        name = str(Path(name).absolute())
    if options and ("," in name or "=" in name):
        name = json.dumps(name, ensure_ascii=False)
    for key, value in options.items():
        whole = str(Path(value).absolute()) if path_exists(value) else str(value)
        name += f",{key}={json.dumps(whole, ensure_ascii=False)}"
    return name


def _part(resolved: Resolved) -> Part:
    try:
        fingerprint = dict(resolved.component.fingerprint())
        return Part(resolved, fingerprint, digest(fingerprint))
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{resolved.spec.kind} {resolved.spec.label}: no fingerprint ({one_line(error)})") from error


def _unique_modes(modes: Sequence[Mode]) -> list[Mode]:
    by_label: dict[str, Mode] = {}
    for mode in modes:
        other = by_label.setdefault(mode.label, mode)
        if (other.name, other.options) != (mode.name, mode.options):
            raise UsageError(f"two modes are labelled {mode.label!r}: give one another name with label=NAME")
    return list(by_label.values())


_SPECIMENS = tuple(
    Reference(f"specimen-{popular}", "A title", "a description", "a caption", "a tag", 3, popular=popular)
    for popular in (True, False)
)


def _task_mode(plan: Plan, task: Task, mode: Mode, template: Template) -> TaskMode:
    made_of: list[JSON] = [template.fingerprint]
    if template.uses_references:
        assert isinstance(mode.options, RetrievalOptions)
        assert plan.corpus is not None
        assert plan.embedder is not None
        made_of += [mode.options.determining(), plan.corpus.digest, plan.embedder.digest]
    # One prompt with specimens for references: a template that cannot be rendered is found before any work.
    messages = template.render(task.prompts[0], task.file.draft, _SPECIMENS)
    return TaskMode(task, mode, template, digest("mode", *made_of), template.examples(messages))
