"""Chooses references for a prompt by the steps of the paper's released code, with any corpus and embedder.

The steps: find the nearest tags, split their videos by popularity into positives and the least popular share as
negatives, take the nearest videos of each by text, and put positives before negatives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popbench.errors import UsageError, one_line
from popbench.interfaces import Corpus, Embedder
from popbench.keys import digest
from popbench.progress import Progress
from popbench.records import JSON
from popbench.retrieval.build import Source, build, embed_titles, title_hash
from popbench.retrieval.embedder import Embedding, fingerprint_of, refuse_lacks
from popbench.retrieval.index import Index
from popbench.retrieval.options import RetrievalOptions
from popbench.retrieval.results import Found, Hit
from popbench.retrieval.search import Slices, cosines, nearest, ranked
from popbench.retrieval.vectors import unwritable

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS_VERSION = 2
"""Raise this when corpora read other rows from the same data: indexes are then made anew, of cached vectors."""
_DIVERSE_AMONG = 5
"""Videos per wanted one from which `diversity` chooses."""
_ROUGH = 1e-4
"""The largest error of a product in single precision."""
_RESULTS = 512
"""Results that are cached, for other LLMs, repeats and re-asks."""
_SPLITS = 64
"""Splits of tags into popular and unpopular videos that are cached."""


class Retriever:
    """Finds references in a part of a corpus with an embedder. The index is built on first use and cached on disk.

    The names are those in messages. A fingerprint that is given is not computed again.
    """

    def __init__(
        self,
        corpus: Corpus,
        embedder: Embedder,
        *,
        corpus_name: str | None = None,
        embedder_name: str | None = None,
        corpus_fingerprint: Mapping[str, JSON] | None = None,
        embedder_fingerprint: Mapping[str, JSON] | None = None,
    ) -> None:
        self._corpus = corpus
        self.part = corpus.part
        self.corpus_name = corpus_name or type(corpus).__name__
        self._fingerprint = corpus_fingerprint or fingerprint_of(corpus, f"corpus {self.corpus_name}")
        self._embedding = Embedding(embedder, embedder_name or type(embedder).__name__, embedder_fingerprint)
        self._home = self._embedding.vectors.folder / digest(dict(self._fingerprint), self.part, ROWS_VERSION)
        self._index: Index | None = None
        self._titles: NDArray[np.float32] | None = None
        self._found: dict[tuple[str, RetrievalOptions], Found] = {}
        self._splits: dict[tuple[tuple[int, ...], float, float | None], tuple[Slices, Slices]] = {}

    @property
    def folder(self) -> Path:
        """The folder of the index."""
        return self._home / "index"

    def load(self, progress: Progress | None = None) -> Index:
        """Return the index, and build it first if no run has; raises UsageError if that fails."""
        if self._index is None:
            self._index = Index.open(self.folder) or self._build(progress or Progress())
        return self._index

    def _build(self, progress: Progress) -> Index:
        refuse_lacks(self._corpus, f"corpus {self.corpus_name}")
        self._embedding.check()
        source = Source(self._corpus, self.corpus_name, self.part, self._fingerprint)
        try:
            with self._embedding.locked(progress):
                return Index.open(self.folder) or build(source, self._embedding, self._home, progress)
        except OSError as error:
            raise unwritable(self._embedding.vectors.folder, error) from error

    def prepare(self, prompts: Sequence[str], progress: Progress | None = None) -> None:
        """Embed many prompts at once, before `find`; those that an earlier run embedded are looked up."""
        self._embedding.prepare(prompts, progress)

    def find(self, prompt: str, options: RetrievalOptions) -> Found:
        """Find the references of a prompt.

        With ratio r, the floor(r n) least popular of the n videos of the chosen tags are negatives, and floor(r k) of
        the k references are negatives; with a threshold of popularity, all videos below it are. If the tags have too
        few videos, there are fewer references. Ties are broken by id. Raises UsageError for a corpus that cannot be
        used.
        """
        cached = self._found.get((prompt, options))
        if cached is not None:
            return cached
        index, query = self.load(), self._embedding.query(prompt)
        tags = self._nearest_tags(index, query, options)
        codes = [index.tags.index(name) for name, _ in tags] if options.tag_by != "none" else range(len(index.tags))
        pools = [(code,) for code in codes] if options.per_tag and tags else [tuple(sorted(codes))]
        groups = tuple(self._group(index, query, pool, options) for pool in pools)
        available = sum(end - start for start, end in map(index.slice_of, codes))
        found = Found(options, tags, groups, available)
        if len(self._found) >= _RESULTS:
            self._found.pop(next(iter(self._found)))
        self._found[prompt, options] = found
        return found

    @staticmethod
    def _nearest_tags(
        index: Index, query: NDArray[np.float32], options: RetrievalOptions
    ) -> tuple[tuple[str, float], ...]:
        if options.tag_by == "none":
            return ()
        similar = np.round(cosines(index.tag_vectors if options.tag_by == "name" else index.tag_means, query), 5)
        order = np.argsort(-similar, kind="stable")[: options.tags]  # stable: ties by name, the order of tags
        return tuple((index.tags[tag], float(similar[tag])) for tag in order)

    def _group(
        self, index: Index, query: NDArray[np.float32], pool: tuple[int, ...], options: RetrievalOptions
    ) -> tuple[tuple[Hit, ...], tuple[Hit, ...]]:
        unpopular = math.floor(options.negative_ratio * options.k)
        positives, negatives = self._split(index, pool, options)
        return (
            tuple(self._hits(index, query, positives, options.k - unpopular, options, popular=True)),
            tuple(self._hits(index, query, negatives, unpopular, options, popular=False)),
        )

    def _split(self, index: Index, pool: tuple[int, ...], options: RetrievalOptions) -> tuple[Slices, Slices]:
        """Split the videos of tags into popular and unpopular ones, as slices."""
        key = pool, options.negative_ratio, options.popular_from
        if key not in self._splits:
            slices = [index.slice_of(tag) for tag in pool]
            if options.popular_from is None:
                cuts = _least_popular(index, slices, options.negative_ratio)
            else:  # popularity falls within a slice
                falling = (-index.popularity[start:end] for start, end in slices)
                below = (np.searchsorted(of_slice, -options.popular_from, "right") for of_slice in falling)
                cuts = [start + int(count) for (start, _), count in zip(slices, below, strict=True)]
            if len(self._splits) >= _SPLITS:
                self._splits.clear()
            self._splits[key] = (
                [(start, cut) for (start, _), cut in zip(slices, cuts, strict=True)],
                [(cut, end) for (_, end), cut in zip(slices, cuts, strict=True)],
            )
        return self._splits[key]

    @staticmethod
    def _hits(
        index: Index,
        query: NDArray[np.float32],
        slices: Slices,
        count: int,
        options: RetrievalOptions,
        *,
        popular: bool,
    ) -> Iterator[Hit]:
        if options.diversity:
            positions = nearest(index, query, slices, _DIVERSE_AMONG * count)
            positions = positions[_diverse(index.vectors[positions], query, count, options.diversity)]
        else:
            positions = nearest(index, query, slices, count)
        for position, similarity in zip(positions, cosines(index.vectors[positions], query), strict=True):
            yield Hit(replace(index.row(int(position)), popular=popular), float(similarity))

    def nearest_title(self, prompt: str) -> Hit:
        """Return the video whose title is nearest to a prompt by cosine, ties by id: the paper's human baseline."""
        index, query, titles = self.load(), self._embedding.query(prompt), self.load_titles()
        titled = index.title_hashes != np.uint64(title_hash(""))
        if not titled.any():
            raise UsageError(f"corpus {self.corpus_name}: no video has a title")
        rough = np.where(titled, titles @ query, -np.inf)
        near = np.flatnonzero(rough >= rough.max() - _ROUGH)
        similar = cosines(titles[near], query)
        best = int(ranked(index, -similar, near)[0])
        return Hit(index.row(best), float(similar[near == best][0]))

    def load_titles(self, progress: Progress | None = None) -> NDArray[np.float32]:
        """Return the vectors of titles, by position, and embed them first if no run has."""
        index, progress = self.load(progress), progress or Progress()
        if self._titles is None:
            self._titles = index.titles()
        if self._titles is None:
            try:
                with self._embedding.locked(progress):
                    if index.titles() is None:
                        embed_titles(index, self._embedding, progress)
            except OSError as error:
                raise unwritable(self._embedding.vectors.folder, error) from error
            self._titles = index.titles()
            assert self._titles is not None
        return self._titles

    def videos(self, ids: Sequence[str]) -> Mapping[str, Path | None]:
        """Return the files of videos by id, as the corpus names them; None for a video without one."""
        wanted = set(ids)
        files: dict[str, Path | None] = {}
        try:
            for row in self._corpus.rows(self.part):
                if row.id in wanted:
                    files[row.id] = row.video
                if len(files) == len(wanted):
                    break
        except Exception as error:  # a plugin's code may raise anything
            raise UsageError(f"corpus {self.corpus_name} cannot be read: {one_line(error)}") from error
        return files

    @property
    def ready(self) -> bool:
        """Whether the index has been built."""
        if self._index is None:
            self._index = Index.open(self.folder)
        return self._index is not None

    def warnings(self, prompts: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """Yield warnings about the corpus, one line each; `prompts` are texts by the name of their task."""
        index, name = self.load(), f"corpus {self.corpus_name}"
        for remark in index.remarks:
            yield f"{name}: {remark}"
        if len(index.tags) == 1:
            yield f"{name}: all videos have the tag {index.tags[0]!r}, so that there is none to choose"
        for task, texts in prompts.items():
            titles = self._among_titles(texts)
            if titles:
                yield (
                    f"{name}: {len(titles)} of {len(texts)} prompts of task {task} are titles in it, such as "
                    f"{titles[0][:60]!r}: references may hold what is asked for"
                )

    def _among_titles(self, prompts: Sequence[str]) -> list[str]:
        """Return the prompts that are titles of the corpus, ignoring case and spacing."""
        index = self.load()
        hashes = np.asarray([title_hash(prompt) for prompt in prompts], np.uint64)
        return [prompt for prompt, there in zip(prompts, np.isin(hashes, index.title_hashes), strict=True) if there]


def _least_popular(index: Index, slices: Slices, ratio: float) -> list[int]:
    """Return where in each slice the floor(ratio n) least popular of all their n videos start."""
    positions = np.concatenate([np.arange(start, end) for start, end in slices])
    count = math.floor(ratio * len(positions))
    if len(slices) > 1:  # a single slice is sorted already
        positions = positions[np.lexsort((index.id_rank[positions], -index.popularity[positions]))]
    least = np.sort(positions[len(positions) - count :])
    return [end - int(np.searchsorted(least, end) - np.searchsorted(least, start)) for start, end in slices]


def _diverse(vectors: NDArray[np.float32], query: NDArray[np.float32], count: int, weight: float) -> list[int]:
    """Choose rows one by one by maximal marginal relevance; `weight` is that of unlikeness to rows chosen before."""
    relevance = cosines(vectors, query)
    unit = vectors.astype(np.float64)
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    unit /= np.where(lengths > 0, lengths, 1)
    redundancy = np.full(len(vectors), -1.0)
    chosen: list[int] = []
    while len(chosen) < min(count, len(vectors)):
        unlike = redundancy if chosen else np.zeros(len(vectors))
        worth = np.round((1 - weight) * relevance - weight * unlike, 5)
        worth[chosen] = -np.inf
        chosen.append(int(np.argmax(worth)))  # of equals the first, which is the nearest
        redundancy = np.maximum(redundancy, unit @ unit[chosen[-1]])
    return chosen
