"""Writes the files of a run's board, results.json and leaderboard.md, for runs, merges and audits alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage
from popbench.files import read_json
from popbench.leaderboard.audit_text import section
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.markup import escaped
from popbench.leaderboard.people import keep_people
from popbench.records import JSON
from popbench.runs.costs import named, sentences
from popbench.runs.directory import HeldDirectory
from popbench.runs.run_json import RunJson
from popbench.runs.samples import SamplesFile
from popbench.scores.run_scores import from_samples
from popbench.text import counted


def write_board(directory: HeldDirectory, results: Mapping[str, Any], config: Mapping[str, JSON]) -> None:
    """Write both files; `results` has its `costs`, and `config` is that of run.json."""
    board = render(results, config)
    directory.write_json("results.json", results)
    directory.write_text("leaderboard.md", board)


def read_board(run: Path, config: Mapping[str, JSON], without: str) -> dict[str, Any] | None:
    """Return the results.json of a run, None if it has none, without a key that is to be made anew.

    Raises UsageError if it makes no board.
    """
    if not (run / "results.json").exists():
        return None
    try:
        board: dict[str, Any] = read_json(run / "results.json")
        board.pop(without, None)
        render(board, config)
    except Exception as error:  # a stranger's file may hold anything
        raise UsageError(
            f"{run / 'results.json'} cannot be read as a board ({damage(error)}): run popbench eval again"
        ) from error
    return board


def with_people(directory: HeldDirectory, board: dict[str, Any], run_json: RunJson) -> None:
    """Write a run's board anew with what people have said of its clips; raises UsageError if the run is damaged."""
    samples = SamplesFile(directory.path / "samples.jsonl")
    try:
        keep_people(board, from_samples(samples, run_json, str(directory.path)), samples, directory.path)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{directory.path}: its files make no board ({damage(error)}): run popbench eval again"
        ) from error
    write_board(directory, board, run_json["config"])


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
