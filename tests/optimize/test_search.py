"""The search by itself, in made worlds: it finds what can be found, within its budget, and the same again."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from knob_world import WORLDS, KnobTrials, best, space
from popbench.optimize.model import LinearModel
from popbench.optimize.reflection import read_object
from popbench.optimize.search import Candidate, Proposal, Search


def searched(world: str = "three of eight", clips: float = 220, seed: int = 0) -> Search:
    search = Search(space(WORLDS[world]), KnobTrials(WORLDS[world], clips, 120, seed), seed=seed)
    for _ in search.run():
        pass
    return search


def test_most_of_what_can_be_gained_is_found_with_few_clips() -> None:
    gains = []
    for seed in range(8):
        search = searched(seed=seed)
        trials = KnobTrials(WORLDS["three of eight"], 0, 1, 0)
        gains.append(max(trials.worth(one.changes) for one in search.finalists()) / best(WORLDS["three of eight"]))
    assert np.median(gains) >= 0.9


def test_no_more_trials_are_made_than_the_budget_has() -> None:
    trials = KnobTrials(WORLDS["small steps"], 97, 120, 3)
    search = Search(space(WORLDS["small steps"]), trials, seed=3)
    assert [*search.run()]
    assert 0 <= trials.left < 97
    assert sum(len(one.values) for one in search.candidates) == 97 - trials.left


def test_the_same_scores_give_the_same_search() -> None:
    one, other = searched(seed=5), searched(seed=5)
    assert [(c.changes, c.parents, c.by) for c in one.candidates] == [
        (c.changes, c.parents, c.by) for c in other.candidates
    ]
    assert one.rounds == other.rounds


def test_losers_get_no_more_prompts_than_it_takes_to_rule_them_out() -> None:
    search = searched("three of eight", clips=600, seed=1)
    lost = {number for done in search.rounds for number in done.lost}
    assert lost
    most = max(len(one.values) for one in search.candidates)
    assert any(len(search.candidates[number].values) < most for number in lost)


def test_where_all_are_equal_the_start_stays_ahead() -> None:
    class Equal(KnobTrials):
        def scores(self, wanted: Sequence[tuple[Candidate, int]]) -> Sequence[NDArray[np.float64]]:
            return [np.ones_like(values) for values in super().scores(wanted)]

    search = Search(space(WORLDS["nothing"]), Equal(WORLDS["nothing"], 200, 60, 0), seed=0)
    assert [done.incumbent for done in search.run()]
    assert search.incumbent.number == 0
    assert search.finalists()[0].number == 0


def test_a_search_ends_when_all_has_been_tried() -> None:
    search = Search({"option.hook": [True]}, KnobTrials(WORLDS["nothing"], 10_000, 60, 0), seed=0)
    assert len([*search.run()]) <= 3
    assert len(search.candidates) == 2


def test_what_a_reflection_writes_is_kept_and_combined_with_what_popbench_changes() -> None:
    world = {**WORLDS["nothing"], "bonus": {'"yes"': 1.2}, "hook": {"true": 0.8}}
    trials = KnobTrials(world, 300, 120, 0)

    def reflect(search: Search, parent: Candidate, slot: int) -> Proposal | None:
        changes = {**parent.changes, "option.bonus": "yes"}
        return Proposal(changes, "reflection", (parent.number,), "a bonus")

    search = Search({"option.hook": [True]}, trials, seed=0, reflect=reflect)
    for _ in search.run():
        pass
    assert search.finalists()[0].changes == {"option.bonus": "yes", "option.hook": True}
    assert any(one.by == "reflection" for one in search.candidates)


def test_parents_are_those_that_are_best_in_some_category() -> None:
    search = searched(clips=400)
    front = search.front()
    assert sum(front.values()) == 5
    assert all(len(search.candidates[number].values) for number in front)


def test_failed_samples_and_ties_do_the_model_no_harm() -> None:
    model = LinearModel()
    rng = np.random.default_rng(0)
    start, hook = rng.lognormal(0, 5, 40), rng.lognormal(2, 5, 40)
    hook[::5] = 0
    model.fit([({}, start), ({"hook": True}, hook), ({"other": True}, np.zeros(40))])
    assert model.mean("hook", True) > 0 > model.mean("other", True)
    assert model.estimate({}, start) == pytest.approx(0, abs=0.2)
    assert model.mean("unknown", 1) == 0


def test_the_answer_of_a_reflecting_llm_is_read_though_its_json_is_broken() -> None:
    template = r"{% block user %}Be \"brief\"." + "\n" + "{{ prompt }}, and so on. " * 300 + "{% endblock %}"
    for text in ("Be brief.", template):
        for end in ('"}', '",}'):
            found = read_object(f'Here: {{"why": "a loss", "change": "template", "text": "{text}{end}')
            assert found is not None
            assert (found["why"], found["text"]) == ("a loss", text.replace(r"\"", '"'))
    assert read_object("nothing") is None


@pytest.mark.parametrize("again", ["{", '{"', '{"text":"', '{"a":"b,', "{a b ", "{```json"])
def test_an_answer_of_a_reflecting_llm_that_repeats_itself_is_read_at_once(again: str) -> None:
    start = time.perf_counter()
    read_object(again * 20_000)
    assert time.perf_counter() - start < 5
