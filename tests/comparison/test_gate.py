"""`popbench compare --fail-if`: a lab's CI fails where a change made a system worse, and has a JUnit file of it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from command_line import Run, in_process
from made_scores import Row, score_rows, write

SYSTEMS = ("a|basic|g", "b|basic|g", "c <&>\x1b|basic|g")


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def changed(rows: list[Row], *factors: float) -> list[Row]:
    by = dict(zip(SYSTEMS, factors, strict=True))
    return [{**row, "popularity": row["popularity"] * by[row["system"]]} for row in rows]


def gate(popbench: Run, before: list[Row], after: list[Row], *options: str) -> tuple[int, str]:
    write(Path("before.jsonl"), before)
    write(Path("after.jsonl"), after)
    done = popbench("compare", "before.jsonl", "after.jsonl", *options)
    return done.status, done.err


ROWS = score_rows(SYSTEMS, prompts=40, predictor="p", task_hash="h")


def test_worse_fails_and_better_undecided_or_identical_does_not(popbench: Run) -> None:
    mixed = [{**row, "popularity": row["popularity"] * (2 if n % 2 else 0.5)} for n, row in enumerate(ROWS)]
    for after in (ROWS, changed(ROWS, 2, 1, 2), mixed):
        assert gate(popbench, ROWS, after, "--fail-if", "worse") == (0, "")
    status, line = gate(popbench, ROWS, changed(ROWS, 2, 0.1, 1), "--fail-if", "worse")
    assert status == 1
    assert line.startswith(
        "popbench: 1 of 3 comparisons in primary tables failed, such as b|basic|g on t, which is worse: win rate"
    )
    assert gate(popbench, ROWS, changed(ROWS, 2, 0.1, 1))[0] == 0
    assert gate(popbench, ROWS, changed(ROWS, 2, 1, 2), "--fail-if", "worse-or-undecided") == (0, "")
    status, line = gate(popbench, ROWS, mixed, "--fail-if", "worse-or-undecided")
    assert status == 1
    assert "3 of 3 comparisons" in line
    assert "which is undecided" in line


def test_too_few_prompts_for_a_verdict_pass_one_gate_and_fail_the_other(popbench: Run) -> None:
    few = score_rows(SYSTEMS, prompts=6, predictor="p", task_hash="h")
    after = changed(few, 0.1, 0.1, 0.1)
    assert gate(popbench, few, after, "--fail-if", "worse")[0] == 0
    status, line = gate(popbench, few, after, "--fail-if", "worse-or-undecided")
    assert status == 1
    assert "which is not judged" in line


def test_the_junit_file_has_a_case_for_each_system_and_says_what_failed(popbench: Run, tmp_path: Path) -> None:
    status, _ = gate(popbench, ROWS, changed(ROWS, 2, 0.1, 0.1), "--fail-if", "worse", "--junit", "deep/out.xml")
    assert status == 1
    root = ElementTree.parse(tmp_path / "deep/out.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("3", "2")
    (suite,) = root
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("t, predictor p", "3", "2")
    failed = {case.get("name"): case.find("failure") for case in suite}
    assert set(failed) == {"a|basic|g", "b|basic|g", "c <&>\\x1b|basic|g"}
    assert failed["a|basic|g"] is None
    assert failed["b|basic|g"] is not None
    assert failed["b|basic|g"].get("type") == "worse"
    assert "verdict worse, 0 wins, 0 ties, 40 losses on 40 prompts" in str(failed["b|basic|g"].text)


def test_exploratory_tables_fail_nothing_and_are_skipped_in_the_file(popbench: Run, tmp_path: Path) -> None:
    """The tables of two pooled tasks ask the same question again."""
    rows = score_rows(SYSTEMS, tasks=("t", "u"), prompts=30, predictor="p", task_hash="h", task_group="both")
    after = [
        {**row, "popularity": row["popularity"] * (0.1 if row["task"] == "u" and row["system"] == SYSTEMS[0] else 1.3)}
        for row in rows
    ]
    assert gate(popbench, rows, after, "--fail-if", "worse", "--junit", "out.xml")[0] == 0
    root = ElementTree.parse(tmp_path / "out.xml").getroot()
    skipped = {
        (suite.get("name"), case.get("name"))
        for suite in root
        for case in suite
        if (of := case.find("skipped")) is not None and "worse" in str(of.get("message"))
    }
    assert skipped == {("u, predictor p", SYSTEMS[0])}


def test_a_file_without_a_gate_and_a_place_that_cannot_be_written_are_told(popbench: Run, tmp_path: Path) -> None:
    status, line = gate(popbench, ROWS, ROWS, "--junit", "out.xml")
    assert status == 2
    assert "--junit belongs to --fail-if" in line
    (tmp_path / "file").write_text("x", encoding="utf-8")
    status, line = gate(popbench, ROWS, ROWS, "--fail-if", "worse", "--junit", "file/out.xml")
    assert status == 1
    assert "file/out.xml: cannot be written" in line
    assert gate(popbench, ROWS, ROWS, "--fail-if", "better")[0] == 2


def test_the_numbers_are_printed_as_json_all_the_same(popbench: Run) -> None:
    write(Path("before.jsonl"), ROWS)
    write(Path("after.jsonl"), changed(ROWS, 2, 0.1, 1))
    done = popbench("compare", "before.jsonl", "after.jsonl", "--json", "--fail-if", "worse")
    assert done.status == 1
    assert len(json.loads(done.out)["contrasts"]) == 3
