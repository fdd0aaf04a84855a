"""Writes the files of a run's board, results.json and leaderboard.md, for runs, merges and audits alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popbench.leaderboard.audit_text import section
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.markup import escaped
from popbench.records import JSON
from popbench.runs.costs import named, sentences
from popbench.runs.directory import HeldDirectory
from popbench.text import counted


def write_board(directory: HeldDirectory, results: Mapping[str, Any], config: Mapping[str, JSON]) -> None:
    """Write both files; `results` has its `costs`, and `config` is that of run.json."""
    board = render(results, config)
    directory.write_json("results.json", results)
    directory.write_text("leaderboard.md", board)


def render(results: Mapping[str, Any], config: Mapping[str, JSON]) -> str:
    """Return leaderboard.md."""
    lines = [f"seed {config['seed']}, {counted(config['repeats'], 'repeat')} per prompt"]
    lines += sentences(map(_escaped, results["costs"]))
    return markdown(results, "popbench leaderboard", lines, section(results))


def _escaped(row: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return a row of costs with its texts escaped: labels are the user's, what calls took has a plugin's names."""
    kind, label = named(row)
    usage = {escaped(name.replace("_", " ")): number for name, number in row["usage"].items()}
    return {**row, kind: escaped(label), "usage": usage}
