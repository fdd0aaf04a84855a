"""The embedder of titles: any that is installed, checked against the one that a model was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import popbench
from popbench.errors import UsageError, one_line
from popbench.keys import digest
from popbench.progress import Progress
from popbench.registry import load_registry
from popbench.specs import absolute_paths, parse_spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT = "all-MiniLM-L12-v2"
"""The embedder of references too."""
_WIDEST = 4096
"""The longest vectors: the regression takes the square of their length in memory."""
_AT_ONCE = 256
"""Titles between two steps of the progress."""


def find_embedder(spec: str) -> TitleEmbedder:
    """Return an embedder that can run here; raises UsageError if something is missing."""
    return _complete(TitleEmbedder(spec))


def embedder_of_card(card: Mapping[str, Any], given: str | None) -> TitleEmbedder:
    """Return the embedder that the user names, else the one that a card names.

    A card may be a stranger's: it can name popbench's own embedders, which run no code of a model and send titles to
    nobody. Raises UsageError for others, and for unknown ones.
    """
    spec = given or str(card["embedder"]["spec"])
    registration = load_registry().find("embedder", parse_spec(spec)[0])
    if given is None and registration.plugin.distribution != "popbench":
        raise UsageError(
            f"the model's card names the embedder {registration.name} of {registration.plugin.distribution}, which a "
            "card alone does not choose: give it with embedder="
        )
    return TitleEmbedder(spec)


def complete_embedder_of_card(card: Mapping[str, Any], given: str | None) -> TitleEmbedder:
    """Return what `embedder_of_card` does, if it can run here and is the one that the model was trained with."""
    return _complete(embedder_of_card(card, given), str(card["embedder"]["digest"]))


def _complete(embedder: TitleEmbedder, expected: str | None = None) -> TitleEmbedder:
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
