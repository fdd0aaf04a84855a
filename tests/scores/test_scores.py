"""Scores to compare: what does not belong on one board is refused in one line, and every file format reads alike."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from made_scores import changed, refused, results_of, score_rows, scores, write
from popbench.leaderboard.results import compute
from popbench.scores.scores import merge
from popbench.scores.sources import read_source
from usage_errors import refusal

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
        ({"popularity": True}, "popularity 'true' is not a number"),
        ({"popularity": [3]}, "is not a number"),
        ({"status": "fine"}, "unknown status 'fine'"),
        ({"status": "OK "}, "unknown status 'OK '"),
        ({"repeat": "x"}, "repeat 'x' is not a whole number"),
        ({"repeat": 0.5}, "repeat '0.5' is not a whole number"),
        ({"repeat": "inf"}, "is not a whole number"),
        ({"originality": "none"}, "row 4: originality 'none' is not a number from 0 to 1"),
        ({"originality": "nan"}, "row 4: originality 'nan' is not a number from 0 to 1"),
        ({"originality": True}, "row 4: originality 'true' is not a number from 0 to 1"),
        ({"originality": 1.01}, "row 4: originality '1.01' is not a number from 0 to 1"),
        ({"originality": -0.1}, "row 4: originality '-0.1' is not a number from 0 to 1"),
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
        row["originality"] = rng.choice([None, 0.1, 0.5])
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


def test_an_originality_may_be_empty_and_says_what_is_a_copy(tmp_path: Path) -> None:
    values = [None, "", 0, "0.2", 0.2, 0.200001, 1, 1.0]
    rows = [{**row, "originality": value} for row, value in zip(score_rows(("a",)), values, strict=False)]
    (found,) = read_source(write(tmp_path / "a.jsonl", rows))
    assert [row.copied for row in found.rows] == [None, None, True, True, True, False, False, False]


def test_the_samples_of_a_run_say_what_is_a_copy() -> None:
    from popbench.records import Sample
    from popbench.scores.run_scores import from_samples

    samples = [
        Sample("a|pe|g", "a", "pe", "g", "t", f"p{n}", "x", "c", 0, "ok", originality=value, scores={"p": 1.0})
        for n, value in enumerate((None, 0.2, 0.3))
    ]
    about: Any = {
        "config": {}, "tasks": {"t": {"hash": "h", "group": None, "prompts": None}},
        "modes": {}, "predictors": {"p": "d"}, "units": {"p": "comments"},
        "demo": False, "systems": {}, "notes": {},
    }  # fmt: skip
    (found,) = from_samples(samples, about, "run")
    assert [row.copied for row in found.rows] == [None, True, False]
