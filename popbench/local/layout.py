"""What a kind of model folder looks like, and the digest of what such a folder holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_WHOLE = 8 * 2**20
"""Weight files up to this size are hashed whole; of larger ones, blocks spread over the file."""
_WHOLE_TEXT = 64 * 2**20
"""The same for texts: no tokenizer is larger, but data left in the folder may be."""
_BLOCKS, _BLOCK = 64, 4096


@dataclass(frozen=True)
class Layout:
    """What a kind of model folder looks like. Each function is handed the folder.

    `kind` names it in messages ("transformers model") and `index` is the JSON file that makes a folder one
    ("config.json"). `problem` says in a few words what keeps a folder that has an index from being loaded, and
    `complete` whether a folder of the hub's cache, where a file comes whole or not at all, holds the whole model.
    `files` are all that results depend on, and those the digest covers; `weights`, which may be in sub-folders, those
    of them that hold weights. `download` is what `hf download` needs after the model's id, where a hub model's
    repository holds more than the model.
    """

    kind: str
    index: str
    problem: Callable[[Path], str | None]
    complete: Callable[[Path], bool]
    files: Callable[[Path], Iterable[Path]]
    weights: Callable[[Path], Sequence[Path]]
    download: str = ""


def folder_digest(folder: Path, layout: Layout) -> str:
    """Hash what a model's folder holds: texts whole, large files by name, size and a sample of their bytes.

    It takes milliseconds for any size. A change of a few bytes in a large weight file may go unseen; another
    training, conversion or quantization of the model does not.
    """
    found = hashlib.sha256()
    weights = set(layout.weights(folder))
    for file in sorted({*weights, *layout.files(folder)}):
        if not file.is_file():
            continue
        size = file.stat().st_size
        found.update(f"{file.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        with file.open("rb") as data:
            if size <= (_WHOLE if file in weights else _WHOLE_TEXT):
                found.update(data.read())
                continue
            for block in range(_BLOCKS):
                data.seek((size - _BLOCK) * block // (_BLOCKS - 1), os.SEEK_SET)
                found.update(data.read(_BLOCK))
    return found.hexdigest()[:32]


def file_digest(path: str) -> str | None:
    """Hash a file's content; None where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()[:32]
    except OSError:
        return None
