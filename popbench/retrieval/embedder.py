"""An embedder with its cache of vectors: it gets only texts without a vector, and its answers are checked.

Texts of a corpus and prompts share the cache, unless the embedder encodes prompts in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

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

_QUERY = "query\0"
"""What prompts begin with where they are hashed, if they are encoded in another way than texts of a corpus."""
_OFF = 1e-2
"""The largest difference of a vector's length from 1 or 0."""


class Embedding:
    """An embedder with the vectors that it has made in any run; `name` is its name in messages."""

    def __init__(self, embedder: Embedder, name: str, fingerprint: Mapping[str, JSON] | None = None) -> None:
        self._embedder = embedder
        self.name = name
        identity = fingerprint or fingerprint_of(embedder, f"embedder {name}")
        self.vectors = Vectors(cache_folder() / f"embeddings-{FORMAT}" / digest(dict(identity)))
        self._checked = False
        self._width: int | None = None
        self._prompts: dict[str, NDArray[np.float32]] = {}
        # under keys of their own, prompts cannot get the vector of an equal text of a corpus
        self._mark = _QUERY if embedder.tells_queries else ""

    @contextmanager
    def locked(self, progress: Progress) -> Iterator[None]:
        """Hold the lock of the vectors' folder inside the block.

        If another process embeds with this embedder, wait for it: its vectors are used here.
        """
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
        """Raise UsageError if the embedder lacks something to run; it is asked once."""
        if not self._checked:
            refuse_lacks(self._embedder, f"embedder {self.name}")
            self._checked = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts of a corpus into float32 (texts, d), rows of length 1 or 0.

        Raises UsageError for any other answer.
        """
        return self._embed(self._embedder.encode, texts)

    def _embed(self, encode: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> NDArray[np.float32]:
        who = f"embedder {self.name}"
        self.check()
        try:
            vectors = np.asarray(encode(texts), dtype=np.float32)
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
        """Embed many prompts at once, before `query`; those that an earlier run embedded are looked up."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._prompts]
        keys = keys_of(self._mark + prompt for prompt in new)
        codes = self.vectors.find(keys)
        cached = np.flatnonzero(codes >= 0)
        try:
            vectors = self.vectors.gather(codes[cached])
        except OSError:  # another process has tidied the folder since `find`
            self.vectors.forget()
            cached, vectors = cached[:0], np.zeros((0, 0), np.float32)
        unknown = np.setdiff1d(np.arange(len(new)), cached)
        if len(unknown):
            progress = progress or Progress()
            progress.stage("embed prompts", len(new), len(cached))
            made = self._embed(self._embedder.encode_queries, [new[number] for number in unknown])
            with suppress(UsageError):  # if the cache cannot be written, every run embeds its prompts
                self.vectors.add(keys[unknown], made)
            progress.advance(len(unknown))
            self._prompts.update(zip([new[number] for number in unknown], made, strict=True))
        self._prompts.update(zip([new[number] for number in cached], vectors, strict=True))

    def query(self, prompt: str) -> NDArray[np.float32]:
        """Return the vector of a prompt; it is embedded alone if it was not prepared."""
        if prompt not in self._prompts:
            self._prompts[prompt] = self._embed(self._embedder.encode_queries, [prompt])[0]
        return self._prompts[prompt]


def refuse_lacks(component: Component, who: str) -> None:
    """Raise UsageError if a component lacks something to run here, with one line for each thing."""
    try:
        missing = component.check()
    except Exception as error:  # a plugin's code may raise anything
        missing = [f"its check failed: {one_line(error)}"]
    if missing:
        raise UsageError("\n".join(f"{who}: {line}" for line in missing))


def fingerprint_of(component: Component, who: str) -> Mapping[str, JSON]:
    """Return a component's fingerprint; raises UsageError if that fails."""
    try:
        return component.fingerprint()
    except UsageError:
        raise
    except Exception as error:  # a plugin's code may raise anything
        raise UsageError(f"{who}: no fingerprint ({one_line(error)})") from error
