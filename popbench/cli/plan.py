"""`popbench plan`: how many prompts and repeats a study needs, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from popbench.cli._output_path import OutputPath
from popbench.cli.eval import SPEC
from popbench.errors import RunError


@click.command("plan")
@click.option("--llm", metavar=SPEC, multiple=True, help="Language model; repeat for several.")
@click.option("--gen", metavar=SPEC, multiple=True, help="Video generator; repeat for several.")
@click.option("--mode", metavar=SPEC, multiple=True, help="Mode; repeat for several.  [default: basic, pe]")
@click.option("--task", metavar=SPEC, multiple=True, help="Task, group, YAML file or folder.  [default: popcorn]")
@click.option("--predictor", metavar=SPEC, multiple=True, help="Popularity predictor.  [default: demo]")
@click.option("--corpus", metavar=SPEC, help="Where references come from.")
@click.option("--embedder", metavar=SPEC, help="What finds references.")
@click.option("--baseline", metavar="human", multiple=True, help="Human-made videos as one more system.")
@click.option(
    "--effect",
    type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
    default=0.6,
    show_default=True,
    metavar="RATE",
    help="The true win rate that is to be found.",
)
@click.option(
    "--power",
    type=click.FloatRange(0.05, 1, min_open=True, max_open=True),
    default=0.8,
    show_default=True,
    metavar="P",
    help="How often it is to be found.",
)
@click.option("--repeats", type=click.IntRange(1, 100), metavar="R", help="Samples per prompt.  [default: 1, 2, 3, 5]")
@click.option(
    "--like",
    type=click.Path(path_type=Path, exists=True),
    metavar="RUN",
    help="Earlier run, or scores, with ties, invalid samples and variances like those to come; runs tell costs too.",
)
@click.option("--usd", type=click.FloatRange(min=0, min_open=True), metavar="U", help="Budget in USD.")
@click.option(
    "--gpu-hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="H",
    help="Budget in hours of models on your own machines.",
)
@click.option(
    "--clip-seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="What a clip takes, with its draft and scores, where no earlier run tells it.",
)
@click.option(
    "--picture",
    type=OutputPath(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Draw power by prompts.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Take what is compared from a TOML or JSON file, such as a run.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def command(*, picture: Path | None, as_json: bool, **given: Any) -> int:
    """Say how many prompts and repeats a study needs, before anything is paid for.

    For the systems that `popbench eval` would compare: the prompts, clips and costs for which a pair with a true win
    rate of --effect is decided with a probability of --power, or the power that a budget buys. Studies are simulated
    and judged as boards judge them. Nothing is run.

    \b
    Examples:
      popbench plan --llm verbatim --llm shotlist --effect 0.65
      popbench plan --like runs/popcorn-02767b01 --gpu-hours 100
    """
    from popbench.power.study import plan

    options: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value
    }
    study = plan(**options)
    if picture is not None:
        from popbench.files import write_whole
        from popbench.power.curve import curve

        try:
            write_whole(picture, curve(study).encode())
        except OSError as error:
            raise RunError(f"{picture} cannot be written: {error.strerror}") from error
    if as_json:
        click.echo(json.dumps(study.to_json(), ensure_ascii=False))
        return 0
    from popbench.power.terminal import show
    from popbench.progress.console import make_console

    show(study, make_console())
    return 0
