"""The options of retrieval, each against a plain account; what is warned of; how many references are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_retrieval import RandomEmbedder, RowsCorpus, distinct_rows, made_rows, references_by_steps, retrieved, text
from popbench.interfaces import Ask
from popbench.prompting.chats import show
from popbench.prompting.conversations import Conversation, TemplateMode
from popbench.prompting.drafts import DRAFT_SCHEMA
from popbench.prompting.templates import Template
from popbench.records import Message, Prompt, Reference
from popbench.retrieval import Found, RetrievalOptions, Retriever
from popbench.tasks.schema import DraftRules
from popbench_baselines.hashing import Hashing

ROWS = made_rows(200)
PROMPT = "a cat in the rain at night"


def find(rows: Sequence[Reference] = ROWS, prompt: str = PROMPT, **options: Any) -> Found:
    return Retriever(RowsCorpus(rows), Hashing()).find(prompt, RetrievalOptions(**options))


def ids(references: Sequence[Reference]) -> list[str]:
    return [row.id for row in references]


# -- tags and groups


@pytest.mark.parametrize("ratio", [0, 0.1, 0.29, 0.5, 1])
@pytest.mark.parametrize("tag_by", ["name", "profile", "none"])
@pytest.mark.parametrize(("tags", "per_tag"), [(1, False), (3, False), (3, True), (99, True)])
def test_tags_are_chosen_and_pooled_as_in_a_plain_account(ratio: float, tag_by: Any, tags: int, per_tag: bool) -> None:
    tags, per_tag = (1, False) if tag_by == "none" else (tags, per_tag)
    for prompt in (PROMPT, "robot", "?!"):
        options = {"k": 7, "tags": tags, "negative_ratio": ratio, "tag_by": tag_by, "per_tag": per_tag}
        assert retrieved(ROWS, prompt, **options) == references_by_steps(
            ROWS, Hashing(), prompt, 7, tags, ratio, tag_by, per_tag
        )


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 40),
    k=st.integers(1, 30),
    tags=st.integers(1, 5),
    ratio=st.floats(0, 1),
    tag_by=st.sampled_from(["name", "profile", "none"]),
    per_tag=st.booleans(),
    seed=st.integers(0, 10),
)
def test_any_options_give_those_of_a_plain_account(
    n: int, k: int, tags: int, ratio: float, tag_by: str, per_tag: bool, seed: int
) -> None:
    rows = made_rows(n, seed)
    tags, per_tag = (1, False) if tag_by == "none" else (tags, per_tag)
    shown = retrieved(rows, "a song", k=k, tags=tags, negative_ratio=ratio, tag_by=tag_by, per_tag=per_tag)
    assert shown == references_by_steps(rows, Hashing(), "a song", k, tags, ratio, tag_by, per_tag)


def test_the_unpopular_are_the_least_popular_of_all_chosen_tags_together() -> None:
    rows = [replace(row, tag="ab"[at % 2], popularity=at % 2 * 100 + at) for at, row in enumerate(distinct_rows(40))]
    pooled = find(rows, k=20, tags=2, negative_ratio=0.5).references()
    assert {row.tag for row in pooled if not row.popular} == {"a"}
    groups = find(rows, k=20, tags=2, negative_ratio=0.5, per_tag=True).references()
    assert {row.tag for row in groups if not row.popular} == {"a", "b"}


def test_what_was_found_says_of_which_tags_and_how_many() -> None:
    one = find(k=5, tags=3, per_tag=True)
    assert len(one.groups) == len(one.tags) == 3
    assert one.wanted == 15
    assert one.available == sum(row.tag in {name for name, _ in one.tags} for row in ROWS)
    assert [similarity for _, similarity in one.tags] == sorted((value for _, value in one.tags), reverse=True)
    whole = find(k=5, tag_by="none")
    assert (whole.tags, whole.wanted, whole.available) == ((), 5, 200)


@pytest.mark.parametrize("ratio", [0, 1])
def test_a_ratio_of_0_or_1_gives_only_popular_or_only_unpopular_ones(ratio: int) -> None:
    shown = find(k=10, negative_ratio=ratio, tag_by="none").references()
    assert [row.popular for row in shown] == [ratio == 0] * 10


# -- fewer references


@pytest.mark.parametrize(("tag_by", "tags", "per_tag"), [("name", 3, False), ("name", 3, True), ("none", 1, False)])
@pytest.mark.parametrize("order", ["nearest", "farthest", "popular"])
@pytest.mark.parametrize("ratio", [0, 0.1, 0.5, 0.9, 1])
def test_a_smaller_size_of_what_was_found_is_what_a_smaller_search_finds(
    tag_by: Any, tags: int, per_tag: bool, order: Any, ratio: float
) -> None:
    options = RetrievalOptions(k=30, tags=tags, negative_ratio=ratio, per_tag=per_tag, order=order, tag_by=tag_by)
    retriever = Retriever(RowsCorpus(ROWS), Hashing())
    large = retriever.find(PROMPT, options)
    for k in (1, 2, 9, 10, 11, 29, 30):
        assert large.hits(k) == retriever.find(PROMPT, options.model_copy(update={"k": k})).hits()
    assert large.hits(99) == large.hits()
    assert large.hits(0) == ()


def test_more_than_there_are_gives_all_of_them_once() -> None:
    for per_tag in (False, True):
        shown = find(k=1000, tags=99, per_tag=per_tag, negative_ratio=0.3).references()
        assert sorted(ids(shown)) == [row.id for row in ROWS]


# -- order and diversity


def test_orders_put_the_nearest_the_farthest_or_the_most_popular_first_on_each_side() -> None:
    orders = ("nearest", "farthest", "popular")
    sides = {order: find(k=12, negative_ratio=0.5, tags=9, order=order) for order in orders}
    for at in (slice(0, 6), slice(6, 12)):
        near = sides["nearest"].references()[at]
        assert sides["farthest"].references()[at] == near[::-1]
        assert list(sides["popular"].references()[at]) == sorted(near, key=lambda row: (-row.popularity, row.id))
    for side in (sides["nearest"].hits()[:6], sides["nearest"].hits()[6:]):
        assert [hit.similarity for hit in side] == sorted((hit.similarity for hit in side), reverse=True)


def diverse(rows: Sequence[Reference], prompt: str, count: int, weight: float) -> list[str]:
    """Maximal marginal relevance among the nearest five times as many, in float64."""

    def embed(text: str) -> Any:
        return Hashing().encode([text])[0].astype(np.float64)

    query = embed(prompt)
    near = sorted(rows, key=lambda row: (round(float(((embed(text(row)) - query) ** 2).sum()), 5), row.id))
    left, chosen = near[: 5 * count], list[Reference]()

    def worth(row: Reference) -> float:
        vector = embed(text(row))
        alike = max((float(vector @ embed(text(other))) for other in chosen), default=0.0)
        return round((1 - weight) * float(vector @ query) - weight * alike, 5)

    while left and len(chosen) < count:
        chosen.append(max(left, key=worth))  # the first of equals
        left.remove(chosen[-1])
    return ids(chosen)


@pytest.mark.parametrize("weight", [0, 0.2, 0.5, 0.8, 1])
def test_diversity_is_that_of_a_plain_account(weight: float) -> None:
    for prompt in (PROMPT, "cake and bread"):
        options = {"k": 6, "tag_by": "none", "negative_ratio": 0, "diversity": weight}
        shown = find(ROWS[:60], prompt, **options).references()
        assert ids(shown) == diverse(ROWS[:60], prompt, 6, weight)
        assert find(ROWS[:60][::-1], prompt, **options).references() == shown


def test_full_diversity_passes_over_near_duplicates() -> None:
    rows = [Reference(f"c{at}", "cat rain night", "a", "b", "t", 1) for at in range(9)]
    rows += [Reference("d", "cat on a robot train", "x", "y", "t", 1), Reference("e", "night song", "z", "w", "t", 1)]
    options = {"k": 3, "negative_ratio": 0}
    assert ids(find(rows, "cat rain night", **options).references()) == ["c0", "c1", "c2"]
    assert set(ids(find(rows, "cat rain night", diversity=1, **options).references())) == {"c0", "d", "e"}


# -- warnings


def test_what_users_of_a_corpus_have_to_know_is_told() -> None:
    corpus = RowsCorpus([replace(row, tag="all") for row in distinct_rows(5)])
    corpus.said = ["2 rows without a title\nwere skipped"]
    retriever = Retriever(corpus, RandomEmbedder(name="warned"), corpus_name="mine")
    expected = [
        "corpus mine: 2 rows without a title were skipped",
        "corpus mine: all videos have the tag 'all', so that there is none to choose",
        "corpus mine: 2 of 4 prompts of task one are titles in it, such as '  TITLE   3 ': references may hold what "
        "is asked for",
    ]
    asked = {"one": ["a", "  TITLE   3 ", "title 33", "title 4"], "two": ["titl 3"], "none": []}
    assert list(retriever.warnings(asked)) == expected
    corpus.said = []
    assert (
        list(Retriever(corpus, RandomEmbedder(name="warned"), corpus_name="mine").warnings(asked)) == expected
    )  # as built
    assert list(Retriever(RowsCorpus(distinct_rows(5)), RandomEmbedder()).warnings({"two": ["x"]})) == []


# -- what is shown


class Limit:
    """Allows a number of characters, and counts how often it is asked."""

    def __init__(self, characters: int) -> None:
        self.characters = characters
        self.calls = 0

    def __call__(self, messages: Sequence[Message]) -> bool:
        self.calls += 1
        return sum(len(message["content"]) for message in messages) <= self.characters


@pytest.fixture
def template(tmp_path: Path) -> Template:
    user = "{% for one in references %}[{{ one.id }}|{{ one.title }}]{% endfor %}{{ prompt }}"
    path = tmp_path / "x.j2"
    path.write_text("{% block system %}s{% endblock %}{% block user %}" + user + "{% endblock %}", encoding="utf-8")
    return Template(path)


def beginning(template: Template, prompt: Prompt) -> Callable[[Sequence[Reference]], Conversation]:
    def begin(references: Sequence[Reference]) -> Conversation:
        ask = Ask(template.render(prompt, DraftRules(), references), DRAFT_SCHEMA)
        return Conversation(TemplateMode(), "x", prompt, references, ask, DraftRules())

    return begin


@pytest.mark.parametrize("per_tag", [False, True])
@pytest.mark.parametrize(("k", "most"), [(1, 2), (10, 5), (64, 8)])
def test_as_many_references_are_shown_as_fit(template: Template, per_tag: bool, k: int, most: int) -> None:
    prompt, rules = Prompt("p", PROMPT, "c", "t"), DraftRules()
    large = find(k=k, negative_ratio=0.25, **({"tags": 2, "per_tag": True} if per_tag else {"tag_by": "none"}))
    sizes = {size: template.render(prompt, rules, large.references(size)) for size in range(k + 1)}
    lengths = {size: sum(len(message["content"]) for message in messages) for size, messages in sizes.items()}
    there = len(large.references())
    for allowed in {0, *(length + extra for length in lengths.values() for extra in (-1, 0, 1))}:
        limit = Limit(allowed)
        shown = show(beginning(template, prompt), large, limit)
        size = max((size for size, length in lengths.items() if length <= allowed), default=0)
        assert shown.references == large.references(size)
        assert shown.messages == sizes[size]
        assert limit.calls <= most
        whole = len(shown.references) == there
        cut = f"references cut from {there} to {len(shown.references)}: more do not fit the model's context"
        assert shown.cut == (None if whole else cut)
        assert shown.short == (
            f"{there} of {large.wanted} references: there are no more of the tags chosen"
            if there < large.wanted
            else None
        )


def test_too_few_references_are_told_and_a_limit_that_is_not_reached_asks_once(template: Template) -> None:
    prompt, limit = Prompt("p", PROMPT, "c", "t"), Limit(10**6)
    few = show(beginning(template, prompt), find(ROWS[:4], k=9, tag_by="none"), limit)
    assert (few.short, few.cut) == ("4 of 9 references: there are no more in the corpus", None)
    full = show(beginning(template, prompt), find(k=9, tag_by="none"), limit)
    assert (full.short, full.cut, len(full.references)) == (None, None, 9)
    assert limit.calls == 2
    none = show(beginning(template, prompt), None, Limit(0))
    assert (none.messages, none.references) == (template.render(prompt, DraftRules(), ()), ())
    assert none.notes == []
