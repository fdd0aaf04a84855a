"""References for prompt enhancement: which videos of a corpus an LLM is shown with a request.

The five steps of the paper's released code, on any corpus and embedder: nearest tags, their videos by popularity,
the least popular share as negatives, nearest videos by text, positives then negatives.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.errors import UsageError, one_line
from popbench.interfaces import Corpus, Embedder
from popbench.records import Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from popbench.prompting import RetrievalOptions

PART = "test"
"""The corpus part that references come from: predictors are trained on the others."""


class Retriever:
    """Finds references in one corpus with one embedder; loads and embeds the corpus on first use."""

    def __init__(self, corpus: Corpus, embedder: Embedder) -> None:
        self._corpus = corpus
        self._embedder = embedder
        self._prompts: dict[str, NDArray[np.float32]] = {}

    @cached_property
    def _rows(self) -> list[Reference]:
        try:
            rows = list(self._corpus.rows(PART))
        except Exception as error:
            raise UsageError(f"corpus {type(self._corpus).__name__} cannot be read: {one_line(error)}") from error
        if not rows:
            raise UsageError(f"the corpus has no rows in its part {PART!r}: there is nothing to retrieve")
        return rows

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        return self._embed([f"{row.title} {row.description} {row.caption}" for row in self._rows])

    @cached_property
    def _tags(self) -> tuple[list[str], NDArray[np.float32]]:
        names = sorted({row.tag for row in self._rows})
        return names, self._embed(names)

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        who = f"embedder {type(self._embedder).__name__}"
        try:
            vectors = np.asarray(self._embedder.encode(texts), dtype=np.float32)
        except Exception as error:
            raise UsageError(f"{who} raised {one_line(error)}") from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise UsageError(f"{who} gave {vectors.shape} for {len(texts)} texts, expected (texts, d) finite numbers")
        return vectors

    def load(self) -> None:
        """Load and embed the corpus now; raises UsageError in one line where that fails."""
        _ = self._vectors, self._tags

    def prepare(self, prompts: Sequence[str]) -> None:
        """Embed many prompts at once, ahead of `references`."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._prompts]
        if new:
            self._prompts.update(zip(new, self._embed(new), strict=True))

    def references(self, prompt: str, options: RetrievalOptions) -> list[Reference]:
        """Return the references of one prompt: positives, then negatives, each nearest first.

        With ratio r, of the n videos of the chosen tags the floor(r n) least popular are the negatives; of the
        k references floor(r k) are negatives. Tags with too few videos give what there is. Ties are broken by
        id. Raises UsageError for an empty corpus.
        """
        self.prepare([prompt])
        query = self._prompts[prompt]
        chosen = self._nearest_tags(query, options.tags)
        pool = sorted(
            (index for index, row in enumerate(self._rows) if row.tag in chosen),
            key=lambda index: (-self._rows[index].popularity, self._rows[index].id),
        )
        negatives = math.floor(options.negative_ratio * len(pool))
        wanted = math.floor(options.negative_ratio * options.k)
        split = len(pool) - negatives
        return [
            *self._nearest(query, pool[:split], options.k - wanted, popular=True),
            *self._nearest(query, pool[split:], wanted, popular=False),
        ]

    def _nearest_tags(self, query: NDArray[np.float32], count: int) -> set[str]:
        names, vectors = self._tags
        norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        cosine = (vectors @ query) / np.where(norms > 0, norms, 1)
        order = sorted(range(len(names)), key=lambda index: (-_rounded(cosine[index]), names[index]))
        return {names[index] for index in order[:count]}

    def _nearest(self, query: NDArray[np.float32], pool: list[int], count: int, *, popular: bool) -> list[Reference]:
        if not pool or not count:
            return []
        distances = ((self._vectors[pool] - query) ** 2).sum(axis=1)
        order = sorted(range(len(pool)), key=lambda at: (_rounded(distances[at]), self._rows[pool[at]].id))
        return [dataclasses.replace(self._rows[pool[at]], popular=popular) for at in order[:count]]


def _rounded(value: Any) -> float:
    """Round so that a tie stays a tie: embeddings differ by about 1e-7 with what they are computed beside."""
    return round(float(value), 5)
