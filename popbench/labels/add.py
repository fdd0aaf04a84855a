"""Adds real outcomes to a run, as its `labels.jsonl`: one line a sample."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.errors import UsageError
from popbench.files import write_files
from popbench.labels.rows import Columns, read_labels
from popbench.leaderboard.people import KEY
from popbench.leaderboard.run_board import read_board, with_people
from popbench.runs.directory import HeldDirectory
from popbench.runs.labels import FILE, Label, Place, place_of, read_run_labels
from popbench.runs.run_json import read_finished
from popbench.runs.samples import read_jsonl


@dataclass(frozen=True)
class Added:
    """What a table brought: new labels, labels in place of earlier ones, all of the run, its clips, and its board."""

    new: int
    replaced: int
    labels: int
    clips: int
    board: dict[str, Any] | None


def add_labels(run: Path, file: Path, columns: Columns) -> Added:
    """Add the labels of a table to a run and its board; those of samples that have one already are replaced.

    Raises UsageError for a table with any wrong row, for another measure than that of earlier labels, and for a run
    that is damaged or at work; RunError if the disk refuses. Then nothing is added.
    """
    run_json = read_finished(run, scored=False)
    with HeldDirectory(run) as directory:
        board = read_board(run, run_json["config"], KEY)
        samples = list(read_jsonl(run / "samples.jsonl"))
        given = read_labels(file, samples, columns)
        labels = {place_of(label): label for label in read_run_labels(run)}
        kind = (columns.count, columns.exposure)
        for label in labels.values():
            if (label["measure"], label["exposure_in"]) != kind:
                there = _said(label["measure"], label["exposure_in"])
                advice = f"name the columns the same, or remove {FILE} first"
                raise UsageError(f"{run / FILE} has {there}, and {file} {_said(*kind)}: {advice}")
        replaced = len(given.keys() & labels.keys())
        places: dict[Place, Label] = {**labels, **given}
        lines = [json.dumps(places[place], ensure_ascii=False) + "\n" for place in sorted(places)]
        write_files(run, {FILE: "".join(lines)})
        if board is not None:
            with_people(directory, board, run_json)
    clips = sum(sample.video is not None for sample in samples)
    return Added(len(given) - replaced, replaced, len(places), clips, board)


def _said(measure: str, exposure: str | None) -> str:
    return f"counts of {measure!r}" + (f" with exposure in {exposure!r}" if exposure else " without exposure")
