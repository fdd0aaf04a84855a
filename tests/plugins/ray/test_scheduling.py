"""Ray's scheduler with simulated workers: it keeps its promises for any order of faults."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from popbench_ray.nodes import Cluster, Need, Size
from popbench_ray.state import Limits
from simulated_ray_workers import SIZES, SimulatedCluster

LIMITS = Limits(retries=3, item_timeout=100, lost_after=50, pending=10)
NEEDS = {"llm": Need(gpus=2), "gen": Need(gpus=1), "small": Need(gpus=0.3333), "cpu": Need(cpus=1, memory=30)}


def world(needs: dict[str, Need], limits: Limits = LIMITS, **nodes: Size) -> SimulatedCluster:
    made = SimulatedCluster(random.Random(0), needs, limits)
    made.resize(nodes)
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.integers(0, 250), st.sampled_from([0.02, 0.2, 0.5]))
def test_whatever_goes_wrong_every_item_is_answered_once_and_every_lane_ends(
    seed: int, steps: int, trouble: float
) -> None:
    source = random.Random(seed)
    made = SimulatedCluster(source, NEEDS, LIMITS)
    made.resize(dict.fromkeys(["a"], SIZES["big"]))
    for step in range(steps):
        moving = [number for number, worker in made.workers.items() if worker.state != "ready" or worker.held]
        chance = source.random()
        if chance < 0.2:
            made.add(source.choice(list(NEEDS)), source.randrange(1, 5))
        elif chance < 0.2 + 0.3 * trouble and made.workers:
            number = source.choice(list(made.workers))
            if made.workers[number].state == "placed" and source.random() < 0.3:
                made.differ(number, "it differs")
            else:
                made.lose(number, blame=source.random() < 0.8)
        elif chance < 0.2 + 0.5 * trouble:
            names = [name for name in made.nodes if source.random() < 0.7]
            made.resize({**{name: made.nodes[name] for name in names}, f"n{step}": source.choice(list(SIZES.values()))})
        elif chance < 0.2 + 0.7 * trouble:
            made.wait(source.choice([0.5, 3.0, 15.0, 120.0]))
        elif moving:
            made.go_on(source.choice(moving))
    made.resize({**made.nodes, "last": SIZES["big"], "other": SIZES["cpu"]})
    given_up = {component for component, ends in made.ends.items() if ends}
    made.calm()
    for component, items in made.added.items():
        assert len(made.ends[component]) == 1
        assert component in given_up or made.ends[component] == [None]
        if made.ends[component] == [None]:
            assert set(made.outcomes[component]) == set(items)
        assert all(made.tried[item] <= LIMITS.retries + 1 for item in items)


def test_no_more_workers_are_started_than_items_wait() -> None:
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=8))
    made.add("gen", 3)
    assert len(made.workers) == 3
    made.calm()


def test_free_room_goes_to_the_lane_with_the_most_work_that_waits() -> None:
    made = world({"few": Need(gpus=1), "many": Need(gpus=1)}, limits=LIMITS)
    made.add("few", 1)
    made.add("many", 5)
    made.resize({"a": Size(gpus=3)})
    assert [worker.component for worker in made.workers.values()] == ["many"] * 3
    made.calm()


def test_idle_workers_give_way_and_only_as_many_as_are_needed() -> None:
    """A generator that holds every GPU while it waits for drafts, and the LLM that is to write them."""
    made = world({"gen": Need(gpus=1), "llm": Need(gpus=2)}, a=Size(gpus=4))
    made.add("gen", 4)
    while len(made.outcomes["gen"]) < 4:
        made.go_on(made.source.choice(list(made.workers)))
    assert len(made.workers) == 4
    made.add("llm", 1)
    assert sorted(worker.state for worker in made.workers.values()) == ["ready", "ready", "ready", "stopping"]
    made.calm()
    assert made.outcomes["llm"] == {"llm0": "ok"}


def test_small_models_share_a_gpu_and_a_large_one_gets_several() -> None:
    made = world({"small": Need(gpus=0.5), "large": Need(gpus=2)}, a=Size(gpus=4))
    made.add("small", 3)
    made.add("large", 5)
    assert [worker.component for worker in made.workers.values()] == ["small"] * 3 + ["large"]
    made.calm()


def test_a_poisonous_item_fails_alone() -> None:
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=1), b=Size(gpus=1))
    made.add("gen", 20)
    made.complete("gen")
    while not made.ends["gen"]:
        number = made.source.choice([n for n, worker in made.workers.items() if worker.state != "ready" or worker.held])
        if made.workers[number].held[:1] == ["gen3"]:
            made.lose(number, "it was poisoned")
        else:
            made.go_on(number)
    assert made.ends["gen"] == [None]
    assert made.outcomes["gen"].pop("gen3") == "it was poisoned (tried 4 times)"
    assert set(made.outcomes["gen"].values()) == {"ok"}
    assert made.tried == {"gen3": 4}


@pytest.mark.parametrize("poisoned", [{"gen0", "gen1", "gen2", "gen3", "gen4"}, {"gen3", "gen18", "gen19"}])
def test_poisonous_items_in_a_row_do_not_end_the_others(poisoned: set[str]) -> None:
    made = world({"gen": Need(gpus=1)}, Limits(batch=1), a=Size(gpus=1))
    made.eager = 0.0
    made.add("gen", 20)
    made.complete("gen")
    while not made.ends["gen"]:
        (number,) = made.workers
        if made.workers[number].held and made.workers[number].held[0] in poisoned:
            made.lose(number, "it was poisoned")
        else:
            made.go_on(number)
    assert made.ends["gen"] == [None]
    assert {item for item, told in made.outcomes["gen"].items() if told != "ok"} == poisoned


def test_a_lost_item_is_tried_on_another_node() -> None:
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=1), b=Size(gpus=1))
    made.add("gen", 2)
    one, other = made.workers
    for number in (one, one, other, other):
        made.go_on(number)
    (item,) = made.workers[one].held
    made.lose(one)
    (again,) = [number for number in made.workers if number != other]
    made.go_on(again)
    made.go_on(again)
    assert not made.workers[again].held, "it stays away from the node where it was lost"
    made.go_on(other)
    assert made.workers[other].held == [item]
    made.calm()


def test_a_component_that_works_nowhere_ends_its_lane_with_its_own_words() -> None:
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=2), b=Size(gpus=2))
    made.add("gen", 50)
    losses = 0
    while not made.ends["gen"]:
        number = made.source.choice(list(made.workers))
        if made.workers[number].state == "placed":
            made.lose(number, "ValueError: no weights")
            losses += 1
        else:
            made.go_on(number)
    assert 3 <= losses <= 6
    (error,) = made.ends["gen"]
    assert error is not None
    assert error.endswith("ValueError: no weights")


def test_a_node_on_which_a_component_does_not_work_is_left_out() -> None:
    made = world({"gen": Need(gpus=1)}, good=Size(gpus=1), bad=Size(gpus=1))
    made.add("gen", 40)
    losses = 0
    while len(made.outcomes["gen"]) < 40:
        number = made.source.choice([n for n, worker in made.workers.items() if worker.state != "ready" or worker.held])
        if made.workers[number].node == "bad" and made.workers[number].state == "placed":
            made.lose(number, "no driver")
            losses += 1
        else:
            made.go_on(number)
    assert losses <= 3
    assert set(made.outcomes["gen"].values()) == {"ok"}
    assert made.left == ["on node bad, no driver, again and again"]


def test_a_node_that_has_another_component_is_left_out_and_the_lane_ends_where_no_node_is_left() -> None:
    made = world({"gen": Need(gpus=1)}, good=Size(gpus=1), bad=Size(gpus=2), small=Size(cpus=4))
    made.add("gen", 40)
    differing = 0
    while len(made.outcomes["gen"]) < 20:
        number = made.source.choice([n for n, worker in made.workers.items() if worker.state != "ready" or worker.held])
        if made.workers[number].node == "bad" and made.workers[number].state == "placed":
            made.differ(number, "it differs on node bad")
            differing += 1
        else:
            made.go_on(number)
    assert differing == 2, "nothing more was started there"
    assert made.left == ["it differs on node bad"], "told once"
    assert not made.ends["gen"]
    made.resize({"bad": Size(gpus=2), "other": Size(gpus=1)})
    (last,) = made.workers
    made.go_on(last)
    made.differ(last, "it differs on node other")
    assert made.ends["gen"] == ["it differs on node other"]
    assert set(made.outcomes["gen"].values()) == {"ok"}


def test_a_lane_that_has_lost_all_nodes_but_those_left_out_ends_though_others_are_at_work() -> None:
    made = world({"gen": Need(gpus=1), "cpu": Need(cpus=1)}, bad=Size(gpus=1, cpus=1), good=Size(gpus=1))
    made.add("gen", 2)
    made.add("cpu", 1)
    for number, worker in list(made.workers.items()):
        made.go_on(number)
        if worker.node == "bad" and worker.component == "gen":
            made.differ(number, "it differs on node bad")
        else:
            made.go_on(number)
    made.resize({"bad": Size(gpus=1, cpus=1)})
    for _ in range(52):
        made.wait(1.0)
    assert made.ends["gen"] == ["it has had no node to work on for 50 s (before that, it differs on node bad)"]


def test_a_lost_node_is_nobodys_fault() -> None:
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=16), b=Size(gpus=1))
    made.add("gen", 40)
    for number in list(made.workers) * 2:
        made.go_on(number)
    made.resize({"b": Size(gpus=1)})
    assert not made.ends["gen"]
    made.calm()
    assert set(made.outcomes["gen"].values()) == {"ok"}


@pytest.mark.parametrize("state", ["placed", "ready"])
def test_silence_ends_a_worker(state: str) -> None:
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=1))
    made.add("gen", 1)
    (number,) = made.workers
    while made.workers[number].state != state:
        made.go_on(number)
    made.wait(99)
    assert number in made.workers
    made.wait(2)
    assert number not in made.workers
    made.calm()
    assert made.outcomes["gen"] == {"gen0": "ok"}


def test_silence_ends_a_worker_in_time_also_where_that_is_less_than_its_place_may_take() -> None:
    made = world({"gen": Need(gpus=1)}, Limits(item_timeout=5, pending=20), a=Size(gpus=1))
    made.add("gen", 1)
    (number,) = made.workers
    made.go_on(number)
    made.go_on(number)
    made.wait(6)
    assert number not in made.workers
    made.calm()
    assert made.outcomes["gen"] == {"gen0": "ok"}


def test_a_worker_without_items_may_be_silent() -> None:
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=1))
    made.add("gen", 1)
    (number,) = made.workers
    for _ in range(3):
        made.go_on(number)
    made.wait(1000)
    assert number in made.workers
    made.add("gen", 1)
    made.wait(50)
    assert number in made.workers


def test_a_worker_that_gets_no_place_is_not_counted_on() -> None:
    """Another user's job holds node a; work goes on as soon as there is room elsewhere."""
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=1))
    made.add("gen", 1)
    (stuck,) = made.workers
    made.wait(15)
    made.resize({"a": Size(gpus=1), "b": Size(gpus=1)})
    (other,) = [number for number in made.workers if number != stuck]
    for _ in range(3):
        made.go_on(other)
    assert made.outcomes["gen"] == {"gen0": "ok"}


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ({}, "the cluster has had no node for 50 s"),
        ({"a": Size(cpus=4, gpus=1)}, "no node of the cluster has had 2 GPUs for 50 s"),
        ({"a": Size(gpus=2)}, "no worker could be started for 50 s: is the cluster busy with other work?"),
    ],
)
def test_no_hope_of_a_worker_ends_a_lane_in_bounded_time(nodes: dict[str, Size], told: str) -> None:
    made = world({"gen": Need(gpus=2)}, LIMITS, **nodes)
    made.add("gen", 2)
    for _ in range(51):
        made.wait(1.0)
    assert made.ends["gen"] == [told]


def test_a_component_that_takes_many_at_once_is_given_many() -> None:
    made = world({"llm": Need(gpus=1)}, a=Size(gpus=1))
    made.add("llm", 100)
    (number,) = made.workers
    made.go_on(number)
    made.go_on(number)
    assert len(made.workers[number].held) == 2
    for expected in (8, 32):
        item = made.workers[number].held.pop()
        made.scheduler.answered(number, item, made.now, eager=True)
        made.act()
        assert len(made.workers[number].held) == expected


def test_the_last_items_are_not_kept_behind_others() -> None:
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=4))
    made.add("gen", 4)
    for number in list(made.workers) * 2:
        made.go_on(number)
    assert [len(worker.held) for worker in made.workers.values()] == [1, 1, 1, 1]


def test_what_is_cancelled_or_released_is_neither_done_nor_answered() -> None:
    made = world({"gen": Need(gpus=1)}, a=Size(gpus=1))
    made.add("gen", 3)
    (number,) = made.workers
    made.go_on(number)
    made.go_on(number)
    made.scheduler.cancel("gen")
    made.act()
    assert not made.workers
    assert not made.scheduler.answered(number, "gen0", made.now)
    made.scheduler.open("gen", Need(gpus=1))
    made.add("gen", 1)
    made.scheduler.release("gen")
    made.scheduler.add("gen", "late", made.now)
    made.scheduler.complete("gen")  # whoever feeds it may only then have come to the end
    made.act()
    assert not made.workers


def test_processors_without_gpus_are_taken_first_for_what_needs_none() -> None:
    cluster = Cluster()
    cluster.resize({"g": Size(cpus=4, gpus=1), "c": Size(cpus=1)})
    need = Need(cpus=1)
    assert cluster.find(need) == "c"
    cluster.take("c", need)
    assert cluster.find(need) == "g"
    assert cluster.find(need, {"g"}) is None
