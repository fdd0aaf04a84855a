"""`popbench eval --dry-run`: shows the work of a run, how much the ledger has of it, and one rendered prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from popbench.evaluation.rehearsal import rehearsed
from popbench.evaluation.repeated import repeated_plan
from popbench.evaluation.rounds import Rounds
from popbench.leaderboard.shown import percent
from popbench.pipeline.other_runs import OtherRuns
from popbench.planning.pairs import opponents_of_each
from popbench.planning.plan import Plan
from popbench.power.study import decided_from
from popbench.progress.console import make_console, tell
from popbench.runs.cost_estimate import CHARS_PER_TOKEN, OUTPUT_TOKENS, estimate
from popbench.runs.costs import MADE, named
from popbench.runs.directory import run_path
from popbench.runs.preflight import ComponentWork, count_work, missing
from popbench.runs.submitted import submitted_before
from popbench.runs.upgrades import upgrades
from popbench.text import counted, dollars, tokens


def show_plan(plan: Plan, *, as_json: bool) -> int:
    """Print the plan; return the exit status, 2 if something is missing to carry it out."""
    path = run_path(plan)
    if plan.config.until is not None:
        Rounds(plan, path).look_ahead(path)
    if not plan.config.reuse:
        return _show_or_dump(plan, path, path, [], as_json=as_json)
    with closing(OtherRuns(plan.config.reuse, path)) as others, rehearsed(plan, path, others) as copy:
        return _show_or_dump(plan, path, copy, [*others.told(plan.config.seed)], as_json=as_json)


def _show_or_dump(plan: Plan, run: Path, path: Path, reused: Sequence[str], *, as_json: bool) -> int:
    """Print the plan of a run; `path` is its directory, or a copy with what is `reused`."""
    work = count_work(plan, path, exact=True)
    lacks = missing(plan, work)
    jobs = submitted_before(path)
    if as_json:
        plan_json = {
            "run": str(run),
            "shard": plan.config.shard,
            "demo": plan.demo,
            "systems": [system.id for system in plan.systems],
            "prompts": {name: len(prompts) for name, prompts in plan.prompts.items()},
            "stages": [
                {
                    "stage": item.stage,
                    "component": item.part.label,
                    "items": item.items,
                    "done": item.done,
                    **({"submitted": jobs[item.part.digest]} if item.part.digest in jobs else {}),
                }
                for item in work
            ],
            "disk_mb": _disk_mb(work, path),
            "turns": {mode.label: mode.writer.turns for mode in plan.modes},
            "costs": estimate(plan, path, work),
            "made_again": upgrades(plan, path),
            "reused": reused,
            "corpus_ready": None if plan.corpus is None else plan.retriever.ready,
            "missing": lacks,
        }
        click.echo(json.dumps(plan_json, ensure_ascii=False))
        return 2 if lacks else 0
    _show(plan, run, path, work, reused, jobs)
    for line in lacks:
        tell(f"popbench: {line}", err=True)
    return 2 if lacks else 0


def _disk_mb(work: Sequence[ComponentWork], path: Path) -> float | None:
    """Estimate the size of the clips still to render from that of existing ones; None if there are none."""
    sizes = [file.stat().st_size for file in (path / "videos").glob("*.mp4")]
    if not sizes:
        return None
    left = sum(item.left for item in work if item.stage == "render")
    return round(left * sum(sizes) / len(sizes) / 1e6, 1)


def _show(
    plan: Plan, run: Path, path: Path, work: Sequence[ComponentWork], reused: Sequence[str], jobs: Mapping[str, int]
) -> None:
    from rich.table import Table
    from rich.text import Text

    console = make_console()
    plain: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}
    console.print(f"Run directory: {run}" + ("" if run.exists() else " (new)"), **plain)
    if plan.config.shard is not None:
        console.print(f"Shard: {plan.config.shard}; popbench merge joins the shards", **plain)
    prompts = ", ".join(f"{name} {len(found)}" for name, found in plan.prompts.items())
    console.print(
        f"Prompts: {prompts}; {counted(plan.config.repeats, 'sample')} each; seed {plan.config.seed}", **plain
    )
    if (repeated := repeated_plan(plan)) is not None:
        some = sum(map(len, repeated.prompts.values()))
        told = f"{counted(some, 'prompt')} of them have {repeated.config.repeats} samples, to tell how much is luck"
        console.print(f"{told}; the work below is without those", **plain)
    console.print(f"Systems: {len(plan.systems)}", **plain)
    for system in plan.systems:
        console.print(f"  {system.id}", **plain)
    for line in reused:
        console.print(line, **plain)
    if plan.config.until is not None and plan.rounds is not None:
        looks = ", ".join(map(str, plan.rounds["design"]["looks"]))
        told = f"prompts in rounds, with looks at {looks} prompts; the work below is that of all rounds"
        console.print(f"Until {plan.config.until}: {told}", **plain)
    table = Table(title="Work at most (equal calls are made once)", title_justify="left")
    table.add_column("stage")
    table.add_column("component", overflow="fold")
    for name in ("items", "done", "to do"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in work:
        table.add_row(item.stage, Text(item.part.label), *map(str, (item.items, item.done, item.left)))
    console.print(table)
    for item in work:
        if count := jobs.get(item.part.digest):
            console.print(f"{item.part.label}: {counted(count, 'job')} submitted before, and only waited for", **plain)
    for line in _pairs(plan) if "score" in {item.stage for item in work} else ():
        console.print(line, **plain)
    for mode in plan.modes:
        if mode.writer.turns > 1:
            console.print(f"Mode {mode.label}: about {mode.writer.turns} calls of the LLM a draft", **plain)
    stages = {item.stage for item in work}
    if "render" in stages:
        disk = _disk_mb(work, path)
        console.print(
            "Disk for clips: " + ("known once a clip is there" if disk is None else f"about {disk:g} MB more"),
            **plain,
        )
    for row in estimate(plan, path, work):
        console.print(_cost(row, [part.label for part in plan.comparers]), **plain)
    if "score" in stages and plan.config.until is None:
        for line in _found(plan):
            console.print(line, **plain)
    for line in upgrades(plan, path):
        console.print(line, style="yellow", **plain)
    if plan.corpus is not None and plan.embedder is not None and not plan.retriever.ready:
        console.print(f"Corpus {plan.corpus.label} is embedded first, with {plan.embedder.label}", **plain)
    if plan.demo and "score" in stages:
        console.print("Demo: the scores of this run say nothing about real popularity.", **plain)
    _show_prompt(plan, console, plain)


def _pairs(plan: Plan) -> Iterator[str]:
    """Yield how many calls comparisons of pairs take."""
    n = len(plan.systems) + (plan.human is not None)
    for part in plan.comparers:
        met = opponents_of_each(n, part.resolved.component.opponents)
        others = "every other" if met == n - 1 else f"{met} others, drawn anew on each prompt"
        yield (
            f"{part.label}: each of {n} systems is compared with {others}, both ways round: "
            f"{n} x {met} = {counted(n * met, 'call')} for a prompt and sample"
        )


def _found(plan: Plan) -> Iterator[str]:
    """Yield, for each table, the win rates that the run decides with a power of 80 %."""
    for name, n, n_pairs, rate in decided_from(plan):
        yield (
            f"Table {name}: {counted(n, 'prompt')} decide win rates of {percent(rate)} % or more in 4 of 5 runs "
            f"({counted(n_pairs, 'pair')} together); popbench plan says what other sizes find"
        )


def _cost(row: Mapping[str, Any], comparers: Sequence[str]) -> str:
    kind, label = named(row)
    made = MADE[kind]
    what = "comparison" if kind == "predictor" and label in comparers else made
    who, number = f"{what.capitalize()}s by {label}", counted(row[f"{made}s"], what)
    if row["cost"] is None:
        return f"{who}: unknown cost for {number}"
    if not row.get("usage"):
        basis = "from finished calls" if row["measured"] else f"by the {kind}'s own estimate"
        return f"{who}: about {dollars(row['cost'])} more for {number} ({basis})"
    basis = (
        "from finished calls"
        if row["measured"]
        else f"guessed until drafts of every mode are finished: {CHARS_PER_TOKEN} characters a token, "
        f"{OUTPUT_TOKENS[False]} to {OUTPUT_TOKENS[True]} output tokens an answer; models that think write far more"
    )
    return f"{who}: about {dollars(row['cost'])} more for {number}, {tokens(row['usage'])} ({basis})"


def _show_prompt(plan: Plan, console: Any, plain: dict[str, Any]) -> None:
    """Print the first prompt as the first LLM gets it first in the last mode, which is usually one with references."""
    task_mode = list(plan.task_modes.values())[len(plan.modes) - 1]
    prompt = next(iter(plan.prompts[task_mode.task.name]), task_mode.task.prompts[0])  # a shard may have none
    from rich.text import Text

    console.rule(Text(f"{prompt.task}/{prompt.id} in mode {task_mode.mode.label}"))
    if task_mode.uses_references and not plan.previews_references:
        console.print("Its references are specimens: real ones are found once the corpus is embedded.", **plain)
    for message in plan.preview(task_mode, prompt):
        console.print(f"[{message['role']}]", **plain)
        console.print(message["content"], **plain)
        console.print()
