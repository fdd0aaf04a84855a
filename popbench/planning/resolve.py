"""Making a plan of a configuration: everything is made and checked before any work starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from popbench.errors import UsageError, unknown
from popbench.keys import digest
from popbench.planning.config import EvalConfig
from popbench.planning.human import human_part
from popbench.planning.leakage import leaks
from popbench.planning.plan import SPECIMENS, Plan
from popbench.planning.systems import Part, TaskMode, as_part
from popbench.prompting.mode_files import absolute_spec
from popbench.prompting.mode_specs import SelectedMode, read_mode
from popbench.prompting.templates import Template
from popbench.records import JSON
from popbench.registry import load_registry
from popbench.retrieval.options import RETRIEVAL_VERSION
from popbench.specs import absolute_paths, parse_spec, path_exists
from popbench.tasks.loading import is_task_path, load_tasks
from popbench.tasks.task import Task
from popbench.text import as_seen, counted

MOST_SAMPLES = 10_000_000
"""The most samples of a run, whose board no machine would make; more are a mistake in a number."""


def make_plan(config: EvalConfig, tasks: list[Task] | None = None) -> Plan:
    """Make a plan of a configuration. Raises UsageError for the first thing in it that is not available.

    `tasks` are used instead of those that the configuration names.
    """
    registry = load_registry()
    runtime = {"concurrency": config.concurrency} if config.concurrency is not None else {}

    recorded: dict[str, tuple[str, ...]] = {}

    def parts(kind: str, specs: Sequence[str]) -> list[Part]:
        made = [as_part(registry.resolve(kind, spec, runtime)) for spec in specs]
        recorded[kind] = tuple(part.resolved.spec.text for part in made)
        by_label: dict[str, Part] = {}
        for part in made:
            other = by_label.setdefault(as_seen(part.label), part)
            if other.digest != part.digest:
                named = re.sub(r",\s*label=[^,]*", "", part.resolved.spec.text)
                raise UsageError(
                    f"two {kind}s are labelled {part.label!r}: give one another name, as in {named},label=NAME"
                )
        return list(by_label.values())

    # Components come first, so that a wrong name is told before any data is loaded.
    llms, generators = parts("llm", config.llm), parts("generator", config.gen)
    predictors, engine = parts("predictor", config.predictor), registry.resolve("engine", config.engine, runtime)
    tasks = load_tasks(config.task) if tasks is None else tasks
    tasks = sorted(tasks, key=lambda task: task.name)  # the order in which they were named must not change results
    config = replace(
        config,
        llm=recorded["llm"],
        gen=recorded["generator"],
        predictor=recorded["predictor"],
        mode=tuple(
            spec if any(parse_spec(spec)[0] in task.file.templates for task in tasks) else absolute_spec(spec)
            for spec in config.mode or _default_modes(tasks)
        ),
        task=tuple(map(_absolute, config.task)),
        corpus=absolute_paths(config.corpus),
    )
    template_of = cache(Template)  # for this plan only: files may change before the next one
    plan = Plan(
        config=config,
        tasks=tasks,
        prompts={task.name: task.limited(config.limit, config.share) for task in tasks},
        llms=llms,
        modes=_read_modes(config.mode, tasks, template_of),
        generators=generators,
        predictors=predictors,
        corpus=None,
        embedder=None,
        engine=engine,
    )
    if config.baseline or any(mode.retrieval is not None for mode in plan.modes):
        plan.corpus = as_part(registry.resolve("corpus", config.corpus, runtime))
        plan.embedder = as_part(registry.resolve("embedder", config.embedder, runtime))
    _take_modes(plan, template_of)
    _check_size(plan)
    if plan.corpus is not None and plan.embedder is not None:
        plan.human = human_part(plan.corpus, plan.embedder) if config.baseline else None
        plan.leaks = leaks(plan.corpus, plan.predictors)
    if config.reference is not None:
        systems = [system.id for system in plan.systems] + ([plan.human.label] if plan.human else [])
        if config.reference not in systems:
            raise unknown("reference", config.reference, systems, "in --reference: name one of the run's systems")
    _check_comparers(plan)
    if plan.leaks and not config.allow_leakage:
        label, why = next(iter(plan.leaks.items()))
        raise UsageError(
            f"predictor {label} {why}: choose another part of the corpus (part=test), or give --allow-leakage to go on "
            "and have every board say so"
        )
    return plan


def with_modes(plan: Plan, specs: Sequence[str], llms: Sequence[Part], written: Collection[tuple[str, str]]) -> Plan:
    """Return a plan with other modes and LLMs, and otherwise the same components, which are not made again.

    `written` has the LLMs and modes, by their labels, that make systems. Raises UsageError for a mode that is not
    possible; one that shows references is, where the plan has a corpus.
    """
    template_of = cache(Template)
    other = replace(
        plan,
        config=replace(plan.config, mode=tuple(specs), llm=tuple(llm.resolved.spec.text for llm in llms)),
        modes=_read_modes(specs, plan.tasks, template_of),
        llms=list(llms),
        written=written,
    )
    if plan.corpus is not None and plan.embedder is not None:
        other.__dict__["retriever"] = plan.retriever  # a corpus is loaded once
    elif any(mode.retrieval is not None for mode in other.modes):
        raise UsageError("a mode shows references, and the plan has no corpus")
    _take_modes(other, template_of)
    return other


def _read_modes(
    specs: Sequence[str], tasks: Sequence[Task], template_of: Callable[[Path], Template]
) -> list[SelectedMode]:
    return _unique_modes([read_mode(text, tasks, template_of) for text in specs])


def _take_modes(plan: Plan, template_of: Callable[[Path], Template]) -> None:
    """Add what follows from the modes of a plan: the components that write in them, and the modes on each task."""
    plan.writers = [as_part(mode.registered) for mode in plan.modes if mode.registered is not None]
    plan.task_modes = {
        (task.name, mode.label): _task_mode(plan, task, mode, template_of) for task in plan.tasks for mode in plan.modes
    }


def _check_size(plan: Plan) -> None:
    """Raise UsageError if a plan has more samples than a run can have."""
    prompts = sum(map(len, plan.prompts.values()))
    repeats = max(plan.config.repeats, plan.config.luck_repeats)
    if len(plan.systems) * prompts * repeats > MOST_SAMPLES:
        raise UsageError(
            f"{counted(len(plan.systems), 'system')} with {counted(repeats, 'sample')} for each of "
            f"{counted(prompts, 'prompt')} are more than the {MOST_SAMPLES:,} samples that a run can have: give fewer "
            "--repeats, or a --limit"
        )


def _check_comparers(plan: Plan) -> None:
    """Raise UsageError if a predictor that compares pairs has no pairs, or not the same ones in every round."""
    for part in plan.comparers if "score" in plan.stages else ():
        if len(plan.systems) + (plan.human is not None) < 2:
            raise UsageError(f"{part.name} compares systems, and there is one: name another --llm, --gen or --mode")
        if plan.config.until is not None:
            raise UsageError(
                f"{part.name} compares all systems of a run, and --until drops some on the way: leave out --until, or "
                "name a predictor that scores clips one by one"
            )


def _default_modes(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return `basic` and `pe`, as far as all tasks have them; if neither, all modes that the tasks have in common."""
    common = [mode for mode in tasks[0].file.templates if all(mode in task.file.templates for task in tasks)]
    if not common:
        raise UsageError("the tasks have no mode in common: run them one by one")
    return tuple(mode for mode in ("basic", "pe") if mode in common) or tuple(common)


def _absolute(spec: str) -> str:
    """Make a task's paths absolute, so that the recorded run can be repeated from another folder."""
    if path_exists(spec):
        return str(Path(spec).absolute()) if is_task_path(spec) else spec
    name, _ = parse_spec(spec)
    return absolute_paths(spec, str(Path(name).absolute()) if is_task_path(name) and path_exists(name) else name)


def _unique_modes(modes: Sequence[SelectedMode]) -> list[SelectedMode]:
    by_label: dict[str, SelectedMode] = {}
    for mode in modes:
        other = by_label.setdefault(as_seen(mode.label), mode)
        if (other.name, other.options) != (mode.name, mode.options):
            raise UsageError(f"two modes are labelled {mode.label!r}: give one another name with label=NAME")
    return list(by_label.values())


def _task_mode(plan: Plan, task: Task, mode: SelectedMode, template_of: Callable[[Path], Template]) -> TaskMode:
    file = mode.template_file(task)
    template = None if file is None else template_of(file)
    made_of: list[JSON] = [None if template is None else template.fingerprint]
    options = {} if template is None else mode.options_of(template).determining()
    if options:
        made_of.append({"options": options})
    if mode.registered is not None:
        made_of.insert(0, as_part(mode.registered).digest)
    task_mode = TaskMode(task, mode.label, "", mode, template, options)
    if task_mode.uses_references:
        assert mode.retrieval is not None
        assert plan.corpus is not None
        assert plan.embedder is not None
        made_of += [mode.retrieval.determining(), plan.corpus.digest, plan.embedder.digest, RETRIEVAL_VERSION]
    # What fails on every prompt is found now: a draft of one is begun, with specimens as references.
    task_mode.begin(task.prompts[0], SPECIMENS).close()
    shown = () if template is None else template.render(task.prompts[0], task.file.draft, SPECIMENS, options)
    examples = () if template is None else template.examples(shown)
    return replace(task_mode, fingerprint=digest("mode", *made_of), examples=examples)
