"""The checks on the command line: `python -m popbench.testing KIND SPEC...`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from popbench.errors import UsageError
from popbench.testing import CHECKS, ConformanceError, Report, sample_chats, sample_video_requests

_ALWAYS_REPEATABLE = ("embedder", "corpus", "mode", "tracker")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("kind", type=click.Choice(list(CHECKS)))
@click.argument("specs", nargs=-1, required=True, metavar="NAME[,KEY=VALUE]...")
@click.option("--not-repeatable", is_flag=True, help="Answers may differ from call to call: note it, do not object.")
@click.option(
    "--requests",
    type=click.IntRange(min=2),
    metavar="N",
    help="Ask only the first N sample requests, of five or so: for paid models.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of text.")
def command(kind: str, specs: tuple[str, ...], not_repeatable: bool, requests: int | None, as_json: bool) -> None:
    """Check components against the rules that popbench relies on.

    Exit status: 0 all rules are kept; 1 a rule is broken; 2 a component cannot be had or cannot run here.

    \b
    Example:
      python -m popbench.testing llm haiku,temperature=0.2
    """
    extra: dict[str, Any] = {}
    if not_repeatable:
        if kind in _ALWAYS_REPEATABLE:
            raise click.UsageError(f"--not-repeatable: a {kind} is always repeatable")
        extra["repeatable"] = False
    if requests is not None:
        if kind in _ALWAYS_REPEATABLE:
            raise click.UsageError("--requests: is for models: llm, generator, predictor")
        extra |= _fewer(kind, requests)
    status = 0
    for spec in specs:
        try:
            report: Report = CHECKS[kind](spec, **extra)
        except ConformanceError as error:
            report, status = error.report, max(status, 1)
        except UsageError as error:
            click.echo(f"popbench.testing: {error}", err=True)
            status = 2
            continue
        click.echo(_as_json(report) if as_json else str(report))
    sys.exit(status)


def _fewer(kind: str, count: int) -> dict[str, Any]:
    """Return the arguments with which a check asks only the first `count` of its sample requests."""
    if kind == "predictor":
        return {"count": count}
    return {"requests": (sample_chats() if kind == "llm" else sample_video_requests())[:count]}


def _as_json(report: Report) -> str:
    breaches = [{"rule": item.rule, "item": item.item, "seen": item.seen} for item in report.breaches]
    content = {
        "kind": report.kind,
        "name": report.name,
        "ok": report.ok,
        "rules": list(report.rules),
        "breaches": breaches,
        "notes": list(report.notes),
        "seconds": report.seconds,
    }
    return json.dumps(content, ensure_ascii=False)


if __name__ == "__main__":
    command(prog_name="python -m popbench.testing")
