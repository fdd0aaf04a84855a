"""Many predictors and parts make no long board: one is shown in full, the rest in compact tables."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import judging_components
from made_scores import results_of
from popbench import stats
from popbench.leaderboard.markdown import agreements, markdown
from popbench.leaderboard.results import strata_of
from popbench.leaderboard.terminal import show
from popbench.report.page import board_page
from popbench.report.tables import views
from popbench.runs.run_json import read_finished
from popbench.runs.samples import read_jsonl
from popbench.scores.rows import Rows
from popbench.scores.run_scores import from_samples
from popbench.scores.scores import blocks

SYSTEMS = [f"llm{n}|{mode}|gen" for n in range(3) for mode in ("basic", "pe")]


def rows(predictors: int, prompts: int = 20) -> list[dict[str, Any]]:
    """Return scores of 6 systems on two tasks of a group by so many predictors."""
    rng = random.Random(2)
    return [
        {
            "system": system, "task": task, "prompt_id": str(prompt), "category": "xy"[prompt % 2], "unit": "views",
            "predictor": f"d{n:02}", "predictor_name": f"predictor-{n:02}", "task_hash": task, "task_group": "both",
            "popularity": rng.lognormvariate(place / 4, 1),
        }
        for n in range(predictors)
        for task in ("one", "two")
        for prompt in range(prompts)
        for place, system in enumerate(SYSTEMS)
    ]  # fmt: skip


def shown(results: Any, width: int) -> str:
    console = Console(record=True, width=width)
    show(results, console)
    return console.export_text()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(tmp_path_factory.mktemp("many"), rows(19))


@pytest.mark.slow
def test_a_board_of_19_predictors_is_short(many: dict[str, Any]) -> None:
    text = markdown(many)
    assert len(text.splitlines()) < 400
    for width in (80, 100, 140):
        assert len(shown(many, width).splitlines()) < 200
    assert text.count("**Win rates, %**: row over column") == 3


@pytest.mark.slow
def test_every_predictor_has_a_column_beside_the_first(many: dict[str, Any]) -> None:
    text = markdown(many)
    heads = [line for line in text.splitlines() if line.startswith("| Mean win rate, % |")]
    assert len(heads) == 3
    assert all(f"predictor-{n:02}" in heads[0] for n in range(19))
    (row,) = (
        row
        for row in many["systems"]
        if (row["predictor"], row["task"], row["system"]) == ("predictor-07", "one", SYSTEMS[0])
    )
    part = text.split("### one")[1].split("###")[0]
    line = next(line for line in part.splitlines() if line.startswith("| llm0\\|basic\\|gen |"))
    assert line.split(" | ")[8].startswith(f"{100 * row['mean_win_rate']:.1f} [")


@pytest.mark.slow
def test_taus_are_a_matrix_and_one_line(many: dict[str, Any]) -> None:
    (line,) = agreements(many)
    assert line.startswith("19 predictors agree on the order of the systems with Kendall's tau from ")
    text = markdown(many)
    assert text.count("| Kendall's tau between the orders of the systems | 1 | 2 |") == 3
    taus = {(row["a"], row["b"]): row["tau"]["value"] for row in many["agreement"] if row["task"] == "both"}
    matrix = text.split("### both")[1].split("| Kendall's tau")[1].splitlines()[2:21]
    cells = [[cell.split(" (")[0] for cell in line.strip("| ").split(" | ")] for line in matrix]
    for (a, b), tau in taus.items():
        place = int(a[-2:]), int(b[-2:])
        assert cells[place[0]][place[1] + 1] == f"{tau:.2f}"
        assert cells[place[1]][place[0] + 1] == f"{tau:.2f}"


@pytest.mark.slow
def test_the_page_of_19_predictors_has_all_charts_of_the_first_alone(many: dict[str, Any]) -> None:
    assert [view["predictor"] for view in views(many)] == ["predictor-00"] * 3
    page = board_page(many, "Many")
    assert "All other sections are by predictor-00, the first." in page
    assert all(f"predictor-{n:02}" in page for n in range(19))
    assert len(page) < 1_500_000


def test_two_predictors_can_be_chosen_on_a_page(tmp_path: Path) -> None:
    found = results_of(tmp_path, rows(2))
    assert [view["predictor"] for view in views(found)] == ["predictor-00"] * 3 + ["predictor-01"] * 3
    assert "<option>predictor-01</option>" in board_page(found, "Two")


# -- parts


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged") / "run"
    run = judging_components.evaluate(folder, "arbiter,parts=3,invalid=0.2,lacks=part 1,label=judge", repeats=2)
    assert run.complete
    return folder


def results(run: Path) -> Any:
    return json.loads((run / "results.json").read_text(encoding="utf-8"))


def test_parts_have_the_medians_of_the_prompts_that_have_them(judged: Path) -> None:
    found = results(judged)
    (scores,) = from_samples(read_jsonl(judged / "samples.jsonl"), read_finished(judged), "run")
    block = next(block for block in blocks(scores, common=False) if block.name == "popcorn_concrete")
    by_prompt: dict[tuple[str, str], dict[str, list[float]]] = {}
    for sample in read_jsonl(judged / "samples.jsonl"):
        if sample.task == block.name:
            of = by_prompt.setdefault((sample.system, sample.prompt_id), {f"part {n}": [] for n in range(3)})
            for name, values in of.items():
                if sample.status == "invalid":
                    values.append(-np.inf)
                elif name in (parts := (sample.parts or {})["judge"]):
                    values.append(parts[name])
    strata = strata_of(block)
    for row in (row for row in found["parts"] if row["task"] == block.name):
        of_prompts = [by_prompt[row["system"], prompt][row["part"]] for _, prompt in block.prompts]
        has = np.array([bool(values) for values in of_prompts])
        medians = [float(np.median(values)) for values in of_prompts if values]
        ends = stats.median_interval(medians, strata[has], scale="real")
        assert row["n"] == has.sum()
        for end, value in zip(("value", "low", "high"), ends, strict=True):
            assert row["median"][end] == (pytest.approx(value) if np.isfinite(value) else None)
    lacking = {row["n"] for row in found["parts"] if row["part"] == "part 1"}
    assert min(lacking) < 12
    assert {row["n"] for row in found["parts"] if row["part"] == "part 0" and row["task"] != "popcorn"} == {12}


def test_parts_are_in_samples_boards_pages_and_on_the_terminal(judged: Path) -> None:
    for sample in read_jsonl(judged / "samples.jsonl"):
        assert sample.parts is None if sample.status == "invalid" else set(sample.parts or {}) == {"judge"}
        assert (sample.popularity is None) == (sample.status == "invalid")
    board = (judged / "leaderboard.md").read_text(encoding="utf-8")
    assert "## Parts of the scores" in board
    assert "(n = " in board.split("## Parts")[1]
    assert "popcorn: medians of the parts of judge" in shown(results(judged), 120)
    taus = [row for row in results(judged)["part_agreement"] if row["task"] == "popcorn"]
    names = [None, "part 0", "part 2", "part 1"]  # as they come in the samples, the first of which lacks one
    assert [(row["a"], row["b"]) for row in taus] == [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]]
    assert all(row["n"] < 24 for row in taus if "part 1" in (row["a"], row["b"]))
    page = board_page(results(judged), "Judged")
    assert "Parts of the scores" in page


def test_100_parts_make_no_long_board(tmp_path: Path) -> None:
    run = judging_components.evaluate(tmp_path / "run", "arbiter,parts=100,label=judge", limit=3)
    assert run.complete
    assert len((tmp_path / "run/leaderboard.md").read_text(encoding="utf-8").splitlines()) < 150
    assert len(results(tmp_path / "run")["part_agreement"]) == 300
    assert len(shown(results(tmp_path / "run"), 100).splitlines()) < 200


def test_a_run_without_parts_has_no_word_of_them(tmp_path: Path) -> None:
    judging_components.evaluate(tmp_path / "run", "arbiter,parts=0,label=judge", limit=3)
    assert not {"parts", "part_agreement"} & set(results(tmp_path / "run"))
    assert '"parts"' not in (tmp_path / "run/samples.jsonl").read_text(encoding="utf-8")
    assert "Parts of" not in (tmp_path / "run/leaderboard.md").read_text(encoding="utf-8")


def test_names_of_parts_without_end_make_no_columns_without_end() -> None:
    rows = Rows()
    for number in range(300):
        rows.add("a", ("t", str(number)), 0, "c", "ok", 1.0, None, None, {f"of item {number}": 1.0})
    assert len(rows.part_names) == 100
    joined = rows.where(rows.popularity > 0).joined(rows[:5])
    assert len(joined.part("of item 3")) == 305
    assert np.flatnonzero(joined.part("of item 3") == 1).tolist() == [3, 303]
