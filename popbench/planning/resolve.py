"""Making a plan of a configuration: everything is made and checked before any work starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
from popbench.prompting.mode_specs import SelectedMode, read_mode
from popbench.prompting.templates import Template
from popbench.records import JSON
from popbench.registry import load_registry
from popbench.retrieval.options import RETRIEVAL_VERSION
from popbench.specs import absolute_paths, parse_spec, path_exists
from popbench.tasks.loading import is_task_path, load_tasks
from popbench.tasks.task import Task
from popbench.text import as_seen


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
        mode=config.mode or _default_modes(tasks),
        task=tuple(map(_absolute, config.task)),
        corpus=absolute_paths(config.corpus),
    )
    template_of = cache(Template)  # for this plan only: files may change before the next one
    plan = Plan(
        config=config,
        tasks=tasks,
        prompts={task.name: task.limited(config.limit, config.share) for task in tasks},
        llms=llms,
        modes=_unique_modes([read_mode(text, tasks, template_of) for text in config.mode]),
        generators=generators,
        predictors=predictors,
        corpus=None,
        embedder=None,
        engine=engine,
    )
    modes = plan.modes
    plan.writers = [as_part(mode.registered) for mode in modes if mode.registered is not None]
    if config.baseline or any(mode.retrieval is not None for mode in modes):
        plan.corpus = as_part(registry.resolve("corpus", config.corpus, runtime))
        plan.embedder = as_part(registry.resolve("embedder", config.embedder, runtime))
    plan.task_modes = {
        (task.name, mode.label): _task_mode(plan, task, mode, template_of) for task in tasks for mode in modes
    }
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
    template = None if mode.template is None else template_of(task.template(mode.template))
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
