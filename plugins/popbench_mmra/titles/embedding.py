"""The embedder of titles: any that is installed, checked against the one that a model was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import popbench
from popbench.errors import UsageError, one_line
from popbench.keys import digest
from popbench.progress import Progress
from popbench.registry import load_registry
from popbench.specs import absolute_paths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT = "all-MiniLM-L12-v2"
"""The embedder of references too."""
_WIDEST = 4096
"""The longest vectors: the regression takes the square of their length in memory."""
_AT_ONCE = 256
"""Titles between two steps of the progress."""


def find_embedder(spec: str, expected: str | None = None) -> TitleEmbedder:
    """Return an embedder that can run here; raises UsageError if something is missing or it has another digest."""
    embedder = TitleEmbedder(spec)
    lacks = embedder.problems(expected)
    if lacks:
        raise UsageError("\n".join(lacks))
    return embedder


class TitleEmbedder:
    """An embedder by its spec; no model is loaded until titles are encoded. Raises UsageError for an unknown one."""

    def __init__(self, spec: str) -> None:
        resolved = load_registry().resolve("embedder", spec)
        self.spec = absolute_paths(spec)
        self.label = resolved.spec.label
        self.component: popbench.Embedder = resolved.component

    def problems(self, expected: str | None = None) -> list[str]:
        """Return what is missing to run here, one line each; or that it is not the one with the digest `expected`."""
        try:
            lacks = [f"embedder {self.label}: {line}" for line in self.component.check()]
            if not lacks and expected is not None and self.digest != expected:
                lacks = [
                    f"embedder {self.label}: not the one that the model was trained with (its weights or options "
                    "differ): give that one with embedder=, or train the model again"
                ]
        except Exception as error:  # a plugin's code may raise anything
            return [f"embedder {self.label}: its check failed: {one_line(error)}"]
        return lacks

    @property
    def digest(self) -> str:
        """Return a hash of everything that its vectors depend on."""
        return digest(dict(self.component.fingerprint()))

    def encode(self, titles: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Embed titles into float32 (n, d); raises UsageError for an answer that is none."""
        import numpy as np

        if progress is not None:
            progress.stage("titles", len(titles), 0)
        blocks = []
        for start in range(0, len(titles), _AT_ONCE):
            some = list(titles[start : start + _AT_ONCE])
            rows = np.asarray(self.component.encode(some), np.float32)
            if rows.ndim != 2 or len(rows) != len(some) or not rows.shape[1] or not np.isfinite(rows).all():
                raise UsageError(f"embedder {self.label}: its answer to {len(some)} titles is no table of numbers")
            if rows.shape[1] > _WIDEST:
                raise UsageError(
                    f"embedder {self.label}: vectors of {rows.shape[1]:,} numbers, at most {_WIDEST:,} can be learnt "
                    "from: choose another embedder, or a smaller dim="
                )
            blocks.append(rows)
            if progress is not None:
                progress.advance(len(some))
        return np.concatenate(blocks)

    def close(self) -> None:
        """Free the model."""
        self.component.close()
