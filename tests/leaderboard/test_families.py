"""A row of results.json says one thing, however it says it; and a board says which of its tables hold together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_scores import Row, grouped, results_of, score_rows
from popbench.leaderboard.families import p_words, role_words
from popbench.leaderboard.pairs import compare, draw
from popbench.leaderboard.results import compute


def agrees(row: Mapping[str, Any]) -> bool:
    """Check that verdict, intervals and p-values of a row say the same; return whether it is decided."""
    low, high = row["win_rate"]["simultaneous"]
    decided = "better" if low > 0.5 else "worse" if high < 0.5 else "undecided"
    assert row["verdict"] in (decided, None)
    assert (row["p_adjusted"] <= 0.05) == (decided != "undecided")
    low, high = row["win_rate"]["exact"]
    assert (row["p"] <= 0.05) == (low > 0.5 or high < 0.5)
    assert row["p"] <= row["p_adjusted"]
    return decided != "undecided"


def law(seed: int, repeats: int, tasks: Sequence[str] = ("t",)) -> list[Row]:
    """Scores with ties, invalid samples and systems that differ."""
    rng = np.random.default_rng(seed)
    rows = score_rows(("a|basic|g", "a|pe|g", "a|pe|h", "a|basic|h", "b|pe|g", "b|basic|g"), tasks, 25, repeats)
    effect = dict(zip(sorted({row["system"] for row in rows}), rng.normal(0, 1, 6), strict=True))
    for row in rows:
        value = float(np.exp(effect[row["system"]] + rng.normal()).round(int(rng.integers(0, 2))))
        invalid = value == 0 or rng.random() < 0.1
        row |= {"popularity": 0 if invalid else value, "status": "invalid" if invalid else "ok"}
    return rows


@pytest.mark.parametrize("repeats", [1, 2, 3, 5])
def test_verdict_interval_and_p_of_a_row_are_one(tmp_path: Path, repeats: int) -> None:
    decided = []
    for seed in range(12):
        found = results_of(tmp_path, law(seed, repeats))
        rows = found["pairs"] + found["enhancement"]
        decided += [agrees(row) for row in rows]
        assert all(("sign_test" in row) == (repeats == 1) for row in rows)
    assert 0.1 < np.mean(decided) < 0.9


def test_an_interval_that_ends_at_one_half_in_its_last_digit_is_judged_as_it_is_written() -> None:
    strata, base = np.arange(40) % 2, np.tile([0.9, 0.9, 0.9, 0.1], 10)[np.newaxis]
    resamples = draw(strata)

    def low(shift: float) -> float:
        return float(compare(base + shift, strata, resamples).simultaneous[0][0])

    below, above = -0.1, 0.09  # where the end is below one half, and above
    assert low(below) < 0.5 < low(above)
    for _ in range(45):
        middle = (below + above) / 2
        below, above = (below, middle) if low(middle) > 0.5 else (middle, above)
    decided = [agrees(next(compare(base + below + 1e-12 * step, strata, resamples).rows())) for step in range(-99, 99)]
    assert set(decided) == {True, False}


def test_contrasts_are_decided_in_a_family_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    systems = [f"{llm}|{mode}|g" for llm in "abcdefgh" for mode in ("basic", "pe")]
    rows = [
        {"system": system, "task": "t", "prompt_id": f"p{prompt:03d}",
         "popularity": float(np.exp(rng.normal() + 0.85 * ("pe" in system)))}
        for system in systems
        for prompt in range(60)
    ]  # fmt: skip
    found = results_of(tmp_path, rows)
    pairs = {frozenset((pair["a"], pair["b"])): pair for pair in found["pairs"]}
    ours = [agrees(row) for row in found["enhancement"]]
    theirs = [agrees(pairs[frozenset((row["a"], row["b"]))]) for row in found["enhancement"]]
    assert len(ours) == 8
    assert sum(ours) > sum(theirs)
    (family,) = found["families"]
    assert family["contrasts_critical_value"] < family["critical_value"] - 0.4


def test_groups_and_tasks_in_none_of_the_first_predictor_are_primary_and_other_tables_exploratory() -> None:
    (first,), (second,) = grouped(20), grouped(20)
    second.predictor = "other"
    found = compute([first, second])
    assert [(row["predictor"], row["task"], row["family"], row["tables"]) for row in found["families"]] == [
        ("p", "g", "primary", 2),
        ("p", "t1", "exploratory", 1),
        ("p", "t2", "exploratory", 1),
        ("p", "t3", "primary", 2),
        *[("other", task, "exploratory", 1) for task in ("g", "t1", "t2", "t3")],
    ]
    assert all(row["pairs"] == 3 and row["critical_value"] > 1.959 for row in found["families"])


def test_tasks_without_a_group_are_primary_together(tmp_path: Path) -> None:
    rows = score_rows(tasks=("t1", "t2", "t3"), prompts=40)
    found = results_of(tmp_path, rows)
    assert [(row["family"], row["tables"]) for row in found["families"]] == [("primary", 3)] * 3
    for row in found["pairs"] + found["enhancement"]:
        agrees(row)
    alone = results_of(tmp_path, [row for row in rows if row["task"] == "t1"])
    for pair, same in zip(alone["pairs"], found["pairs"], strict=False):
        assert same["task"] == "t1"
        assert same["win_rate"]["exact"] == pair["win_rate"]["exact"]
        assert same["win_rate"]["simultaneous"][0] < pair["win_rate"]["simultaneous"][0]
        assert same["p_adjusted"] >= pair["p_adjusted"]


def test_a_lone_system_has_no_family(tmp_path: Path) -> None:
    assert "families" not in results_of(tmp_path, score_rows(("a",)))


def test_a_board_says_which_table_is_primary_and_what_its_p_values_are() -> None:
    found = compute(grouped(20))
    of_group, of_task = (role_words(found, "p", task) for task in ("g", "t1"))
    assert "is primary: its verdicts hold together with those of the 2 primary tables (95 %)" in of_group
    assert "other tables are exploratory" in of_group
    assert "is exploratory" in of_task
    assert "so 0.05 at most where a pair is decided" in p_words(found)


def test_results_of_an_earlier_version_keep_what_was_said_of_them() -> None:
    found = compute(grouped(20))
    del found["families"]
    assert p_words(found) == "p by the sign test, adjusted by Holm."
    assert role_words(found, "p", "g") == ""
