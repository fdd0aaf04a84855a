"""Two runs compared: numbers are those of brute force, both directions say the same, what does not fit is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_statistics import literal_korn_graubard
from made_scores import Row, score_rows, write
from popbench.comparison.numbers import compare_runs
from usage_errors import refusal

SYSTEMS = ("a|basic|g", "a|pe|g", "b|basic|g")


def rows_of(
    systems: Sequence[str] = SYSTEMS, tasks: Sequence[str] = ("t",), prompts: int = 12, **more: Any
) -> list[Row]:
    return score_rows(systems, tasks, prompts, task_hash="h", predictor="p", **more)


def moved(rows: Sequence[Row], seed: int = 7) -> list[Row]:
    """The same rows after a change: other scores, some ties, some invalid samples."""
    rng = np.random.default_rng(seed)
    found = []
    for row in rows:
        kind = rng.choice(["same", "invalid", "other"], p=[0.2, 0.1, 0.7])
        if kind == "invalid":
            found.append({**row, "popularity": 0.0, "status": "invalid"})
        else:
            factor = 1.0 if kind == "same" else float(rng.lognormal(0.3, 1))
            found.append({**row, "popularity": row["popularity"] * factor})
    return found


def compared(tmp_path: Path, before: Sequence[Row], after: Sequence[Row], **options: Any) -> dict[str, Any]:
    paths = write(tmp_path / "before.jsonl", before), write(tmp_path / "after.jsonl", after)
    return compare_runs(*paths, **options)


def values(rows: Sequence[Row], system: str, task: str | None = None) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["system"] == system and task in (None, row["task"]):
            found.setdefault((row["task"], row["prompt_id"]), []).append(row["popularity"])
    return found


# -- numbers


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_numbers_are_those_of_brute_force(tmp_path: Path, repeats: int) -> None:
    from scipy.stats import binomtest

    before = rows_of(tasks=("t", "u"), prompts=20, repeats=repeats)
    after = moved(before)
    found = compared(tmp_path, before, after)
    assert [(row["task"], row["systems"]["after"]) for row in found["contrasts"]] == [
        (task, system) for task in ("t", "u") for system in SYSTEMS
    ]
    for row in found["contrasts"]:
        ours = values(before, row["systems"]["before"], row["task"])
        theirs = values(after, row["systems"]["after"], row["task"])
        y = [
            float(np.mean([(b > a) + (b == a) / 2 for a, b in zip(ours[prompt], theirs[prompt], strict=True)]))
            for prompt in sorted(ours)
        ]
        wins, losses = sum(value > 0.5 for value in y), sum(value < 0.5 for value in y)
        assert row["n"] == 20
        assert row["win_rate"]["value"] == pytest.approx(np.mean(y))
        assert (row["wins"], row["losses"], row["ties"]) == (wins, losses, 20 - wins - losses)
        assert row["win_rate"]["exact"] == pytest.approx(literal_korn_graubard(y, [0, 1] * 10))
        assert (row["p"] <= 0.05) == (not row["win_rate"]["exact"][0] <= 0.5 <= row["win_rate"]["exact"][1])
        if repeats == 1:
            assert row["sign_test"] == pytest.approx(binomtest(wins, wins + losses).pvalue)
        else:
            assert "sign_test" not in row
        medians = [np.median([np.mean(of_prompt) for of_prompt in side.values()]) for side in (ours, theirs)]
        assert [row["before"]["median"]["value"], row["after"]["median"]["value"]] == pytest.approx(medians)
        assert row["median_ratio"] == pytest.approx(medians[1] / medians[0])
        assert row["after"]["invalid"] == sum(value == 0 for of_prompt in theirs.values() for value in of_prompt)
        assert row["before"]["invalid"] == 0
        low, high = row["win_rate"]["simultaneous"]
        assert low <= row["win_rate"]["exact"][0] <= row["win_rate"]["value"] <= row["win_rate"]["exact"][1] <= high
        assert row["verdict"] == ("better" if low > 0.5 else "worse" if high < 0.5 else "undecided")
        assert row["p"] <= row["p_adjusted"] <= min(1, 6 * row["p"])  # three pairs, in two tasks
        assert (row["p_adjusted"] <= 0.05) == (row["verdict"] != "undecided")
    assert [(row["family"], row["tables"], row["pairs"]) for row in found["families"]] == [("primary", 2, 3)] * 2


def test_a_change_that_helps_and_one_that_harms_are_told_apart(tmp_path: Path) -> None:
    before = rows_of(prompts=40)
    factor = {"a|basic|g": 3.0, "a|pe|g": 1 / 3, "b|basic|g": 1.0}
    after = [{**row, "popularity": row["popularity"] * factor[row["system"]]} for row in before]
    found = compared(tmp_path, before, after)["contrasts"]
    assert [(row["verdict"], row["identical"]) for row in found] == [("better", False), ("worse", False), (None, True)]
    assert [row["win_rate"]["value"] for row in found] == [1, 0, 0.5]


def test_systems_that_did_not_change_are_identical_and_cost_the_others_nothing(tmp_path: Path) -> None:
    before = rows_of(prompts=30)
    after = [*moved([row for row in before if row["system"] == SYSTEMS[1]]),
             *(row for row in before if row["system"] != SYSTEMS[1])]  # fmt: skip
    found = compared(tmp_path, before, after)
    alone = compared(tmp_path, before, after, systems=[SYSTEMS[1]])
    same, changed = found["contrasts"][0], found["contrasts"][1]
    assert (same["identical"], same["verdict"], same["win_rate"]["value"], same["p"]) == (True, None, 0.5, 1)
    assert same["median_ratio"] == 1
    assert changed == alone["contrasts"][0]
    assert changed["p_adjusted"] == changed["p"]
    assert [row["pairs"] for row in found["minimum_detectable_win_rate"]] == [1]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scores=st.lists(
        st.tuples(*[st.sampled_from([0.0, 1.0, 2.5, 3.0, 1e-9, 1e9])] * 4), min_size=1, max_size=12
    )
)  # fmt: skip
def test_both_directions_say_the_same(tmp_path: Path, scores: list[tuple[float, ...]]) -> None:
    def side(first: int) -> list[Row]:
        return [
            {"system": system, "task": "t", "prompt_id": f"p{number}", "popularity": of_prompt[first + place],
             "status": "ok" if of_prompt[first + place] else "invalid"}
            for number, of_prompt in enumerate(scores)
            for place, system in enumerate("xy")
        ]  # fmt: skip

    forth = compared(tmp_path, side(0), side(2))["contrasts"]
    back = compared(tmp_path, side(2), side(0))["contrasts"]
    for one, other in zip(forth, back, strict=True):
        rate, mirror = one["win_rate"], other["win_rate"]
        assert rate["value"] + mirror["value"] == pytest.approx(1, abs=1e-9)
        assert (rate["exact"][0], rate["exact"][1]) == pytest.approx((1 - mirror["exact"][1], 1 - mirror["exact"][0]))
        assert (one["wins"], one["ties"], one["losses"]) == (other["losses"], other["ties"], other["wins"])
        assert (one["p"], one["identical"]) == (other["p"], other["identical"])
        assert (one["before"], one["after"]) == (other["after"], other["before"])
        assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1
        assert one["verdict"] is None or len(scores) >= 10
        if one["identical"]:
            assert rate["value"] == 0.5


def test_fewer_than_ten_prompts_give_no_verdicts(tmp_path: Path) -> None:
    for prompts, verdict in ((9, None), (10, "better")):
        before = rows_of(("a",), prompts=prompts)
        after = [{**row, "popularity": row["popularity"] + 1} for row in before]
        assert compared(tmp_path, before, after)["contrasts"][0]["verdict"] == verdict


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    before = rows_of(tasks=("t", "u"), prompts=20)
    after = moved(before)
    assert compared(tmp_path, before, after) == compared(tmp_path, before[::-1], after[::-1])


def test_a_median_of_nothing_has_no_ratio(tmp_path: Path) -> None:
    before = [{**row, "popularity": 0.0, "status": "invalid"} for row in rows_of(("a",))]
    (row,) = compared(tmp_path, before, rows_of(("a",)))["contrasts"]
    assert (row["before"]["median"]["value"], row["median_ratio"]) == (0, None)
    assert (row["before"]["invalid"], row["after"]["invalid"]) == (12, 0)


def test_drafts_are_compared_too(tmp_path: Path) -> None:
    before = [{**row, "compliance": True, "originality": 0.1} for row in rows_of(("a",))]
    after = [{**row, "compliance": False, "originality": 0.9} for row in rows_of(("a",))]
    (row,) = compared(tmp_path, before, after)["contrasts"]
    assert [(row[side]["compliance"], row[side]["copy_rate"]) for side in ("before", "after")] == [(1, 1), (0, 0)]


# -- which systems meet


def test_systems_meet_by_their_ids_and_others_are_named(tmp_path: Path) -> None:
    found = compared(tmp_path, rows_of(("a", "b", "c")), moved(rows_of(("b", "c", "d"))))
    assert found["systems"] == [{"before": "b", "after": "b"}, {"before": "c", "after": "c"}]
    assert found["not_compared"]["before"]["systems"] == ["a"]
    assert found["not_compared"]["after"]["systems"] == ["d"]


def test_two_lone_systems_meet_whatever_they_are_called(tmp_path: Path) -> None:
    found = compared(tmp_path, rows_of(("a",)), moved(rows_of(("b",))))
    assert found["systems"] == [{"before": "a", "after": "b"}]


def test_systems_with_signs_of_equality_can_be_named(tmp_path: Path) -> None:
    systems = ("a|pe[k=5]|g", "a|pe[k=50]|g", "a|pe|g")
    found = compared(
        tmp_path, rows_of(systems), moved(rows_of(systems)),
        systems=["a|pe[k=5]|g=a|pe[k=50]|g", "a|pe[k=5]|g", "a|pe|g=a|pe[k=5]|g"],
    )  # fmt: skip
    assert [tuple(pair.values()) for pair in found["systems"]] == [
        ("a|pe[k=5]|g", "a|pe[k=50]|g"), ("a|pe[k=5]|g", "a|pe[k=5]|g"), ("a|pe|g", "a|pe[k=5]|g"),
    ]  # fmt: skip
    assert found["not_compared"]["before"]["systems"] == []


@pytest.mark.parametrize(
    ("systems", "told"),
    [
        (["z"], "unknown system 'z' (possible: a, b=c); "),
        (["a=z"], "unknown system 'z' (possible: a, b, b=c, c); "),
        (["z=a"], "unknown system 'z=a'"),
        (["bb=c"], "did you mean 'b=c'?"),
        (["a", "a"], "--system 'a' is given twice"),
        (["a", "a=a"], "--system 'a' is given twice"),
        ([""], "unknown system ''"),
        (["="], "unknown system '='"),
    ],
)
def test_systems_that_are_not_there_are_told(tmp_path: Path, systems: list[str], told: str) -> None:
    ours, theirs = rows_of(("a", "b=c")), rows_of(("a", "b", "b=c", "c"))
    assert told in refusal(lambda: compared(tmp_path, ours, theirs, systems=systems))


def test_a_name_that_may_be_two_is_told(tmp_path: Path) -> None:
    ours, theirs = rows_of(("a", "a=b")), rows_of(("b=c", "c"))
    message = refusal(lambda: compared(tmp_path, ours, theirs, systems=["a=b=c"]))
    assert "--system 'a=b=c' may mean 'a' with 'b=c' or 'a=b' with 'c': rename a system with label=" in message


def test_runs_that_share_no_system_ask_for_names(tmp_path: Path) -> None:
    message = refusal(lambda: compared(tmp_path, rows_of(("a", "b")), rows_of(("c", "d", "e", "f", "g", "h"))))
    assert "share no system: name those to compare with --system BEFORE=AFTER" in message
    assert "(before: a, b; after: c, d, e, f, g and 1 more)" in message


# -- what does not compare


def changed(**more: Any) -> list[Row]:
    return [{**row, **more} for row in moved(rows_of())]


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (changed(task_hash="other"), "two versions of task 't' do not compare: their hashes differ"),
        (changed(predictor="q"), "the scores are of two predictors (p p in "),
        (changed(predictor=None), "the scores are of two predictors"),
        (changed(task="u"), "share no task: they are of t and u"),
        (changed(demo=True), "demo scores and real ones do not compare"),
        (changed(category="other"), "has two categories"),
        (rows_of(prompts=5), "after.jsonl: system 'a|basic|g' lacks 7 results to compare"),
        (moved(rows_of()) + moved(rows_of()), "2 rows for system"),
        (changed(popularity=float("nan")), "popularity is nan"),
        (changed(popularity=-1.0, status="ok"), "no negative number"),
        (changed(status="error"), "lacks 12 results to compare"),
        ([], "column 'system' is missing"),
    ],
)
def test_what_does_not_compare_is_one_line(tmp_path: Path, after: list[Row], told: str) -> None:
    assert told in refusal(lambda: compared(tmp_path, rows_of(), after))


def test_missing_prompts_are_named_and_common_leaves_them_out(tmp_path: Path) -> None:
    before = rows_of(prompts=12)
    after = moved([row for row in before if row["prompt_id"] < "p09"])
    after[3] |= {"status": "error", "popularity": None}
    message = refusal(lambda: compared(tmp_path, before, after))
    assert f"{tmp_path / 'after.jsonl'}: system 'a|basic|g' lacks 4 results to compare: t/p03, t/p09, t/p10" in message
    assert "--common restricts the comparison" in message
    found = compared(tmp_path, before, after, common=True)
    assert {row["n"] for row in found["contrasts"]} == {8}
    assert found["restricted_to_common"]
    kept = [row for row in before if row["prompt_id"] in {f"p{n:02d}" for n in (0, 1, 2, 4, 5, 6, 7, 8)}]
    whole = compared(tmp_path, kept, [row for row in after if row["prompt_id"] != "p03"])
    assert found["contrasts"] == whole["contrasts"]


def test_repeats_that_only_one_run_has_are_left_out_in_common(tmp_path: Path) -> None:
    before, after = rows_of(repeats=2), moved(rows_of(repeats=3))
    assert "lacks 12 results to compare: t/p00 repeat 2" in refusal(lambda: compared(tmp_path, before, after))
    found = compared(tmp_path, before, after, common=True)
    assert found["contrasts"] == compared(tmp_path, before, [row for row in after if row["repeat"] < 2])["contrasts"]


def test_a_task_that_only_one_run_has_is_said_to_be_left_out(tmp_path: Path) -> None:
    found = compared(tmp_path, rows_of(tasks=("t", "u")), moved(rows_of(tasks=("u", "v"))))
    assert {row["task"] for row in found["contrasts"]} == {"u"}
    assert [found["not_compared"][side]["tasks"] for side in ("before", "after")] == [["t"], ["v"]]
