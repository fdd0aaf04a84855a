"""Checks a folder of weights before a run starts, without reading the weights."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
_NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state")
_LONGEST_HEADER = 100 * 2**20
"""The largest safetensors header, in bytes: the format's own limit."""
_LFS = b"version https://git-lfs"


def is_folder(path: str) -> bool:
    """Say whether a folder exists; False for names that no file system takes."""
    try:
        return os.path.isdir(os.path.expanduser(path))  # noqa: PTH111, PTH112 - Path's own raise for some names
    except (OSError, ValueError):
        return False


def is_there(path: str) -> bool:
    """Say whether there is anything of this name; False for names that no file system takes."""
    try:
        return os.path.exists(os.path.expanduser(path))  # noqa: PTH110, PTH111 - as above
    except (OSError, ValueError):
        return False


def user_path(given: str | Path) -> Path:
    """Return a path that a user gave, with `~` replaced if there is such a user."""
    path = Path(given)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a folder that hold weights, in one format: safetensors before others."""
    for suffix in _WEIGHTS:
        files = [file for file in sorted(folder.glob(f"*{suffix}")) if not file.name.startswith(_NOT_WEIGHTS)]
        if files:
            return files
    return []


def lacks_shards(folder: Path, main: Sequence[str]) -> bool:
    """Say whether the first index of `main` that a folder has names shards that the folder lacks."""
    index = next((name for name in main if _is_index(name) and (folder / name).is_file()), None)
    return index is not None and any(not (folder / name).is_file() for name in _shards(folder / index))


def broken_weights(folder: Path, main: Sequence[str]) -> str | None:
    """Return in a few words what is wrong with the weights in a folder; None if nothing was noticed.

    `main` are the files that a library looks for, in its order; the first that exists is checked. A name that ends in
    .json is an index: its shards are checked.
    """
    first = next((name for name in main if (folder / name).is_file()), None)
    if first is None:
        plain = next((name for name in main if not _is_index(name)), None)
        index = next((name for name in main if _is_index(name)), None)
        wanted = ", or ".join([*([plain] if plain else []), *([f"{index} with its shards"] if index else [])])
        return f"the folder holds no weights ({wanted}): copy or download them"
    files = [first]
    if _is_index(first):
        files = _shards(folder / first)
        if not files:
            return f"its {first} names no shards: copy or download that file again"
        missing = [name for name in files if not (folder / name).is_file()]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            return f"{first} names {missing[0]}{more}, which the folder lacks: copy or download what is missing"
    for name in files:
        wrong = _broken_file(folder / name)
        if wrong is not None:
            return f"its {name} {wrong}"
    return None


def _is_index(name: str) -> bool:
    """Say whether a file is an index of shards, such as `model.safetensors.index.fp16.json`."""
    return name.endswith(".json")


def _shards(index: Path) -> list[str]:
    shards = read_json(index).get("weight_map")
    return sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []


def _broken_file(file: Path) -> str | None:
    """Compare a safetensors file's size with its header; in other formats, only check that the file is not empty."""
    again = "copy or download it again"
    try:
        size = file.stat().st_size
        with file.open("rb") as data:
            start = data.read(len(_LFS))
            if start == _LFS:
                return "is a pointer of git-lfs, not the file: run `git lfs pull` there"
            if file.suffix != ".safetensors":
                return None if size else f"is empty: {again}"
            length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0
            data.seek(8)
            header = json.loads(data.read(length)) if 0 < length <= min(_LONGEST_HEADER, size - 8) else None
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        header = None
    end = _end(header)
    if end is None:
        return f"has no safetensors header, so it is damaged or cut short: {again}"
    if size != 8 + length + end:
        return f"has {size:,} bytes, and {8 + length + end:,} by its header, so it is damaged or cut short: {again}"
    return None


def _end(header: Any) -> int | None:
    """Return how many bytes of tensors a safetensors header describes; None if it is none."""
    if not isinstance(header, dict):
        return None
    try:
        return max(
            (int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__"), default=0
        )
    except (KeyError, IndexError, TypeError, ValueError):
        return None
