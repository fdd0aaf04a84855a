"""`popbench optimize`: searches for a better prompt, and proves that it is one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from popbench.cli import _shared_options as shared
from popbench.cli._shared_options import component

if TYPE_CHECKING:
    from popbench.optimize.options import Options
    from popbench.planning.plan import Plan


@click.command("optimize")
@component("--llm", "llm", "Language model that writes the drafts.  [default: shotlist]")
@component("--gen", "generator", "Video generator.  [default: kinetic]")
@component("--predictor", "predictor", "P, the predictor that the search goes by.  [default: demo]")
@component(
    "--judge",
    "predictor",
    "Q, a predictor that the search never sees and the proof asks; repeat for several.",
    multiple=True,
)
@component("--task", "task", "Task, group, YAML file or folder.  [default: popcorn]", multiple=True)
@component(
    "--from",
    "mode",
    "Mode that the search starts from: basic, pe with k= and others, one of the task, FILE.j2 or best-of-DIR.",
    "start",
    default="basic",
    show_default=True,
)
@component("--reflect", "llm", "Language model that sees what won and lost, and writes changes.")
@click.option(
    "--budget",
    metavar="WHAT=N",
    required=True,
    help="What search and proof may take in all: clips=400, usd=20 or gpu-hours=8.",
)
@click.option(
    "--vary",
    type=click.Choice(["options", "sentences", "llm"]),
    multiple=True,
    help="What popbench changes by itself; repeat for several.  [default: all three]",
)
@component("--corpus", "corpus", "Where references come from, for modes with references.")
@component("--embedder", "embedder", "What finds references.")
@click.option("--allow-leakage", is_flag=True, default=None, help="As of popbench eval.")
@shared.seed
@shared.engine
@shared.concurrency
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    required=True,
    help="Directory of the search; the same command goes on there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print optimize.json instead of tables.")
def command(as_json: bool, **given: Any) -> int:
    """Search for a better prompt, and prove on prompts that the search never saw that it is one.

    Prompts are split into three: the search tries changes of a mode on the first, the selection chooses among the best
    on the second, and on the third the chosen one meets the start, once, judged by P and by every Q.

    \b
    Examples:
      popbench optimize --budget clips=400 --out runs/better
      popbench optimize --llm deepseek-r1 --gen ltx --from pe --judge mmra --reflect gpt-4o --budget usd=50 --out o
      popbench eval --llm deepseek-r1 --gen ltx --mode basic --mode best-of-runs/better
    """
    from popbench.cli._optimized import show
    from popbench.cli._results import interruptible
    from popbench.optimize.optimize import optimize
    from popbench.optimize.page import write_page
    from popbench.progress.console import tell

    options = _options(**given)
    content = interruptible(lambda progress: optimize(options, progress))
    if content is None:
        return 130
    page = write_page(options.out)
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False))
    else:
        show(content, options.out)
        tell(f"Page: {page}")
    return 0


def planned(**given: Any) -> Plan:
    """Return the plan of all components of an optimize command with these options."""
    from popbench.optimize.options import plan_of

    return plan_of(_options(**given))


def _options(
    start: str,
    judge: tuple[str, ...],
    reflect: str | None,
    budget: str,
    vary: tuple[str, ...],
    out: str,
    llm: str | None,
    **given: Any,
) -> Options:
    from popbench.optimize.options import read_options
    from popbench.planning.config import DEFAULT_LLM, DEFAULT_LLMS, resolve_config

    given["llm"] = llm
    for name in ("llm", "gen", "predictor"):
        given[name] = () if given[name] is None else (given[name],)
    config = resolve_config({**given, "mode": (start,)})
    if config.llm == DEFAULT_LLMS and llm is None:
        config = replace(config, llm=(DEFAULT_LLM,))
    return read_options(config, out, budget, judge, reflect, vary)
