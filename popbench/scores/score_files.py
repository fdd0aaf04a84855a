"""Reads files of scores: bare ones (JSONL, CSV, Parquet), those of `popbench export`, and Every Eval Ever files."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from popbench.errors import UsageError, unknown
from popbench.prompting.originality import is_copy
from popbench.records import JSON, Scale
from popbench.scores import eee_files
from popbench.scores.rows import Rows, ScoreRow
from popbench.scores.scores import Scores
from popbench.tables import FORMATS, NumberForm, PointWatch, TableFile, text_of, truth_of

_FIELD = 2**17
"""Characters of a CSV field at most."""
ROWS = 5_000_000
"""Rows of a Parquet file at most."""
_REQUIRED = ("system", "task", "prompt_id", "popularity")
_OPTIONAL = ("category", "repeat", "status", "task_hash", "predictor", "compliance", "originality")
_EXPORTED = (
    "predictor_name", "unit", "scale", "demo", "task_group", "task_prompts", "system_fingerprint", "mode", "mode_name",
    "mode_fingerprint",
)  # fmt: skip
"""More columns that exports have, from a run's run.json."""
_COLUMNS = (*_REQUIRED, *_OPTIONAL, *_EXPORTED)
_PER_TASK = ("system", "task", "task_hash", "predictor", *_EXPORTED)
"""Columns that are the same in all rows of a system and task."""

PLAIN = NumberForm()
"""Numbers without signs for thousands, and with points for decimals."""
_OPTION = ", with --numbers of popbench leaderboard build"
_NO_NUMBER = re.compile(r"\s*[+-]?(nan|inf(inity)?)\s*", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)

_Placed = Iterable[tuple[str, Mapping[str, Any]]]
"""Rows, each with its place for messages: `scores.csv: row 3`."""


def read_scores(path: Path, form: NumberForm = PLAIN) -> list[Scores]:
    """Read a file of scores, or a folder of Every Eval Ever files; `form` is that of numbers in its texts.

    Raises UsageError if it holds no scores.
    """
    ending = path.suffix.lower()
    if path.is_dir() or ending == ".json":
        return _scores(path, eee_files.records(path), form)
    if ending not in FORMATS:
        possible = ", ".join((*FORMATS, ".json of Every Eval Ever"))
        raise UsageError(f"{path}: neither a run directory nor a score file (possible: {possible})")
    if FORMATS[ending] == "jsonl" and eee_files.is_instances(path):
        return _scores(path, eee_files.records(path), form)
    records = _Records(path)
    try:
        scores = _scores(path, ((f"{path}: row {number}", record) for number, record in records), form)
    except UsageError:
        if not records.broken:  # a misspelt column explains better what is missing in a row
            deque(records, maxlen=0)
            _check_columns(path, records.columns)
        raise
    _check_columns(path, records.columns)
    for each in scores:
        each.remarks += _misspelt(path, records.columns)
    return scores


def _check_columns(path: Path, columns: Mapping[str, None]) -> None:
    """Raise UsageError if a file lacks a column, has one under a similar name, or is a run's samples.jsonl."""
    if {"scores", "video_sha256"} <= columns.keys():
        raise UsageError(f"{path}: the samples of a run are ranked with what its run.json says: name its directory")
    by_fold = {_fold(name): name for name in columns if name not in _COLUMNS}
    for column in _REQUIRED:
        if column not in columns:
            close = [by_fold[column]] if column in by_fold else get_close_matches(column, columns, n=1)
            hint = f": is it {close[0]!r}?" if close else ""
            raise UsageError(f"{path}: column {column!r} is missing{hint} (columns: {', '.join(columns) or 'none'})")
    for column in _COLUMNS:
        if column in by_fold:  # a board without its categories, or its demo flag, would look like any other
            other = by_fold[column]
            problem = f"stands beside {column!r}" if column in columns else f"is not read (is it {column!r}?)"
            raise UsageError(f"{path}: column {other!r} {problem}: rename it, or leave it out")


def _misspelt(path: Path, columns: Mapping[str, None]) -> list[str]:
    """Return remarks on columns that are not read and nearly have the name of one that is missing."""
    others = {_fold(name).removeprefix("is_"): name for name in columns if name not in _COLUMNS}
    close = {name: get_close_matches(name, others, n=1, cutoff=0.8) for name in _OPTIONAL if name not in columns}
    return [
        f"{path.name}: column {others[found[0]]!r} is not read (was {name!r} meant?)"
        for name, found in close.items()
        if found
    ]


def _fold(name: str) -> str:
    """Return a column's name without case, and with words parted as popbench's columns have them.

    The number that pandas adds to the second of two equal names (`popularity.1`) is left out.
    """
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])|[\s_-]+", "_", re.sub(r"\.\d+$", "", name.strip("\ufeff\u200b").strip()))
    return plain.casefold()


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


def _scores(path: Path, records: _Placed, form: NumberForm) -> list[Scores]:
    facts, watch = _Facts(path), PointWatch(form)
    by_predictor: dict[str, Scores] = {}
    seen: set[tuple[str, ...]] = set()
    for where, record in records:
        row, texts = _read_row(record, where, form)
        if row.popularity and isinstance(record.get("popularity"), str | int):
            watch.see(texts["popularity"])
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
    if (problem := watch.problem()) is not None:
        raise UsageError(f"{path}: popularity {problem}{_OPTION}")
    for predictor, scores in by_predictor.items():
        predictor_facts = facts.of("predictor", predictor)
        scores.predictor = predictor_facts["name"] or predictor or "unnamed"
        scores.scale = predictor_facts["scale"]
        scores.unit, scores.demo = predictor_facts["unit"] or "popularity", predictor_facts["demo flag"]
        for name in scores.tasks:
            task = facts.of("task", name)
            scores.tasks[name] = {**task, "group": task["group"] or None}
        scores.systems = {system: fingerprints or None for system, fingerprints in scores.systems.items()}
    return list(by_predictor.values())


def _learn(facts: _Facts, scores: Scores, row: ScoreRow, texts: Mapping[str, str], where: str) -> None:
    """Add the facts that a row states besides its score; raises UsageError if another row contradicts them."""
    prompts = _whole_number(texts["task_prompts"], "task_prompts", where) if texts["task_prompts"] else None
    facts.learn(
        "task", row.task, {"hash": texts["task_hash"] or None, "group": texts["task_group"], "prompts": prompts}
    )
    demo = bool(_truth(texts, "demo", where))  # a row that leaves it out is taken for none
    scale = texts["scale"] or "positive"
    if scale not in get_args(Scale):
        raise UsageError(f"{where}: {unknown('scale', scale, get_args(Scale))}")
    predictor_facts = {"name": texts["predictor_name"], "unit": texts["unit"], "scale": scale, "demo flag": demo}
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


class _Records(Iterator[tuple[int, Mapping[str, Any]]]):
    """Reads a file's numbered rows one by one, without guessing that a value is a number or a date.

    Only the columns that boards use are kept of a row. `columns` has the names of all columns read so far; `broken` is
    true once the file cannot be read further.
    """

    def __init__(self, path: Path) -> None:
        self._table = TableFile(path, short_rows=True, longest_field=_FIELD)
        self._rows = self._read()
        self.columns: dict[str, None] = {}
        self.broken = False

    def __next__(self) -> tuple[int, Mapping[str, Any]]:
        try:
            return next(self._rows)
        except UsageError:
            self.broken = True
            raise

    def _read(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        whole = self._table.format != "jsonl"  # a row of JSONL may have columns that rows before it leave out
        if whole:
            self.columns |= dict.fromkeys(filter(None, self._table.columns()))
        wanted = [name for name in _COLUMNS if name in self.columns]
        if whole and not wanted:
            return
        for number, row in self._table.rows(wanted, most=ROWS):
            if not whole:
                self.columns |= dict.fromkeys(row)
            yield number, {name: row[name] for name in _COLUMNS if name in row}


def _read_row(record: Mapping[str, Any], where: str, form: NumberForm) -> tuple[ScoreRow, dict[str, str]]:
    texts = dict.fromkeys(_COLUMNS, "")
    for key in _COLUMNS:
        if (value := record.get(key)) is not None:
            texts[key] = value if type(value) is str else _text(value, key, where)
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
    if status != "error" and not texts["popularity"].strip():
        invalid = None if texts["scale"] == "real" else 0.0
        popularity = invalid if status == "invalid" else math.nan
    elif status != "error":
        popularity = _popularity(record.get("popularity"), texts["popularity"], where, form)
    repeat = _whole_number(texts["repeat"] or "0", "repeat", where)
    originality = _originality(record.get("originality"), texts["originality"], where, form)
    row = ScoreRow(
        texts["system"], texts["task"], texts["prompt_id"], repeat, texts["category"] or "all", status,
        popularity, _truth(texts, "compliance", where), is_copy(originality),
    )  # fmt: skip
    return row, texts


def _text(value: Any, key: str, where: str) -> str:
    try:
        return text_of(value)
    except ValueError as error:
        problem = f"{value!r:.60} is not a number" if key == "popularity" else error
        raise UsageError(f"{where}: {key} {problem}") from None


def _popularity(value: Any, text: str, where: str, form: NumberForm) -> float:
    try:
        return _float(value, text, form)
    except ValueError:
        raise UsageError(f"{where}: popularity {text!r:.60} is not a number{_advice(value, text, form)}") from None


def _originality(value: Any, text: str, where: str, form: NumberForm) -> float | None:
    if not text.strip():
        return None
    try:
        number = _float(value, text, form)
        if not 0 <= number <= 1:
            raise ValueError(text)
    except ValueError:
        advice = _advice(value, text, form)
        raise UsageError(f"{where}: originality {text!r:.60} is not a number from 0 to 1{advice}") from None
    return number


def _float(value: Any, text: str, form: NumberForm) -> float:
    """Return a number; raises ValueError. Texts are read in the given form, numbers of JSON and Parquet as they are."""
    return form.number(text) if isinstance(value, str) and not _NO_NUMBER.fullmatch(text) else float(text)


def _advice(value: Any, text: str, form: NumberForm) -> str:
    advice = form.advice(text) if isinstance(value, str) else ""
    return advice and advice + _OPTION


def _whole_number(text: str, column: str, where: str) -> int:
    try:
        if not _WHOLE.fullmatch(text.strip()):
            raise ValueError(text)
        return int(text.partition(".")[0])
    except ValueError:  # also for thousands of digits
        raise UsageError(f"{where}: {column} {text!r:.60} is not a whole number") from None


def _truth(texts: Mapping[str, str], column: str, where: str) -> bool | None:
    """Return what a column says; None if it is empty."""
    try:
        return truth_of(texts[column])
    except ValueError as error:
        unknown_is = " (empty where it is not known)" if column == "compliance" else ""
        raise UsageError(f"{where}: {column} {error}{unknown_is}") from None
