"""`popbench leaderboard add`: runs that do not compare, or were changed, are refused with all reasons at once."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import made_boards
from command_line import Run
from made_boards import begin, edit, edit_samples, evaluate, reasons, submissions, tree
from popbench.publishing.run_checks import lacking, read_run


@pytest.fixture
def one(made: Path, tmp_path: Path) -> Path:
    """The first run, to be changed."""
    return Path(shutil.copytree(made / "one", tmp_path / "one"))


def test_a_run_made_before_whose_names_hold_a_credential_is_refused(made: Path) -> None:
    run = read_run(made / "one")
    samples = [replace(sample, system=f'm[extra_body={{"auth":"x{n}"}}]|b|g') for n, sample in enumerate(run.samples)]
    assert not [line for line in lacking(run) if "credential" in line]
    (line,) = [line for line in lacking(replace(run, samples=samples)) if "credential" in line]
    assert "auth" not in line


def changed_hash(run: Path) -> None:
    edit(run / "run.json", lambda about: about["tasks"]["cats"].update(hash="0" * 32))


def other_categories(run: Path) -> None:
    for at in range(24):
        edit_samples(run, lambda row: row.update(category="all"), at)


def stolen_scores(run: Path) -> None:
    """Both lines are real, and each stands for the other's prompt."""
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    for key in ("title", "video_prompt", "video_sha256", "popularity", "scores"):
        lines[0][key], lines[1][key] = lines[1][key], lines[0][key]
    (run / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def without_a_line(run: Path) -> None:
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (run / "samples.jsonl").write_text("".join(lines[1:]), encoding="utf-8")


def damaged_ledger(run: Path) -> None:
    with sqlite3.connect(run / "ledger.sqlite") as ledger:
        ledger.execute("DELETE FROM done WHERE stage = 'score'")
    ledger.close()


def changed_clip(run: Path) -> None:
    clip = sorted((run / "videos").glob("*.mp4"))[0]
    content = clip.read_bytes()
    clip.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


EDITS: list[tuple[Callable[[Path], object], str]] = [
    (lambda run: edit_samples(run, lambda row: row.update(popularity=99.0, scores={"faulty": 99.0})),
     "samples.jsonl does not match the ledger in popularity: system 'shotlist|basic|faulty', cats/p00: it says 99"),
    (lambda run: edit_samples(run, lambda row: row["scores"].update(faulty=99.0)), "match the ledger in scores"),
    (lambda run: edit_samples(run, lambda row: row.update(title="Better")), "does not match the ledger in title"),
    (lambda run: edit_samples(run, lambda row: row.update(video_sha256="0" * 64)), "in video_sha256"),
    (lambda run: edit_samples(run, lambda row: row.update(compliance=not row["compliance"])), "in compliance"),
    (lambda run: edit_samples(run, lambda row: row.update(status="invalid", popularity=0.0, scores={"faulty": 0.0})),
     "does not match the ledger in status"),
    (lambda run: edit_samples(run, lambda row: row.update(prompt_id="p99")), "the ledger holds nothing of it"),
    (stolen_scores, "samples.jsonl does not match the ledger in title (2 samples)"),
    (changed_clip, "1 clip in videos/ of other bytes than were scored, such as "),
    (lambda run: edit_samples(run, lambda row: row.update(system="a|b|alone")), "samples.jsonl has system 'a|b|alone'"),
    (without_a_line, "samples.jsonl: system 'shotlist|basic|faulty' lacks 1 sample of task 'cats'"),
    (lambda run: edit_samples(run, lambda row: row.update(category="b")), "two texts or categories for prompt 'p00'"),
    (other_categories, "the prompts or categories of task 'cats' do not match its hash"),
    (damaged_ledger, "samples.jsonl does not match the ledger in status (24 samples)"),
    (lambda run: edit(run / "results.json", lambda results: results["pairs"][0].update(wins=12)),
     "results.json is not what the samples give: pairs[0].wins is 12"),
    (lambda run: (run / "results.json").unlink(), "results.json cannot be read"),
    (lambda run: (run / "ledger.sqlite").unlink(), "its ledger.sqlite is missing"),
    (lambda run: (run / "ledger.sqlite").write_text("no ledger"), "the ledger cannot be opened"),
    (changed_hash, "run.json names other tasks or another seed than the ledger"),
    (lambda run: edit(run / "run.json", lambda about: about["config"].update(seed=7)), "another seed than the ledger"),
    (lambda run: edit(run / "run.json", lambda about: about["predictors"].update(faulty="0" * 32)),
     "predictor 'faulty' has another fingerprint than its digest says"),
    (lambda run: edit(run / "run.json", lambda about: about["components"]["llm shotlist"]["fingerprint"].update(x=1)),
     "the parts of system 'shotlist|basic|faulty' are others than its fingerprint says"),
    (lambda run: edit(run / "run.json", lambda about: about.pop("components")), "run.json cannot be read"),
    (lambda run: edit(run / "run.json", lambda about: about.update(finished=False)), "stopped before it was done"),
    (lambda run: edit(run / "run.json", lambda about: about["config"].update(stop_after="write")), "it has no scores"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), EDITS, ids=[reason[-40:] for _, reason in EDITS])
def test_a_run_that_was_changed_by_hand_is_refused(
    run: Run, board: Path, one: Path, change: Callable[[Path], object], reason: str
) -> None:
    change(one)
    before = tree(board)
    assert any(reason in line for line in reasons(run("add", "board", "one"), board, before))


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"rows": made_boards.ROWS[:-1]}, "task 'cats' is another version than the board's: its hash is "),
    ({"predictor": "sound"}, "scored by another predictor than the board's: by 'sound', the board has 'faulty'"),
    ({"predictor": "sound,label=faulty"}, "predictor 'faulty' is not the board's: its fingerprint is "),
    ({"predictor": ["demo", "faulty"]}, "demo scores never share a board with real ones: these are demo scores"),
    ({"limit": 4}, "only 4 of the 12 prompts of task 'cats' were run: run it without --limit"),
    ({"repeats": 2}, "it has 2 repeats per prompt, the board 1: run it with --repeats 1"),
    ({"seed": 7}, "its seed is 7, the board's 42: run it with --seed 42"),
    ({"gen": "faulty,fault=failure"}, "1 sample has no result, such as verbatim|basic|faulty, cats/p02 (quota"),
    ({"llm": "unwilling"}, "samples have no result, such as unwilling|basic|faulty, cats/p"),
    ({"predictor": "faulty,fault=raise"}, "samples have no result, such as verbatim|basic|faulty"),
    ({"stop_after": "render"}, "the run stopped after render, so it has no scores"),
    ({"llm": "shotlist,label=third"}, "'third|basic|faulty' is on the board already, in submissions/third-basic-"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "reason"), OTHERS, ids=[reason[:40] for _, reason in OTHERS])
def test_a_run_that_does_not_compare_is_refused(
    run: Run, board: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    evaluate(tmp_path / "other", **{"llm": "verbatim", **changes})
    before = tree(board)
    (line,) = reasons(run("add", "board", "other"), board, before)
    assert reason in line


def test_real_scores_do_not_get_onto_a_board_of_demo_scores(run: Run, made: Path, tmp_path: Path) -> None:
    evaluate(tmp_path / "demo", llm="verbatim", predictor="demo")
    assert run("add", "board", "demo").status == 0
    before = tree(tmp_path / "board")
    lines = reasons(run("add", "board", made / "one"), tmp_path / "board", before)
    assert "these are real ones, the board has demo scores" in lines[0]
    assert "demo scores" in (tmp_path / "board/README.md").read_text(encoding="utf-8").lower()


def test_a_demo_run_that_says_it_is_none_is_found_out(run: Run, tmp_path: Path) -> None:
    evaluate(tmp_path / "demo", llm="verbatim", predictor="demo")
    edit(tmp_path / "demo/run.json", lambda about: about.update(demo=False))
    assert "and predictor demo is a demonstration" in run("add", "board", "demo").err


def test_everything_that_is_wrong_is_told_at_once(run: Run, board: Path, tmp_path: Path) -> None:
    evaluate(tmp_path / "other", llm="verbatim", predictor="sound", limit=4, repeats=2, seed=7)
    edit_samples(tmp_path / "other", lambda row: row.update(title="Better"))
    before = tree(board)
    lines = reasons(run("add", "board", "other"), board, before)
    for reason in ("only 4 of the 12", "another predictor", "2 repeats", "seed is 7", "in title"):
        assert sum(reason in line for line in lines) == 1
    assert len(lines) == 5


def test_a_run_that_is_there_is_not_added_again(run: Run, board: Path, made: Path) -> None:
    before = tree(board)
    (line,) = reasons(run("add", "board", made / "two"), board, before)
    assert line.startswith("is on the board already, with the same results, as submissions/third-basic-faulty-")


def test_a_system_has_one_set_of_results(run: Run, board: Path, made: Path, tmp_path: Path) -> None:
    rules = board / "board.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("seed: 42\n", ""), encoding="utf-8")
    assert run("build", "board").status == 0
    evaluate(tmp_path / "other", llm=["faulty,label=third", "shotlist"], seed=7)
    before = tree(board)
    (line,) = reasons(run("add", "board", "other"), board, before)
    assert line.endswith("with the same results; --system names those to submit")
    assert run("add", "board", "other", "--system", "shotlist|basic|faulty").status == 0
    before = tree(board)
    lines = reasons(run("add", "board", made / "one"), board, before)
    assert "'shotlist|basic|faulty' is on the board already" in lines[0]
    assert "with other results: --replace REASON puts these in their place; --system names" in lines[0]


def test_a_system_under_another_label_is_still_the_same_system(run: Run, board: Path, tmp_path: Path) -> None:
    before = tree(board)
    again = evaluate(tmp_path / "again", llm="faulty,label=again")
    told = "system 'again|basic|faulty' is 'third|basic|faulty' under another label: it is on the board, in"
    assert told in run("add", board, again).line
    assert tree(board) == before
    (submission,) = submissions(begin(tmp_path / "other", again))
    shutil.copy(submission, board / "submissions")
    assert "'third|basic|faulty' is 'again|basic|faulty', in" in run("check", board).err


def test_of_a_run_without_one_of_its_files_that_one_is_named(run: Run, one: Path, tmp_path: Path) -> None:
    (one / "samples.jsonl").unlink()
    told = "no finished run here (samples.jsonl is missing): give its command again"
    assert told in run("add", tmp_path / "b", one).line
    (one / "run.json").unlink()
    assert "not a run directory (run.json is missing)" in run("add", tmp_path / "b", one).line


@pytest.mark.parametrize("what", ["nothing", "a file", "scores"])
def test_only_runs_can_be_published(run: Run, tmp_path: Path, what: str) -> None:
    if what == "a file":
        (tmp_path / "run").write_text("x")
    elif what == "scores":
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "scores.csv").write_text("system,task,prompt_id,popularity\n")
    done = run("add", "board", "run")
    assert done.status == 2
    assert (
        "only runs can be published" if what != "scores" else "not a run directory (run.json is missing)"
    ) in done.line
    assert not (tmp_path / "board").exists()


def test_a_folder_of_other_things_does_not_become_a_board(run: Run, made: Path, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("")
    assert "neither a board (board.yaml is missing) nor an empty folder" in run("add", "src", made / "one").line
    (tmp_path / "file").write_text("")
    assert "no board can be kept here" in run("add", "file/board", made / "one").line


ODD_VALUES: list[Any] = [None, True, "x", "", "|", "a|b", -1, 1e300, [], {}, [[1]], {"a": {}}]


@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
@pytest.mark.parametrize("file", ["samples.jsonl", "run.json"])
def test_whatever_a_field_of_a_run_holds_the_run_is_refused_or_added_without_a_traceback(
    run: Run, made: Path, tmp_path: Path, file: str, value: Any
) -> None:
    one = Path(shutil.copytree(made / "one", tmp_path / "one"))
    text = (one / file).read_text(encoding="utf-8")
    first = text.splitlines()[0] if file == "samples.jsonl" else text
    for field in json.loads(first):
        content = json.dumps({**json.loads(first), field: value})
        (one / file).write_text(content + text.removeprefix(first), encoding="utf-8")
        done = run("add", "new", "one")
        assert done.status in (0, 1, 2)
        assert all(line.startswith("popbench: ") for line in done.err.splitlines())
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
