"""Adds real outcomes to a run, as its `labels.jsonl`: one line a sample."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pydantic

from popbench.errors import UsageError, damage
from popbench.files import read_lines, write_files
from popbench.labels.rows import Columns, Label, Place, place_of, read_labels
from popbench.runs.directory import HeldDirectory
from popbench.runs.run_json import read_finished
from popbench.runs.samples import read_jsonl

FILE = "labels.jsonl"
_LABEL = pydantic.TypeAdapter(Label)


@dataclass(frozen=True)
class Added:
    """What a table brought: new labels, labels in place of earlier ones, all of the run, and its clips."""

    new: int
    replaced: int
    labels: int
    clips: int


def add_labels(run: Path, file: Path, columns: Columns) -> Added:
    """Add the labels of a table to a run; those of samples that have one already are replaced.

    Raises UsageError for a table with any wrong row, for another measure than that of earlier labels, and for a run
    that is damaged or at work; RunError if the disk refuses. Then nothing is added.
    """
    read_finished(run, scored=False)
    with HeldDirectory(run):
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
    clips = sum(sample.video is not None for sample in samples)
    return Added(len(given) - replaced, replaced, len(places), clips)


def read_run_labels(run: Path) -> list[Label]:
    """Read the labels.jsonl of a run, empty if it has none; raises UsageError that names a line that is no label."""
    path = run / FILE
    labels: list[Label] = []
    if not path.exists():
        return labels
    try:
        for number, line in enumerate(read_lines(path), 1):
            try:
                labels.append(_LABEL.validate_python(json.loads(line), strict=True))
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no label ({damage(error)})") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
    return labels


def _said(measure: str, exposure: str | None) -> str:
    return f"counts of {measure!r}" + (f" with exposure in {exposure!r}" if exposure else " without exposure")
