"""The nearest vectors: exact below a size and nearly so above, ties by id, whatever the order, company and threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import popbench
from made_retrieval import WORDS, RandomEmbedder, RowsCorpus, distinct_rows, made_rows
from popbench.records import Reference
from popbench.retrieval import RetrievalOptions, Retriever, build, search
from popbench.retrieval.index import Index, load_faiss
from popbench_baselines.hashing import Hashing
from usage_errors import refusal


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("POPBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def index_of(vectors: Any, id_rank: Any = None) -> Index:
    """An index of vectors, as far as searching is concerned."""
    n = len(vectors)
    rank = np.arange(n)[::-1] if id_rank is None else id_rank
    none: Any = None
    return Index(Path("nowhere"), n, ["a"], [], vectors, none, none, rank, none, none, none, none)


def brute(index: Index, query: Any, slices: Sequence[tuple[int, int]], count: int) -> list[int]:
    rows = [row for start, end in slices for row in range(start, end)]
    far = {row: round(float(((index.vectors[row].astype(np.float64) - query) ** 2).sum()), 5) for row in rows}
    return sorted(rows, key=lambda row: (far[row], index.id_rank[row]))[:count]


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 120),
    different=st.integers(1, 120),
    count=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 120), max_size=5),
)
def test_nearest_are_those_of_brute_force(seed: int, n: int, different: int, count: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    distinct = rng.standard_normal((different, 5))
    distinct[rng.random(different) < 0.1] = 0
    distinct /= np.maximum(np.linalg.norm(distinct, axis=1, keepdims=True), 1e-9)
    index = index_of(distinct[rng.integers(different, size=n)].astype(np.float32), rng.permutation(n))
    ends = sorted({0, n, *(min(cut, n) for cut in cuts)})
    slices = [*list(pairwise(ends))[:: 1 + seed % 2], (n, n)]
    query = distinct[0].astype(np.float32)
    assert search.nearest(index, query, slices, count).tolist() == brute(index, query, slices, count)


@pytest.mark.parametrize("tied", [1, 5, 17, 18, 100, 2000])
def test_flat_gives_all_that_tie_with_the_last(tied: int) -> None:
    query, other = np.eye(8, dtype=np.float32)[:2]
    vectors = np.stack([query] * 3 + [other] * tied + [-query] * 500)
    np.random.default_rng(0).shuffle(vectors)
    found = search.flat(vectors, query, 4)
    tying = set(np.flatnonzero(search.distances(vectors, query) < 2.5).tolist())
    assert tying <= set(found.tolist())
    assert len(set(found.tolist())) == len(found)
    index = index_of(vectors)
    assert search.nearest(index, query, [(0, len(vectors))], 4).tolist() == brute(index, query, [(0, len(vectors))], 4)


@pytest.mark.parametrize("k", [3, 10])
def test_ties_are_broken_by_id_among_more_rows_than_are_looked_at(k: int) -> None:
    options = RetrievalOptions(k=k, negative_ratio=0.4)
    rows = [Reference(f"v{at:03d}", "same title", "same", "same", "tag", 7) for at in range(200)]
    expected = [f"v{at:03d}" for at in range(k - int(0.4 * k))] + [f"v{120 + at:03d}" for at in range(int(0.4 * k))]
    for seed in range(3):
        shuffled = [rows[at] for at in np.random.default_rng(seed).permutation(200)]
        found = Retriever(RowsCorpus(shuffled), Hashing()).find("a title", options).references()
        assert [row.id for row in found] == expected


def test_a_prompt_finds_the_same_alone_and_among_many_and_with_any_number_of_threads() -> None:
    faiss = load_faiss()
    rng = np.random.default_rng(3)
    prompts = [" ".join(rng.choice(WORDS, 4)) for _ in range(200)]
    rows, options = made_rows(900), RetrievalOptions(k=12, tags=3, diversity=0.3)
    before, found = faiss.omp_get_max_threads(), []
    try:
        for threads in (1, 2):
            faiss.omp_set_num_threads(threads)
            together = Retriever(RowsCorpus(rows), Hashing())
            together.prepare(prompts)
            found.append([together.find(prompt, options) for prompt in prompts[:20]])
    finally:
        faiss.omp_set_num_threads(before)
    assert found[0] == found[1]
    assert found[0] == [Retriever(RowsCorpus(rows), Hashing()).find(prompt, options) for prompt in prompts[:20]]


# -- the approximate index


class Clustered(RandomEmbedder):
    """Texts `N ...` lie near the centre N."""

    def encode(self, texts: Sequence[str]) -> Any:
        centres = np.random.default_rng(0).standard_normal((100, 16))
        made = super().encode(texts) * 0.7
        for vector, text in zip(made, texts, strict=True):
            if text.split()[0].isdigit():
                vector += centres[int(text.split()[0])] / np.linalg.norm(centres[int(text.split()[0])])
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def clustered(count: int) -> list[Reference]:
    tags = ["big"] * 24 + ["large"] * 24 + ["small"] * 2
    return [Reference(f"v{at:05d}", f"{at * 7 % 100} {at}", "d", "c", tags[at % 50], at % 49) for at in range(count)]


def limited(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    for module in (search, build):
        monkeypatch.setattr(module, "FLAT_LIMIT", limit)


@pytest.mark.slow
@pytest.mark.parametrize("options", [RetrievalOptions(tag_by="none"), RetrievalOptions(tags=2), RetrievalOptions()])
def test_above_the_limit_nearly_all_of_the_nearest_are_found(
    options: RetrievalOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, 2000)
    monkeypatch.setattr(search, "_PROBED", 16)
    retriever = Retriever(RowsCorpus(clustered(5000)), Clustered(dim=16))
    assert retriever.load().ann is not None
    prompts = [f"{at} a prompt" for at in range(0, 100, 2)]
    asked: list[Any] = []
    approximate = search._approximate

    def counted(*given: Any) -> Any:
        asked.append(given)
        return approximate(*given)

    with monkeypatch.context() as patched:
        patched.setattr(search, "_approximate", counted)
        near = [{row.id for row in retriever.find(prompt, options).references()} for prompt in prompts]
    assert len(asked) >= len(prompts) // 4
    again = Retriever(RowsCorpus(clustered(5000)), Clustered(dim=16))
    assert near == [{row.id for row in again.find(prompt, options).references()} for prompt in prompts]
    limited(monkeypatch, 10**6)
    exact = [{row.id for row in retriever.find(prompt, options).references()} for prompt in prompts]
    assert sum(len(one & other) for one, other in zip(near, exact, strict=True)) >= 0.95 * 10 * len(prompts)


def test_below_the_limit_there_is_none_and_small_pools_are_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 2001)
    assert Retriever(RowsCorpus(clustered(2000)), Clustered(dim=16)).load().ann is None
    retriever = Retriever(RowsCorpus(clustered(5001)), Clustered(dim=16))
    asked: list[Any] = []
    monkeypatch.setattr(search, "_approximate", lambda *given: asked.append(given))
    for prompt in ("1 x", "2 y"):
        tag = retriever.load().tags.index("small")
        pool = [retriever.load().slice_of(tag)]
        query = Clustered(dim=16).encode([prompt])[0]
        assert search.nearest(retriever.load(), query, pool, 9).tolist() == brute(retriever.load(), query, pool, 9)
    assert asked == []
    assert retriever.load().ann is not None


def test_where_the_cells_nearby_hold_too_few_others_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 2000)
    monkeypatch.setattr(search, "_PROBED", 1)
    retriever = Retriever(RowsCorpus(clustered(5000)), Clustered(dim=16))
    assert len(retriever.find("5 x", RetrievalOptions(k=1000, tag_by="none", negative_ratio=0)).references()) == 1000


@pytest.mark.parametrize("damaged", [True, False])
def test_an_approximate_index_that_is_damaged_or_gone_is_made_anew(
    damaged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, 2000)
    file = Retriever(RowsCorpus(clustered(2500)), Clustered(dim=16)).load().folder / "ann.faiss"
    whole = file.read_bytes()
    file.unlink()
    if damaged:
        file.write_bytes(whole[:-100])
    embedder = Clustered(dim=16)
    Retriever(RowsCorpus(clustered(2500)), embedder).find("3 x", RetrievalOptions(tag_by="none"))
    assert embedder.texts == ["3 x"]
    assert file.stat().st_size == len(whole)


# -- the nearest title


def test_the_nearest_title_is_that_of_brute_force() -> None:
    rows = made_rows(300)
    rows[5] = replace(rows[5], title=" \t")
    retriever = Retriever(RowsCorpus(rows), Hashing())
    titles = [row for row in rows if row.title.strip()]
    for prompt in ("a cat in the rain", "robot cake", "snow", rows[7].title):
        vector = Hashing().encode([prompt])[0].astype(np.float64)
        similar = {row.id: float(Hashing().encode([row.title])[0].astype(np.float64) @ vector) for row in titles}
        best = min(titles, key=lambda row: (-round(similar[row.id], 5), row.id))
        hit = retriever.nearest_title(prompt)
        assert hit.reference.id == best.id
        assert hit.similarity == pytest.approx(similar[best.id], abs=1e-6)
        assert hit.reference.popular is None


def test_tied_titles_are_chosen_by_id_and_empty_ones_never() -> None:
    class Opposite(Hashing):
        def encode(self, texts: Sequence[str]) -> Any:
            made = super().encode(texts)
            return np.asarray([-one if "not" in text else one for one, text in zip(made, texts, strict=True)])

    rows = [Reference(f"v{at}", title, "d", "c", "t", 1) for at, title in enumerate(["", " ", "cat", "cat", "dog"])]
    retriever = Retriever(RowsCorpus(rows[::-1]), Opposite())
    assert retriever.nearest_title("cat").reference.id == "v2"
    assert retriever.nearest_title("?!").reference.id == "v2"  # as near to all
    assert Retriever(RowsCorpus(rows[:3]), Opposite()).nearest_title("not cat").reference.id == "v2"
    assert "no video has a title" in refusal(lambda: Retriever(RowsCorpus(rows[:2]), Hashing()).nearest_title("x"))


def test_titles_are_embedded_once_and_again_where_their_file_is_damaged() -> None:
    rows, embedder = distinct_rows(20), RandomEmbedder(name="titles")
    retriever = Retriever(RowsCorpus(rows), embedder)
    retriever.load_titles()
    rows.sort(key=lambda row: (row.tag, -row.popularity, row.id))
    assert embedder.texts[23:] == [row.title for row in rows]
    retriever.load_titles()
    best = retriever.nearest_title("x")
    other = RandomEmbedder(name="titles")
    Retriever(RowsCorpus(rows), other).load_titles()
    assert other.texts == []
    file = retriever.folder / "titles.npy"
    file.write_bytes(file.read_bytes()[:-5])
    again = Retriever(RowsCorpus(rows), other)
    assert again.nearest_title("x") == best
    assert other.texts == ["x"]
    corpus: popbench.Corpus = RowsCorpus([*rows, Reference("new", "another", "d", "c", "tag 0", 1)])
    Retriever(corpus, other).load_titles()
    assert other.texts == ["x", "another d c", "another"]
