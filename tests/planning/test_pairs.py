"""Which systems are compared on which prompts: every pair, or a number of opponents that is the same for each."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest

import pairwise_components
from popbench.planning.pairs import Pair, opponents_of_each, paired
from popbench.planning.systems import SampleSet, TaskMethod, as_part
from popbench.records import Prompt
from popbench.registry import load_registry

PROMPTS = [Prompt(f"p{n}", f"Thing {n}", "a", "things") for n in range(30)]


def pairs(n: int, opponents: int | None, seed: int = 0) -> list[Pair]:
    pairwise_components.install()
    spec = "duel" if opponents is None else f"duel,opponents={opponents}"
    predictor = as_part(load_registry().resolve("predictor", spec))
    samples = SampleSet(TaskMethod(cast("Any", None), "basic", ""), (), PROMPTS, 1)
    return list(paired({f"s{number}": samples for number in range(n)}, predictor, seed))


def met(found: list[Pair]) -> Counter[tuple[str, str]]:
    """Count by system and prompt how many others it is shown before."""
    return Counter((pair.first, prompt.id) for pair in found for prompt in pair.samples.prompts)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("opponents", [1, 2, 3, 4, 7, 20, None])
def test_every_system_has_as_many_opponents_on_every_prompt_and_both_orders(n: int, opponents: int | None) -> None:
    found = pairs(n, opponents)
    assert set(met(found).values()) == {opponents_of_each(n, opponents)}
    assert len(met(found)) == n * len(PROMPTS)
    prompts = {(pair.first, pair.second): pair.samples.prompts for pair in found}
    assert all(prompts[one, other] == prompts[other, one] for one, other in prompts)


def test_more_opponents_keep_those_of_fewer_and_another_seed_draws_others() -> None:
    few, more, other = (
        {(pair.first, pair.second, prompt.id) for pair in pairs(9, opponents, seed) for prompt in pair.samples.prompts}
        for opponents, seed in ((2, 0), (4, 0), (2, 1))
    )
    assert few < more
    assert few != other


def test_opponents_are_drawn_evenly_among_the_others() -> None:
    found = Counter({(pair.first, pair.second): len(pair.samples.prompts) for pair in pairs(5, 2)})
    assert min(found.values()) >= 5
    assert sum(found.values()) == 5 * 2 * len(PROMPTS)
