"""References for prompt enhancement: the five steps, against a plain account of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_retrieval import CountingEmbedder, RowsCorpus, made_rows, references_by_steps, retrieved
from popbench.errors import UsageError
from popbench.planning.config import EvalConfig
from popbench.planning.resolve import make_plan
from popbench.records import Reference
from popbench.retrieval import RetrievalOptions, Retriever
from popbench_baselines.corpus import DemoCorpus
from popbench_baselines.hashing import Hashing

MADE = made_rows(300)
DEMO = list(DemoCorpus().rows("test"))
PROMPTS = ["a cat in the rain at night", "robot cake", "Something nobody said", "?!"]


@pytest.mark.parametrize("ratio", [0, 0.1, 0.5, 1])
@pytest.mark.parametrize("tags", [1, 2])
@pytest.mark.parametrize("k", [1, 10, 50])
@pytest.mark.parametrize("rows", [MADE, DEMO], ids=["made", "demo"])
def test_references_are_those_of_a_plain_account(rows: list[Reference], k: int, tags: int, ratio: float) -> None:
    retriever = Retriever(RowsCorpus(rows), Hashing())
    for prompt in PROMPTS:
        options = RetrievalOptions(k=k, tags=tags, negative_ratio=ratio)
        references = [(row.id, row.popular) for row in retriever.find(prompt, options).references()]
        assert references == references_by_steps(rows, Hashing(), prompt, k, tags, ratio)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 25), st.integers(1, 30), st.integers(1, 5), st.floats(0, 1), st.integers(0, 99))
def test_any_small_corpus_gives_those_of_a_plain_account(n: int, k: int, tags: int, ratio: float, seed: int) -> None:
    rows = made_rows(n, seed)
    assert retrieved(rows, "a cat and a dog", k=k, tags=tags, negative_ratio=ratio) == references_by_steps(
        rows, Hashing(), "a cat and a dog", k, tags, ratio
    )


def test_references_keep_what_the_corpus_says_of_them() -> None:
    by_id = {row.id: row for row in DEMO}
    for row in Retriever(RowsCorpus(DEMO), Hashing()).find("a song", RetrievalOptions(k=10)).references():
        original = by_id[row.id]
        assert (row.title, row.caption, row.popularity) == (original.title, original.caption, original.popularity)
        assert original.popular is None


def test_ties_are_broken_by_id_whatever_the_order_of_the_rows() -> None:
    rows = [Reference(f"v{n}", "same title", "same", "same", "tag", 7) for n in (3, 1, 4, 2, 0)]
    expected = [("v0", True), ("v1", True), ("v4", False)]
    assert retrieved(rows, "x", k=4, negative_ratio=0.25)[:2] == expected[:2]
    assert retrieved(rows, "x", k=4, negative_ratio=0.25) == retrieved(rows[::-1], "x", k=4, negative_ratio=0.25)
    assert retrieved(rows, "x", k=4, negative_ratio=0.25) == [("v0", True), ("v1", True), ("v2", True), ("v4", False)]


def test_the_order_of_the_rows_does_not_matter() -> None:
    shuffled = [MADE[index] for index in np.random.default_rng(1).permutation(len(MADE))]
    for prompt in PROMPTS:
        assert retrieved(shuffled, prompt, k=20, tags=2) == retrieved(MADE, prompt, k=20, tags=2)


def test_tied_tags_are_chosen_by_name() -> None:
    rows = [Reference(f"v{n}", "t", "d", "c", tag, 1) for n, tag in enumerate(["zeta", "beta", "alpha"])]
    assert retrieved(rows, "?!", k=3, tags=1, negative_ratio=0) == [("v2", True)]


def test_fewer_videos_than_asked_for_give_what_there_is() -> None:
    rows = [Reference(f"v{n}", "t", "d", "c", "tag", n) for n in range(5)]
    assert retrieved(rows, "x", k=50) == [(f"v{n}", True) for n in range(5)]
    assert [popular for _, popular in retrieved(rows, "x", k=50, negative_ratio=0.4)] == [True] * 3 + [False] * 2
    assert retrieved(rows, "x", k=50, tags=9, negative_ratio=1) == [(f"v{n}", False) for n in range(5)]


def test_the_same_prompt_gives_the_same_references_alone_and_among_others() -> None:
    together = Retriever(RowsCorpus(MADE), Hashing())
    together.prepare([*PROMPTS, *PROMPTS])
    for prompt in reversed(PROMPTS):
        options = RetrievalOptions(k=10)
        assert together.find(prompt, options) == Retriever(RowsCorpus(MADE), Hashing()).find(prompt, options)


def test_the_corpus_is_read_and_embedded_once_and_only_its_test_part() -> None:
    corpus, embedder = RowsCorpus(MADE), CountingEmbedder()
    retriever = Retriever(corpus, embedder)
    for prompt in (*PROMPTS, *PROMPTS):
        retriever.find(prompt, RetrievalOptions(k=10))
    assert corpus.asked == ["test"]
    assert len(embedder.texts) == len(MADE) + len({row.tag for row in MADE}) + len(PROMPTS)


def test_nothing_is_read_before_it_is_needed() -> None:
    corpus, embedder = RowsCorpus(MADE), CountingEmbedder()
    Retriever(corpus, embedder)
    plan = make_plan(EvalConfig(task=("popcorn_concrete",), limit=1))
    assert "retriever" not in vars(plan)
    assert (corpus.asked, embedder.texts) == ([], [])


def test_an_empty_corpus_is_told() -> None:
    with pytest.raises(UsageError, match="no rows in its part 'test'"):
        retrieved([], "x")


def test_a_mode_without_references_retrieves_nothing() -> None:
    plan = make_plan(EvalConfig(task=("popcorn_concrete",), mode=("basic",), limit=1))
    (mode,) = plan.task_modes.values()
    assert plan.shown(mode, plan.prompts["popcorn_concrete"][0]).references == ()
    assert plan.corpus is None
