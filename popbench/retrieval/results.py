"""The result of retrieval for a prompt: popular and unpopular videos, and their order."""

from __future__ import annotations

import math
from dataclasses import dataclass

from popbench.records import Reference
from popbench.retrieval.options import RetrievalOptions


@dataclass(frozen=True, slots=True)
class Hit:
    """A video with the cosine similarity of its text (or title) to the prompt."""

    reference: Reference
    similarity: float


@dataclass(frozen=True, slots=True)
class Found:
    """The result of retrieval for a prompt: `groups` of (positives, negatives), each nearest first.

    There is one group, or with `per_tag` one for each tag. `tags` are the chosen ones with their similarity, empty if
    the whole corpus is searched. `available` counts the videos that were searched.
    """

    options: RetrievalOptions
    tags: tuple[tuple[str, float], ...]
    groups: tuple[tuple[tuple[Hit, ...], tuple[Hit, ...]], ...]
    available: int

    @property
    def wanted(self) -> int:
        """The number of references that were asked for."""
        return self.options.k * len(self.groups)

    @property
    def scope(self) -> str:
        """Where references were searched, to follow `there are no more`."""
        return "in the corpus" if self.options.tag_by == "none" else "of the tags chosen"

    def hits(self, k: int | None = None) -> tuple[Hit, ...]:
        """Return the positives, then the negatives, each in the order of the options; `k` is a smaller RAG size."""
        k = self.options.k if k is None else min(k, self.options.k)
        unpopular = math.floor(self.options.negative_ratio * k)
        shown: list[Hit] = []
        for side, count in ((0, k - unpopular), (1, unpopular)):
            of_side = [hit for group in self.groups for hit in group[side][:count]]
            if self.options.order == "farthest":
                of_side.reverse()
            elif self.options.order == "popular":
                of_side.sort(key=lambda hit: (-hit.reference.popularity, hit.reference.id))
            shown += of_side
        return tuple(shown)

    def references(self, k: int | None = None) -> tuple[Reference, ...]:
        """Return the videos of `hits(k)`."""
        return tuple(hit.reference for hit in self.hits(k))
