"""The options of `popbench report --paper`, and the writing of that report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from popbench.errors import UsageError
from popbench.progress.console import tell

_Command = TypeVar("_Command", bound=Callable[..., Any])

_HELP: Mapping[str, tuple[str, str]] = {
    "concrete": ("TASK", "With --paper: the task of concrete prompts.  [default: the one so named]"),
    "abstract": ("TASK", "With --paper: the task of abstract prompts.  [default: the one so named]"),
    "rag-size": ("K", "With --paper: the RAG size, or the mode's label, of PE in tables 4 to 7.  [default: 10]"),
    "llm": ("NAME", "With --paper: the LLM of tables 5, 7 and 8.  [default: what covers most; 8: the paper's]"),
    "generator": (
        "NAME",
        "With --paper: the generator of tables 2, 3, 4, 6 and 8.  [default: the paper's, or what covers most]",
    ),
    "mode": ("NAME", "With --paper: the mode of tables 2 and 3.  [default: basic]"),
    "predictor": ("NAME", "With --paper: whose scores these are.  [default: the first of the runs]"),
}


def options(command: _Command) -> _Command:
    """Add --paper and its options to a command."""
    decorated = click.option(
        "--common", is_flag=True, help="With --paper: only the prompts that all systems of the runs have."
    )(command)
    decorated = click.option(
        "--match",
        "matches",
        multiple=True,
        metavar="LABEL=NAME",
        help="With --paper: which of the paper's systems a label stands for. Repeatable.",
    )(decorated)
    for name, (metavar, text) in reversed(list(_HELP.items())):
        decorated = click.option(f"--{name}", metavar=metavar, help=text)(decorated)
    return click.option(
        "--paper", is_flag=True, help="The tables and figures of the LLMPopcorn paper instead, from one or more RUNs."
    )(decorated)


def refuse(given: Mapping[str, Any]) -> None:
    """Raise UsageError for options of --paper that were given without it."""
    for name, value in given.items():
        if value:
            option = "match" if name == "matches" else name.replace("_", "-")
            raise UsageError(f"--{option} belongs to the paper's tables: give --paper too")


def write(runs: Sequence[Path], out: Path | None, given: Mapping[str, Any]) -> int:
    """Write the report; print the choices that it was made with, and its place."""
    from popbench.paper.choices import Asked
    from popbench.paper.report import write_paper

    tasks = {prompts: given[prompts] for prompts in ("concrete", "abstract") if given[prompts] is not None}
    asked = Asked(tasks, *(given[name] for name in ("rag_size", "llm", "generator", "mode", "matches")))
    written = write_paper(runs, out, asked, given["predictor"], common=given["common"])
    for line in written.notes:
        tell(line)
    tell(f"{written.folder}: {', '.join(written.files)}")
    return 0
