"""`popbench optimize`: searches for a better prompt, and proves that it is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from popbench.cli.eval import SPEC


@click.command("optimize")
@click.option("--llm", metavar=SPEC, help="Language model that writes the drafts.  [default: shotlist]")
@click.option("--gen", metavar=SPEC, help="Video generator.  [default: kinetic]")
@click.option("--predictor", metavar=SPEC, help="P, the predictor that the search goes by.  [default: demo]")
@click.option(
    "--judge",
    metavar=SPEC,
    multiple=True,
    help="Q, a predictor that the search never sees and the proof asks; repeat for several.",
)
@click.option("--task", metavar=SPEC, multiple=True, help="Task, group, YAML file or folder.  [default: popcorn]")
@click.option(
    "--from",
    "start",
    metavar=SPEC,
    default="basic",
    show_default=True,
    help="Mode that the search starts from: basic, pe with k= and others, one of the task, FILE.j2 or best-of-DIR.",
)
@click.option("--reflect", metavar=SPEC, help="Language model that sees what won and lost, and writes changes.")
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
@click.option("--corpus", metavar=SPEC, help="Where references come from, for modes with references.")
@click.option("--embedder", metavar=SPEC, help="What finds references.")
@click.option("--allow-leakage", is_flag=True, default=None, help="As of popbench eval.")
@click.option("--seed", type=click.IntRange(min=0), metavar="S", help="Seed of all draws.  [default: 42]")
@click.option("--engine", metavar=SPEC, help="Where components run.  [default: local]")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="Requests at once, as of popbench eval.")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    required=True,
    help="Directory of the search; the same command goes on there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print optimize.json instead of tables.")
def command(
    start: str,
    judge: tuple[str, ...],
    reflect: str | None,
    budget: str,
    vary: tuple[str, ...],
    out: str,
    as_json: bool,
    llm: str | None,
    **given: Any,
) -> int:
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
    from popbench.optimize.options import read_options
    from popbench.optimize.page import write_page
    from popbench.planning.config import resolve_config
    from popbench.progress.console import tell

    given["llm"] = (llm or "shotlist",)
    for name in ("gen", "predictor"):
        given[name] = () if given[name] is None else (given[name],)
    if llm is None and given["corpus"] is None:
        given["corpus"] = "demo"
    config = resolve_config({**given, "mode": (start,)})
    options = read_options(config, out, budget, judge, reflect, vary)
    content = interruptible(lambda progress: optimize(options, progress))
    if content is None:
        return 130
    page = write_page(Path(out))
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False))
    else:
        show(content, Path(out))
        tell(f"Page: {page}")
    return 0
