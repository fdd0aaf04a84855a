"""Reading what is ranked: run directories, with what their run.json says, and files of bare scores."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line, unknown
from popbench.leaderboard.remarks import remarks_of
from popbench.leaderboard.scores import ScoreRow, Scores
from popbench.originality import is_copy
from popbench.records import JSON, Sample
from popbench.samples import read_jsonl

FORMATS = (".jsonl", ".csv", ".parquet")
_REQUIRED = ("system", "task", "prompt_id", "popularity")
_OPTIONAL = ("category", "repeat", "status", "task_hash", "predictor", "compliance", "originality")


def from_samples(samples: Iterable[Sample], about: Mapping[str, JSON], source: str) -> list[Scores]:
    """Sort a run's samples by predictor; `about` is the content of its run.json."""
    samples = list(samples)
    tasks = {
        name: {"hash": task["hash"], "group": task["group"], "prompts": task.get("prompts")}
        for name, task in about["tasks"].items()
    }
    modes = {label: mode["name"] for label, mode in about["modes"].items()}
    remarks = list(remarks_of(samples, about))
    references = {key: value for key, value in (about.get("references") or {}).items() if key != "remarks"}
    return [
        Scores(
            predictor=predictor,
            predictor_digest=digest,
            unit=about["units"][predictor],
            demo=about["demo"],
            rows=[_row(sample, predictor) for sample in samples],
            tasks=tasks,
            systems=dict(about["systems"]),
            source=source,
            modes=modes,
            mode_fingerprints={label: mode["fingerprints"] for label, mode in about["modes"].items()},
            notes=dict(about["notes"]),
            references=[references] if references else [],
            remarks=remarks,
        )
        for predictor, digest in about["predictors"].items()
    ]


def _row(sample: Sample, predictor: str) -> ScoreRow:
    """One predictor's view of a sample: what another predictor made of it is not its business."""
    popularity = sample.scores.get(predictor)
    status = "error" if popularity is None else "ok" if popularity > 0 else "invalid"
    return ScoreRow(
        sample.system,
        sample.task,
        sample.prompt_id,
        sample.repeat,
        sample.category,
        status,
        popularity,
        sample.compliance,
        is_copy(sample.originality),
    )


def read_source(path: Path) -> list[Scores]:
    """Read a run directory or a file of bare scores; raises UsageError for what is neither."""
    if path.is_dir():
        if not (path / "run.json").exists() or not (path / "samples.jsonl").exists():
            raise UsageError(f"{path}: no finished run here (run.json and samples.jsonl are missing)")
        try:
            about = json.loads((path / "run.json").read_text(encoding="utf-8"))
            if not about["finished"]:
                raise UsageError(f"{path}: the run was stopped before it was done: give its command again first")
            if about["config"].get("stop_after"):
                raise UsageError(f"{path}: the run stopped after {about['config']['stop_after']}: it has no scores")
            _check_about(about)
            scores = from_samples(read_jsonl(path / "samples.jsonl"), about, str(path))
            if not scores:
                raise UsageError(f"{path}: run.json names no predictor")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path}: run.json cannot be read ({one_line(error)})") from error
        return scores
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: neither a run directory nor a score file (possible: {', '.join(FORMATS)})")
    return _from_file(path)


def _check_about(about: Mapping[str, JSON]) -> None:
    """Raise ValueError for values of a run.json that boards would trip over: anybody may have written it."""
    for name, unit in about["units"].items():
        if not isinstance(unit, str):
            raise ValueError(f"the unit of predictor {name!r} is no text")
    for name, task in about["tasks"].items():
        if not isinstance(task.get("prompts"), int | None):
            raise ValueError(f"prompts of task {name!r} is no number")


def _from_file(path: Path) -> list[Scores]:
    records, columns = _records(path)
    if {"scores", "video_sha256"} <= set(columns):
        raise UsageError(f"{path}: the samples of a run are ranked with what its run.json says: name its directory")
    for column in _REQUIRED:
        if column not in columns:
            close = get_close_matches(column, columns, n=1)
            hint = f": is it {close[0]!r}?" if close else ""
            raise UsageError(f"{path}: column {column!r} is missing{hint} (columns: {', '.join(columns) or 'none'})")
    by_predictor: dict[str, list[tuple[ScoreRow, str | None]]] = {}
    for number, record in enumerate(records, 1):
        row, task_hash, predictor = _read_row(record, f"{path}: row {number}")
        by_predictor.setdefault(predictor, []).append((row, task_hash))
    if not by_predictor:
        raise UsageError(f"{path}: no rows")
    found = []
    for predictor, rows in by_predictor.items():
        tasks: dict[str, dict[str, JSON]] = {}
        for row, task_hash in rows:
            if tasks.setdefault(row.task, {"hash": task_hash, "group": None, "prompts": None})["hash"] != task_hash:
                raise UsageError(f"{path}: task {row.task!r} has two hashes")
        found.append(
            Scores(
                predictor=predictor or "unnamed",
                predictor_digest=predictor or None,
                unit="popularity",
                demo=False,
                rows=[row for row, _ in rows],
                tasks=tasks,
                systems={row.system: None for row, _ in rows},
                source=str(path),
            )
        )
    return found


def _records(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Read a file's rows as they are: no value is guessed to be a number, a date or missing."""
    try:
        if path.suffix == ".jsonl":
            records = list(_jsonl(path))
            return records, list(dict.fromkeys(key for record in records for key in record))
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                columns = list(reader.fieldnames or [])
                rows = [dict(row) for row in reader]
            for number, row in enumerate(rows, 1):
                if None in row:
                    raise UsageError(f"{path}: row {number} has more values than there are columns")
            return rows, columns
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        return table.to_pylist(), list(table.column_names)
    except UsageError:
        raise
    except Exception as error:  # the readers' own errors have no common base
        raise UsageError(f"{path}: cannot be read ({one_line(error)})") from error


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no JSON ({one_line(str(error))})") from error
            if not isinstance(record, dict):
                raise UsageError(f"{path}: line {number} is no JSON object")
            yield record


def _read_row(record: Mapping[str, Any], where: str) -> tuple[ScoreRow, str | None, str]:
    texts = {key: _text(record.get(key)) for key in (*_REQUIRED, *_OPTIONAL)}
    for key in ("system", "task", "prompt_id"):
        if not texts[key]:
            raise UsageError(f"{where}: {key} is empty")
    status = texts["status"] or "ok"
    if status not in ("ok", "invalid", "error"):
        raise UsageError(f"{where}: {unknown('status', status, ['ok', 'invalid', 'error'])}")
    popularity: float | None = None
    if status != "error":
        try:
            popularity = float(texts["popularity"] or (0 if status == "invalid" else math.nan))
        except ValueError:
            raise UsageError(f"{where}: popularity {texts['popularity']!r} is not a number") from None
    try:
        repeat = int(texts["repeat"] or 0) if "." not in texts["repeat"] else _whole(float(texts["repeat"]))
    except (ValueError, OverflowError):
        raise UsageError(f"{where}: repeat {texts['repeat']!r} is not a whole number") from None
    compliance = {"true": True, "false": False}.get(texts["compliance"].lower())
    row = ScoreRow(
        texts["system"], texts["task"], texts["prompt_id"], repeat, texts["category"] or "all", status,
        popularity, compliance, is_copy(_originality(texts["originality"], where)),
    )  # fmt: skip
    return row, texts["task_hash"] or None, texts["predictor"]


def _originality(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UsageError(f"{where}: originality {text!r} is not a number from 0 to 1")
    return value


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError(value)
    return int(value)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)
