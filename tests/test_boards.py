"""From scores to boards: what may be compared, what is computed, and how it is shown."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from popbench.errors import UsageError
from popbench.leaderboard.build import build_board
from popbench.leaderboard.markdown import markdown, number
from popbench.leaderboard.results import compute, flipped
from popbench.leaderboard.scores import ScoreRow, Scores, merge, read_source

Row = dict[str, Any]


def score_rows(
    systems: Sequence[str] = ("a|basic|g", "a|pe|g", "b|basic|g"),
    tasks: Sequence[str] = ("t",),
    prompts: int = 12,
    repeats: int = 1,
    **more: Any,
) -> list[Row]:
    """Rows of every system on every prompt, in two categories; later systems are better."""
    rng = random.Random(1)
    return [
        {
            "system": system,
            "task": task,
            "prompt_id": f"p{prompt:02d}",
            "popularity": round(rng.lognormvariate(2 + place, 1), 3),
            "category": "xy"[prompt % 2],
            **({"repeat": repeat} if repeats > 1 else {}),
            **more,
        }
        for task in tasks
        for place, system in enumerate(systems)
        for prompt in range(prompts)
        for repeat in range(repeats)
    ]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def results_of(tmp_path: Path, rows: Iterable[Mapping[str, Any]], common: bool = False) -> dict[str, Any]:
    return compute(merge(read_source(write(tmp_path / "scores.jsonl", rows))), common=common)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def refused(tmp_path: Path, rows: Iterable[Mapping[str, Any]], common: bool = False) -> str:
    return refusal(lambda: results_of(tmp_path, rows, common))


def changed(at: int = 3, **change: Any) -> list[Row]:
    rows = score_rows()
    rows[at] |= change
    return rows


# -- what is refused


@pytest.mark.parametrize("column", ["system", "task", "prompt_id", "popularity"])
def test_a_missing_column_is_told_with_the_closest(tmp_path: Path, column: str) -> None:
    rows = [{("x" + key if key == column else key): value for key, value in row.items()} for row in score_rows()]
    message = refused(tmp_path, rows)
    assert f"column {column!r}" in message
    assert re.search(rf"'x{column}'\?", message)
    assert "category" in message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"popularity": None}, "popularity is nan"),
        ({"popularity": "nan"}, "popularity is nan"),
        ({"popularity": "inf"}, "popularity is inf"),
        ({"popularity": -1}, "popularity is -1"),
        ({"popularity": 0}, "popularity is 0 with status ok"),
        ({"popularity": "many"}, "popularity 'many' is not a number"),
        ({"popularity": "1,000"}, "popularity '1,000' is not a number"),
        ({"popularity": True}, "popularity 'True' is not a number"),
        ({"popularity": [3]}, "is not a number"),
        ({"status": "fine"}, "unknown status 'fine'"),
        ({"status": "OK "}, "unknown status 'OK '"),
        ({"repeat": "x"}, "repeat 'x' is not a whole number"),
        ({"repeat": 0.5}, "repeat '0.5' is not a whole number"),
        ({"repeat": "inf"}, "is not a whole number"),
        ({"system": ""}, "system is empty"),
        ({"task": None}, "task is empty"),
        ({"prompt_id": ""}, "prompt_id is empty"),
        ({"category": "z"}, "prompt 'p03' has two categories"),
        ({"prompt_id": "p02", "category": "x"}, "2 rows for system 'a|basic|g', task 't', prompt 'p02', repeat 0"),
    ],
)
def test_a_row_that_is_no_score_is_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    message = refused(tmp_path, changed(**change))
    assert told in message
    assert "scores.jsonl" in message


def test_a_mistake_in_a_row_is_told_with_its_number(tmp_path: Path) -> None:
    assert "row 4" in refused(tmp_path, changed(popularity="many"))
    assert "row 4" in refused(tmp_path, changed(status="fine"))


def test_systems_that_lack_prompts_are_named_with_the_prompts(tmp_path: Path) -> None:
    rows = [row for row in score_rows() if row["system"] != "a|pe|g" or row["prompt_id"] not in ("p03", "p07")]
    message = refused(tmp_path, rows)
    assert "system 'a|pe|g' lacks 2 results" in message
    assert "t/p03, t/p07" in message
    assert "--common" in message
    rows = [row for row in score_rows() if row["system"] != "a|pe|g" or row["prompt_id"] < "p02"]
    assert "and 5 more" in refused(tmp_path, rows)


def test_common_restricts_the_board_to_what_all_have(tmp_path: Path) -> None:
    rows = [row for row in score_rows() if row["system"] != "a|pe|g" or row["prompt_id"] not in ("p03", "p07")]
    restricted = results_of(tmp_path, rows, common=True)
    assert restricted["restricted_to_common"] is True
    assert {row["n"] for row in restricted["systems"]} == {10}
    kept = [row for row in score_rows() if row["prompt_id"] not in ("p03", "p07")]
    assert restricted["pairs"] == results_of(tmp_path, kept)["pairs"]


def test_systems_without_a_prompt_in_common_are_refused(tmp_path: Path) -> None:
    rows = [row for row in score_rows(("a", "b")) if (row["system"] == "a") == (row["prompt_id"] < "p06")]
    assert "no prompt of 't' in common" in refused(tmp_path, rows, common=True)


def test_a_lack_of_repeats_is_told(tmp_path: Path) -> None:
    rows = score_rows(repeats=2)
    assert "t/p11 repeat 1" in refused(tmp_path, rows[:-1])


def test_a_prompt_with_fewer_repeats_than_others_is_not_dropped_silently(tmp_path: Path) -> None:
    rows = [row for row in score_rows(repeats=2) if (row["prompt_id"], row["repeat"]) != ("p03", 1)]
    assert "p03" in refused(tmp_path, rows)


@pytest.mark.parametrize("systems", [("a",), ("a", "b")])
def test_a_sample_in_error_is_not_dropped_silently(tmp_path: Path, systems: Sequence[str]) -> None:
    rows = score_rows(systems)
    for row in rows:
        if row["prompt_id"] == "p03":
            row |= {"status": "error", "popularity": None}
    assert "p03" in refused(tmp_path, rows)
    restricted = results_of(tmp_path, rows, common=True)
    assert {(row["n"], row["errors"]) for row in restricted["systems"]} == {(11, 1)}


def test_an_error_of_one_system_is_a_lack(tmp_path: Path) -> None:
    rows = changed(at=3, status="error", popularity=None)
    message = refused(tmp_path, rows)
    assert "system 'a|basic|g' lacks 1 result" in message
    assert "t/p03" in message
    restricted = results_of(tmp_path, rows, common=True)
    first = restricted["systems"][0]
    assert (first["system"], first["n"], first["errors"]) == ("a|basic|g", 11, 1)


def test_under_common_no_more_samples_are_invalid_than_there_are(tmp_path: Path) -> None:
    rows = [row for row in score_rows(("a", "b")) if row["system"] == "a" or row["prompt_id"] < "p02"]
    for row in rows:
        if row["system"] == "a" and row["prompt_id"] > "p05":
            row |= {"status": "invalid", "popularity": 0}
    for found in results_of(tmp_path, rows, common=True)["systems"]:
        assert found["n"] == 2
        assert found["invalid"] == 0


def test_two_hashes_of_a_task_are_refused(tmp_path: Path) -> None:
    rows = score_rows(task_hash="h1")
    rows[-1]["task_hash"] = "h2"
    assert "task 't' has two hashes" in refused(tmp_path, rows)
    one = read_source(write(tmp_path / "one.jsonl", score_rows(("a",), task_hash="h1", predictor="p")))
    two = read_source(write(tmp_path / "two.jsonl", score_rows(("b",), task_hash="h2", predictor="p")))
    message = refusal(lambda: merge([*one, *two]))
    assert "hashes differ" in message
    assert "one.jsonl" in message
    assert "two.jsonl" in message


def test_two_hashes_of_a_task_are_refused_also_under_two_predictors(tmp_path: Path) -> None:
    one = read_source(write(tmp_path / "one.jsonl", score_rows(("a",), task_hash="h1", predictor="p")))
    two = read_source(write(tmp_path / "two.jsonl", score_rows(("a",), task_hash="h2", predictor="q")))
    assert "hash" in refusal(lambda: merge([*one, *two]))


def test_scores_with_a_hash_or_predictor_do_not_mix_with_bare_ones(tmp_path: Path) -> None:
    bare = read_source(write(tmp_path / "bare.jsonl", score_rows(("a",))))
    hashed = read_source(write(tmp_path / "hashed.jsonl", score_rows(("b",), task_hash="h1")))
    named = read_source(write(tmp_path / "named.jsonl", score_rows(("b",), predictor="p")))
    other = read_source(write(tmp_path / "other.jsonl", score_rows(("b",))))
    assert "hashes differ" in refusal(lambda: merge([*bare, *hashed]))
    assert "without a predictor" in refusal(lambda: merge([*bare, *named]))
    (merged,) = merge([*bare, *other])
    assert len(merged.rows) == 24


def scores(demo: bool = False, digest: str | None = "d", systems: Any = None, predictor: str = "p") -> Scores:
    rows = [
        ScoreRow(system, "t", f"p{n}", 0, "c", "ok", 1.0 + n) for system in systems or {"a": None} for n in range(3)
    ]
    tasks: dict[str, dict[str, Any]] = {"t": {"hash": "h", "group": None}}
    return Scores(predictor, digest, "comments", demo, rows, tasks, systems or {"a": None}, f"run-{demo}-{digest}")


def test_two_fingerprints_of_a_predictor_are_refused() -> None:
    message = refusal(lambda: merge([scores(), scores(digest="other")]))
    assert "two predictors are called 'p': their fingerprints differ" in message


def test_demo_scores_and_real_ones_are_refused() -> None:
    for predictor in ("p", "q"):
        both = [scores(systems={"a": None}), scores(demo=True, systems={"b": None}, predictor=predictor)]
        assert "demo scores and real ones cannot share a board" in refusal(lambda both=both: merge(both))  # type: ignore[misc]


def test_two_fingerprints_of_a_system_are_refused() -> None:
    one, two = scores(systems={"a": {"t": "1"}}), scores(systems={"a": {"t": "2"}})
    assert "system 'a' has two fingerprints on task 't'" in refusal(lambda: merge([one, two]))


def test_the_same_rows_twice_are_refused() -> None:
    merged = merge([scores(), scores()])
    assert "2 rows for system 'a'" in refusal(lambda: compute(merged))


def test_merging_leaves_its_sources_alone() -> None:
    one, two = scores(systems={"a": None}), scores(systems={"b": None})
    before = copy.deepcopy(one)
    merge([one, two])
    assert one == before


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", "", "column 'system'"),
        ("a.csv", "", "column 'system'"),
        ("a.csv", "system,task,prompt_id,popularity\n", "no rows"),
        ("a.jsonl", "{oops", "line 1 is no JSON"),
        ("a.csv", "system,task,prompt_id,popularity\na,t,1,3\ngpt,4,t,1,5\n", "row 2"),
        ("a.csv", "system,task,prompt_id,popularity\na,t,1,3\ngpt,4,t\n", "'gpt'"),
        ("a.jsonl", "3\n", ""),
        ("a.jsonl", "[1, 2]\n", ""),
        ("a.parquet", "not parquet", "cannot be read"),
        ("a.csv", "\x00\xff", ""),
        ("a.txt", "x", "neither a run directory nor a score file"),
        ("run/other", "x", "no finished run here"),
    ],
)
def test_a_file_that_holds_no_scores_is_told(tmp_path: Path, name: str, content: str, told: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="latin-1")
    source = path if path.parent == tmp_path else path.parent
    message = refusal(lambda: compute(read_source(source)))
    assert told in message
    assert str(source) in message


@pytest.mark.parametrize("about", ["{", "[]", "{}", '{"tasks": [], "systems": {}, "predictors": {}}', "null"])
def test_a_run_whose_files_are_broken_is_told(tmp_path: Path, about: str) -> None:
    (tmp_path / "run.json").write_text(about)
    (tmp_path / "samples.jsonl").write_text("")
    assert str(tmp_path) in refusal(lambda: read_source(tmp_path))


# -- formats


def test_csv_parquet_and_jsonl_give_equal_results(tmp_path: Path) -> None:
    import pandas as pd

    rng = random.Random(3)
    rows = score_rows(prompts=20, repeats=2, predictor="p", task_hash="0123", compliance=True)
    for row in rows:
        row["popularity"] = rng.lognormvariate(3, 2)
    rows[5] |= {"status": "invalid", "popularity": 0.0}
    frame = pd.DataFrame(rows)
    write(tmp_path / "a.jsonl", rows)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    first, second, third = (compute(read_source(tmp_path / f"a.{form}")) for form in ("jsonl", "csv", "parquet"))
    assert first == second
    assert second == third


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_ids_that_look_like_numbers_or_dates_are_text(tmp_path: Path, form: str) -> None:
    import pandas as pd

    ids = ["001", "1", "1.0", "1e3", "2024-01-01", "NA", "null", "nan", "true"]
    rows = [{"system": system, "task": "7", "prompt_id": id_, "popularity": 3} for system in "12" for id_ in ids]
    path = tmp_path / f"a.{form}"
    if form == "jsonl":
        write(path, rows)
    elif form == "csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    (found,) = read_source(path)
    assert [row.prompt_id for row in found.rows] == ids * 2
    assert {(row.system, row.task) for row in found.rows} == {("1", "7"), ("2", "7")}


def test_missing_optional_values_take_their_defaults(tmp_path: Path) -> None:
    rows = score_rows(prompts=2)
    for row in rows:
        del row["category"]
    rows[0] |= {"category": None, "repeat": None, "status": None, "compliance": None, "task_hash": None}
    rows[1] |= {"repeat": 0, "status": "ok", "compliance": False}
    (found,) = read_source(write(tmp_path / "a.jsonl", rows))
    assert {(row.category, row.repeat, row.status) for row in found.rows} == {("all", 0, "ok")}
    assert [row.compliance for row in found.rows][:2] == [None, False]
    assert (found.predictor, found.predictor_digest, found.demo) == ("unnamed", None, False)


# -- results


KEYS = {
    "schema", "demo", "tasks", "predictors", "level", "resamples", "restricted_to_common", "systems", "pairs",
    "enhancement", "minimum_detectable_win_rate",
}  # fmt: skip
SYSTEM_KEYS = {
    "system", "task", "predictor", "n", "repeats", "invalid", "errors", "median", "by_category", "compliance",
    "compliance_interval", "drafts", "mean_win_rate", "mean_win_rate_interval", "bradley_terry", "rank",
}  # fmt: skip
PAIR_KEYS = {
    "task", "predictor", "a", "b", "n", "wins", "losses", "ties", "win_rate", "verdict", "p", "p_adjusted",
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


def test_what_is_not_computed_yet_is_null(tmp_path: Path) -> None:
    found = results_of(tmp_path, score_rows())
    for row in found["systems"]:
        assert (row["bradley_terry"], row["rank"], row["compliance"], row["drafts"]) == (None, None, None, 0)
    for pair in found["pairs"]:
        assert (pair["verdict"], pair["p_adjusted"], pair["win_rate"]["simultaneous"]) == (None, None, None)


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
        assert {key: row[key] for key in PAIR_KEYS} == pair


def test_enhancement_is_above_half_where_the_other_mode_wins(tmp_path: Path) -> None:
    rows = score_rows(("a|basic|g", "a|pe|g"))
    for row in rows:
        row["popularity"] = 10 if "pe" in row["system"] else 5
    (found,) = results_of(tmp_path, rows)["enhancement"]
    assert (found["wins"], found["losses"], found["win_rate"]["value"]) == (12, 0, 1.0)
    assert found["win_rate"]["low"] > 0.5
    assert found["win_rate"]["exact"][0] > 0.5
    assert found["p"] < 0.001


def grouped(prompts: int = 12) -> list[Scores]:
    rows = [
        ScoreRow(row["system"], row["task"], row["prompt_id"], 0, row["category"], "ok", row["popularity"])
        for row in score_rows(tasks=("t1", "t2", "t3"), prompts=prompts)
    ]
    groups = {"t1": "g", "t2": "g", "t3": None}
    tasks: dict[str, dict[str, Any]] = {name: {"hash": "h", "group": group} for name, group in groups.items()}
    systems: dict[str, Any] = {row.system: None for row in rows}
    return [Scores("p", "d", "comments", False, rows, tasks, systems, "run")]


def test_a_group_is_pooled_with_strata_of_task_and_category() -> None:
    from popbench import stats

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


def test_two_predictors_have_tables_of_their_own(tmp_path: Path) -> None:
    rows = [*score_rows(predictor="p"), *score_rows(predictor="q", prompts=6)]
    found = results_of(tmp_path, rows)
    assert [predictor["name"] for predictor in found["predictors"]] == ["p", "q"]
    assert [(row["predictor"], row["n"]) for row in found["systems"]] == [("p", 12)] * 3 + [("q", 6)] * 3
    text = markdown(found)
    assert "## t · predictor p" in text
    assert "## t · predictor q" in text
    assert "With 12 prompts" in text
    assert "With 6 prompts" in text


def test_all_tasks_of_all_predictors_are_listed(tmp_path: Path) -> None:
    one = read_source(write(tmp_path / "one.jsonl", score_rows(("a",), ("t1",), predictor="p")))
    two = read_source(write(tmp_path / "two.jsonl", score_rows(("a",), ("t2",), predictor="q")))
    assert [task["name"] for task in compute(merge([*one, *two]))["tasks"]] == ["t1", "t2"]


# -- markdown


def cells(line: str) -> list[str]:
    """The cells of a table row, split as GitHub does: at pipes that no backslash escapes."""
    assert line.startswith("|")
    assert line.endswith("|")
    return re.split(r"(?<!\\)\|", line[1:-1])


def tables_are_whole(text: str) -> bool:
    """Whether every row of every table has as many cells as its head; fails where there is no table."""
    tables: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    whole = [table for table in tables if table]
    assert whole
    return all(len(table) > 2 and len({len(cells(line)) for line in table}) == 1 for table in whole)


NASTY = "a|`b`*c*_d_[e](f)<g>~~h~~\\i"


def test_names_cannot_break_tables_or_become_markup(tmp_path: Path) -> None:
    rows = score_rows((NASTY, "x|<b>|*y*", "x|basic|*y*"), tasks=("t<i>|_u_",))
    for row in rows:
        row["category"] = row["category"] + "|<script>"
    text = markdown(results_of(tmp_path, rows))
    assert tables_are_whole(text)
    unescaped = re.sub(r"\\[\\`*_\[\]<>|~]", "", text)
    for piece in ("<b>", "<i>", "<script>", "<g>", "`b`", "*c*", "*y*", "_d_", "_u_", "[e]", "~~h~~"):
        assert piece not in unescaped


def test_names_with_line_breaks_stay_in_their_cell(tmp_path: Path) -> None:
    assert tables_are_whole(markdown(results_of(tmp_path, score_rows(("a\nb", "c\r\n\r\nd|e")))))


def test_a_unit_cannot_break_a_table() -> None:
    (only,) = grouped()
    only.unit = "likes | views"
    assert tables_are_whole(markdown(compute([only])))


@pytest.mark.parametrize("systems", [1, 2, 3, 21])
def test_every_row_of_every_table_is_whole(tmp_path: Path, systems: int) -> None:
    rows = score_rows([f"m{n % 7}|{('basic', 'pe', 'pe[k=50]')[n // 7]}|g" for n in range(systems)], ("t1", "t2"))
    text = markdown(results_of(tmp_path, rows))
    assert tables_are_whole(text)
    assert ("pairs are in the JSON file" in text) == (systems > 20)


def test_systems_are_ranked_by_their_mean_win_rate(tmp_path: Path) -> None:
    found = results_of(tmp_path, score_rows())
    text = markdown(found)
    order = sorted(found["systems"], key=lambda row: -row["mean_win_rate"])
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \| ", line)]
    assert [" | ".join(cell.strip() for cell in cells(line)[1:4]) for line in rows[:3]] == [
        row["system"].replace("|", " | ") for row in order
    ]


def test_the_matrix_is_a_mirror_of_itself(tmp_path: Path) -> None:
    text = markdown(results_of(tmp_path, score_rows()))
    start = text.index("**Win rates, %**")
    lines = [line for line in text[start:].splitlines() if line.startswith("|")][:5]
    rates = [[cell.split("[")[0].strip() for cell in cells(line)[1:]] for line in lines[2:]]
    for a in range(3):
        assert rates[a][a] == ""
        for b in range(a):
            assert float(rates[a][b]) + float(rates[b][a]) == pytest.approx(100, abs=0.11)


def test_a_demo_and_a_restriction_are_said() -> None:
    demo = compute([scores(demo=True)])
    assert "**Demo scores.**" in markdown(demo)
    assert "**Demo scores.**" not in markdown(compute([scores()]))
    assert "restricted to the prompts that all systems have" in markdown(compute([scores()], common=True))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (0.5, "0.5"), (1, "1"), (12.345, "12.3"), (99.96, "100"), (123.4, "123"), (999.6, "1,000"),
        (1234567, "1,230,000"), (0.01234, "0.0123"), (1e12, "1,000,000,000,000"),
    ],
)  # fmt: skip
def test_a_popularity_has_three_digits_and_no_exponent(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("value", [0.0001, 0.00001234, 5e-7])
def test_a_small_popularity_is_not_shown_as_zero(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=0.01)


# -- boards


def test_a_board_folder_holds_markdown_and_results(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", score_rows())
    found = build_board([source], tmp_path / "deep" / "board", title="My board")
    assert json.loads((tmp_path / "deep" / "board" / "board.json").read_text()) == found
    assert (tmp_path / "deep" / "board" / "README.md").read_text().startswith("# My board\n")


def test_a_board_built_twice_has_the_same_bytes(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", score_rows())
    files = []
    for name in ("one", "two"):
        build_board([source], tmp_path / name)
        files.append([(path.name, path.read_bytes()) for path in sorted((tmp_path / name).iterdir())])
    assert files[0] == files[1]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", score_rows())
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in refusal(lambda: build_board([source], tmp_path / "file"))


def test_a_refused_board_writes_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "s.jsonl", changed(popularity=-1))
    refusal(lambda: build_board([source], tmp_path / "board"))
    assert not (tmp_path / "board").exists()


def test_a_board_shows_on_the_terminal_whatever_its_names_are(tmp_path: Path) -> None:
    import io

    from rich.console import Console

    from popbench.leaderboard.terminal import show

    rows = score_rows(
        ("[bold]a[/x]|basic|g[fps=3]", "[bold]a[/x]|pe[k=50]|g[fps=3]"), ("t[/x]",), predictor="mmra[m=5]"
    )
    console = Console(file=io.StringIO(), width=200)
    show(results_of(tmp_path, rows), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for piece in ("t[/x]", "mmra[m=5]", "pe[k=50]|g[fps=3]", "[bold]a[/x]"):
        assert piece in text
