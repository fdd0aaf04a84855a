"""`popbench leaderboard check` and `build`: a published board is what its submissions give, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from command_line import Done, Run
from made_boards import begin, edit, evaluate, forge, submissions, tree

ROOT = Path(__file__).parents[2]
(CHARTS,) = re.findall(
    r"^vl-convert-python==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
)
"""The release that the boards of this repository were made with."""
BOARDS = sorted(path.parent for path in ROOT.glob("leaderboards/*/board.yaml"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board of two submissions."""
    folder = tmp_path_factory.mktemp("boards")
    evaluate(folder / "one")
    evaluate(folder / "two", llm="faulty,label=third")
    begin(folder / "board", folder / "one")
    return begin_again(folder / "board", folder / "two")


def begin_again(board: Path, run: Path) -> Path:
    from popbench.publishing.add import add

    add(board, run)
    return board


@pytest.fixture
def board(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "board"))


def wrong(done: Done) -> list[str]:
    """What check found, one line each."""
    assert done.status == 1, done.out
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines
    assert all(line.startswith("popbench: board") for line in lines)
    return [line.removeprefix("popbench: ") for line in lines]


# -- boards of this repository


@pytest.mark.parametrize("published", BOARDS, ids=lambda path: path.name)
def test_the_published_boards_are_what_their_submissions_give(run: Run, published: Path) -> None:
    done = run("check", published)
    if version("vl-convert-python") != CHARTS:  # pages carry its JavaScript, and check says so
        lines = done.err.splitlines()
        assert all("index.html is not what" in line and "its chart library" in line for line in lines)
    else:
        assert (done.status, done.err) == (0, "")
        assert done.out.startswith(f"{published}: ok")


@pytest.mark.slow
def test_the_demo_board_is_what_the_embedded_defaults_give(tmp_path: Path) -> None:
    import popbench

    (file,) = submissions(ROOT / "leaderboards/demo")
    submitted = {
        (row["system"], row["task"], row["prompt_id"]): row
        for row in json.loads(file.read_text(encoding="utf-8"))["rows"]
    }
    assert len(submitted) == 800
    samples = list(popbench.evaluate(limit=3, out=tmp_path / "run").samples())
    assert len(samples) == 24
    for sample in samples:
        row = submitted[sample.system, sample.task, sample.prompt_id]
        assert row["popularity"] == pytest.approx(sample.popularity, rel=1e-6)
        assert (row["category"], row["compliance"]) == (sample.category, sample.compliance)
        assert row.get("originality") == sample.originality


# -- what check catches


def first_row(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda content: change(content["rows"][0])


VALUES: list[tuple[str, Callable[[Any], object]]] = [
    ("popularity", first_row(lambda row: row.update(popularity=row["popularity"] * (1 + 1e-12)))),
    ("status", first_row(lambda row: row.update(status="invalid", popularity=0))),
    ("category", first_row(lambda row: row.update(category="b"))),
    ("clip", first_row(lambda row: row.update(video_sha256="0" * 64))),
    ("one row less", lambda content: content["rows"].pop()),
    ("system", lambda content: content["systems"].update(better={"cats": "0" * 32})),
    ("component", lambda content: next(iter(content["components"].values())).update(spec="better")),
    ("seed", lambda content: content.update(seed=43)),
    ("demo", lambda content: content.update(demo=True)),
    ("version", lambda content: content.update(popbench="9")),
    ("another key", lambda content: content.update(award="best")),
]


@pytest.mark.slow
@pytest.mark.parametrize("change", [change for _, change in VALUES], ids=[name for name, _ in VALUES])
def test_a_tampered_submission_is_caught_by_check(run: Run, board: Path, change: Callable[[Any], object]) -> None:
    file = submissions(board)[0]
    edit(file, change)
    (line,) = wrong(run("check", "board"))
    assert line.startswith(f"board/submissions/{file.name}: was changed after it was submitted")
    before = tree(board)
    for command in (("build", "board"), ("add", "board", board.parent / "run"), ("build", "board", "--out", "other")):
        assert run(*command).status == 2
    assert tree(board) == before
    assert not (board.parent / "other").exists()


def with_nan(text: str) -> str:
    return text.replace('"popularity":', '"popularity":NaN,"x":', 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [(with_nan, "cannot be read as a submission (NaN is no score)"),
     (lambda text: text.replace('"popularity":', '"popularity":1e400,"x":', 1), "holds a number that no float holds"),
     (lambda text: text[:-50], "cannot be read as a submission (Unterminated"),
     (lambda text: "[]", "not a submission"),
     (lambda text: text.replace('"schema": 1', '"schema": 2'), "written by another popbench (schema 2, this one")],
)  # fmt: skip
def test_a_file_that_is_no_submission_is_named(
    run: Run, board: Path, change: Callable[[str], str], reason: str
) -> None:
    file = submissions(board)[0]
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    (line,) = wrong(run("check", "board"))
    assert line.startswith(f"board/submissions/{file.name}: {reason}")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (first_row(lambda row: row.update(award=1)), "unknown key in rows.0 'award'"),
        (first_row(lambda row: row.update(popularity=-1)), "popularity is -1, expected no negative number"),
        (first_row(lambda row: row.update(popularity=0)), "popularity is 0 with status ok"),
        (first_row(lambda row: row.update(popularity="1")), "rows.0.popularity: Input should be a valid number"),
        (first_row(lambda row: row.update(video_sha256="x")), "rows.0.video_sha256: String should match pattern"),
        (lambda content: content.pop("machine"), "machine: Field required"),
        (lambda content: content["machine"].update(gpus=5), "machine.gpus: Input should be a valid list"),
        (lambda content: content.update(costs=[{"llm": "x"}]), "costs.0.calls: Field required"),
        (lambda content: content["costs"][0].update(calls="3"), "costs.0.calls: Input should be a valid integer"),
        (lambda content: content["costs"][0].update(usage={"input": "x"}), "costs.0.usage.input: Input should be"),
        (lambda content: content.update(references=[{"corpus": "c"}]), "references.0.part: Field required"),
        (lambda content: content["rows"].pop(), "has 11 of the 12 results of task 'cats'"),
        (lambda content: content["rows"].append(content["rows"][0]), "has two results for prompt 'p00' of task 'cats'"),
        (lambda content: content["tasks"]["cats"].update(hash="0" * 32), "another version than the board's"),
        (lambda content: content["predictor"].update(digest="0" * 32), "predictor 'faulty' is not the board's"),
        (lambda content: content.update(demo=True), "demo scores never share a board with real ones"),
        (lambda content: content.update(seed=7), "its seed is 7, the board's 42"),
        (
            lambda content: content["tasks"].update(dogs=content["tasks"].pop("cats")),
            "has rows of task 'cats' that nothing is said",
        ),
    ],
)
def test_a_submission_that_breaks_the_rules_is_caught_whatever_its_digest(
    run: Run, board: Path, change: Callable[[Any], object], reason: str
) -> None:
    file = next(path for path in submissions(board) if "shotlist" in path.name)
    forged = forge(file, change)
    lines = [line for line in wrong(run("check", "board")) if line.startswith(f"board/submissions/{forged.name}: ")]
    assert any(reason in line for line in lines), lines
    assert run("build", "board").status == 2


def test_check_shows_that_a_board_is_whole_and_not_that_it_is_true(run: Run, board: Path) -> None:
    """Who makes the digest and the board anew has another board; what differs is in the repository's history."""
    file = submissions(board)[0]
    forged = forge(file, first_row(lambda row: row.update(popularity=99.0)))
    lines = wrong(run("check", "board"))
    assert f"board/submissions/{file.name} is missing: the board was built with it" in lines
    assert any(line.startswith(f"board/submissions/{forged.name} is new") for line in lines)
    assert run("build", "board").status == 0
    assert run("check", "board").status == 0
    assert file.name not in {path.name for path in submissions(board)}


@pytest.mark.parametrize("name", ["README.md", "board.json", "index.html"])
def test_a_generated_file_that_was_changed_or_is_gone_is_caught(run: Run, board: Path, name: str) -> None:
    whole = tree(board)
    text = (board / name).read_text(encoding="utf-8")
    place = text.index("third")
    (board / name).write_text(text[:place] + "Third" + text[place + 5 :], encoding="utf-8")
    (line,) = wrong(run("check", "board"))
    assert line.startswith(f"board/{name} is not what the submissions give: line ")
    assert "Third" in line
    assert "third" in line.partition("should be")[2]
    (board / name).unlink()
    (line,) = wrong(run("check", "board"))
    assert line == f"board/{name} is missing: popbench leaderboard build board writes it"
    assert run("build", "board").status == 0
    assert tree(board) == whole


def test_submissions_that_come_go_or_are_renamed_are_named(run: Run, board: Path) -> None:
    first, second = submissions(board)
    moved = first.with_name("better.json")
    first.rename(moved)
    (board / "submissions" / "notes.txt").write_text("x")
    second.unlink()
    lines = wrong(run("check", "board"))
    assert (
        f"board/submissions/{moved.name}: was renamed: a submission with this content is called {first.name}" in lines
    )
    assert "board/submissions/notes.txt: no submission: only .json files that `popbench" in "\n".join(lines)
    assert f"board/submissions/{second.name} is missing: the board was built with it" in lines
    assert f"board/submissions/{first.name} is missing: the board was built with it" in lines


def test_a_system_that_two_submissions_hold_is_caught(run: Run, board: Path, tmp_path: Path) -> None:
    file = next(path for path in submissions(board) if "third" in path.name)
    kept = file.read_bytes()
    forge(file, lambda content: content.update(popbench="other"))
    file.write_bytes(kept)
    lines = wrong(run("check", "board"))
    assert any("system 'third|basic|faulty' was submitted already, in third-basic-faulty-" in line for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("seed: 42", "seed: 7", "its seed is 42, the board's 7"),
        ("repeats: 1", "repeats: 2", "the board 2: run it with --repeats 2"),
        ("demo: false", "demo: true", "these are real ones, the board has demo scores"),
        ("prompts: 12", "prompts: 13", "task 'cats' has 12 prompts in group None, the board has 13"),
    ],
)
def test_rules_that_were_changed_are_caught(run: Run, board: Path, old: str, new: str, reason: str) -> None:
    rules = board / "board.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    lines = wrong(run("check", "board"))
    assert len(lines) == 2
    assert all(reason in line for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("title: Cats", "titel: Cats", "unknown key 'titel': did you mean 'title'?"),
        ("title: Cats", "", "title: Field required"),
        ("title: Cats", 'title: "a\\nb"', "title: expected visible text on one line"),
        ("  unit: likes", "  untis: likes", "unknown key in predictor 'untis': did you mean 'unit'?"),
        ("demo: false", "demo: perhaps", "demo: Input should be a valid boolean"),
        ("title: Cats", "title: Cats\nkind: papers", "unknown kind of board 'papers': did you mean 'paper'?"),
        ("title: Cats", "title: [Cats", "not valid YAML"),
    ],
)
def test_a_board_yaml_that_says_nothing_clear_is_told_in_one_line(
    run: Run, board: Path, old: str, new: str, reason: str
) -> None:
    rules = board / "board.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    for command in (("check", "board"), ("build", "board"), ("add", "board", "run")):
        if command[0] != "add":
            done = run(*command)
            assert done.status == 2
            assert done.line.startswith("popbench: board/board.yaml: ")
            assert reason in done.line


@pytest.mark.parametrize("name", ["board.yaml", "submissions"])
def test_the_marks_of_a_merge_conflict_are_told(run: Run, board: Path, name: str) -> None:
    path = board / name if name == "board.yaml" else next((board / name).iterdir())
    text = path.read_text(encoding="utf-8")
    path.write_text(f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> theirs\n", encoding="utf-8")
    for command in ("check", "build"):
        done = run(command, "board")
        assert done.status in (1, 2)
        assert f"{path.name}: " in done.line
        assert "marks of a merge conflict (<<<<<<<) in it: keep one of the two versions" in done.line


def test_a_board_is_no_url(run: Run, made: Path, tmp_path: Path) -> None:
    assert "BOARD: 's3://bucket/board' looks like a URL" in run("add", "s3://bucket/board", made / "one").line
    assert not (tmp_path / "s3:").exists()


def test_what_is_no_board_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "not a board (board.yaml is missing)" in run("check", "empty").line
    assert "not a board (board.yaml is missing)" in run("check", "nowhere").line


def test_a_board_without_submissions_is_told(run: Run, board: Path) -> None:
    for file in submissions(board):
        file.unlink()
    assert "no submissions yet" in run("build", "board").line


def test_the_title_of_a_board_can_be_changed_and_is_shown_as_text(run: Run, board: Path) -> None:
    rules = board / "board.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("title: Cats", "title: <b>*Cats*</b> & dogs"))
    assert len(wrong(run("check", "board"))) == 2  # README.md and index.html
    assert run("build", "board").status == 0
    assert run("check", "board").status == 0
    assert (board / "README.md").read_text(encoding="utf-8").startswith("# \\<b\\>\\*Cats\\*\\</b\\> \\& dogs\n")
    assert "<b>*Cats*</b>" not in (board / "index.html").read_text(encoding="utf-8")
