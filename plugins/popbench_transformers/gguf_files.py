"""GGUF files: what their headers say, and how they are described to popbench. Tensors are not read.

transformers turns the tensors of such a file into ordinary ones when it loads it. A header holds the number of tensors
and of metadata entries, the entries, and name, shape, type and place of each tensor. Numbers are little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from popbench.local import Layout, broken_weights, is_folder, user_path

SUFFIX = ".gguf"
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The types of metadata, by their number in the file."""
_FLOATS = {0: "float32", 1: "float16", 30: "bfloat16"}
"""The types of tensors that are no blocks of quantized values."""
_AGAIN = "copy or download it again"
_WHOLE = "give the GGUF file of a whole language model"


@dataclass(frozen=True)
class Header:
    """What a file's header says. `parameters` counts values; `end` is where the last tensor ends, None if unknown."""

    metadata: dict[str, Any] = field(default_factory=dict)
    parameters: int = 0
    types: frozenset[int] = frozenset()
    end: int | None = None


class _Reader:
    """Reads the values of a header one after another; raises ValueError where the file ends too early."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        form = f"<{form}"
        if self.at + struct.calcsize(form) > len(self._data):
            raise ValueError("it ends inside its header")
        values = struct.unpack_from(form, self._data, self.at)
        self.at += struct.calcsize(form)
        return values

    def string(self) -> str:
        (length,) = self.numbers("Q")
        if self.at + length > len(self._data):
            raise ValueError("it ends inside its header")
        text = self._data[self.at : self.at + length]
        self.at += length
        return text.decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """Read a value of metadata; of arrays, such as the vocabulary, only the length is kept."""
        if kind in _NUMBERS:
            return self.numbers(_NUMBERS[kind])[0]
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise ValueError(f"its header holds an entry of the unknown type {kind}")
        inner, count = self.numbers("IQ")
        if inner in _NUMBERS:
            self.at += count * struct.calcsize(_NUMBERS[inner])
        else:
            for _ in range(count):
                self.value(inner)
        return count


def read_header(file: Path) -> Header:
    """Read a file's header; raises OSError, and ValueError that says what is wrong with the file."""
    status = file.stat()
    return _read_header(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _read_header(file: Path, size: int, changed: int) -> Header:  # noqa: ARG001 - a changed file is read again
    with file.open("rb") as opened:
        start = opened.read(8)
        if start[:4] != _MAGIC:
            raise ValueError("it is no GGUF file")
        version = int.from_bytes(start[4:], "little")
        if version not in _VERSIONS:
            raise ValueError(f"it has version {version} of the GGUF format, and transformers reads 2 and 3")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(_Reader(data))


def _parse(reader: _Reader) -> Header:
    reader.numbers("8x")
    tensors, entries = reader.numbers("QQ")
    metadata = {}
    for _ in range(entries):
        key = reader.string()
        metadata[key] = reader.value(*reader.numbers("I"))
    parameters, types, end = 0, set(), 0
    sizes = _block_sizes()
    for _ in range(tensors):
        reader.string()
        shape = reader.numbers(f"{reader.numbers('I')[0]}Q")
        kind, offset = reader.numbers("IQ")
        count = 1
        for side in shape:
            count *= side
        parameters += count
        types.add(kind)
        block, stored = sizes.get(kind, (1, 0))
        end = max(end, offset + count // block * stored)
    alignment = int(metadata.get("general.alignment") or 32)
    start = -(-reader.at // alignment) * alignment
    return Header(metadata, parameters, frozenset(types), start + end if tensors and sizes else None)


def _block_sizes() -> dict[int, tuple[int, int]]:
    """Return values and bytes of a block for each type of tensor; none without the package `gguf`."""
    if find_spec("gguf") is None:
        return {}
    import gguf

    return {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}


def file_of(model: str, gguf_file: str | None) -> str | None:
    """Return the name of the GGUF file that the options name; None for a model of another format.

    `model` may be the file itself, whatever its name: programs keep such files under names without a suffix.
    """
    if gguf_file is not None:
        return gguf_file
    path = user_path(model)
    with suppress(OSError, ValueError):  # names that no file system takes
        if path.is_file() and path.suffix != ".json":
            return path.name
    return path.name if path.suffix.lower() == SUFFIX and not is_folder(model) else None


def layout(name: str) -> Layout:
    """Return the layout of a folder or a repository of which the GGUF file `name` is the model."""

    def files(folder: Path) -> list[Path]:
        return [folder / name] if (folder / name).is_file() else []

    return Layout(
        "GGUF file",
        name,
        problem=lambda folder: problem(folder / name),
        complete=lambda folder: (folder / name).is_file(),
        files=files,
        weights=files,
        download=name,
        read=_as_config,
        without_index=lambda names: f"the file {name} is not there{_there(names)}",
    )


def advise(names: Sequence[str]) -> str | None:
    """Return what to do with a folder or a repository that holds GGUF files and no model of another format."""
    there = _there(names)
    return f"it holds no config.json{there}: choose one with gguf_file=NAME" if there else None


def _there(names: Sequence[str]) -> str:
    found = sorted(name for name in names if PurePosixPath(name).suffix.lower() == SUFFIX)
    if not found:
        return ""
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return f", but the GGUF {'file' if len(found) == 1 else 'files'} {', '.join(found[:8])}{more}"


def problem(file: Path) -> str | None:
    """Return in a few words why transformers cannot load a file; None if nothing was noticed."""
    broken = broken_weights(file.parent, (file.name,))
    if broken is not None:
        return broken
    try:
        header = read_header(file)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    except (ValueError, MemoryError, OverflowError, RecursionError) as error:
        advice = "give a GGUF file, or the folder of a model" if "is no GGUF" in str(error) else _AGAIN
        return f"{error}: {advice}"
    size, metadata = file.stat().st_size, header.metadata
    architecture, kind = metadata.get("general.architecture"), metadata.get("general.type", "model")
    if not header.parameters or not isinstance(architecture, str):
        return f"the file holds no tensors, or does not say of which architecture: {_WHOLE}"
    if kind != "model" or architecture == "clip":
        return f"the file holds no language model but a part of one ({kind}, {architecture}): {_WHOLE}"
    if int(metadata.get("split.count") or 1) > 1:
        return "the file is one part of several: join them with `llama-gguf-split --merge FIRST JOINED`"
    if header.end is not None and size < header.end:
        return f"the file has {size:,} bytes, and {header.end:,} by its header, so it is cut short: {_AGAIN}"
    return None


def _as_config(file: Path) -> dict[str, Any]:
    """Return what memory is estimated from, under the names of a config.json; empty if the file cannot be read."""
    try:
        header = read_header(file)
    except (OSError, ValueError, MemoryError, OverflowError, RecursionError):
        return {}
    floats = [name for kind, name in _FLOATS.items() if kind in header.types and kind]
    quantized = header.types - set(_FLOATS)
    return {"gguf_parameters": header.parameters, "dtype": floats[-1] if floats and not quantized else "float32"}
