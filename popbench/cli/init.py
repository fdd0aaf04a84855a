"""`popbench init`: writes a first popbench.toml."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from popbench.cli._shared_options import component

_QUESTIONS = {
    "llm": "Language models, separated by spaces (popbench plugins lists them)",
    "gen": "Video generators",
    "predictor": "Popularity predictors",
    "corpus": "Corpus of references",
}


@click.command("init")
@component("--llm", "llm", "Language model.", multiple=True)
@component("--gen", "generator", "Video generator.", multiple=True)
@component("--predictor", "predictor", "Popularity predictor.", multiple=True)
@component("--mode", "mode", "Mode.", multiple=True)
@component("--task", "task", "Task, group, YAML file or folder.", multiple=True)
@component("--corpus", "corpus", "Where references come from.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Prompts per task.")
@click.option("--repeats", type=click.IntRange(min=1), metavar="R", help="Samples per prompt.")
@click.option("--max-cost", type=click.FloatRange(min=0), metavar="USD", help="What the calls of a run may cost.")
@click.option("--force", is_flag=True, help="Replace a popbench.toml that is there.")
def command(force: bool, **given: Any) -> int:
    """Write a commented popbench.toml into this folder, from options or, on a terminal, from questions.

    `popbench eval` then takes its settings from there. Without options on a terminal, four questions are asked; an
    empty answer takes what stands in brackets.

    \b
    Examples:
      popbench init --llm deepseek-r1 --gen ltx
      popbench init --llm openai,model=gpt-4o --gen litellm,model=gemini/veo-3.0 --max-cost 20
    """
    from popbench.errors import RunError, UsageError
    from popbench.files import write_whole
    from popbench.planning.config import FILE
    from popbench.planning.starting_file import starting_file
    from popbench.progress.console import tell

    file = Path(FILE)
    if file.exists() and not force:
        raise UsageError(f"{FILE} is there already: change it, or give --force to replace it")
    if not any(value is not None and value != () for value in given.values()) and sys.stdin.isatty():
        given = _asked()
    text = starting_file(given)
    try:
        write_whole(file, text.encode(), shared=True)
    except OSError as error:
        raise RunError(f"{FILE} cannot be written: {error.strerror}") from error
    tell(f"{FILE} is written. What it lacks on this machine: popbench doctor --for eval")
    tell("What a run would do: popbench eval --dry-run")
    return 0


def _asked() -> dict[str, Any]:
    """Ask the questions, and again where an answer is no name of a component."""
    from popbench.errors import UsageError
    from popbench.planning.config import make_config
    from popbench.planning.starting_file import starting_file

    answers: dict[str, Any] = {}
    for name, question in _QUESTIONS.items():
        value = getattr(make_config(answers), name)  # the default corpus depends on the LLM
        default = value if isinstance(value, str) else " ".join(value)
        while True:
            words = click.prompt(question, default=default, err=True).split()
            if words == default.split():
                break  # stays a comment
            given = words[0] if isinstance(value, str) else tuple(words)
            try:
                starting_file({**answers, name: given})
            except UsageError as error:
                click.echo(f"popbench: {error}", err=True)
                continue
            answers[name] = given
            break
    return answers
