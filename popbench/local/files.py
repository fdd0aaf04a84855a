"""What a folder of weights holds, and what it lacks: found without reading weights, before a run starts."""

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
"""Bytes of a safetensors header at most: the format's own limit."""
_LFS = b"version https://git-lfs"


def is_folder(path: str) -> bool:
    """Whether there is a folder of this name; no name is too long, or too odd, to be asked for."""
    try:
        return os.path.isdir(os.path.expanduser(path))  # noqa: PTH111, PTH112 - Path's own raise for some names
    except (OSError, ValueError):
        return False


def user_path(given: str | Path) -> Path:
    """Return the path that a user gave, `~` spelt out where there is such a user."""
    path = Path(given)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def weight_files(folder: Path) -> list[Path]:
    """List the files of one folder that hold weights: safetensors where there are any."""
    for suffix in _WEIGHTS:
        found = [file for file in sorted(folder.glob(f"*{suffix}")) if not file.name.startswith(_NOT_WEIGHTS)]
        if found:
            return found
    return []


def lacks_shards(folder: Path, main: Sequence[str]) -> bool:
    """Whether the first index of `main` that is in a folder names files which are not."""
    index = next((name for name in main if _is_index(name) and (folder / name).is_file()), None)
    return index is not None and any(not (folder / name).is_file() for name in _shards(folder / index))


def broken_weights(folder: Path, main: Sequence[str]) -> str | None:
    """Say in a few words what is wrong with the weights of one folder; None where nothing is seen to.

    `main` are the files that a library looks for, in its order: the first that is there is checked. A name that ends
    in .json is an index of shards, which are checked in its place.
    """
    found = next((name for name in main if (folder / name).is_file()), None)
    if found is None:
        plain = next((name for name in main if not _is_index(name)), None)
        index = next((name for name in main if _is_index(name)), None)
        wanted = ", or ".join([*([plain] if plain else []), *([f"{index} with its shards"] if index else [])])
        return f"the folder holds no weights ({wanted}): copy or download them"
    files = [found]
    if _is_index(found):
        files = _shards(folder / found)
        if not files:
            return f"its {found} names no shards: copy or download that file again"
        missing = [name for name in files if not (folder / name).is_file()]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            return f"{found} names {missing[0]}{more}, which the folder lacks: copy or download what is missing"
    for name in files:
        wrong = _broken_file(folder / name)
        if wrong is not None:
            return f"its {name} {wrong}"
    return None


def _is_index(name: str) -> bool:
    """Tell an index of shards: a variant's is `model.safetensors.index.fp16.json`."""
    return name.endswith(".json")


def _shards(index: Path) -> list[str]:
    found = read_json(index).get("weight_map")
    return sorted({str(name) for name in found.values()}) if isinstance(found, dict) else []


def _broken_file(file: Path) -> str | None:
    """Compare a safetensors file's length with its header; of other formats, only see that the file has content."""
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
    """Return how many bytes of tensors a header describes."""
    if not isinstance(header, dict):
        return None
    try:
        return max(
            (int(about["data_offsets"][1]) for name, about in header.items() if name != "__metadata__"), default=0
        )
    except (KeyError, IndexError, TypeError, ValueError):
        return None
