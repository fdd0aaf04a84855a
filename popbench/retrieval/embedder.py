"""An embedder as retrieval uses it: asked only for what no run has embedded yet, and not believed blindly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import filelock
import numpy as np

from popbench.cache import VARIABLE, cache_folder
from popbench.errors import UsageError, one_line
from popbench.interfaces import Component, Embedder
from popbench.keys import digest
from popbench.progress import Progress
from popbench.records import JSON
from popbench.retrieval.vectors import FORMAT, Vectors, keys_of
from popbench.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OFF = 1e-2
"""How far a vector's length may be from 1 or 0."""


class Embedding:
    """An embedder with the vectors that it made before; `name` is what messages call it."""

    def __init__(self, embedder: Embedder, name: str, fingerprint: Mapping[str, JSON] | None = None) -> None:
        self._embedder = embedder
        self.name = name
        identity = fingerprint or fingerprint_of(embedder, f"embedder {name}")
        self.vectors = Vectors(cache_folder() / f"embeddings-{FORMAT}" / digest(dict(identity)))
        self._checked = False
        self._width: int | None = None
        self._prompts: dict[str, NDArray[np.float32]] = {}

    @contextmanager
    def locked(self, progress: Progress) -> Iterator[None]:
        """Wait for a process that embeds with this embedder: what it embeds need not be embedded here."""
        self.vectors.folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.vectors.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except NotImplementedError as error:
            raise UsageError(f"{self.vectors.folder}: files cannot be locked here: set {VARIABLE}") from error
        except filelock.Timeout:
            progress.notice(f"Waiting for another popbench that embeds with {self.name}.")
            lock.acquire()
        try:
            self.vectors.forget()
            yield
        finally:
            lock.release()

    def check(self) -> None:
        """Raise UsageError with what the embedder lacks; asked once, before it works."""
        if not self._checked:
            refuse_lacks(self._embedder, f"embedder {self.name}")
            self._checked = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts: float32 (texts, d), rows of length 1 or 0; raises UsageError for anything else."""
        who = f"embedder {self.name}"
        self.check()
        try:
            vectors = np.asarray(self._embedder.encode(texts), dtype=np.float32)
        except UsageError:
            raise
        except Exception as error:  # a plugin's code may raise anything
            raise UsageError(f"{who} raised {one_line(error)}") from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or not vectors.size:
            raise UsageError(f"{who} gave {vectors.shape} for {counted(len(texts), 'text')}, expected (texts, d)")
        if not np.isfinite(vectors).all():
            raise UsageError(f"{who} gave vectors that hold NaN or infinity")
        width = self.vectors.width or self._width or vectors.shape[1]
        if vectors.shape[1] != width:
            raise UsageError(
                f"{who} gave vectors of length {vectors.shape[1]}, and {width} before: its fingerprint "
                f"has to tell the two apart; remove {self.vectors.folder}"
            )
        lengths = np.linalg.norm(vectors, axis=1)
        if (np.minimum(np.abs(lengths - 1), lengths) > _OFF).any():
            raise UsageError(f"{who} gave a vector of length {lengths.max():.3g}: they have length 1, or 0")
        self._width = width
        return vectors

    def prepare(self, prompts: Sequence[str], progress: Progress | None = None) -> None:
        """Embed many prompts at once, ahead of `find`; those embedded by an earlier run are known."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._prompts]
        keys = keys_of(new)
        codes = self.vectors.find(keys)
        there = np.flatnonzero(codes >= 0)
        try:
            known = self.vectors.gather(codes[there])
        except OSError:  # another process has tidied meanwhile
            self.vectors.forget()
            there, known = there[:0], np.zeros((0, 0), np.float32)
        unknown = np.setdiff1d(np.arange(len(new)), there)
        if len(unknown):
            progress = progress or Progress()
            progress.stage("embed prompts", len(new), len(there))
            made = self.embed([new[at] for at in unknown])
            with suppress(UsageError):  # where a cache cannot be written, prompts are embedded in every run
                self.vectors.add(keys[unknown], made)
            progress.advance(len(unknown))
            self._prompts.update(zip([new[at] for at in unknown], made, strict=True))
        self._prompts.update(zip([new[at] for at in there], known, strict=True))

    def query(self, prompt: str) -> NDArray[np.float32]:
        """Return the vector of a prompt; embedded alone where it was not prepared."""
        if prompt not in self._prompts:
            self._prompts[prompt] = self.embed([prompt])[0]
        return self._prompts[prompt]


def refuse_lacks(component: Component, who: str) -> None:
    """Raise UsageError with what a component lacks to run here, one line each."""
    try:
        found = component.check()
    except Exception as error:  # a plugin's code may raise anything
        found = [f"its check failed: {one_line(error)}"]
    if found:
        raise UsageError("\n".join(f"{who}: {line}" for line in found))


def fingerprint_of(component: Component, who: str) -> Mapping[str, JSON]:
    """Ask a component for its fingerprint; raises UsageError where that fails."""
    try:
        return component.fingerprint()
    except UsageError:
        raise
    except Exception as error:  # a plugin's code may raise anything
        raise UsageError(f"{who}: no fingerprint ({one_line(error)})") from error
