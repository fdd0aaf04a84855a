"""`popbench leaderboard add`: comparable runs get onto a board, and every reason why not is told at once."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import made_boards
import popbench_runs
import using_components
from command_line import Done, Run
from made_boards import begin, edit, edit_samples, evaluate, submissions, tree
from popbench.publishing.run_checks import lacking, read_run


@pytest.fixture
def one(made: Path, tmp_path: Path) -> Path:
    """The first run, to be changed."""
    return Path(shutil.copytree(made / "one", tmp_path / "one"))


def reasons(done: Done, board: Path, before: Any) -> list[str]:
    """The reasons why a run was refused; nothing may have been written."""
    assert done.status == 2, done.out
    assert tree(board) == before
    lines = done.err.splitlines()
    assert lines
    assert all(line.startswith("popbench: ") for line in lines)
    return [line.partition(": ")[2].partition(": ")[2] for line in lines]


def test_a_run_made_before_whose_names_hold_a_credential_is_refused(made: Path) -> None:
    run = read_run(made / "one")
    samples = [replace(sample, system=f'm[extra_body={{"auth":"x{n}"}}]|b|g') for n, sample in enumerate(run.samples)]
    assert not [line for line in lacking(run) if "credential" in line]
    (line,) = [line for line in lacking(replace(run, samples=samples)) if "credential" in line]
    assert "auth" not in line


# -- what is added


def test_a_board_has_its_reference_in_its_rules(run: Run, made: Path, tmp_path: Path) -> None:
    assert run("add", "board", made / "one").status == 0
    rules = tmp_path / "board/board.yaml"
    before = rules.read_text(encoding="utf-8")
    systems = [row["system"] for row in json.loads((tmp_path / "board/board.json").read_text("utf-8"))["systems"]]
    refused = run("build", "board", "--reference", systems[0])
    assert refused.status == 2
    assert "has its reference in board.yaml" in refused.err
    rules.write_text(f"{before}reference: {systems[0]}\n", encoding="utf-8")
    assert run("build", "board").status == 0
    assert json.loads((tmp_path / "board/board.json").read_text(encoding="utf-8"))["reference"] == systems[0]
    assert run("check", "board").status == 0
    rules.write_text(f"{before}reference: nobody\n", encoding="utf-8")
    wrong = run("build", "board")
    assert wrong.status == 2
    assert "unknown reference 'nobody'" in wrong.err
    assert "board.yaml" in wrong.err


def test_the_first_run_makes_a_board_with_its_task_and_predictor_as_rules(run: Run, made: Path, tmp_path: Path) -> None:
    done = run("add", "deep/board", made / "one", "--title", "Cats: counted", "--description", "Made for tests.")
    assert (done.status, done.err) == (0, "")
    assert "deep/board/board.yaml is new" in done.out
    about = json.loads((made / "one/run.json").read_text(encoding="utf-8"))
    rules = yaml.safe_load((tmp_path / "deep/board/board.yaml").read_text(encoding="utf-8"))
    assert rules == {
        "title": "Cats: counted",
        "description": "Made for tests.",
        "demo": False,
        "predictor": {"name": "faulty", "digest": about["predictors"]["faulty"], "unit": "likes"},
        "tasks": {"cats": {"hash": about["tasks"]["cats"]["hash"], "prompts": 12}},
        "repeats": 1,
        "seed": 42,
    }
    readme = (tmp_path / "deep/board/README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Cats: counted\n")
    assert "Made for tests." in readme
    assert run("check", "deep/board").out == "deep/board: ok: 2 systems, 1 submission\n"


@pytest.mark.parametrize(
    ("option", "text", "told"),
    [
        ("--title", "Cats " * 50, "title 'Cats Cats"),
        (
            "--title",
            "Cats\nand dogs",
            "title 'Cats and dogs': expected visible text on one line of at most 200 characters",
        ),
        ("--description", "Cats " * 2_000, "expected at most 5,000 characters, not 10,000"),
    ],
)
def test_a_new_board_has_words_that_fit_on_it(
    run: Run, made: Path, tmp_path: Path, option: str, text: str, told: str
) -> None:
    for command in (("add", "new", made / "one"), ("build", made / "one", "--out", "new")):
        if command[0] == "add" or option == "--title":
            refused = run(*command, option, text)
            assert (refused.status, len(refused.line) < 250) == (2, True)
            assert told in refused.line
            assert not (tmp_path / "new").exists() or not any((tmp_path / "new").iterdir())


def test_a_predictor_that_uses_other_things_makes_a_board_too(run: Run, tmp_path: Path) -> None:
    using_components.install()
    evaluate(tmp_path / "prompts", predictor=using_components.seer("video", "prompt", "category", "video_prompt"))
    assert run("add", "board", tmp_path / "prompts", "--title", "Cats").status == 0
    assert run("check", "board").out == "board: ok: 2 systems, 1 submission\n"
    edit(tmp_path / "prompts/run.json", lambda about: about["uses"].update(seer=["video", "prompt"]))
    refused = run("add", "other", tmp_path / "prompts", "--title", "Cats")
    assert refused.status == 2
    assert "samples.jsonl does not match the ledger in " in refused.err
    edit(tmp_path / "prompts/run.json", lambda about: about["uses"].update(seer=["everything"]))
    refused = run("add", "other", tmp_path / "prompts", "--title", "Cats")
    assert refused.err.count("\n") == 1
    assert "run.json cannot be read (uses names 'everything': possible are" in refused.err


def test_a_submission_holds_every_score_and_what_was_run_but_no_texts(run: Run, made: Path, board: Path) -> None:
    run("add", "board", made / "one")
    first, _ = submissions(board)
    assert first.name.startswith("shotlist-verbatim-")
    content = json.loads(first.read_text(encoding="utf-8"))
    rows = {(row["system"], row["prompt_id"]): row for row in content["rows"]}
    samples = popbench_runs.samples(made / "one")
    assert len(rows) == len(samples) == 24
    for sample in samples:
        row = rows[sample["system"], sample["prompt_id"]]
        for key in ("task", "repeat", "category", "status", "popularity", "video_sha256", "compliance"):
            assert row[key] == sample[key]
    assert set(content["components"]) == {"generator faulty", "llm shotlist", "llm verbatim", "predictor faulty"}
    text = first.read_text(encoding="utf-8")
    assert samples[0]["title"] not in text
    assert samples[0]["prompt"] not in text
    assert max(map(len, text.splitlines())) < 400


def test_what_people_said_stays_in_the_run(run: Run, made: Path, board: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "one", tmp_path / "one")
    (tmp_path / "one/votes.jsonl").write_text('{"name": "Ada"}\n', encoding="utf-8")
    done = run("add", "board", "one")
    assert "what people said of its clips stays in the run: a published board is about the predictor" in done.out
    assert b"Ada" not in b"".join(tree(board).values())


def test_no_folder_of_the_machine_gets_into_a_submission(run: Run, made: Path, tmp_path: Path) -> None:
    once = tmp_path / "private" / "marker"
    once.parent.mkdir()
    evaluate(tmp_path / "mine", llm=f"faulty,label=mine,once={once}")
    assert run("add", "board", "mine").status == 0
    (file,) = submissions(tmp_path / "board")
    assert str(tmp_path) not in "".join(text.decode() for text in tree(tmp_path / "board").values())
    assert (
        json.loads(file.read_text(encoding="utf-8"))["components"]["llm mine"]["spec"]
        == 'faulty,label="mine",once="marker"'
    )


def test_what_stands_behind_a_label_given_by_hand_is_shown_with_it(run: Run, made: Path, tmp_path: Path) -> None:
    evaluate(
        tmp_path / "mine", llm=["verbatim,label=gpt-9", "shotlist"], gen="faulty,label=sora", mode="basic,label=pe"
    )
    assert run("add", "board", "mine").status == 0
    (file,) = submissions(tmp_path / "board")
    notes = json.loads(file.read_text(encoding="utf-8"))["notes"]
    for label, shown in {"gpt-9": "verbatim", "sora": "faulty", "pe": "basic"}.items():
        line = f"{label}: a label given by hand, for {shown}"
        assert notes[label].startswith(line.partition(": ")[2])
        for page in ("mine/leaderboard.md", "board/README.md", "board/index.html"):
            assert line in (tmp_path / page).read_text(encoding="utf-8")
    assert "by hand" not in notes.get("shotlist", "")
    assert run("check", "board").status == 0


def test_systems_that_look_the_same_do_not_share_a_board(run: Run, tmp_path: Path) -> None:
    begin(tmp_path / "board", evaluate(tmp_path / "first", llm="shotlist,label=the  third"))
    before = tree(tmp_path / "board")
    evaluate(tmp_path / "twin", llm="verbatim,label=the third")
    (line,) = reasons(run("add", "board", "twin"), tmp_path / "board", before)
    assert "'the  third|basic|faulty' and 'the third|basic|faulty' look the same on a board" in line
    assert run("build", "first", "twin", "--out", "both").status == 2


def test_the_order_in_which_runs_are_added_changes_no_byte(run: Run, made: Path, tmp_path: Path) -> None:
    for board, order in (("ab", ("one", "two")), ("ba", ("two", "one"))):
        for name in order:
            title = () if (tmp_path / board).exists() else ("--title", "Cats")
            assert run("add", board, made / name, *title).status == 0
    assert tree(tmp_path / "ab") == tree(tmp_path / "ba")
    assert run("check", "ab").out == "ab: ok: 3 systems, 2 submissions\n"


def test_some_systems_of_a_run_can_be_submitted(run: Run, made: Path, tmp_path: Path) -> None:
    assert run("add", "board", made / "one", "--system", "verbatim|basic|faulty").status == 0
    results = json.loads((tmp_path / "board/board.json").read_text(encoding="utf-8"))
    assert [row["system"] for row in results["systems"]] == ["verbatim|basic|faulty"]
    before = tree(tmp_path / "board")
    done = run("add", "board", made / "one", "--system", "verbatm|basic|faulty")
    (line,) = reasons(done, tmp_path / "board", before)
    assert "did you mean 'verbatim|basic|faulty'?" in line


def test_of_several_predictors_the_scores_of_the_boards_are_taken(run: Run, board: Path, tmp_path: Path) -> None:
    evaluate(tmp_path / "both", llm="verbatim", predictor=["sound,label=other", "faulty,label=renamed"])
    assert run("add", "board", "both").status == 0
    file = next(path for path in submissions(board) if "verbatim" in path.name)
    content = json.loads(file.read_text(encoding="utf-8"))
    found = {row["prompt_id"]: row["popularity"] for row in content["rows"]}
    assert found == {row["prompt_id"]: row["scores"]["renamed"] for row in popbench_runs.samples(tmp_path / "both")}
    assert content["predictor"]["name"] == "faulty"
    assert "predictor other" not in content["components"]


def test_a_new_board_may_take_another_predictor_than_the_first(run: Run, tmp_path: Path) -> None:
    evaluate(tmp_path / "both", llm="verbatim", predictor=["sound,label=other", "faulty"])
    done = run("add", "board", "both", "--predictor", "fauty")
    assert "did you mean 'faulty'?" in done.line
    assert not (tmp_path / "board").exists()
    assert run("add", "board", "both", "--predictor", "faulty").status == 0
    assert yaml.safe_load((tmp_path / "board/board.yaml").read_text())["predictor"]["name"] == "faulty"
    assert "--predictor is for a new board" in run("add", "board", "both", "--predictor", "faulty").line


# -- what is refused, and why


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
