"""Makes of a finished run's files what trackers get: settings, metrics, a table of samples, clips."""

from __future__ import annotations

import json
import math
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from popbench.errors import RunError, UsageError, damage, one_line
from popbench.export.columns import Exported, ExportRow
from popbench.export.tables import write_parquet
from popbench.files import MAX_CONFIG_BYTES, read_json, write_whole
from popbench.interfaces import Metric, TrackedClip, TrackedRun
from popbench.leaderboard.flat import flat
from popbench.leaderboard.run_board import render
from popbench.records import JSON
from popbench.report.run_files import FinishedRun, read_run
from popbench.runs.redaction import public, public_spec, public_text
from popbench.runs.run_json import RunJson
from popbench.tracking.clips import clip_of

ID_FILE = "tracked.json"
"""The file of a run directory with the id that trackers know it by; it is written when the run is first tracked."""
_LABELLED = frozenset(
    {
        "tasks",
        "predictors",
        "systems",
        "pairs",
        "enhancement",
        "minimum_detectable_win_rate",
        "families",
        "luck",
        "costs",
    }
)
"""Lists of results.json with labels and numbers alone, which boards show as they are."""
_SPECS = ("llm", "gen", "mode", "predictor", "corpus", "embedder", "engine")
_FREE_TEXTS = ("error", "notes")
"""Columns of samples with texts of components, which may quote an address or a path."""
_NOT_SHOWN = ("out", "reuse")
_LONGEST = 6_000
"""Characters of a setting at most."""


@contextmanager
def described(path: Path) -> Iterator[TrackedRun]:
    """Yield what trackers get of the run in a directory; its files are there until the end of the block.

    Raises UsageError if the run is not finished, has no board or is damaged, RunError if a disk refuses.
    """
    run = read_run(path)
    exported = Exported(path)
    with tempfile.TemporaryDirectory(prefix="popbench-track-") as name:
        folder = Path(name)
        board, results, samples = (folder / name for name in ("leaderboard.md", "results.json", "samples.parquet"))
        clips: dict[tuple[str, str, int], list[TrackedClip]] = {}
        try:
            shown, text, metrics = _read_board(run)
            results.write_text(json.dumps(shown, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            board.write_text(text, encoding="utf-8")
            write_parquet(_rows(exported, path, clips), samples, exported.columns)
            id_ = _id_of(path)
        except OSError as error:
            raise RunError(f"{path} cannot be tracked: {one_line(error)}") from error
        yield TrackedRun(
            id=id_,
            name=path.resolve().name,
            demo=run.run_json["demo"],
            state=str(shown.get("incomplete") or "complete"),
            params=_params(run.run_json),
            metrics=metrics,
            board=board,
            results=results,
            samples=samples,
            clips=tuple(clip for of_prompt in clips.values() for clip in of_prompt),
        )


def _id_of(path: Path) -> str:
    """Return the id of a run directory; makes one where there is none. Raises OSError if it cannot be kept."""
    file = path / ID_FILE
    try:
        kept = read_json(file, MAX_CONFIG_BYTES)
    except FileNotFoundError:
        kept = None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} cannot be read ({damage(error)}): remove it, and the run gets a new id") from error
    if kept is None:
        kept = {"id": uuid.uuid4().hex}
        write_whole(file, json.dumps(kept).encode())
    try:
        return str(uuid.UUID(kept["id"]).hex)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{file} holds no id of a run: remove it, and the run gets a new one") from error


def _read_board(run: FinishedRun) -> tuple[dict[str, Any], str, tuple[Metric, ...]]:
    """Return a run's results and its board without what is private, and its metrics; raises UsageError for damage."""
    try:
        shown = _public_results(run.results)
        return shown, render(shown, run.run_json["config"]), tuple(_metrics(run.results, run.run_json))
    except (KeyError, TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
        raise UsageError(f"{run.path}: results.json is damaged ({damage(error)}): give its command again") from error


def _public_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return results.json without what may not leave this machine: notes and remarks may quote paths and addresses."""
    return {name: value if name in _LABELLED else public(value) for name, value in results.items()}


def _params(run_json: RunJson) -> dict[str, str | int | float | bool]:
    """Return a run's settings, and what tells apart runs that have equal ones: hashes of tasks, predictors' digests."""
    params: dict[str, str | int | float | bool] = {}
    for name, value in run_json["config"].items():
        if value in (None, [], ()) or name in _NOT_SHOWN:
            continue
        values = [_param(name, item) for item in (value if isinstance(value, list) else [value])]
        params[name] = values[0] if len(values) == 1 else ", ".join(map(str, values))[:_LONGEST]
    params |= {f"task_hash/{task}": entry["hash"] for task, entry in run_json["tasks"].items()}
    params |= {f"predictor_digest/{label}": digest for label, digest in run_json["predictors"].items()}
    return {**params, "demo": run_json["demo"], "popbench": run_json["versions"]["popbench"]}


def _param(name: str, value: JSON) -> str | int | float | bool:
    if isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        return str(public_spec(text) if name in _SPECS else public(text, name))[:_LONGEST]
    except UsageError:  # what was handed over from Python need be no spec
        return public_text(text)[:_LONGEST]


def _metrics(results: Mapping[str, Any], run_json: RunJson) -> Iterator[Metric]:
    """Yield a board's numbers, table by table: those of systems, and the win rates of their pairs."""
    for row in results["systems"]:
        yield from _numbers(row, (row["task"], row["predictor"], row["system"]))
    for row in results["pairs"]:
        yield from _numbers({"win_rate": row["win_rate"]}, (row["task"], row["predictor"], row["a"], row["b"]))
    costs = [row["cost"] for row in results.get("costs") or [] if row["cost"] is not None]
    yield from _numbers({"seconds": run_json["timings"].get("seconds"), "cost": sum(costs) if costs else None}, ())


def _numbers(row: Mapping[str, JSON], of: tuple[str, ...]) -> Iterator[Metric]:
    """Yield the numbers of an entry; the ends of an interval belong to the number before them, if there is one."""
    columns = {name: float(value) for name, value in flat(row).items() if _is_number(value)}
    for name, value in columns.items():
        start, _, end = name.rpartition("_")
        if end not in ("low", "high"):
            yield Metric(name, of, value, columns.get(f"{name}_low"), columns.get(f"{name}_high"))
        elif start not in columns:  # another interval of a number that has one, such as the exact one
            yield Metric(name, of, value)


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rows(exported: Exported, path: Path, clips: dict[tuple[str, str, int], list[TrackedClip]]) -> Iterator[ExportRow]:
    """Yield the rows of all samples, and put their clips by prompt into `clips`."""
    for sample, by_predictor in exported.samples():
        if (clip := clip_of(path, sample)) is not None:
            clips.setdefault((sample.task, sample.prompt_id, sample.repeat), []).append(clip)
        for row in by_predictor.values():
            yield {**row, **{name: _public_text(row[name]) for name in _FREE_TEXTS}}


def _public_text(value: JSON) -> JSON:
    if isinstance(value, str):
        return public_text(value)
    return [public_text(item) for item in value] if isinstance(value, Sequence) else value
