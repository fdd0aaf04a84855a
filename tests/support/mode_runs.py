"""Runs with modes of several turns, and modes that are made of a function."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import popbench
import popbench_runs
from popbench.registry import load_registry
from turning_modes import ASKED, Again, Clerk

Write = Callable[[Any, Any, Any, Any], Any]


@contextmanager
def forgotten() -> Iterator[None]:
    """Begin without chats; take the modes of the block out of the registry at its end."""
    ASKED.clear()
    yield
    registry = load_registry()
    registry.instances.clear()
    for kind, name in [key for key in registry.registrations if key[1] in ("Clerk", "Again", "Odd", "Longest")]:
        del registry.registrations[kind, name]


def run(out: Path, *, llm: Any = None, mode: Any = Again, **changes: Any) -> popbench.Run:
    """Run a mode of several turns on two prompts."""
    return popbench_runs.run_fast(out, llm=llm or Clerk(), mode=mode, **{"limit": 2, **changes})


def first(run: popbench.Run) -> popbench.Sample:
    """Return the first sample."""
    return next(iter(run.samples()))


def calls(run: Path) -> int:
    """Count the calls of LLMs in the ledger."""
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        return int(ledger.execute("SELECT count(*) FROM calls WHERE stage = 'write'").fetchone()[0])


def odd(write: Write, **attributes: Any) -> type[popbench.Mode]:
    """Return a mode that writes with this function."""
    return type("Odd", (popbench.Mode,), {"__doc__": "Odd.", "version": "1", "write": write, **attributes})


def iter_of(turns: list[Any]) -> popbench.Writing:
    """Ask turn after turn, and give the last answer."""
    answers: list[Any] = []
    for turn in turns:
        answers.append((yield turn))  # noqa: PERF401 - a comprehension cannot yield
    yield answers[-1]
