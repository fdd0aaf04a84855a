"""How much of a board is luck: there with repeats, visible in words, and said to be unknown without them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from made_scores import results_of, score_rows, write
from markdown_tables import tables_are_whole
from popbench.leaderboard.luck_text import UNSEPARATED, luck_markdown, luck_notes, luck_of, luck_table
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.results import compute
from popbench.report.page import board_page
from popbench.scores.scores import merge
from popbench.scores.sources import read_source

SYSTEMS = ("a|basic|g", "a|basic|h", "b|basic|g", "b|basic|h")


def rows_of(law: Callable[[random.Random, str, float], float], prompts: int, repeats: int) -> list[dict[str, Any]]:
    """Rows of two systems; the law gives the logarithm of popularity from the prompt's effect."""
    rng = random.Random(3)
    effects = [rng.gauss(0, 1) for _ in range(prompts)]
    return [
        {
            "system": system, "task": "t", "prompt_id": f"p{prompt:03d}", "category": "xy"[prompt % 2],
            "repeat": repeat, "popularity": math.exp(law(rng, system, effects[prompt])),
        }
        for system in ("one", "two")
        for prompt in range(prompts)
        for repeat in range(repeats)
    ]  # fmt: skip


def test_a_board_with_repeats_says_how_much_is_luck(tmp_path: Path) -> None:
    results = results_of(tmp_path, score_rows(SYSTEMS, prompts=40, repeats=3))
    (row,) = results["luck"]
    assert (row["task"], row["n"], row["repeats"], row["systems"], row["scores"]) == ("t", 40, 3, 4, "log")
    assert list(row["components"]) == ["system", "prompt", "system_prompt", "draw"]
    assert sum(of["share"] for of in row["components"].values()) == pytest.approx(1, abs=1e-4)
    assert all(of["low"] <= of["variance"] <= of["high"] for of in row["components"].values())
    draw = row["components"]["draw"]
    assert math.sqrt(draw["low"]) < 1 < math.sqrt(draw["high"])  # the rows' own law
    rates = row["win_rates"]
    assert rates["pairs"] == 6
    assert rates["sd_seeds_one_repeat"] == pytest.approx(rates["sd_seeds"] * math.sqrt(3), rel=1e-4)
    text = markdown(results)
    assert "**How much is luck?** Variance of the logarithm of popularity" in text
    assert "another draft and render seed" in text
    assert UNSEPARATED not in text
    assert tables_are_whole(text)


@pytest.mark.parametrize("prompts", [1, 9, 40])
def test_without_repeats_results_have_no_luck_and_the_board_says_why(tmp_path: Path, prompts: int) -> None:
    results = results_of(tmp_path, score_rows(prompts=prompts))
    assert "luck" not in results
    assert UNSEPARATED in markdown(results)
    assert UNSEPARATED in board_page(results, "board")


def test_too_few_prompts_have_no_components(tmp_path: Path) -> None:
    results = results_of(tmp_path, score_rows(prompts=9, repeats=2))
    assert "luck" not in results
    text = markdown(results)
    assert "How much is luck" not in text
    assert UNSEPARATED not in text


def test_systems_of_one_run_that_share_drafts_tell_drafts_from_seeds(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", score_rows(SYSTEMS, prompts=40, repeats=3))
    (scores,) = merge(read_source(path))
    shared = replace(scores, drafts={system: f"run|{system[0]}" for system in SYSTEMS})
    (row,) = compute([shared])["luck"]
    assert list(row["components"]) == ["system", "prompt", "system_prompt", "draft", "render"]
    assert row["components"]["draft"]["low"] == 0  # the rows' repeats have nothing in common
    lines = list(luck_notes(row))
    assert lines[0].startswith("Draft: what clips of one draft have in common.")
    apart = replace(scores, drafts={system: f"run {system[-1]}|{system[0]}" for system in SYSTEMS})
    (row,) = compute([apart])["luck"]
    assert "draw" in row["components"]
    assert "here they are not" in next(luck_notes(row))


def test_drafts_are_known_from_runs_and_kept_apart_between_them(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", score_rows(SYSTEMS[:2], prompts=12))
    other = write(tmp_path / "other.jsonl", score_rows(SYSTEMS[2:], prompts=12))
    ours, theirs = (
        replace(scores, drafts=dict.fromkeys(scores.table.system_names, name))
        for name, source in (("run", path), ("other run", other))
        for scores in read_source(source)
    )
    (both,) = merge([ours, theirs])
    assert both.drafts == dict(zip(SYSTEMS, ("run", "run", "other run", "other run"), strict=True))
    assert ours.drafts == dict.fromkeys(SYSTEMS[:2], "run")


def test_what_is_not_drawn_anew_is_left_out_and_so_are_invalid_samples(tmp_path: Path) -> None:
    rows = score_rows(SYSTEMS[:3], prompts=40, repeats=2)
    for number, row in enumerate(rows):
        if row["system"] == SYSTEMS[0]:
            row["popularity"] = 5.0 + int(row["prompt_id"][1:])  # as videos by people: the same in every repeat
        elif number % 10 == 0:
            row |= {"popularity": 0, "status": "invalid"}
    (row,) = results_of(tmp_path, rows)["luck"]
    assert row["systems"] == 2
    assert row["without_score"] == 16
    assert "16 invalid samples left out." in "\n".join(luck_markdown(results_of(tmp_path, rows), row["predictor"], "t"))
    assert row["win_rates"]["pairs"] == 3


def test_a_board_of_invalid_samples_alone_has_no_luck(tmp_path: Path) -> None:
    rows = score_rows(SYSTEMS[:2], prompts=12, repeats=2)
    results = results_of(tmp_path, [{**row, "popularity": 0, "status": "invalid"} for row in rows])
    assert "luck" not in results
    assert markdown(results)


def test_a_pair_that_holds_over_prompts_and_hangs_on_seeds_is_named_the_better_one_first(tmp_path: Path) -> None:
    rows = rows_of(lambda rng, system, prompt: prompt + 2 * rng.gauss(0, 1) + 0.6 * (system == "two"), 100, 4)
    results = results_of(tmp_path, rows)
    (row,) = results["luck"]
    (pair,) = row["seed_fragile"]
    assert (pair["a"], pair["b"]) == ("two", "one")
    assert pair["win_rate"] == pytest.approx(1 - results["pairs"][0]["win_rate"]["value"])
    assert sum(pair["by_repeat"]) / 4 == pytest.approx(pair["win_rate"], abs=1e-5)
    assert pair["sd_prompts"] < pair["sd_seeds_one_repeat"]
    told = "Robust to prompts, fragile to seeds: two over one"
    assert told in markdown(results)
    assert told in board_page(results, "board")


def test_a_pair_that_hangs_on_prompts_is_not_called_fragile_to_seeds(tmp_path: Path) -> None:
    effects = random.Random(9)
    of_prompt: dict[float, float] = {}

    def law(rng: random.Random, system: str, prompt: float) -> float:
        if system == "one":
            return prompt
        return prompt + of_prompt.setdefault(prompt, effects.gauss(0.45, 1)) + 0.02 * rng.gauss(0, 1)

    results = results_of(tmp_path, rows_of(law, 100, 3))
    assert results["pairs"][0]["verdict"] == "worse"
    assert results["luck"][0]["seed_fragile"] == []


def test_a_large_and_an_undecided_difference_are_not_named(tmp_path: Path) -> None:
    for shift, verdict in ((4.0, "worse"), (-0.2, "undecided")):

        def law(rng: random.Random, system: str, prompt: float, by: float = shift) -> float:
            return prompt + rng.gauss(by * (system == "two"), 1)

        results = results_of(tmp_path, rows_of(law, 60, 3))
        assert results["pairs"][0]["verdict"] == verdict
        assert results["luck"][0]["seed_fragile"] == []


def test_many_fragile_pairs_are_counted(tmp_path: Path) -> None:
    (row,) = results_of(tmp_path, score_rows(SYSTEMS, prompts=40, repeats=2))["luck"]
    pair = {
        "a": "<b>", "b": "c", "win_rate": 0.6, "by_repeat": [0.55, 0.65], "sd_prompts": 0.01, "sd_seeds": 0.02,
        "sd_seeds_one_repeat": 0.03,
    }  # fmt: skip
    lines = list(luck_notes({**row, "seed_fragile": [pair] * 8}))
    assert lines[-1] == "So are 3 more pairs."
    assert sum(line.startswith("Robust to prompts") for line in lines) == 5
    results = {"luck": [{**row, "seed_fragile": [pair]}]}
    assert "<b>" not in "\n".join(luck_markdown(results, row["predictor"], "t"))


def test_a_real_scale_has_components_of_the_score_itself(tmp_path: Path) -> None:
    rows = score_rows(SYSTEMS[:2], prompts=30, repeats=2)
    for row in rows:
        row |= {"popularity": math.log(row["popularity"]) - 2, "scale": "real"}
    (real,) = results_of(tmp_path, rows)["luck"]
    (positive,) = results_of(tmp_path, score_rows(SYSTEMS[:2], prompts=30, repeats=2))["luck"]
    assert real["scores"] == "raw"
    assert [cells[2] for cells in luck_table(real)] == [cells[2] for cells in luck_table(positive)]


def test_every_table_has_its_own_and_none_is_found_for_another(tmp_path: Path) -> None:
    results = results_of(tmp_path, score_rows(tasks=("t", "u"), prompts=20, repeats=2))
    assert {row["task"] for row in results["luck"]} == {row["task"] for row in results["systems"]}
    predictor = results["luck"][0]["predictor"]
    assert luck_of(results, predictor, "u") == results["luck"][-1]
    assert luck_of(results, predictor, "v") is None
    assert list(luck_markdown(results, predictor, "v")) == []
