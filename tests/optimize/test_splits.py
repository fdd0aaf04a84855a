"""Prompts are split by category and seed, and what decides on them is as strict as it says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from popbench.errors import UsageError
from popbench.optimize.budget import read_budget
from popbench.optimize.sentences import SENTENCES, with_sentences
from popbench.optimize.splits import split
from popbench.optimize.verdict import choose, compared, verdict_of
from popbench.records import Prompt


def prompts(n: int) -> list[Prompt]:
    return [Prompt(f"p{at}", f"Request {at}", "abcde"[at % 5], "task") for at in range(n)]


@pytest.mark.parametrize(("n", "budget", "sizes"), [
    (200, "clips=400", (120, 20, 60)), (200, "clips=4000", (80, 40, 80)), (100, "usd=5", (40, 20, 40)),
    (50, "clips=200", (20, 10, 20)),
])  # fmt: skip
def test_sizes_are_for_the_prompts_and_the_budget(n: int, budget: str, sizes: tuple[int, int, int]) -> None:
    parts = split(prompts(n), 42, read_budget(budget)).parts()
    assert tuple(map(len, parts.values())) == sizes
    assert len({prompt.id for part in parts.values() for prompt in part}) == n
    for part in parts.values():
        for first in (10, len(part)):
            counts = Counter(prompt.category for prompt in part[:first])
            assert max(counts.values()) - min(counts.values()) <= 1
            assert len(counts) == 5


def test_another_seed_gives_another_split_and_the_order_of_prompts_none() -> None:
    budget = read_budget("clips=400")
    assert split(prompts(100), 1, budget) == split(prompts(100)[::-1], 1, budget)
    assert split(prompts(100), 1, budget) != split(prompts(100), 2, budget)


def test_too_few_prompts_are_refused() -> None:
    with pytest.raises(UsageError, match=r"49 prompts are too few .* 50 are the least"):
        split(prompts(49), 1, read_budget("clips=400"))


@pytest.mark.parametrize("budget", ["400", "clips=", "clips=0", "clips=1.5", "usd=-1", "euro=3", "clips=400 usd=2"])
def test_what_is_no_budget_is_refused(budget: str) -> None:
    with pytest.raises(UsageError, match="--budget: expected clips=N"):
        read_budget(budget)


def test_a_proof_needs_the_whole_interval_above_one_half() -> None:
    start = np.ones(20)
    strata = [at % 5 for at in range(20)]
    assert compared(start + 1, start, strata)["proved"]
    narrow = compared(np.where(np.arange(20) < 13, 2.0, 0.5), start, strata)
    assert narrow["wins"] == 13
    assert not narrow["proved"]
    assert narrow["win_rate"]["low"] < 0.5 < narrow["win_rate"]["value"]
    assert not compared(start[:9] + 1, start[:9], strata[:9])["proved"]


@pytest.mark.parametrize(("proved", "verdict"), [
    ((True,), "proved"), ((False,), "not proved"), ((False, True), "not proved"), ((True, True), "proved"),
    ((True, True, False), "proved for P, not for Q: the search exploited the predictor"),
])  # fmt: skip
def test_the_verdict_is_of_p_and_every_q(proved: tuple[bool, ...], verdict: str) -> None:
    assert verdict_of([{"proved": each} for each in proved]) == verdict


def test_of_equal_candidates_the_more_promising_is_chosen() -> None:
    assert choose(np.ones((3, 12)))[0] == 0
    assert choose(np.array([[1.0, 2, 3], [2, 3, 4], [0, 0, 0]]))[0] == 1


def test_sentences_go_to_the_end_of_the_block_system() -> None:
    template = "{% block system -%}\nBe brief.\n{%- endblock %}\n{% block user %}{{ prompt }}{% endblock %}"
    found = with_sentences(template, [SENTENCES["hook"]])
    assert found is not None
    assert found.index("Be brief.") < found.index(SENTENCES["hook"]) < found.index("endblock") < found.index("user")
    assert with_sentences(template, []) == template
    assert with_sentences("{% block user %}x{% endblock %}", ["y"]) is None
