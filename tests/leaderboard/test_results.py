"""Results of scores: the schema, every number in it, and no dependence on the order of rows and files."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from made_scores import grouped, results_of, score_rows, write
from markdown_tables import tables_are_whole
from popbench import stats
from popbench.errors import UsageError
from popbench.leaderboard import results
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.pairs import flipped, rounded, rounded_all
from popbench.leaderboard.results import compute
from popbench.scores.scores import merge
from popbench.scores.sources import read_source

KEYS = {
    "schema", "demo", "tasks", "predictors", "level", "resamples", "restricted_to_common", "limited", "notes",
    "references", "remarks", "systems", "pairs",
    "enhancement", "minimum_detectable_win_rate", "families",
}  # fmt: skip
SYSTEM_KEYS = {
    "system", "task", "predictor", "n", "repeats", "invalid", "errors", "median", "by_category", "compliance",
    "compliance_interval", "drafts", "copy_rate", "copy_rate_interval", "drafts_with_references",
    "mean_win_rate", "mean_win_rate_interval", "bradley_terry", "rank",
}  # fmt: skip
PAIR_KEYS = {
    "task", "predictor", "a", "b", "n", "wins", "losses", "ties", "win_rate", "verdict", "p", "p_adjusted",
    "sign_test",
}  # fmt: skip


def test_results_have_exactly_the_keys_of_the_schema(tmp_path: Path) -> None:
    found = results_of(tmp_path, score_rows(compliance=True))
    assert set(found) == KEYS
    assert found["schema"] == 1
    assert len(found["systems"]) == 3
    for row in found["systems"]:
        assert set(row) == SYSTEM_KEYS
        assert set(row["median"]) == {"value", "low", "high"}
        assert {name: set(about) for name, about in row["by_category"].items()} == {
            name: {"n", "median"} for name in "xy"
        }
    assert len(found["pairs"]) == 3
    for pair in found["pairs"]:
        assert set(pair) == PAIR_KEYS
        assert set(pair["win_rate"]) == {"value", "low", "high", "exact", "simultaneous"}
    assert [set(row) for row in found["enhancement"]] == [PAIR_KEYS | {"llm", "mode", "generator"}]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    for row in results_of(tmp_path, score_rows())["systems"]:
        assert (row["compliance"], row["drafts"]) == (None, 0)
        assert (row["copy_rate"], row["copy_rate_interval"], row["drafts_with_references"]) == (None, None, 0)


def test_every_number_is_what_it_says(tmp_path: Path) -> None:
    rows = score_rows()
    found = results_of(tmp_path, rows)
    values = {
        system: np.array([row["popularity"] for row in rows if row["system"] == system])
        for system in ("a|basic|g", "a|pe|g", "b|basic|g")
    }
    for row in found["systems"]:
        assert row["n"] == 12
        assert row["median"]["value"] == pytest.approx(np.median(values[row["system"]]))
        assert row["median"]["low"] <= row["median"]["value"] <= row["median"]["high"]
        for offset, name in enumerate("xy"):
            assert row["by_category"][name]["n"] == 6
            median = np.median(values[row["system"]][offset::2])
            assert row["by_category"][name]["median"]["value"] == pytest.approx(median)
        others = [other for name, other in values.items() if name != row["system"]]
        rate = np.mean([np.mean(values[row["system"]] > other) for other in others])
        assert row["mean_win_rate"] == pytest.approx(rate)
        low, high = row["mean_win_rate_interval"]
        assert 0 <= low <= row["mean_win_rate"] <= high <= 1
    for pair in found["pairs"]:
        a, b = values[pair["a"]], values[pair["b"]]
        assert (pair["wins"], pair["losses"], pair["ties"]) == (int((a > b).sum()), int((a < b).sum()), 0)
        rate = pair["win_rate"]
        assert rate["value"] == pytest.approx(pair["wins"] / 12)
        assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1
        assert 0 <= rate["exact"][0] <= rate["value"] <= rate["exact"][1] <= 1
        assert 0 < pair["p"] <= 1


def test_each_pair_comes_once_in_the_order_of_the_ids(tmp_path: Path) -> None:
    rows = score_rows(("z", "B", "a", "ä", "a|b"), tasks=("t1", "t2"))
    random.Random(2).shuffle(rows)
    found = results_of(tmp_path, rows)
    names = sorted(["z", "B", "a", "ä", "a|b"])
    expected = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
    for task in ("t1", "t2"):
        assert [(pair["a"], pair["b"]) for pair in found["pairs"] if pair["task"] == task] == expected
        assert [row["system"] for row in found["systems"] if row["task"] == task] == names


def test_results_do_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = score_rows(repeats=2, tasks=("t1", "t2"), compliance=True)
    first = results_of(tmp_path, rows)
    assert results_of(tmp_path, rows) == first
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        assert json.dumps(results_of(tmp_path, rows)) == json.dumps(first)


def test_results_do_not_depend_on_how_the_rows_are_split_into_files(tmp_path: Path) -> None:
    rows = score_rows()
    parts = [
        found
        for name in ("b|basic|g", "a|basic|g", "a|pe|g")
        for found in read_source(write(tmp_path / f"{name[:3]}.jsonl", [row for row in rows if row["system"] == name]))
    ]
    whole = results_of(tmp_path, rows)
    assert json.dumps(compute(merge(parts))["pairs"]) == json.dumps(whole["pairs"])


def test_enhancement_is_the_other_mode_against_basic(tmp_path: Path) -> None:
    systems = ("a|aaa|g", "a|basic|g", "a|pe[k=50]|g", "a|pe|h", "b|pe|g", "b|basic|g")
    found = results_of(tmp_path, score_rows(systems))
    assert [(row["a"], row["b"]) for row in found["enhancement"]] == [
        ("a|aaa|g", "a|basic|g"),
        ("a|pe[k=50]|g", "a|basic|g"),
        ("b|pe|g", "b|basic|g"),
    ]
    assert [(row["llm"], row["mode"], row["generator"]) for row in found["enhancement"]] == [
        ("a", "aaa", "g"),
        ("a", "pe[k=50]", "g"),
        ("b", "pe", "g"),
    ]
    pairs = {(pair["a"], pair["b"]): pair for pair in found["pairs"]}
    for row in found["enhancement"]:
        same = pairs.get((row["a"], row["b"]))
        other = pairs.get((row["b"], row["a"]))
        assert (same is None) != (other is None)
        pair = same or flipped(other or {})
        # What a contrast is by itself is the same; what holds together is that of the contrasts alone, so narrower.
        alone = PAIR_KEYS - {"win_rate", "verdict", "p_adjusted"}
        assert {key: row[key] for key in alone} == {key: pair[key] for key in alone}
        for end in ("value", "low", "high", "exact"):
            assert row["win_rate"][end] == pytest.approx(pair["win_rate"][end], rel=1e-9)
        assert pair["win_rate"]["simultaneous"][0] < row["win_rate"]["simultaneous"][0]
        assert row["win_rate"]["simultaneous"][1] < pair["win_rate"]["simultaneous"][1]
        assert row["p"] <= row["p_adjusted"] <= min(1, 3 * row["p"])
        assert row["p_adjusted"] <= pair["p_adjusted"]


def test_verdicts_follow_the_simultaneous_interval_and_ranks_the_verdicts(tmp_path: Path) -> None:
    systems = ("a", "b", "c", "d")
    found = results_of(tmp_path, score_rows(systems, prompts=30))
    verdict = {}
    for pair in found["pairs"]:
        low, high = pair["win_rate"]["simultaneous"]
        assert low <= pair["win_rate"]["exact"][0]
        assert pair["win_rate"]["exact"][1] <= high
        assert pair["verdict"] == ("better" if low > 0.5 else "worse" if high < 0.5 else "undecided")
        verdict[pair["a"], pair["b"]] = pair["verdict"]
        verdict[pair["b"], pair["a"]] = flipped(pair)["verdict"]
    assert set(verdict.values()) == {"better", "worse", "undecided"}
    rates = {(pair["a"], pair["b"]): pair["win_rate"]["value"] for pair in found["pairs"]}
    rates |= {(b, a): 1 - rate for (a, b), rate in rates.items()}
    for row in found["systems"]:
        others = [other for other in systems if other != row["system"]]
        better = sum(verdict[other, row["system"]] == "better" for other in others)
        worse = sum(verdict[other, row["system"]] == "worse" for other in others)
        ahead = sum(rates[other, row["system"]] > 0.5 for other in others)
        assert row["rank"] == {"value": 1 + ahead, "low": 1 + better, "high": 4 - worse}
        strength = row["bradley_terry"]
        assert strength["low"] < strength["value"] < strength["high"]
    order = sorted(found["systems"], key=lambda row: row["mean_win_rate"])
    assert [row["bradley_terry"]["value"] for row in order] == sorted(row["bradley_terry"]["value"] for row in order)


@pytest.mark.parametrize(("prompts", "judged", "ranked"), [(1, False, False), (9, False, True), (10, True, True)])
def test_few_prompts_give_no_verdicts_and_one_prompt_no_rank(
    tmp_path: Path, prompts: int, judged: bool, ranked: bool
) -> None:
    rows = [{**row, "popularity": 10 + len(row["system"])} for row in score_rows(("a", "bbb"), prompts=prompts)]
    found = results_of(tmp_path, rows)
    (pair,) = found["pairs"]
    assert pair["verdict"] == ("worse" if judged else None)
    assert len(pair["win_rate"]["simultaneous"]) == 2
    ranks = [row["rank"] for row in found["systems"]]
    low, high = (1, 1) if judged else (1, 2)
    best, last = {"value": 1, "low": low, "high": high}, {"value": 2, "low": 2 if judged else 1, "high": 2}
    assert ranks == ([last, best] if ranked else [None, None])


def test_identical_systems_stand_at_one_half_without_a_verdict(tmp_path: Path) -> None:
    rows = [{**row, "popularity": 1 + int(row["prompt_id"][1:])} for row in score_rows(("a", "b", "c"), prompts=40)]
    found = results_of(tmp_path, rows)
    for pair in found["pairs"]:
        assert (pair["win_rate"]["value"], pair["verdict"], pair["p"], pair["p_adjusted"]) == (0.5, "undecided", 1, 1)
        low, high = pair["win_rate"]["simultaneous"]
        assert 0 < low < 0.5 < high < 1
    assert [row["rank"] for row in found["systems"]] == [{"value": 1, "low": 1, "high": 3}] * 3
    assert [row["bradley_terry"]["value"] for row in found["systems"]] == pytest.approx([0, 0, 0], abs=1e-9)


def test_a_lone_system_has_no_rank_and_no_strength(tmp_path: Path) -> None:
    (row,) = results_of(tmp_path, score_rows(("a",)))["systems"]
    assert (row["rank"], row["bradley_terry"], row["mean_win_rate"]) == (None, None, None)


@pytest.mark.parametrize(
    ("modes", "title"),
    [(["pe"], "Prompt enhancement"), (["pe[k=5]", "pe"], "Prompt enhancement"), (["pe", "refine"], "Other modes")],
)
def test_a_table_over_basic_speaks_of_enhancement_where_all_modes_are_that(
    tmp_path: Path, modes: list[str], title: str
) -> None:
    found = results_of(tmp_path, score_rows(("a|basic|g", *(f"a|{mode}|g" for mode in modes))))
    assert f"**{title} against basic**, same LLM and generator." in markdown(found)


def test_enhancement_is_above_half_where_the_other_mode_wins(tmp_path: Path) -> None:
    rows = score_rows(("a|basic|g", "a|pe|g"))
    for row in rows:
        row["popularity"] = 10 if "pe" in row["system"] else 5
    (found,) = results_of(tmp_path, rows)["enhancement"]
    assert (found["wins"], found["losses"], found["win_rate"]["value"]) == (12, 0, 1.0)
    assert found["win_rate"]["low"] > 0.5
    assert found["win_rate"]["exact"][0] > 0.5
    assert found["p"] < 0.001


def test_a_group_is_pooled_with_strata_of_task_and_category() -> None:
    found = compute(grouped())
    assert [row["task"] for row in found["systems"]] == [name for name in ("g", "t1", "t2", "t3") for _ in range(3)]
    pooled = [row for row in found["systems"] if row["task"] == "g"]
    assert {row["n"] for row in pooled} == {24}
    (scores_,) = grouped()
    for row in pooled:
        values = {(r.task, r.prompt_id): r for r in scores_.rows if r.system == row["system"] and r.task != "t3"}
        ordered = [values[key] for key in sorted(values)]
        strata = np.array([2 * (r.task == "t2") + (r.category == "y") for r in ordered])
        expected = stats.median_interval([r.popularity or 0 for r in ordered], strata, 0.95)
        assert (row["median"]["value"], row["median"]["low"], row["median"]["high"]) == pytest.approx(expected)
        assert {name: about["n"] for name, about in row["by_category"].items()} == {"x": 12, "y": 12}
    assert [task["name"] for task in found["tasks"]] == ["t1", "t2", "t3"]


def test_one_system_has_no_pairs_and_no_win_rate(tmp_path: Path) -> None:
    found = results_of(tmp_path, score_rows(("only",)))
    (row,) = found["systems"]
    assert (row["n"], row["mean_win_rate"], row["mean_win_rate_interval"]) == (12, None, None)
    assert (found["pairs"], found["enhancement"]) == ([], [])
    assert tables_are_whole(markdown(found))


@pytest.mark.parametrize("systems", [("a",), ("a|basic|g", "a|pe|g")])
def test_one_prompt_is_enough_for_a_board(tmp_path: Path, systems: Sequence[str]) -> None:
    found = results_of(tmp_path, score_rows(systems, prompts=1))
    assert {row["n"] for row in found["systems"]} == {1}
    for pair in found["pairs"]:
        assert (pair["win_rate"]["low"], pair["win_rate"]["high"]) <= (pair["win_rate"]["value"], 1.0)
        assert pair["p"] == 1.0
    assert "With 1 prompt no win rate is detectable" in markdown(found)


def test_equal_scores_tie(tmp_path: Path) -> None:
    rows = score_rows()
    for row in rows:
        row["popularity"] = 7
    found = results_of(tmp_path, rows)
    for pair in found["pairs"]:
        assert (pair["wins"], pair["ties"], pair["losses"], pair["win_rate"]["value"]) == (0, 12, 0, 0.5)
        assert pair["p"] == 1.0
    assert {row["mean_win_rate"] for row in found["systems"]} == {0.5}


def test_an_invalid_sample_loses_and_ties_with_another(tmp_path: Path) -> None:
    rows = score_rows(("a", "b"), prompts=6)
    for row in rows:
        row["popularity"] = 5
        if row["system"] == "a" and row["prompt_id"] < "p03":
            row |= {"status": "invalid", "popularity": None}
        if row["system"] == "b" and row["prompt_id"] < "p01":
            row |= {"status": "invalid", "popularity": 0}
    found = results_of(tmp_path, rows)
    (pair,) = found["pairs"]
    assert (pair["wins"], pair["ties"], pair["losses"]) == (0, 4, 2)
    assert [(row["invalid"], row["errors"]) for row in found["systems"]] == [(3, 0), (1, 0)]


def test_an_invalid_sample_is_worth_nothing_whatever_its_row_says(tmp_path: Path) -> None:
    rows = score_rows(("a", "b"), prompts=6)
    rows[0] |= {"status": "invalid", "popularity": 1e9}
    try:
        (pair,) = results_of(tmp_path, rows)["pairs"]
    except UsageError:  # refusing the row is as good
        return
    rows[0]["popularity"] = 0
    assert [pair] == results_of(tmp_path, rows)["pairs"]


def test_repeats_are_averaged_by_prompt(tmp_path: Path) -> None:
    found = results_of(tmp_path, score_rows(repeats=3))
    assert {(row["n"], row["repeats"]) for row in found["systems"]} == {(12, 3)}
    assert {pair["n"] for pair in found["pairs"]} == {12}


def test_compliance_is_a_rate_with_its_interval(tmp_path: Path) -> None:
    rows = score_rows(("a",))
    for n, row in enumerate(rows):
        row["compliance"] = [True, True, False, None][n % 4]
    (row,) = results_of(tmp_path, rows)["systems"]
    assert row["drafts"] == 9
    assert row["compliance"] == pytest.approx(6 / 9)
    assert row["compliance_interval"][0] < 6 / 9 < row["compliance_interval"][1]


def test_the_copy_rate_is_the_share_of_drafts_with_references_that_copy_one(tmp_path: Path) -> None:
    rows = score_rows(("a", "b"), prompts=8, repeats=2)
    for row in rows:  # of a, one of both drafts of p00 and both of p01 are copies, and p07 had no references
        copies = {"p00": row["repeat"] == 0, "p01": True, "p07": None}.get(row["prompt_id"], False)
        row["originality"] = None if row["system"] == "b" or copies is None else 0.2 if copies else 0.200001
    one, other = results_of(tmp_path, rows)["systems"]
    assert one["drafts_with_references"] == 14
    assert one["copy_rate"] == pytest.approx(1.5 / 7)
    assert one["copy_rate_interval"][0] < 1.5 / 7 < one["copy_rate_interval"][1]
    assert (other["copy_rate"], other["copy_rate_interval"], other["drafts_with_references"]) == (None, None, 0)


def test_the_copy_rate_has_the_interval_that_compliance_would_have(tmp_path: Path) -> None:
    rows = score_rows(("a",))
    for n, row in enumerate(rows):
        row |= {"compliance": n % 3 > 0, "originality": 0.1 if n % 3 else 0.9}
    (row,) = results_of(tmp_path, rows)["systems"]
    assert row["copy_rate"] == row["compliance"]
    assert row["copy_rate_interval"] == row["compliance_interval"]


def test_the_second_of_two_predictors_stands_beside_the_first(tmp_path: Path) -> None:
    rows = [*score_rows(predictor="p"), *score_rows(predictor="q", prompts=6)]
    found = results_of(tmp_path, rows)
    assert [predictor["name"] for predictor in found["predictors"]] == ["p", "q"]
    assert [(row["predictor"], row["n"]) for row in found["systems"]] == [("p", 12)] * 3 + [("q", 6)] * 3
    text = markdown(found)
    assert "## t · predictor p" in text
    assert "## t · predictor q" not in text
    assert "| Mean win rate, % | p | q (n = 6) |" in text
    assert "With 12 prompts" in text


def test_all_tasks_of_all_predictors_are_listed(tmp_path: Path) -> None:
    one = read_source(write(tmp_path / "one.jsonl", score_rows(("a",), ("t1",), predictor="p")))
    two = read_source(write(tmp_path / "two.jsonl", score_rows(("a",), ("t2",), predictor="q")))
    assert [task["name"] for task in compute(merge([*one, *two]))["tasks"]] == ["t1", "t2"]


def test_numbers_are_rounded_alike_one_by_one_and_all_at_once() -> None:
    rng = np.random.default_rng(0)
    halves = (rng.integers(10**9, 10**10, 5000) + 0.5) / 10**10
    values = np.concatenate(
        [
            rng.random(5000), -rng.random(1000), 10 ** rng.uniform(-320, 300, 5000), np.arange(401) / 400,
            halves, np.nextafter(halves, 0), np.nextafter(halves, 1), 10.0 ** np.arange(-30, 30),
            [0.0, -0.0, 5e-324, 0.99999999999, np.inf, np.nan],
        ]
    )  # fmt: skip
    one_by_one = np.array([rounded(value) for value in values.tolist()])
    np.testing.assert_array_equal(rounded_all(values).view(np.int64), one_by_one.view(np.int64))


def test_a_board_is_the_same_however_many_of_its_tables_are_computed_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = compute(grouped())
    assert len({row["task"] for row in together["systems"]}) == 4
    monkeypatch.setattr(results, "_FEW_OUTCOMES", 0)
    assert compute(grouped()) == together


def test_with_repeats_medians_are_of_all_samples_and_rows_say_so(tmp_path: Path) -> None:
    rows = score_rows(repeats=3)
    found = results_of(tmp_path, rows)
    for row in found["systems"]:
        samples = [other["popularity"] for other in rows if other["system"] == row["system"]]
        assert (row["median_of"], row["median"]["value"]) == ("samples", pytest.approx(np.median(samples)))
        for name, category in row["by_category"].items():
            of = [
                other["popularity"] for other in rows if (other["system"], other["category"]) == (row["system"], name)
            ]
            assert category["median"]["value"] == pytest.approx(np.median(of))
    assert "With repeats, medians are of all samples" in markdown(found)
    once = results_of(tmp_path, score_rows())
    assert all("median_of" not in row for row in once["systems"])
    assert "With repeats" not in markdown(once)
