"""Prints the results of a run at the end of a command."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click

from popbench.errors import PopbenchError
from popbench.progress import Progress
from popbench.progress.console import make_console, tell
from popbench.progress.live import make_progress
from popbench.progress.stages import hours
from popbench.report.write import write_report
from popbench.runs.costs import sentences
from popbench.runs.run import Run
from popbench.runs.status_reading import gpu_seconds
from popbench.scores.answers import unusable_lines
from popbench.text import counted

T = TypeVar("T")

REASONS = 3
"""The most reasons for invalid samples that are printed, and systems with unusable answers where there is no board."""


def interruptible(work: Callable[[Progress], T]) -> T | None:
    """Run work and show its progress; None if it was interrupted, after printing the command that resumes it."""
    progress = make_progress()
    try:
        return work(progress)
    except KeyboardInterrupt:
        progress.close()
        spent = f" ({progress.spent})" if progress.spent else ""
        tell(f"popbench: interrupted; finished work is kept{spent}. To go on: {again()}", err=True)
        return None


def again() -> str:
    """Return the command line as the user gave it."""
    return shlex.join(["popbench", *sys.argv[1:]])


def show(run: Run, *, as_json: bool, corpus: str | None = None) -> bool:
    """Write a run's page, and print its board and the places of its files, or a summary in JSON.

    The page has the texts of references from `corpus`, a spec; without one from the run's own where a plugin brings
    it. Returns False where the page cannot be written, after telling why.
    """
    page, lacks = None, ""
    if run.results is not None:
        try:
            page = write_report(run.path, corpus=corpus, tell=lambda line: tell(f"popbench: {line}", err=True))
        except PopbenchError as error:
            lacks = str(error)
    if as_json:
        summary = {
            "run": str(run.path),
            **({"page": str(page)} if page else {}),
            "demo": run.demo,
            "complete": run.complete,
            "samples": run.n,
            "invalid": run.invalid,
            "errors": run.errors,
            "problems": list(run.problems),
            **({"over_budget": run.over_budget} if run.over_budget else {}),
            "costs": list(run.costs),
            "gpu_seconds": gpu_seconds(run.path),
            **({"remarks": list(run.remarks)} if run.remarks else {}),
            **({"unusable": dict(run.unusable)} if run.unusable else {}),
            "results": run.results,
        }
        click.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _show(run, page)
    if run.removed:
        files = " and ".join(run.removed)
        line = f"removed {files}: the samples now end before their scores; run without --stop-after to write them again"
        tell(f"popbench: {line}", err=True)
    if lacks:
        tell(f"popbench: all is finished but the page: {lacks}", err=True)
    return not lacks


def _show(run: Run, page: Path | None) -> None:
    console = make_console()
    if run.results is not None:
        from popbench.leaderboard.terminal import show

        show(run.results, console)
    else:
        for line in (*unusable_lines(run.unusable, REASONS), *run.remarks):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in sentences(run.costs):
        console.print(line[0].upper() + line[1:], markup=False, highlight=False, soft_wrap=True)
    seconds = gpu_seconds(run.path)
    took = f"; {hours(seconds)} GPU-hours" if seconds else ""
    files = list(_files(run))
    line = f"{counted(run.n, 'sample')} in {run.path}: {', '.join(files)}{took}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    if page is not None:
        live = shlex.join(["popbench", "view", str(run.path)])
        line = f"Open {page} to see the board and the clips, or run: {live}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if run.invalid:
        style = "bold red" if run.invalid == run.n else "yellow"
        console.print(_invalid(run), style=style, markup=False, highlight=False, soft_wrap=True)


def _files(run: Run) -> Iterator[str]:
    for name in ("leaderboard.md", "results.json", "samples.jsonl"):
        if (run.path / name).exists():
            yield name
    if any((run.path / "videos").iterdir()):
        yield "videos"
    if run.logged:
        yield "errors.log"


def _invalid(run: Run) -> str:
    """Return how many samples are invalid, with the most common reasons."""
    shown = [f"{reason} ({count})" for reason, count in run.reasons[:REASONS]]
    others = run.invalid - sum(count for _, count in run.reasons[:REASONS])
    if others:
        shown.append(f"{counted(len(run.reasons) - REASONS, 'other reason')} ({others})")
    one = run.invalid == 1
    verb = "is invalid and scores 0" if one else "are invalid and score 0"
    if run.results is not None and run.results["predictors"][0].get("scale") == "real":
        verb = "is invalid and ranks last" if one else "are invalid and rank last"
    return f"{run.invalid} of {counted(run.n, 'sample')} {verb}: {'; '.join(shown)}"
