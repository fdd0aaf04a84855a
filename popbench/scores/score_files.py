"""Reads files of scores: bare ones (JSONL, CSV, Parquet), those of `popbench export`, and Every Eval Ever files."""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage, unknown
from popbench.files import opened, read_lines
from popbench.prompting.originality import is_copy
from popbench.records import JSON
from popbench.scores import eee_files
from popbench.scores.rows import Rows, ScoreRow
from popbench.scores.scores import Scores

_FIELD = 2**17
"""Characters of a CSV field at most."""
ROWS = 5_000_000
"""Rows of a Parquet file at most."""
FORMATS = (".jsonl", ".csv", ".parquet")
_REQUIRED = ("system", "task", "prompt_id", "popularity")
_OPTIONAL = ("category", "repeat", "status", "task_hash", "predictor", "compliance", "originality")
_EXPORTED = (
    "predictor_name", "unit", "demo", "task_group", "task_prompts", "system_fingerprint", "mode", "mode_name",
    "mode_fingerprint",
)  # fmt: skip
"""More columns that exports have, from a run's run.json."""
_COLUMNS = (*_REQUIRED, *_OPTIONAL, *_EXPORTED)
_PER_TASK = ("system", "task", "task_hash", "predictor", *_EXPORTED)
"""Columns that are the same in all rows of a system and task."""

_Placed = Iterable[tuple[str, Mapping[str, Any]]]
"""Rows, each with its place for messages: `scores.csv: row 3`."""


def read_scores(path: Path) -> list[Scores]:
    """Read a file of scores, or a folder of Every Eval Ever files; raises UsageError if it holds none."""
    if path.is_dir() or path.suffix == ".json":
        return _scores(path, eee_files.records(path))
    if path.suffix not in FORMATS:
        possible = ", ".join((*FORMATS, ".json of Every Eval Ever"))
        raise UsageError(f"{path}: neither a run directory nor a score file (possible: {possible})")
    if path.suffix == ".jsonl" and eee_files.is_instances(path):
        return _scores(path, eee_files.records(path))
    records = _Records(path)
    try:
        scores = _scores(path, ((f"{path}: row {number}", record) for number, record in enumerate(records, 1)))
    except UsageError:
        if not records.broken:  # a misspelt column explains better what is missing in a row
            deque(records, maxlen=0)
            _check_columns(path, records.columns)
        raise
    _check_columns(path, records.columns)
    return scores


def _check_columns(path: Path, columns: Mapping[str, None]) -> None:
    """Raise UsageError if a file lacks a column, or is a run's samples.jsonl."""
    if {"scores", "video_sha256"} <= columns.keys():
        raise UsageError(f"{path}: the samples of a run are ranked with what its run.json says: name its directory")
    for column in _REQUIRED:
        if column not in columns:
            close = get_close_matches(column, columns, n=1)
            hint = f": is it {close[0]!r}?" if close else ""
            raise UsageError(f"{path}: column {column!r} is missing{hint} (columns: {', '.join(columns) or 'none'})")


@dataclass
class _Facts:
    """The facts that rows state about their tasks, predictors and modes; rows may not contradict each other."""

    source: Path
    facts: dict[tuple[str, str, str], JSON] = field(default_factory=dict)

    def learn(self, kind: str, name: str, facts: Mapping[str, JSON]) -> None:
        """Add what a row states about the thing of this kind and name; raises UsageError if another row differs."""
        for fact, value in facts.items():
            if self.facts.setdefault((kind, name, fact), value) != value:
                plural = f"{fact}es" if fact == "hash" else f"{fact}s"
                raise UsageError(f"{self.source}: {kind} {name!r} has two {plural}")

    def of(self, kind: str, name: str) -> dict[str, JSON]:
        """Return the facts about one thing."""
        return {key[2]: value for key, value in self.facts.items() if key[:2] == (kind, name)}


def _scores(path: Path, records: _Placed) -> list[Scores]:
    facts = _Facts(path)
    by_predictor: dict[str, Scores] = {}
    seen: set[tuple[str, ...]] = set()
    for where, record in records:
        row, texts = _read_row(record, where)
        predictor = texts["predictor"]
        scores = by_predictor.get(predictor)
        if scores is None:
            scores = by_predictor[predictor] = Scores("", predictor or None, "", False, Rows(), {}, source=str(path))
        scores.table.append(row)
        said = tuple(texts[name] for name in _PER_TASK)
        if said not in seen:  # most rows repeat the facts of an earlier one
            seen.add(said)
            _learn(facts, scores, row, texts, where)
    if not by_predictor:
        raise UsageError(f"{path}: no rows")
    for predictor, scores in by_predictor.items():
        predictor_facts = facts.of("predictor", predictor)
        scores.predictor = predictor_facts["name"] or predictor or "unnamed"
        scores.unit, scores.demo = predictor_facts["unit"] or "popularity", predictor_facts["demo flag"]
        for name in scores.tasks:
            task = facts.of("task", name)
            scores.tasks[name] = {**task, "group": task["group"] or None}
        scores.systems = {system: fingerprints or None for system, fingerprints in scores.systems.items()}
    return list(by_predictor.values())


def _learn(facts: _Facts, scores: Scores, row: ScoreRow, texts: Mapping[str, str], where: str) -> None:
    """Add the facts that a row states besides its score; raises UsageError if another row contradicts them."""
    prompts = _number(texts["task_prompts"], "task_prompts", where) if texts["task_prompts"] else None
    facts.learn(
        "task", row.task, {"hash": texts["task_hash"] or None, "group": texts["task_group"], "prompts": prompts}
    )
    predictor_facts = {"name": texts["predictor_name"], "unit": texts["unit"], "demo flag": _demo(texts["demo"], where)}
    facts.learn("predictor", texts["predictor"], predictor_facts)
    facts.learn(f"on task {row.task!r} system", row.system, {"fingerprint": texts["system_fingerprint"]})
    facts.learn("mode", texts["mode"], {"name": texts["mode_name"]})
    facts.learn(f"on task {row.task!r} mode", texts["mode"], {"fingerprint": texts["mode_fingerprint"]})
    scores.tasks.setdefault(row.task, {})
    fingerprints = scores.systems.setdefault(row.system, {})
    if texts["system_fingerprint"] and fingerprints is not None:
        fingerprints[row.task] = texts["system_fingerprint"]
    if texts["mode"] and texts["mode_name"]:
        scores.modes[texts["mode"]] = texts["mode_name"]
    if texts["mode"] and texts["mode_fingerprint"]:
        scores.mode_fingerprints.setdefault(texts["mode"], {})[row.task] = texts["mode_fingerprint"]


class _Records(Iterator[Mapping[str, Any]]):
    """Reads a file's rows one by one, without guessing that a value is a number or a date.

    Only the columns that boards use are kept of a row. `columns` has the names of all columns read so far; `broken` is
    true once the file cannot be read further.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = self._read()
        self.columns: dict[str, None] = {}
        self.broken = False

    def __next__(self) -> Mapping[str, Any]:
        try:
            return next(self._rows)
        except StopIteration:
            raise
        except UsageError:
            self.broken = True
            raise
        except Exception as error:  # the readers' own errors have no common base
            self.broken = True
            raise UsageError(f"{self._path}: cannot be read ({damage(error)})") from error

    def _read(self) -> Iterator[Mapping[str, Any]]:
        path = self._path
        if path.suffix == ".jsonl":
            for _, record in eee_files.lines(path):
                self.columns |= dict.fromkeys(record)
                yield _columns_of(record)
        elif path.suffix == ".csv":
            csv.field_size_limit(_FIELD)  # one for the whole process, which other readers may have raised
            reader = csv.DictReader(read_lines(path), strict=True)
            self.columns |= dict.fromkeys(reader.fieldnames or [])
            for number, row in enumerate(reader, 1):
                if None in row:
                    raise UsageError(f"{path}: row {number} has more values than there are columns")
                yield _columns_of(row)
        else:
            from pyarrow.parquet import ParquetFile

            with opened(path) as data, ParquetFile(data) as table:
                if table.metadata.num_rows > ROWS:  # a small file can hold billions of equal rows
                    raise UsageError(f"{path}: {table.metadata.num_rows:,} rows, of {ROWS:,} at most")
                self.columns |= dict.fromkeys(table.schema_arrow.names)
                if columns := [name for name in _COLUMNS if name in self.columns]:
                    for batch in table.iter_batches(5_000, columns=columns):
                        yield from batch.to_pylist()


def _columns_of(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in _COLUMNS if name in record}


def _read_row(record: Mapping[str, Any], where: str) -> tuple[ScoreRow, dict[str, str]]:
    texts = {key: _text(record.get(key)) for key in _COLUMNS}
    for key in ("system", "task", "prompt_id"):
        if not texts[key]:
            raise UsageError(f"{where}: {key} is empty")
    for key in (*_REQUIRED, "category"):
        try:
            texts[key].encode()
        except UnicodeEncodeError:  # half a surrogate pair, by a JSON escape: no board could be written
            raise UsageError(f"{where}: {key} {texts[key]!a} is no valid text") from None
    status = texts["status"] or "ok"
    if status not in ("ok", "invalid", "error"):
        raise UsageError(f"{where}: {unknown('status', status, ['ok', 'invalid', 'error'])}")
    popularity: float | None = None
    if status != "error":
        try:
            popularity = float(texts["popularity"] or (0 if status == "invalid" else math.nan))
        except ValueError:
            raise UsageError(f"{where}: popularity {texts['popularity']!r} is not a number") from None
    repeat = _number(texts["repeat"] or "0", "repeat", where)
    compliance = {"true": True, "false": False}.get(texts["compliance"].lower())
    row = ScoreRow(
        texts["system"], texts["task"], texts["prompt_id"], repeat, texts["category"] or "all", status,
        popularity, compliance, is_copy(_originality(texts["originality"], where)),
    )  # fmt: skip
    return row, texts


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


def _number(text: str, column: str, where: str) -> int:
    try:
        return int(text) if "." not in text else _whole(float(text))
    except (ValueError, OverflowError):
        raise UsageError(f"{where}: {column} {text!r} is not a whole number") from None


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError(value)
    return int(value)


def _demo(text: str, where: str) -> bool:
    """Return whether a row says that it is a demonstration's; one that leaves it out is taken for none."""
    flag = {"": False, "false": False, "true": True}.get(text.lower())
    if flag is None:
        raise UsageError(f"{where}: demo {text!r} is neither true nor false")
    return flag


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)
