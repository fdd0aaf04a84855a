"""`popbench leaderboard add`: what a board gets of a run, and which runs make one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

import popbench_runs
import using_components
from command_line import Run
from made_boards import begin, edit, evaluate, reasons, submissions, tree


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
