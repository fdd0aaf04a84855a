"""Warns of poor references: of small tags, of weak matches, and of popular videos below the corpus's median."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from popbench.retrieval.index import Index
from popbench.retrieval.options import RetrievalOptions
from popbench.retrieval.results import Found
from popbench.text import counted

if TYPE_CHECKING:
    from popbench.retrieval.retriever import Retriever

_SMALL = 50
"""Videos of a tag: of fewer, the ten nearest may well be about something else."""
_SCARCE = 5
"""Videos searched for each reference wanted: of fewer, there is little to choose from."""
_FAR = 0.05
"""How much more similar the references of the whole corpus are, on average, where tags are told to be in the way."""
_MANY = 0.25
"""The share of popular videos below the median that is told."""
_ALL = "tag_by=none searches the whole corpus"
_THRESHOLD = "popular_from=N says from which popularity on a video is popular"


def of_corpus(index: Index, options: RetrievalOptions) -> Iterator[str]:
    """Yield warnings about a corpus for a mode's options, one line each."""
    sizes = [end - start for start, end in pairwise(index.tag_starts.tolist())]
    small = sorted((size, tag) for size, tag in zip(sizes, index.tags, strict=True) if size < _SMALL)
    if small and len(sizes) > 1:
        size, tag = small[0]
        yield (
            f"{len(small):,} of {counted(len(sizes), 'tag')} have fewer than {_SMALL} videos, {tag!r} has "
            f"{size:,}: where such a tag is chosen, references may be far from the prompt; {_ALL}"
        )
    if options.popular_from is None:
        median = float(np.median(index.popularity))
        popular = np.concatenate(
            [
                index.popularity[start : end - int(options.negative_ratio * (end - start))]
                for start, end in pairwise(index.tag_starts.tolist())
            ]
        )
        share = float((popular < median).mean()) if len(popular) else 0.0
        if share >= _MANY:
            yield (
                f"{100 * share:.0f} % of the videos that count as popular are below the corpus's median of "
                f"{median:,g}, since only the least popular {100 * options.negative_ratio:.0f} % of a tag count as "
                f"unpopular, as in the paper; {_THRESHOLD}"
            )


def of_references(retriever: Retriever, prompt: str, found: Found) -> Iterator[str]:
    """Yield warnings about the references of a prompt, one line each."""
    index, options, hits = retriever.load(), found.options, found.hits()
    if options.tag_by != "none" and len(index.tags) > 1:
        if found.available < _SCARCE * options.k:
            chosen = "tag chosen has" if len(found.tags) == 1 else f"{len(found.tags)} tags chosen have"
            yield f"the {chosen} {counted(found.available, 'video')}, for {found.wanted} references; {_ALL}"
        everywhere = options.model_copy(update={"tag_by": "none", "tags": 1, "per_tag": False})
        nearest = [hit.similarity for hit in retriever.find(prompt, everywhere).hits()]
        similar, most = (float(np.mean(each)) if each else 0.0 for each in ([hit.similarity for hit in hits], nearest))
        if most - similar >= _FAR:
            names = ", ".join(f"{name!r} ({similarity:.2f})" for name, similarity in found.tags)
            yield (
                f"weak match: the mean similarity of these references is {similar:.2f}, that of the nearest in all "
                f"tags {most:.2f}; chosen by {options.tag_by}: {names}; {_ALL}"
            )
    median = float(np.median(index.popularity))
    popular = [hit.reference.popularity for hit in hits if hit.reference.popular]
    below = [value for value in popular if value < median]
    if popular and len(below) >= _MANY * len(popular):
        yield (
            f"{len(below)} of {counted(len(popular), 'reference')} marked popular are below the corpus's median of "
            f"{median:,g}, the least has {min(below):,g}; {_THRESHOLD}"
        )
