"""What a model's folder holds, and what it lacks: found without reading weights, before a run starts."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
_NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state")
_MAIN = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""What transformers loads: the first of these that is there."""
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken", "tekken.json")
_LONGEST_HEADER = 100 * 2**20
"""Bytes of a safetensors header at most: the format's own limit."""
_LFS = b"version https://git-lfs"


def weight_files(folder: Path) -> list[Path]:
    """List the files that hold weights: safetensors where there are any."""
    for suffix in _WEIGHTS:
        found = [file for file in sorted(folder.glob(f"*{suffix}")) if not file.name.startswith(_NOT_WEIGHTS)]
        if found:
            return found
    return []


def folder_problem(folder: Path) -> str | None:
    """Say in a few words what keeps transformers from loading a folder; None where nothing is seen to."""
    config = folder / "config.json"
    if not config.is_file():
        return "the folder holds no config.json, so it is no transformers model"
    if not read_json(config):
        return "its config.json is no JSON object: copy or download that file again"
    return next(_broken_weights(folder), None) or _lacks_tokenizer(folder)


def _lacks_tokenizer(folder: Path) -> str | None:
    if any(next(folder.glob(pattern), None) for pattern in _TOKENIZERS):
        return None
    if "auto_map" in read_json(folder / "tokenizer_config.json"):  # code of its own, which may need no such file
        return None
    return "the folder holds no tokenizer (tokenizer.json, tokenizer.model or vocab.json): copy that of its base model"


def _broken_weights(folder: Path) -> Iterator[str]:
    if read_json(folder / "config.json").get("transformers_weights"):  # files of other names
        return
    main = next((name for name in _MAIN if (folder / name).is_file()), None)
    if main is None:
        yield f"the folder holds no weights ({_MAIN[0]}, or {_MAIN[1]} with its shards): copy or download them"
        return
    files = [main]
    if main.endswith(".index.json"):
        shards = read_json(folder / main).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            yield f"its {main} names no shards: copy or download that file again"
            return
        files = sorted({str(name) for name in shards.values()})
        missing = [name for name in files if not (folder / name).is_file()]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            yield f"{main} names {missing[0]}{more}, which the folder lacks: copy or download what is missing"
            return
    for name in files:
        wrong = _broken_file(folder / name)
        if wrong is not None:
            yield f"its {name} {wrong}"


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


def complete(folder: Path) -> bool:
    """Whether a folder of the hub's cache holds the whole model: each file of it comes whole, or not at all."""
    indexes = (folder / name for name in _MAIN if name.endswith(".index.json"))
    names = next((set(read_json(index).get("weight_map", {}).values()) for index in indexes if index.is_file()), None)
    weights = all((folder / name).is_file() for name in names) if names else bool(weight_files(folder))
    return weights and (_lacks_tokenizer(folder) is None)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
