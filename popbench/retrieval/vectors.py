"""What an embedder made of texts, kept on disk by the hash of each text, for all corpora and runs.

A folder per embedder holds shards, each a file of vectors and a file of keys that appears when the vectors are
complete, and the indexes of corpora, which hold the same two files. So a text is embedded once, whatever corpus it is
in, and a process that is killed loses at most the shard at work.
"""

from __future__ import annotations

import errno
import os
import re
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import filelock
import numpy as np

from popbench.cache import VARIABLE, key_of
from popbench.errors import UsageError, one_line
from popbench.files import opened_new, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
"""Goes up when the files change: those of another format are left alone and made anew."""
_SHARD = re.compile(r"[0-9a-f]{32}\.keys\.npy")
SMALL_SHARD = 4096
MANY_SHARDS = 64
"""Once there are so many shards of fewer vectors than that, they are joined into one."""

Keys = Any  # NDArray of V16


def keys_of(texts: Iterable[str]) -> Keys:
    """Hash texts: V16 (texts,)."""
    return as_keys(b"".join(map(key_of, texts)))


def as_keys(data: bytes | bytearray) -> Keys:
    """View hashes one after the other as an array."""
    return np.frombuffer(bytes(data), dtype="V16")


def _halves(keys: Keys) -> NDArray[np.uint64]:
    """View the first half of each key as a number: a million of them are sorted in a twentieth of the time."""
    found: NDArray[np.uint64] = np.ascontiguousarray(keys).view(np.uint64)[::2]
    return found


def save(path: Path, array: NDArray[Any]) -> None:
    """Write an array, whole or not at all, also where the machine goes down."""
    save_chunks(path, array.dtype, array.shape, [array])


def save_chunks(path: Path, dtype: Any, shape: tuple[int, ...], chunks: Iterable[NDArray[Any]]) -> None:
    """Write an array that comes in chunks of its first axis, as `save` does.

    Not through a memory map: a full disk would end the process instead of raising OSError.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with replacing(path) as part, opened_new(part) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk).tobytes())
        sync(file)  # an array of zeros after a crash would pass for vectors


def checksum(path: Path) -> int:
    """Return the CRC of a file's bytes."""
    found = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            found = zlib.crc32(block, found)
    return found


def sync(file: BinaryIO) -> None:
    """Wait until what was written is on disk."""
    file.flush()
    os.fsync(file.fileno())


def read_array(path: Path, dtype: Any, *shape: int | None) -> NDArray[Any] | None:
    """Map an array of a shape, with None for any length; None for a file that is no such thing."""
    try:
        found = np.lib.format.open_memmap(path, mode="r")  # np.load would read other kinds of files too
        fits = found.dtype == dtype and len(found.shape) == len(shape)
    except Exception:  # what a damaged file raises depends on where it is damaged
        return None
    fits = fits and all(wanted in (None, there) for wanted, there in zip(shape, found.shape, strict=True))
    return found if fits else None


@dataclass(frozen=True)
class _Source:
    """A pair of files. Vectors are mapped only while they are read: there may be more pairs than open files."""

    keys: Keys
    vectors: Path
    width: int


class Vectors:
    """The vectors of one embedder in one folder. Raises UsageError where the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards = folder / "shards"
        self._writing = filelock.FileLock(folder / ".writing")
        self._sources: list[_Source] | None = None
        self._table: tuple[Keys, NDArray[np.int64]] | None = None

    @property
    def width(self) -> int | None:
        """The length of the vectors; None while there are none."""
        sources = self._open()
        return sources[0].width if sources else None

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """Say where the vectors of keys are: a number for `gather`, -1 for those that are not there."""
        if self._table is None:
            parts = [np.arange(len(source.keys)) + (number << 40) for number, source in enumerate(self._open())]
            known = np.concatenate([source.keys for source in self._open()]) if parts else as_keys(b"")
            order = np.argsort(_halves(known), kind="stable")
            self._table = known[order], np.concatenate(parts)[order] if parts else np.zeros(0, np.int64)
        known, codes = self._table
        halves, wanted = _halves(known), _halves(keys)
        found = np.full(len(keys), -1, np.int64)
        at = np.searchsorted(halves, wanted)
        left = np.arange(len(keys))
        while len(left):  # more than once only where halves are equal and keys are not
            left = left[at[left] < len(known)]
            left = left[halves[at[left]] == wanted[left]]
            same = known[at[left]] == keys[left]
            found[left[same]] = codes[at[left[same]]]
            left = left[~same]
            at[left] += 1
        return found

    def gather(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of what `find` found, float32 (codes, d).

        Raises OSError where another process has tidied meanwhile; not while the folder's lock is held.
        """
        sources = self._open()
        found = np.empty((len(codes), self.width or 0), np.float32)
        numbers, rows = codes >> 40, codes & ((1 << 40) - 1)
        for number in np.unique(numbers):
            chosen = numbers == number
            source = sources[number]
            vectors = read_array(source.vectors, np.float32, len(source.keys), source.width)
            if vectors is None:
                raise OSError(f"{source.vectors} is gone or damaged")
            found[chosen] = vectors[rows[chosen]]
        return found

    def add(self, keys: Keys, vectors: NDArray[np.float32]) -> None:
        """Keep vectors, (keys, d), as a shard of their own."""
        shard = self._shards / f"{uuid.uuid4().hex}.keys.npy"
        try:
            self._shards.mkdir(parents=True, exist_ok=True)
            with self._writing:
                save(_beside(shard), vectors)
                save(shard, keys)
        except OSError as error:
            raise unwritable(self._shards, error) from error
        if self._sources is not None:
            self._sources.append(_Source(keys, _beside(shard), vectors.shape[1]))
            self._table = None

    def tidy(self) -> None:
        """Drop shards whose vectors an index holds now, and what a killed process left; join small shards.

        Only for the process that holds the folder's lock. Others may add what they embed of prompts meanwhile.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._writing:
            for partial in self._shards.glob(".*.part"):
                partial.unlink(missing_ok=True)
            for vectors in self._shards.glob("*.vectors.npy"):
                if not _beside(vectors).exists():
                    vectors.unlink()
            indexed = _sorted([source.keys for source in self._read(self.folder.glob("*/index"))])
            small: list[_Source] = []
            for shard in self._files():
                source = _read(shard)
                if source is None or _within(source.keys, indexed):
                    _remove(shard)
                elif len(source.keys) < SMALL_SHARD:
                    small.append(source)
            if len(small) >= MANY_SHARDS:
                self._join(small)
        self.forget()

    def _join(self, small: Sequence[_Source]) -> None:
        """Make few shards of many, each as soon as it is not small any more."""
        held: list[_Source] = []
        for number, source in enumerate(small, start=1):
            held.append(source)
            if number < len(small) and sum(len(one.keys) for one in held) < SMALL_SHARD:
                continue
            parts = [read_array(one.vectors, np.float32, len(one.keys), source.width) for one in held]
            whole = [(one.keys, part) for one, part in zip(held, parts, strict=True) if part is not None]
            if whole:
                self.add(np.concatenate([keys for keys, _ in whole]), np.concatenate([part for _, part in whole]))
            for one in held:
                _remove(_beside(one.vectors))
            held = []

    def forget(self) -> None:
        """Look anew at what there is, the next time it is asked for."""
        self._sources = self._table = None

    def _open(self) -> list[_Source]:
        if self._sources is None:
            there = list(self._read([*self.folder.glob("*/index"), *self._files()]))
            self._sources = [source for source in there if source.width == there[0].width]
        return self._sources

    def _files(self) -> list[Path]:
        """List the files of keys that `add` wrote; others in the folder are none of ours."""
        return sorted(path for path in self._shards.glob("*.keys.npy") if _SHARD.fullmatch(path.name))

    @staticmethod
    def _read(paths: Iterable[Path]) -> Iterator[_Source]:
        """Read pairs of files; one that is damaged is passed over: what it held is embedded again."""
        return (source for source in map(_read, paths) if source is not None)


def _read(path: Path) -> _Source | None:
    """Read the keys of an index, or of a shard that is named by its file of keys."""
    if path.is_dir():
        path /= "keys.npy"
    keys = read_array(path, "V16", None)
    vectors = None if keys is None else read_array(_beside(path), np.float32, len(keys), None)
    if keys is None or vectors is None or not vectors.size:
        return None
    return _Source(np.array(keys), _beside(path), vectors.shape[1])


def _beside(path: Path) -> Path:
    """Name the other file of a pair."""
    one, other = ("keys.npy", "vectors.npy") if path.name.endswith("keys.npy") else ("vectors.npy", "keys.npy")
    return path.with_name(path.name.removesuffix(one) + other)


def _remove(keys: Path) -> None:
    keys.unlink(missing_ok=True)
    _beside(keys).unlink(missing_ok=True)


def _sorted(parts: Sequence[Keys]) -> Keys:
    return np.sort(np.concatenate(parts)) if parts else as_keys(b"")


def _within(keys: Keys, known: Keys) -> bool:
    if not len(known):
        return False
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return bool((known[at] == keys).all())


def unwritable(path: Path, error: OSError) -> UsageError:
    """Say that what is to be kept cannot be."""
    room = "make room, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return UsageError(
        f"{path}: embeddings cannot be kept here ({error.strerror or one_line(error)}): "
        f"{room}name another folder in {VARIABLE}"
    )
