"""A threshold of popularity, and what is warned of: small tags, weak matches, popular videos below the median."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_retrieval import RowsCorpus, distinct_rows, made_rows
from popbench.records import Reference
from popbench.retrieval import Found, RetrievalOptions, Retriever, advice
from popbench.retrieval.index import Index
from popbench.specs import read_options
from popbench_baselines.hashing import Hashing
from usage_errors import refusal

PROMPT = "a cat in the rain at night"


def retriever(rows: Sequence[Reference]) -> Retriever:
    return Retriever(RowsCorpus(rows), Hashing())


def find(rows: Sequence[Reference], **options: Any) -> Found:
    return retriever(rows).find(PROMPT, RetrievalOptions(**options))


def index(rows: Sequence[Reference]) -> Index:
    return retriever(rows).load()


# -- the threshold


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 40),
    k=st.integers(1, 20),
    tags=st.integers(1, 4),
    ratio=st.floats(0, 1),
    popular_from=st.floats(0.5, 3000),
    tag_by=st.sampled_from(["name", "profile", "none"]),
    per_tag=st.booleans(),
)
def test_popular_references_reach_the_threshold_and_unpopular_ones_do_not(
    n: int, k: int, tags: int, ratio: float, popular_from: float, tag_by: Any, per_tag: bool
) -> None:
    rows = made_rows(n)
    tags, per_tag = (1, False) if tag_by == "none" else (tags, per_tag)
    options = {"k": k, "tags": tags, "negative_ratio": ratio, "tag_by": tag_by, "per_tag": per_tag}
    found = find(rows, popular_from=popular_from, **options)
    for hit in found.hits():
        assert hit.reference.popular == (hit.reference.popularity >= popular_from)
    if not per_tag:
        chosen = {name for name, _ in found.tags} or {row.tag for row in rows}
        pool = [row for row in rows if row.tag in chosen]
        popular = [row for row in pool if row.popularity >= popular_from]
        unpopular = int(ratio * k)
        expected = min(len(popular), k - unpopular), min(len(pool) - len(popular), unpopular)
        assert tuple(map(len, found.groups[0])) == expected


def test_a_threshold_takes_videos_with_exactly_its_popularity() -> None:
    rows = [Reference(str(n), f"cat {n}", "", "", "x", n) for n in range(1, 9)]
    found = find(rows, k=8, negative_ratio=0.5, popular_from=5)
    assert sorted(hit.reference.popularity for hit in found.hits() if hit.reference.popular) == [5, 6, 7, 8]


def test_the_options_of_a_mode_without_a_threshold_are_those_of_before() -> None:
    assert set(RetrievalOptions().determining()) == {
        "k", "tags", "negative_ratio", "per_tag", "tag_by", "diversity", "order"
    }  # fmt: skip
    assert RetrievalOptions(popular_from=100).determining()["popular_from"] == 100


@pytest.mark.parametrize("value", ["0", "-1", "many", "inf"])
def test_a_threshold_is_a_number_above_zero(value: str) -> None:
    line = refusal(lambda: read_options(RetrievalOptions, {"popular_from": value}, {}, "mode pe"))
    assert line.startswith("mode pe: popular_from: ")


# -- what is warned of


def rows_of(sizes: dict[str, int], popularity: int = 100) -> list[Reference]:
    return [
        Reference(f"{tag}{n}", f"{tag} video {n}", "", "", tag, popularity + n)
        for tag, size in sizes.items()
        for n in range(size)
    ]


def test_small_tags_are_told_with_the_smallest() -> None:
    lines = list(advice.of_corpus(index(rows_of({"big": 60, "small": 17, "tiny": 3})), RetrievalOptions()))
    assert lines[0].startswith("2 of 3 tags have fewer than 50 videos, 'tiny' has 3")
    assert "tag_by=none" in lines[0]
    for sizes in ({"big": 60, "large": 50}, {"lone": 3}):
        assert not [
            line for line in advice.of_corpus(index(rows_of(sizes)), RetrievalOptions()) if "fewer than" in line
        ]


def test_popular_videos_below_the_median_are_told_with_the_threshold() -> None:
    (line,) = advice.of_corpus(index(rows_of({"one": 60})), RetrievalOptions())
    assert line.startswith("44 % of the videos that count as popular are below the corpus's median of 129.5")
    assert "popular_from=N" in line
    for options in (RetrievalOptions(popular_from=130), RetrievalOptions(negative_ratio=0.5)):
        assert not list(advice.of_corpus(index(rows_of({"one": 60})), options))


def warnings(rows: Sequence[Reference], **options: Any) -> list[str]:
    made = retriever(rows)
    return list(advice.of_references(made, PROMPT, made.find(PROMPT, RetrievalOptions(**options))))


def test_references_of_a_small_tag_far_from_the_prompt_are_told() -> None:
    near = [Reference(f"n{n}", f"a cat in the rain at night {n}", "", "", "zoo", 1000 + n) for n in range(60)]
    far = [Reference(f"f{n}", f"goal of the season {n}", "", "", "cat night", 1000 + n) for n in range(12)]
    lines = warnings(near + far)
    assert lines[0] == "the tag chosen has 12 videos, for 10 references; tag_by=none searches the whole corpus"
    assert lines[1].startswith("weak match: the mean similarity of these references is 0.")
    assert "'cat night' (" in lines[1]
    assert not [line for line in warnings(near + far, tag_by="none") if "tag_by" in line]
    assert not [line for line in warnings(near + far, tag_by="profile") if "tag_by" in line]


def test_references_marked_popular_below_the_median_are_told() -> None:
    rows = [Reference(f"{n}", f"a cat in the rain at night {n}", "", "", "x", n) for n in range(60)]
    rows += [Reference(f"y{n}", f"song {n}", "", "", "x", 1000 + n) for n in range(60)]
    (line,) = warnings(rows)
    assert line.startswith("9 of 9 references marked popular are below the corpus's median of")
    assert "popular_from=N" in line
    assert not warnings(rows, popular_from=1000)


def test_warnings_leave_references_alone() -> None:
    rows = distinct_rows(80)
    made = retriever(rows)
    before = made.find(PROMPT, RetrievalOptions()).references()
    list(advice.of_references(made, PROMPT, made.find(PROMPT, RetrievalOptions())))
    assert made.find(PROMPT, RetrievalOptions()).references() == before


@pytest.mark.parametrize("tag_by", ["name", "profile", "none"])
def test_a_corpus_of_one_video_is_told_without_an_accident(tag_by: Any) -> None:
    rows = [Reference("1", "", "", "", "x", 0)]
    assert isinstance(warnings(rows, tag_by=tag_by), list)
    list(advice.of_corpus(index(rows), RetrievalOptions(tag_by=tag_by)))
