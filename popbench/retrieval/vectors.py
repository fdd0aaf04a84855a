"""What an embedder made of texts, kept on disk by the hash of each text, for all corpora and runs.

A folder per embedder holds shards, each a file of vectors and a file of keys that appears when the vectors are
complete, and the indexes of corpora, which hold the same two files. So a text is embedded once, whatever corpus it is
in, and a process that is killed loses at most the shard at work.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.errors import UsageError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARIABLE = "POPBENCH_CACHE"
"""The environment variable that names another folder for what popbench keeps between runs."""
FORMAT = 1
"""Goes up when the files change: those of another format are left alone and made anew."""
SMALL = 4096
MANY = 64
"""Once there are so many shards of fewer vectors than that, they are joined into one."""

Keys = Any  # NDArray of V16


def cache_folder() -> Path:
    """Return the folder of what is kept between runs: of this user, or the one that POPBENCH_CACHE names."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("popbench")


def key_of(text: str) -> bytes:
    """Hash a text into the 16 bytes that it is kept under."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def keys_of(texts: Iterable[str]) -> Keys:
    """Hash texts: V16 (texts,)."""
    return as_keys(b"".join(map(key_of, texts)))


def as_keys(data: bytes | bytearray) -> Keys:
    """View hashes one after the other as an array."""
    return np.frombuffer(bytes(data), dtype="V16")


def save(path: Path, array: NDArray[Any]) -> None:
    """Write an array, whole or not at all, also where the machine goes down."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


class Vectors:
    """The vectors of one embedder in one folder. Raises UsageError where the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards = folder / "shards"
        self._sources: list[tuple[Keys, NDArray[np.float32]]] | None = None
        self._table: tuple[Keys, NDArray[np.int64]] | None = None

    @property
    def width(self) -> int | None:
        """The length of the vectors; None while there are none."""
        sources = self._open()
        return sources[0][1].shape[1] if sources else None

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """Say where the vectors of keys are: a number for `gather`, -1 for those that are not there."""
        if self._table is None:
            parts = [np.arange(len(known)) + (number << 40) for number, (known, _) in enumerate(self._open())]
            known = np.concatenate([known for known, _ in self._open()]) if parts else as_keys(b"")
            order = np.argsort(known)
            self._table = known[order], np.concatenate(parts)[order] if parts else np.zeros(0, np.int64)
        known, codes = self._table
        if not len(known):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, codes[at], -1)

    def gather(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of what `find` found, float32 (codes, d)."""
        sources = self._open()
        found = np.empty((len(codes), self.width or 0), np.float32)
        numbers, rows = codes >> 40, codes & ((1 << 40) - 1)
        for number in np.unique(numbers):
            chosen = numbers == number
            found[chosen] = sources[number][1][rows[chosen]]
        return found

    def add(self, keys: Keys, vectors: NDArray[np.float32]) -> None:
        """Keep vectors, (keys, d), as a shard of their own."""
        name = uuid.uuid4().hex
        try:
            self._shards.mkdir(parents=True, exist_ok=True)
            save(self._shards / f"{name}.vectors.npy", vectors)
            save(self._shards / f"{name}.keys.npy", keys)
        except OSError as error:
            raise unwritable(self._shards, error) from error
        if self._sources is not None:
            self._sources.append((keys, vectors))
            self._table = None

    def tidy(self) -> None:
        """Drop shards whose vectors an index holds now, and what a killed process left; join small shards.

        Only for the process that holds the folder's lock.
        """
        for partial in self._shards.glob(".*.part"):
            partial.unlink(missing_ok=True)
        indexed = _sorted([keys for keys, _ in self._read(self.folder.glob("*/index"))])
        small: list[Path] = []
        for shard in self._files():
            keys = np.load(shard)
            if len(keys) and len(indexed) and _within(keys, indexed):
                _remove(shard)
            elif len(keys) < SMALL:
                small.append(shard)
        if len(small) >= MANY:
            parts = list(self._read(small))
            self.add(np.concatenate([keys for keys, _ in parts]), np.concatenate([rows for _, rows in parts]))
            for shard in small:
                _remove(shard)
        self.forget()

    def forget(self) -> None:
        """Look anew at what there is, the next time it is asked for."""
        self._sources = self._table = None

    def _open(self) -> list[tuple[Keys, NDArray[np.float32]]]:
        if self._sources is None:
            self._sources = list(self._read([*self.folder.glob("*/index"), *self._files()]))
        return self._sources

    def _files(self) -> list[Path]:
        return sorted(self._shards.glob("*.keys.npy"))

    @staticmethod
    def _read(paths: Iterable[Path]) -> Iterable[tuple[Keys, NDArray[np.float32]]]:
        """Open pairs of files; one that is damaged is passed over: what it held is embedded again."""
        for path in paths:
            index = path.is_dir()
            names = (path / "keys.npy", path / "vectors.npy") if index else (path, _beside(path))
            try:
                keys, vectors = np.load(names[0]), np.load(names[1], mmap_mode="r")
            except (OSError, ValueError, EOFError):
                continue
            if len(keys) == len(vectors) and len(keys):
                yield keys, vectors


def _beside(keys: Path) -> Path:
    return keys.with_name(keys.name.replace(".keys.", ".vectors."))


def _remove(keys: Path) -> None:
    keys.unlink(missing_ok=True)
    _beside(keys).unlink(missing_ok=True)


def _sorted(parts: Sequence[Keys]) -> Keys:
    return np.sort(np.concatenate(parts)) if parts else as_keys(b"")


def _within(keys: Keys, known: Keys) -> bool:
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return bool((known[at] == keys).all())


def unwritable(path: Path, error: OSError) -> UsageError:
    """Say that what is to be kept cannot be."""
    return UsageError(
        f"{path}: embeddings cannot be kept here ({error.strerror or one_line(error)}): "
        f"make room, or name another folder in {VARIABLE}"
    )
