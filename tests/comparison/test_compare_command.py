"""`popbench compare`: what it prints, at any width and whatever the names are, and its errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import Run, in_process
from made_scores import score_rows, write


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


SYSTEMS = ("a|basic|g", "a|pe[k=50]|g", "[bold]b[/x]|basic|g")


@pytest.fixture
def files(tmp_path: Path) -> None:
    """Scores before and after a change that helped one system, harmed another and left the third as it was."""
    before = score_rows(SYSTEMS, prompts=40, predictor="p", compliance=True, originality=0.1)
    factors = dict(zip(SYSTEMS, (2.0, 0.25, 1.0), strict=True))
    after = [
        {**row, "popularity": row["popularity"] * factors[row["system"]], "compliance": row["system"] != SYSTEMS[0]}
        for row in before
    ]
    write(tmp_path / "before.jsonl", before)
    write(tmp_path / "after.jsonl", after)


@pytest.mark.usefixtures("files")
def test_verdicts_medians_and_what_can_be_decided_are_printed(popbench: Run) -> None:
    done = popbench("compare", "before.jsonl", "after.jsonl")
    assert (done.status, done.err) == (0, "")
    text = done.out
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith((" a|", " [bold]"))}
    assert text.startswith("before: before.jsonl\nafter:  after.jsonl\n")
    first = [line for line in text.splitlines() if "better" in line or "worse" in line or "identical" in line]
    assert [line.split()[0] for line in first[:3]] == ["[bold]b[/x]|basic|g", "a|basic|g", "a|pe[k=50]|g"]
    assert ["identical" in first[0], "better" in first[1], "worse" in first[2]] == [True] * 3
    assert "100.0 [9" in first[1]
    assert "40/0/0" in first[1]
    assert "After the change, by this predictor: 1 better, 1 worse, 1 identical." in text
    assert "100.0 → 0.0" in " ".join(rows["a|basic|g"])
    assert "With 40 prompts a single comparison detects (80 % power) a win rate of 72.2 % or more" in text
    assert "all 2 comparisons at once" in text
    assert "before → after" in text


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(popbench: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = popbench("compare", "before.jsonl", "after.jsonl").out.splitlines()
    assert max(map(len, lines)) <= width
    if width > 60:
        assert any(line.startswith(" a|pe[k=50]|g ") for line in lines), "names of this length are whole"


def test_long_ids_are_broken_between_options_on_narrow_terminals(
    popbench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = "writer|basic|video[width=640,height=360,frames=49]"
    for name, factor in (("one.jsonl", 1), ("two.jsonl", 2)):
        rows = score_rows((long,), prompts=12)
        write(tmp_path / name, [{**row, "popularity": factor * row["popularity"]} for row in rows])
    out = popbench("compare", "one.jsonl", "two.jsonl").out
    words = out.split()
    assert words.count("height=360,") == words.count("frames=49]") == 2


@pytest.mark.usefixtures("files")
def test_json_has_the_numbers_and_nothing_else_is_printed(popbench: Run) -> None:
    done = popbench("compare", "before.jsonl", "after.jsonl", "--system", SYSTEMS[1], "--json")
    (line,) = done.out.splitlines()
    found = json.loads(line)
    assert [row["verdict"] for row in found["contrasts"]] == ["worse"]
    assert found["systems"] == [{"before": SYSTEMS[1], "after": SYSTEMS[1]}]


def test_few_prompts_and_equal_scores_are_told_in_words(popbench: Run, tmp_path: Path) -> None:
    rows = score_rows(("a", "b"), prompts=4)
    write(tmp_path / "one.jsonl", rows)
    write(tmp_path / "two.jsonl", rows)
    assert "All scores are the same before and after." in popbench("compare", "one.jsonl", "two.jsonl").out
    rows[0] |= {"popularity": 1e6}
    write(tmp_path / "two.jsonl", rows)
    out = popbench("compare", "one.jsonl", "two.jsonl").out
    assert "After the change, by this predictor: 1 identical, 1 without a verdict, which takes 10 prompts." in out
    assert "With 4 prompts no win rate is detectable" in out


def test_what_is_restricted_and_left_out_is_told(popbench: Run, tmp_path: Path) -> None:
    write(tmp_path / "one.jsonl", score_rows(("a", "b"), ("t", "u")))
    write(tmp_path / "two.jsonl", score_rows(("b", "c"), prompts=11))
    out = popbench("compare", "one.jsonl", "two.jsonl", "--common").out
    assert "Not compared, only before: 1 system (a); 1 task (u)" in out
    assert "Not compared, only after: 1 system (c)" in out
    assert "Restricted to the prompts that all compared systems have in both runs." in out


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("before.jsonl",),
        ("before.jsonl", "nowhere"),
        ("before.jsonl", "."),
        ("before.jsonl", "before.jsonl"),
        ("before.jsonl", "after.jsonl", "--system", "nobody"),
        ("before.jsonl", "after.jsonl", "more"),
        ("before.jsonl", "/dev/null"),
    ],
)
def test_bad_requests_are_one_line(popbench: Run, arguments: tuple[str, ...]) -> None:
    done = popbench("compare", *arguments)
    assert done.status == 2
    assert done.line
    assert done.out == ""
