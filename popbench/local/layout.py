"""Describes the folder of a kind of model, and hashes what such a folder holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.local.files import read_json

_WHOLE = 8 * 2**20
"""Bytes up to which a weight file is hashed whole. Of a larger one, blocks spread over the file are hashed: reading
terabytes would take longer than most runs."""
_WHOLE_TEXT = 64 * 2**20
"""The same for texts: no tokenizer is larger, but a data file that was left in the folder may be."""
_BLOCKS, _BLOCK = 64, 4096


def _nothing_to_say(names: Sequence[str]) -> str | None:  # noqa: ARG001 - for those who know
    return None


@dataclass(frozen=True)
class Layout:
    """Describes the folder of a kind of model. Each function takes the folder.

    >>> from popbench import local
    >>> main = ("model.safetensors", "model.safetensors.index.json")  # in the library's order
    >>> layout = local.Layout(
    ...     kind="toy model",
    ...     index="toy.json",
    ...     problem=lambda folder: local.broken_weights(folder, main),
    ...     complete=lambda folder: bool(local.weight_files(folder)) and not local.lacks_shards(folder, main),
    ...     files=lambda folder: [folder / "toy.json", *local.weight_files(folder)],
    ...     weights=local.weight_files,
    ... )

    Attributes:
        kind: its name in messages, such as "transformers model".
        index: the JSON file that makes a folder one, such as "config.json".
        problem: returns in a few words why a folder with an index cannot be loaded; None if it can.
        complete: says whether a folder of the hub's cache, where each file is whole or absent, holds the whole model.
        files: all files that results depend on; the digest covers them.
        weights: those of them that hold weights; they may be in sub-folders.
        download: arguments of `hf download` after the model's id, if a repository holds more than the model.
        read: returns the content of the index, for one that is not JSON.
        without_index: returns what to do with a folder or a repository that holds no index, from the names of its
            files; None if there is nothing better to say than that.
    """

    kind: str
    index: str
    problem: Callable[[Path], str | None]
    complete: Callable[[Path], bool]
    files: Callable[[Path], Iterable[Path]]
    weights: Callable[[Path], Sequence[Path]]
    download: str = ""
    read: Callable[[Path], dict[str, Any]] = read_json
    without_index: Callable[[Sequence[str]], str | None] = _nothing_to_say


def folder_digest(folder: Path, layout: Layout) -> str:
    """Hash a model's folder: texts whole, large files by name, size and a sample of their bytes.

    This takes milliseconds for any size. It notices another training, conversion or quantization of the model, but
    perhaps not a change of a few bytes in a large weight file.
    """
    digest = hashlib.sha256()
    weights = set(layout.weights(folder))
    for file in sorted({*weights, *layout.files(folder)}):
        if not file.is_file():
            continue
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        with file.open("rb") as data:
            if size <= (_WHOLE if file in weights else _WHOLE_TEXT):
                digest.update(data.read())
                continue
            for block in range(_BLOCKS):
                data.seek((size - _BLOCK) * block // (_BLOCKS - 1), os.SEEK_SET)
                digest.update(data.read(_BLOCK))
    return digest.hexdigest()[:32]


def file_digest(path: str) -> str | None:
    """Hash a file's content; None if it cannot be read."""
    try:
        return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()[:32]
    except OSError:
        return None
