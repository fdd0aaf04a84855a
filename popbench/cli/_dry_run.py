"""`popbench eval --dry-run`: what a run would do, what the ledger has of it, and one rendered prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from popbench.ledger import Ledger, Stage
from popbench.plan import Part, Plan
from popbench.run import default_directory


def show_plan(plan: Plan, *, as_json: bool) -> int:
    """Print the plan; return the exit status: 2 where something is missing to carry it out."""
    path = Path(plan.config.out) if plan.config.out else default_directory(plan)
    stages = list(_stages(plan, path))
    missing = plan.missing()
    if as_json:
        plan_json = {
            "run": str(path),
            "demo": plan.demo,
            "systems": [system.id for system in plan.systems],
            "prompts": {name: len(prompts) for name, prompts in plan.prompts.items()},
            "stages": [
                {"stage": stage, "component": part.label, "items": n, "done": done} for stage, part, n, done in stages
            ],
            "disk_mb": _disk_mb(stages, path),
            "missing": missing,
        }
        click.echo(json.dumps(plan_json, ensure_ascii=False))
        return 2 if missing else 0
    _show(plan, path, stages)
    for line in missing:
        click.echo(f"popbench: {line}", err=True)
    return 2 if missing else 0


def _stages(plan: Plan, path: Path) -> Iterator[tuple[Stage, Part, int, int]]:
    """Yield (stage, component, items, items done); items of later stages suppose that all drafts are usable."""
    file = path / "ledger.sqlite"
    ledger = Ledger(file) if file.exists() else None
    per_mode = {name: len(prompts) * plan.config.repeats for name, prompts in plan.prompts.items()}

    def count(stage: Stage, part: Part, chains: Sequence[Sequence[Part]]) -> tuple[Stage, Part, int, int]:
        total = done = 0
        for task_mode in plan.task_modes.values():
            ids = {prompt.id for prompt in plan.prompts[task_mode.task.name]}
            for chain in chains:
                total += per_mode[task_mode.task.name]
                if ledger is not None:
                    found = ledger.done(task_mode.cell(stage, *chain))
                    done += sum(prompt in ids and repeat < plan.config.repeats for prompt, repeat in found)
        return stage, part, total, done

    try:
        for llm in plan.llms:
            yield count("write", llm, [[llm]])
        if plan.config.stop_after == "write":
            return
        for generator in plan.generators:
            yield count("render", generator, [[llm, generator] for llm in plan.llms])
        if plan.config.stop_after == "render":
            return
        for predictor in plan.predictors:
            yield count("score", predictor, [[llm, gen, predictor] for llm in plan.llms for gen in plan.generators])
    finally:
        if ledger is not None:
            ledger.close()


def _disk_mb(stages: Sequence[tuple[Stage, Part, int, int]], path: Path) -> float | None:
    """Estimate the clips still to come from those that are there; None where there are none."""
    sizes = [file.stat().st_size for file in (path / "videos").glob("*.mp4")]
    if not sizes:
        return None
    left = sum(n - done for stage, _, n, done in stages if stage == "render")
    return round(left * sum(sizes) / len(sizes) / 1e6, 1)


def _show(plan: Plan, path: Path, stages: Sequence[tuple[Stage, Part, int, int]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    plain: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}
    console.print(f"Run directory: {path}" + ("" if path.exists() else " (new)"), **plain)
    prompts = ", ".join(f"{name} {len(found)}" for name, found in plan.prompts.items())
    console.print(f"Prompts: {prompts}; {plan.config.repeats} sample(s) each; seed {plan.config.seed}", **plain)
    console.print(f"Systems: {len(plan.systems)}", **plain)
    for system in plan.systems:
        console.print(f"  {system.id}", **plain)
    table = Table(title="Calls at most (equal ones are made once)", title_justify="left")
    table.add_column("stage")
    table.add_column("component", overflow="fold")
    for name in ("items", "done", "to do"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage, part, n, done in stages:
        table.add_row(stage, Text(part.label), str(n), str(done), str(n - done))
    console.print(table)
    disk = _disk_mb(stages, path)
    console.print(
        "Disk for clips: " + ("known once a clip is there" if disk is None else f"about {disk:g} MB more"),
        **plain,
    )
    if plan.demo:
        console.print("Demo: the scores of this run say nothing about real popularity.", **plain)
    _show_prompt(plan, console, plain)


def _show_prompt(plan: Plan, console: Any, plain: dict[str, Any]) -> None:
    """Print the first prompt as the first LLM would get it in the last mode, the richest by custom."""
    task_mode = list(plan.task_modes.values())[len(plan.modes) - 1]
    prompt = plan.prompts[task_mode.task.name][0]
    from rich.text import Text

    console.rule(Text(f"{prompt.task}/{prompt.id} in mode {task_mode.mode.label}"))
    for message in plan.messages(task_mode, prompt):
        console.print(f"[{message['role']}]", **plain)
        console.print(message["content"], **plain)
        console.print()
