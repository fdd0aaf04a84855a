"""The cache of embeddings on disk, by the hash of each text, for all corpora and runs.

Each embedder has a folder. It holds shards, each a file of vectors and a file of keys, which is written after the
vectors; and the indexes of corpora, which hold the same two files. A text is therefore embedded once, whatever corpus
it is in, and a killed process loses at most the shard that it was filling.
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
"""Raise this when the format of the files changes: files of other formats are left alone."""
_SHARD = re.compile(r"[0-9a-f]{32}\.keys\.npy")
SMALL_SHARD = 4096
"""A shard with fewer vectors is small."""
SUMMED_BYTES = 2**30
"""Larger files are not read to compare their checksums."""
_SUM = b"crc32 of vectors and keys:"
"""What is before the checksum at the end of a file of keys: numpy reads no further than the array."""
MANY_SHARDS = 64
"""From so many small shards on, they are joined."""

Keys = Any  # NDArray of V16


def keys_of(texts: Iterable[str]) -> Keys:
    """Hash texts into keys: V16 (texts,)."""
    return as_keys(b"".join(map(key_of, texts)))


def as_keys(data: bytes | bytearray) -> Keys:
    """Return concatenated hashes as an array of keys."""
    return np.frombuffer(bytes(data), dtype="V16")


def _halves(keys: Keys) -> NDArray[np.uint64]:
    """Return the first half of each key as a number: numbers are sorted twenty times as fast as keys."""
    numbers: NDArray[np.uint64] = np.ascontiguousarray(keys).view(np.uint64)[::2]
    return numbers


def save(path: Path, array: NDArray[Any], tail: bytes = b"") -> None:
    """Write an array, and `tail` after it, whole or not at all, even if the machine crashes."""
    save_chunks(path, array.dtype, array.shape, [array], tail)


def save_keys(path: Path, keys: Keys) -> None:
    """Write the file of keys beside vectors that are written, with a checksum of both at its end."""
    save(path, keys, _SUM + _sum(path, keys))


def are_whole(path: Path, keys: Keys) -> bool:
    """Return whether a file's keys and the vectors beside it are those that were written, as far as it says.

    Files of earlier releases do not say, and very large ones are not read. Raises OSError.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * len(_SUM)))
        tail = file.read()
    if _SUM not in tail or _beside(path).stat().st_size > SUMMED_BYTES:
        return True
    return tail.partition(_SUM)[2] == _sum(path, keys)


def _sum(path: Path, keys: Keys) -> bytes:
    return zlib.crc32(np.ascontiguousarray(keys).tobytes(), checksum(_beside(path))).to_bytes(4, "big")


def save_chunks(
    path: Path, dtype: Any, shape: tuple[int, ...], chunks: Iterable[NDArray[Any]], tail: bytes = b""
) -> None:
    """Write an array as `save` does, from chunks of its first axis."""
    # Not through a memory map: on a full disk that kills the process instead of raising OSError.
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with replacing(path) as part, opened_new(part) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk).tobytes())
        file.write(tail)
        sync(file)  # an array of zeros after a crash would pass for vectors


def checksum(path: Path) -> int:
    """Return the CRC of a file's bytes."""
    crc = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            crc = zlib.crc32(block, crc)
    return crc


def sync(file: BinaryIO) -> None:
    """Wait until what was written is on disk."""
    file.flush()
    os.fsync(file.fileno())


def read_array(path: Path, dtype: Any, *shape: int | None) -> NDArray[Any] | None:
    """Map an array of a type and shape, in which None is any length; None for any other file."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # np.load would read other kinds of files too
        fits = array.dtype == dtype and len(array.shape) == len(shape)
    except Exception:  # what a damaged file raises depends on where it is damaged
        return None
    fits = fits and all(wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True))
    return array if fits else None


@dataclass(frozen=True)
class _Source:
    """A pair of files. Vectors are mapped only while they are read: there may be more pairs than a process may open."""

    keys: Keys
    vectors: Path
    width: int


class Vectors:
    """The vectors of an embedder in its folder. Raises UsageError if the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards = folder / "shards"
        self._writing = filelock.FileLock(folder / ".writing")
        self._sources: list[_Source] | None = None
        self._table: tuple[Keys, NDArray[np.int64]] | None = None

    @property
    def width(self) -> int | None:
        """The length of the vectors; None if there are none yet."""
        sources = self._open()
        return sources[0].width if sources else None

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """Return codes of the vectors of keys, for `gather`; -1 for a key without a vector."""
        if self._table is None:
            parts = [np.arange(len(source.keys)) + (number << 40) for number, source in enumerate(self._open())]
            stored = np.concatenate([source.keys for source in self._open()]) if parts else as_keys(b"")
            order = np.argsort(_halves(stored), kind="stable")
            self._table = stored[order], np.concatenate(parts)[order] if parts else np.zeros(0, np.int64)
        stored, codes = self._table
        halves, wanted = _halves(stored), _halves(keys)
        result = np.full(len(keys), -1, np.int64)
        place = np.searchsorted(halves, wanted)
        left = np.arange(len(keys))
        while len(left):  # a second pass is needed only for keys with equal first halves
            left = left[place[left] < len(stored)]
            left = left[halves[place[left]] == wanted[left]]
            same = stored[place[left]] == keys[left]
            result[left[same]] = codes[place[left[same]]]
            left = left[~same]
            place[left] += 1
        return result

    def gather(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of codes that `find` returned, float32 (codes, d).

        Raises OSError if another process has tidied the folder since, which the folder's lock prevents.
        """
        sources = self._open()
        result = np.empty((len(codes), self.width or 0), np.float32)
        numbers, rows = codes >> 40, codes & ((1 << 40) - 1)
        for number in np.unique(numbers):
            chosen = numbers == number
            source = sources[number]
            vectors = read_array(source.vectors, np.float32, len(source.keys), source.width)
            if vectors is None:
                raise OSError(f"{source.vectors} is gone or damaged")
            result[chosen] = vectors[rows[chosen]]
        return result

    def add(self, keys: Keys, vectors: NDArray[np.float32]) -> None:
        """Store vectors, (keys, d), as a new shard."""
        shard = self._shards / f"{uuid.uuid4().hex}.keys.npy"
        try:
            self._shards.mkdir(parents=True, exist_ok=True)
            with self._writing:
                save(_beside(shard), vectors)
                save_keys(shard, keys)
        except OSError as error:
            raise unwritable(self._shards, error) from error
        if self._sources is not None:
            self._sources.append(_Source(keys, _beside(shard), vectors.shape[1]))
            self._table = None

    def tidy(self) -> None:
        """Remove shards whose vectors an index holds now, and unfinished files; join small shards.

        The caller must hold the folder's lock. Other processes may still add vectors of prompts.
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
        """Join small shards, writing each new one as soon as it is no longer small."""
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
        """Read the folder again at the next use."""
        self._sources = self._table = None

    def _open(self) -> list[_Source]:
        if self._sources is None:
            sources = list(self._read([*self.folder.glob("*/index"), *self._files()]))
            self._sources = [source for source in sources if source.width == sources[0].width]
        return self._sources

    def _files(self) -> list[Path]:
        """Return the files of keys that `add` wrote; any other file in the folder is ignored."""
        return sorted(path for path in self._shards.glob("*.keys.npy") if _SHARD.fullmatch(path.name))

    @staticmethod
    def _read(paths: Iterable[Path]) -> Iterator[_Source]:
        """Read pairs of files, without damaged ones: their texts are embedded again."""
        return (source for source in map(_read, paths) if source is not None)


def _read(path: Path) -> _Source | None:
    """Read the keys of an index, given its folder, or of a shard, given its file of keys."""
    if path.is_dir():
        path /= "keys.npy"
    keys = read_array(path, "V16", None)
    vectors = None if keys is None else read_array(_beside(path), np.float32, len(keys), None)
    if keys is None or vectors is None or not vectors.size or not are_whole(path, keys):
        return None
    return _Source(np.array(keys), _beside(path), vectors.shape[1])


def _beside(path: Path) -> Path:
    """Return the path of the other file of a pair."""
    one, other = ("keys.npy", "vectors.npy") if path.name.endswith("keys.npy") else ("vectors.npy", "keys.npy")
    return path.with_name(path.name.removesuffix(one) + other)


def _remove(keys: Path) -> None:
    keys.unlink(missing_ok=True)
    _beside(keys).unlink(missing_ok=True)


def _sorted(parts: Sequence[Keys]) -> Keys:
    return np.sort(np.concatenate(parts)) if parts else as_keys(b"")


def _within(keys: Keys, others: Keys) -> bool:
    """Say whether all keys are among `others`, which are sorted."""
    if not len(others):
        return False
    places = np.minimum(np.searchsorted(others, keys), len(others) - 1)
    return bool((others[places] == keys).all())


def unwritable(path: Path, error: OSError) -> UsageError:
    """Return the error for a cache that cannot be written."""
    room = "make room, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return UsageError(
        f"{path}: embeddings cannot be kept here ({error.strerror or one_line(error)}): "
        f"{room}name another folder in {VARIABLE}"
    )
