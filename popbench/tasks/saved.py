"""Loads data sets that `save_to_disk` of `datasets` wrote into a folder, which a stranger may have changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage, unknown
from popbench.files import MAX_CONFIG_BYTES, MAX_FILE_BYTES, read_json

_DICT, _STATE = "dataset_dict.json", "state.json"


def is_saved(folder: Path) -> bool:
    """Return whether a folder holds a saved data set, or several splits of one."""
    return (folder / _DICT).exists() or (folder / _STATE).exists()


def load_saved(folder: Path, split: str) -> Any:
    """Load a saved data set, or that `split` of several; raises UsageError for a split that is not there.

    Raises UsageError too for a folder that names files outside of it, or more data than a task may have.
    """
    import datasets

    _check_names(folder)
    data: Any = datasets.load_from_disk(str(folder))
    if isinstance(data, datasets.DatasetDict):
        if split not in data:
            raise unknown("split", split, list(data))
        data = data[split]
    if data.data.nbytes > MAX_FILE_BYTES:
        raise UsageError(f"{folder}: larger than {MAX_FILE_BYTES // 2**20} MiB")
    return data.with_format(None)


def _check_names(folder: Path) -> None:
    """Raise UsageError if anything that the folder says it is made of does not lie in it."""
    parts = [folder]
    try:
        if (folder / _DICT).exists():
            parts = [folder / _plain(name) for name in read_json(folder / _DICT, MAX_CONFIG_BYTES)["splits"]]
        for part in parts:
            for file in read_json(part / _STATE)["_data_files"]:
                _plain(file["filename"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(f"{folder}: no data set that save_to_disk wrote ({damage(error)})") from error


def _plain(name: Any) -> str:
    if not isinstance(name, str) or name in ("", "..") or Path(name).name != name:
        raise ValueError(f"it names {name!r:.100}, which is no file in it")
    return name
