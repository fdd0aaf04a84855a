"""`popbench plan`: sizes, costs, budgets, earlier runs, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import popbench
from command_line import Run, in_process
from popbench.power.study import Sizes

popbench_command = pytest.fixture(in_process)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four systems, two repeats."""
    out = tmp_path_factory.mktemp("power") / "run"
    popbench.evaluate(limit=6, repeats=2, out=out, task="popcorn_concrete")
    return out


def test_the_wanted_power_is_met_by_the_sizes_and_by_no_smaller_ones() -> None:
    study = popbench.plan(llm=["verbatim", "shotlist"], effect=0.7, power=0.8)
    assert [size.repeats for size in study.needed] == [1, 2, 3, 5]
    for size in study.needed:
        assert 0.8 <= size.power < 0.9
        assert size.power < size.contrasts < size.one_pair  # type: ignore[operator]
        assert size.clips == size.prompts * size.repeats * 4
        assert size.limit * 2 == size.prompts  # the group's table has two tasks
    prompts = [size.prompts for size in study.needed]
    assert prompts == sorted(prompts, reverse=True)
    assert study.available.prompts == 200
    assert study.n_pairs == 6


def test_the_power_of_a_size_does_not_depend_on_what_was_asked_before() -> None:
    study = popbench.plan(llm=["verbatim", "shotlist"], effect=0.7, repeats=5)
    forwards, backwards = (Sizes(study.plan, 0.7, study.assumed, study.costs) for _ in range(2))
    limits = range(20, 26)
    rising = {limit: forwards.power(limit, 1) for limit in limits}
    assert rising == {limit: backwards.power(limit, 1) for limit in reversed(limits)}


def test_a_budget_is_not_passed_and_the_best_use_of_it_is_named() -> None:
    study = popbench.plan(llm="shotlist", gpu_hours=2, clip_seconds=30)
    assert study.affordable
    for size in study.affordable:
        assert size.hours is not None
        assert size.hours <= 2
        assert size.clips <= 240
    assert study.best is not None
    assert study.best.power == max(size.power for size in study.affordable)
    assert study.best.repeats == 1  # new prompts tell more than repeats of the same


def test_prices_of_components_are_costs_before_anything_is_asked() -> None:
    model = "openai,model=m,base_url=http://127.0.0.1:9/v1,price_in=1,price_out=1,api_key_env="
    study = popbench.plan(llm=[model, "shotlist"], mode="basic", usd=0.02, repeats=1)
    assert study.affordable
    size = study.affordable[0]
    assert size.usd is not None
    assert 0 < size.usd <= 0.02
    costs = {cost.label: cost for cost in study.costs}
    assert costs["m"].usd
    assert costs["shotlist"].usd == 0


def test_a_budget_in_unknown_prices_or_times_is_refused_with_what_to_do() -> None:
    model = "openai,model=m,base_url=http://127.0.0.1:9/v1,api_key_env="
    with pytest.raises(popbench.UsageError, match="the LLM m costs is unknown: set its prices"):
        popbench.plan(llm=[model, "shotlist"], usd=5)
    with pytest.raises(popbench.UsageError, match="takes is unknown: name a run with --like, or give --clip-seconds"):
        popbench.plan(llm="shotlist", gpu_hours=5)


def test_an_earlier_run_gives_systems_variances_and_seconds(run: Path) -> None:
    study = popbench.plan(like=run, gpu_hours=1, effect=0.7, repeats=1)
    assert study.assumed.source == str(run)
    assert study.assumed.has_repeats
    assert study.assumed.prompts == 6
    assert study.table == "popcorn_concrete"
    assert study.plan.config.limit is None
    assert all(cost.seconds is not None for cost in study.costs)
    assert study.to_json()["assumed"]["stable_is_measured"] is True


def test_scores_without_a_run_tell_ties_and_invalid_samples(tmp_path: Path) -> None:
    rows = ["system,task,prompt_id,popularity,status"]
    for prompt in range(20):
        for number, system in enumerate("abc"):
            invalid = prompt % 10 == 0 and system == "a"
            rows.append(
                f"{system},t,p{prompt},{0 if invalid else 1 + number * (prompt % 2)},{'invalid' if invalid else 'ok'}"
            )
    (tmp_path / "scores.csv").write_text("\n".join(rows), encoding="utf-8")
    study = popbench.plan(llm="shotlist", like=tmp_path / "scores.csv", repeats=1)
    assert study.assumed.values.invalid == pytest.approx(2 / 60)
    assert study.assumed.values.ties == pytest.approx(0.5, abs=0.06)


def test_the_command_prints_sizes_json_and_a_picture(run: Path, popbench_command: Run, tmp_path: Path) -> None:
    text = popbench_command(
        "plan", "--llm", "shotlist", "--effect", "0.7", "--gpu-hours", "1", "--clip-seconds", "9", "--repeats", "1"
    )
    assert text.status == 0
    assert "2 pairs" not in text.out
    assert "1 pair judged together" in text.out
    assert "The highest power" in text.out
    picture = tmp_path / "power.svg"
    told = popbench_command("plan", "--like", str(run), "--repeats", "2", "--json", "--picture", str(picture))
    numbers = json.loads(told.out)
    assert numbers["needed"][0]["repeats"] == 2
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_a_dry_run_says_which_win_rates_its_prompts_decide(popbench_command: Run, tmp_path: Path) -> None:
    words = ["eval", "--llm", "shotlist", "--limit", "20", "--dry-run", "--out", str(tmp_path / "run")]
    assert re.search(
        r"Table popcorn: .*\b40 prompts.*\b[6-9]\d\.\d % or more .*in 4 of 5 runs", popbench_command(*words).out
    )
    assert "Table popcorn" not in popbench_command(*words, "--mode", "basic").out  # one system is compared with nothing


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--llm", "shotlist", "--mode", "basic"], "one system is compared with nothing"),
        (["--effect", "0.4"], "0.4 is not in the range"),
        (["--power", "nan"], "power: expected"),
        (["--like", "no-such-run"], "does not exist"),
        (["--usd", "0"], "0"),
        (["--llm", "shotlistt"], "shotlist"),
        (["--usd", "inf"], "expected a number above 0"),
    ],
)
def test_what_cannot_be_planned_is_one_line(words: list[str], said: str, popbench_command: Run) -> None:
    told = popbench_command("plan", *words)
    assert told.status == 2
    assert said in told.line
