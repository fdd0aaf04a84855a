"""Loads the rows of a task through `datasets.load_dataset`, whose arguments come from a task file of a stranger.

Only arguments that name data are allowed: others make that function read pickles, query a database, or pass options to
a file system that executes them. Compressed files are refused, since it unpacks them to any size.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage, one_line, unknown
from popbench.files import MAX_FILE_BYTES, opened
from popbench.local import check_card, plain_places
from popbench.records import JSON
from popbench.specs import path_exists
from popbench.tasks.saved import is_saved, load_saved
from popbench.tasks.written import as_text, is_json, read_json_rows, rows_of

READERS = ("json", "csv", "parquet", "text", "arrow")
MAX_ROWS = 1_000_000
"""The most rows of a data set."""
_WHAT = ("path", "name", "data_files", "data_dir", "split", "revision")
_HOW = (
    "delimiter", "sep", "quotechar", "header", "names", "column_names", "skiprows", "encoding", "field", "columns",
    "sample_by", "keep_linebreaks",
)  # fmt: skip
_ONLINE = ("https://", "hf://")  # no plain http: services of this machine and of its network often speak it
_PACKED = {
    b"\x1f\x8b": "gzip", b"PK": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4", b"7z\xbc\xaf": "7z", b"Rar!": "rar",
}  # fmt: skip
_TAR = slice(257, 262)


_FORMATS = {
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".txt": "text",
}


def load_rows(dataset: Mapping[str, JSON], task: str, path: Path, copy: str | None) -> list[dict[str, Any]]:
    """Load the rows that the task file `path` names under `dataset`, or those of `copy`, a file or folder here.

    Raises UsageError if that fails, or would do more than read data.
    """
    import datasets

    arguments = dict(dataset) if copy is None else _local(Path(copy), dataset)
    source = arguments.pop("path", None)
    if source is None:
        raise UsageError(f"{path}: dataset needs a path, for instance {{path: json, data_files: prompts.jsonl}}")
    if copy is None:
        for key in ("data_files", "data_dir"):
            if key in arguments:
                arguments[key] = _absolute(arguments[key], path.parent)
        if not str(source).startswith("/") and (path.parent / str(source)).exists():
            source = str(path.parent / str(source))
    saved = source not in READERS and path_exists(str(source)) and is_saved(Path(source))
    readers = datasets.packaged_modules._PACKAGED_DATASETS_MODULES
    try:
        _check({"path": source, **arguments}, readers)
        _check_files({"path": source, **arguments})
        for place in (str(source), *_places({"data_dir": arguments.get("data_dir")})):
            if path_exists(place) and Path(place).is_dir():
                check_card(Path(place))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    # Files on this machine are read through a cache of their own: the shared one may be stale, or not writable.
    local = copy is not None or (source in _FORMATS.values() and "://" not in str(arguments.get("data_files")))
    try:
        with _quiet(datasets), _no_lost_cells(), plain_places(), tempfile.TemporaryDirectory() as cache:
            if local and not saved:
                arguments["cache_dir"] = cache
            text = False
            if saved:
                try:
                    data: Any = load_saved(Path(source), str(arguments.get("split", "train")))
                except UsageError as error:
                    raise UsageError(f"{path}: {error}") from error
            else:
                split = arguments.pop("split", "train")
                if _is_here(arguments, source):
                    builder = datasets.load_dataset_builder(source, **arguments)
                    if is_json(builder) and split is not None:
                        return read_json_rows(builder, str(split), MAX_ROWS)
                    how = as_text(builder)
                    arguments, text = {**arguments, **how}, bool(how)
                data = datasets.load_dataset(source, split=split, keep_in_memory=local, **arguments)
            if isinstance(data, dict):
                raise UsageError(f"{path}: dataset.split is missing (possible: {', '.join(data)})")
            if len(data) > MAX_ROWS:
                raise UsageError(f"{path}: data set {source!r} has {len(data):,} rows, of {MAX_ROWS:,} at most")
            rows = rows_of(data)
            return [row for row in rows if any(row.values())] if text else rows  # spreadsheets leave rows of separators
    except UsageError:
        raise
    except Exception as error:
        cause: BaseException | str = error.__cause__ or error
        if isinstance(cause, Warning):
            cause = "a row has more cells than the header: a value with the separator in it needs quotes"
        hint = "" if copy or "data_files" in arguments else f"; a local copy is given as {task},path=FILE_OR_DIR"
        raise UsageError(f"{path}: data set {source!r} cannot be loaded: {one_line(cause, 200)}{hint}") from error


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Hide progress bars and the hub's log of retries, and count no download, inside the block."""
    shown = not datasets.are_progress_bars_disabled()
    loggers = {logging.getLogger("huggingface_hub"): logging.ERROR, logging.getLogger("datasets"): logging.CRITICAL}
    levels = {logger: logger.level for logger in loggers}
    counts = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    datasets.disable_progress_bars()
    for logger, level in loggers.items():
        logger.setLevel(level)
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        yield
    finally:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = counts
        for logger, level in levels.items():
            logger.setLevel(level)
        if shown:
            datasets.enable_progress_bars()


@contextmanager
def _no_lost_cells() -> Iterator[None]:
    """Raise an error where pandas would leave out cells of rows with too many of them, with a warning."""
    from pandas.errors import ParserWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ParserWarning)
        yield


def _local(copy: Path, original: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for a local copy: a data file, a folder of `save_to_disk`, or a folder of data files."""
    split = original.get("split", "train")
    if copy.is_file():
        ending = copy.suffix.lower()
        if ending not in _FORMATS:
            raise UsageError(f"{copy}: cannot be loaded as a data set (possible: {', '.join(_FORMATS)})")
        delimiter = {"delimiter": "\t"} if ending == ".tsv" else {}
        return {"path": _FORMATS[ending], "data_files": str(copy), "split": "train", **delimiter}
    if not copy.is_dir():
        raise UsageError(f"{copy}: no such file or folder")
    return {"path": str(copy), "split": split}


def _is_here(arguments: Mapping[str, Any], source: str) -> bool:
    """Return whether all data lie on this machine, so that they are read anew and not from the hub's cache."""
    places = [source, *_places(arguments)]
    return all("://" not in place for place in places) and (source in READERS or path_exists(source))


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    if isinstance(value, dict):
        return {key: _absolute(item, folder) for key, item in value.items()}
    return value if "://" in str(value) else str(folder / str(value))


def _check(arguments: Mapping[str, JSON], readers: Mapping[str, Any]) -> None:
    """Raise UsageError for arguments that do more than name data; `readers` are those built into `datasets`."""
    for key, value in arguments.items():
        if key not in (*_WHAT, *_HOW):
            raise unknown("key in dataset", key, (*_WHAT, *_HOW), shown=None)
        if key in _HOW and not all(isinstance(item, str | int | None) for item in _items(value)):
            raise UsageError(f"dataset.{key}: expected text or a number")
    source = str(arguments.get("path"))
    if source.endswith(".py"):
        raise UsageError("dataset.path names a script, which is not run: name data files, as in path: json")
    if source in (*readers, "pandas", "sql", "spark", "generator", "cache") and source not in READERS:
        raise UsageError(f"dataset.path: {unknown('reader', source, READERS)}")
    for place in (source, *_places(arguments)):
        if "::" in place or ("://" in place and not place.startswith(_ONLINE)):
            raise UsageError(f"dataset: {one_line(place, 100)!r} is neither a path nor an address of https or hf")


def _check_files(arguments: Mapping[str, JSON]) -> None:
    """Raise UsageError for files on this machine that are not regular, too large, or compressed."""
    for place in (str(arguments.get("path")), *_places(arguments)):
        for named in _named(place) if place not in READERS and "://" not in place else ():
            for file in sorted(named.rglob("*")) if named.is_dir() else [named]:
                if not file.is_dir():
                    _check_file(file)


def _named(place: str) -> list[Path]:
    """Return the paths on this machine that a path or a pattern stands for."""
    if path_exists(place):
        return [Path(place)]
    try:
        return sorted(Path("/").glob(str(Path(place).absolute()).lstrip("/")))
    except (OSError, ValueError, NotImplementedError, IndexError) as error:
        raise UsageError(f"{one_line(place, 100)!r} is no path ({damage(error)})") from error


def _check_file(path: Path) -> None:
    try:
        with opened(path) as file:
            head, size = file.read(_TAR.stop), path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({one_line(error)})") from error
    kind = next((name for mark, name in _PACKED.items() if head.startswith(mark)), None)
    if kind or head[_TAR] == b"ustar":
        raise UsageError(f"{path}: is compressed ({kind or 'tar'}), and not unpacked here: unpack it first")
    if size > MAX_FILE_BYTES:
        raise UsageError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB")
    if head.startswith(b"PAR1"):
        _check_parquet(path)


def _check_parquet(path: Path) -> None:
    """Raise UsageError for a Parquet file that unpacks to too much: run lengths can stand for any number of rows."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            if metadata.num_rows > MAX_ROWS:
                raise UsageError(f"{path}: {metadata.num_rows:,} rows, of {MAX_ROWS:,} at most")
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
            largest = max((chunk.total_uncompressed_size for chunk in chunks), default=0)
            size = 0  # one value may be as large as its chunk, and be repeated in every row
            for batch in file.iter_batches(max(4, min(10_000, MAX_FILE_BYTES // max(largest, 1)))):
                size += sum(_unpacked(column).nbytes for column in batch.columns)
                if size > MAX_FILE_BYTES:
                    raise UsageError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB when it is unpacked")
    except (OSError, ValueError) as error:  # also for a file that is not Parquet
        raise UsageError(f"{path}: cannot be read ({one_line(error, 200)})") from error


def _unpacked(column: Any) -> Any:
    return column.dictionary_decode() if hasattr(column, "dictionary_decode") else column


def _places(arguments: Mapping[str, JSON]) -> Iterator[str]:
    for key in ("data_files", "data_dir"):
        yield from map(str, _items(arguments.get(key)))


def _items(value: JSON) -> Iterator[JSON]:
    """Yield all values in nested lists and objects."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _items(item)
    elif isinstance(value, dict):
        yield from _items(list(value.values()))
    elif value is not None:
        yield value
