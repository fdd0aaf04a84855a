"""Runs compared: groups of tasks, predictors, copies, and what is told of how two runs differ."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import popbench_runs
from exported_runs import edit_about, edit_samples, real_run, second_predictor
from popbench.comparison.numbers import compare_runs
from popbench.export.tables import write_table
from usage_errors import refusal


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_run(tmp_path_factory.mktemp("compare") / "run", limit=10, repeats=1).path


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run and its copy."""
    return Path(shutil.copytree(made, tmp_path / "one")), Path(shutil.copytree(made, tmp_path / "two"))


def test_a_group_of_tasks_is_compared_as_one_and_task_by_task(runs: tuple[Path, Path]) -> None:
    edit_samples(runs[1], lambda s: s.update(status="ok", popularity=3.0, scores={"faulty": 3.0}))
    found = compare_runs(*runs)
    tables = [(row["task"], row["n"]) for row in found["minimum_detectable_win_rate"]]
    assert tables == [("popcorn", 20), ("popcorn_abstract", 10), ("popcorn_concrete", 10)]
    assert {row["verdict"] for row in found["contrasts"] if row["task"] == "popcorn"} == {"worse"}


def test_a_run_against_itself_is_refused_and_a_copy_is_identical(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(runs[0])
    for other in (runs[0], tmp_path / "link", runs[0] / ".." / "one"):
        message = refusal(lambda other=other: compare_runs(runs[0], other))  # type: ignore[misc]
        assert "are the same: there is nothing to compare" in message
    found = compare_runs(*runs)
    assert all(row["identical"] for row in found["contrasts"])
    assert found["differences"] == []


def test_two_systems_of_one_run_can_meet(runs: tuple[Path, Path]) -> None:
    (row, *_) = compare_runs(runs[0], runs[0], systems=["counting|basic|faulty=faulty|basic|faulty"])["contrasts"]
    assert not row["identical"]


def test_exports_compare_as_their_runs_do(runs: tuple[Path, Path]) -> None:
    edit_samples(runs[1], lambda s: s.update(status="ok", popularity=30.0, scores={"faulty": 30.0}))
    for run in runs:
        write_table(run, "parquet", run / "scores.parquet")
    found, exported = compare_runs(*runs), compare_runs(*(run / "scores.parquet" for run in runs))
    for name in ("contrasts", "predictors", "systems", "demo"):
        assert found[name] == exported[name]
    assert exported["differences"] == ["not known: exported scores do not hold what a run's run.json says"]


def test_predictors_that_only_one_run_has_are_left_out(runs: tuple[Path, Path]) -> None:
    second_predictor(runs[1])
    found = compare_runs(*runs)
    assert [item["name"] for item in found["predictors"]] == ["faulty"]
    assert found["not_compared"]["after"]["predictors"] == ["second"]
    second_predictor(runs[0])
    assert {row["predictor"] for row in compare_runs(*runs)["contrasts"]} == {"faulty", "second"}


def test_another_predictor_of_the_same_name_is_refused(runs: tuple[Path, Path]) -> None:
    edit_about(runs[1], lambda about: about.update(predictors={"faulty": "9" * 32}))
    message = refusal(lambda: compare_runs(*runs))
    assert "the scores are of two predictors (faulty " in message
    assert "faulty 99999999 in" in message


Change = Callable[[dict[str, Any]], None]


def set_options(about: dict[str, Any]) -> None:
    about["components"]["llm faulty"]["fingerprint"]["options"] = {"temperature": 0.9, "stop": ["\n", "x" * 100]}


def set_mode(about: dict[str, Any]) -> None:
    about["modes"]["basic"]["options"] = {"k": 20}
    about["modes"]["basic"]["templates"]["popcorn_concrete"] = "other"
    about["modes"]["basic"]["fingerprints"] = {"popcorn_concrete": "other", "popcorn_abstract": "other"}


def set_references(about: dict[str, Any]) -> None:
    about["modes"]["basic"]["fingerprints"]["popcorn_concrete"] = "other"


def set_versions(about: dict[str, Any]) -> None:
    about["versions"] |= {"popbench": "9.9", "new-package": "1"}
    del about["versions"]["numpy"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda about: about["config"].update(seed=43), "seed: 42 → 43 (random draws are not shared"),
        (lambda about: about["config"].update(limit=None), "limit: 10 → none"),
        (lambda about: about["config"].update(repeats=2), "repeats: 1 → 2"),
        (set_options, "llm faulty: temperature none → 0.9, stop none → [\"\\n\",…"),
        (set_mode, "mode basic: k none → 20, other template (popcorn_concrete)"),
        (set_references, "mode basic: another corpus or embedder behind its references"),
        (set_versions, "popbench 0.1.0 → 9.9"),
        (lambda about: about["machine"].update(gpus=["H100"]), 'machine: gpus [] → ["H100"]'),
        (lambda about: about["config"].update(concurrency=7), None),
        (lambda about: about["timings"].update(seconds=7), None),
    ],
)  # fmt: skip
def test_what_differs_between_runs_is_told(runs: tuple[Path, Path], change: Change, told: str | None) -> None:
    edit_about(runs[1], change)
    found = compare_runs(*runs)["differences"]
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


def test_another_label_and_another_mode_are_told(tmp_path: Path) -> None:
    one = popbench_runs.run_fast(tmp_path / "one", mode="basic").path
    two = popbench_runs.run_fast(tmp_path / "two", llm="faulty,label=new", mode="basic").path
    assert compare_runs(one, two)["differences"] == ["llm faulty → new: another label, the same component"]
    three = popbench_runs.run_fast(tmp_path / "three", mode="pe").path
    edit_about(three, lambda about: about.update(demo=False))
    assert compare_runs(one, three)["differences"] == ["mode basic → pe"]
    assert "demo scores and real ones" in refusal(
        lambda: compare_runs(two, popbench_runs.run_fast(tmp_path / "four", mode="pe").path)
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.pop("components"),
        lambda about: about.update(components=[]),
        lambda about: about.update(versions=None),
        lambda about: about["modes"].update(basic=3),
        lambda about: about["components"]["llm faulty"].update(fingerprint="x"),
        lambda about: about.update(finished=False),
        lambda about: about["config"].pop("seed"),
    ],
)
def test_a_damaged_run_is_one_line(runs: tuple[Path, Path], change: Change) -> None:
    edit_about(runs[1], change)
    assert str(runs[1]) in refusal(lambda: compare_runs(*runs))


def test_numbers_are_plain_json(runs: tuple[Path, Path]) -> None:
    found = compare_runs(*runs)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
