"""Boards in git: two contributors, pull requests of one file, conflicts that one command resolves, and the action."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Run
from composite_action import Action, Outcome
from made_boards import edit, submissions

ACTION = Path(__file__).parents[2] / ".github/actions/board/action.yml"
SHOTLIST, VERBATIM = "shotlist|basic|faulty", "verbatim|basic|faulty"
GENERATED = {"board/README.md", "board/board.json", "board/index.html"}
Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Git in the folder of the test, with no settings but the repository's own."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def call(*words: str, fails: bool = False) -> str:
        done = subprocess.run(
            ["git", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.fixture
def repository(begun: Path, tmp_path: Path, git: Git) -> Path:
    """A repository with a board of one submission."""
    shutil.copytree(begun, tmp_path / "board")
    git("init", "--quiet", "--initial-branch", "main")
    git("add", "board")
    git("commit", "--quiet", "--message", "A board")
    return tmp_path


def branch(git: Git, name: str) -> None:
    git("switch", "--quiet", "--create", name, "main")


def commit(git: Git, message: str) -> list[str]:
    """Commit all of the board; return the files that it touches."""
    git("add", "board")
    git("commit", "--quiet", "--message", message)
    return git("show", "--name-only", "--format=").split()


def contribute(git: Git, run: Run, made: Path, name: str, *options: str) -> list[str]:
    """Add a system in a branch of its own; return the files that it touches."""
    branch(git, name)
    system = {"ann": SHOTLIST, "bob": VERBATIM}[name]
    assert run("add", "board", made / "one", "--system", system, *options).status == 0
    return commit(git, f"{name}'s system")


def test_two_pull_requests_of_one_file_each_merge_cleanly(run: Run, made: Path, repository: Path, git: Git) -> None:
    for name in ("ann", "bob"):
        (file,) = contribute(git, run, made, name, "--submission-only")
        assert file.startswith("board/submissions/")
        assert run("check", "board", "--submissions").status == 0
        assert "is new: the board was built without it" in run("check", "board").err
    git("switch", "--quiet", "main")
    for name in ("ann", "bob"):
        git("merge", "--quiet", "--no-edit", name)
    assert run("check", "board", "--submissions").out == "board: ok: 3 systems, 3 submissions\n"
    assert run("build", "board").status == 0
    assert set(commit(git, "Build")) == GENERATED
    assert run("check", "board").status == 0
    assert not git("status", "--porcelain", "board")


@pytest.mark.parametrize("attributes", [True, False], ids=["as add writes it", "without .gitattributes"])
def test_a_conflict_in_generated_files_is_resolved_by_one_command(
    run: Run, made: Path, repository: Path, git: Git, attributes: bool
) -> None:
    if not attributes:
        git("rm", "--quiet", "board/.gitattributes")
        commit(git, "Plain")
    for name in ("ann", "bob"):
        assert set(contribute(git, run, made, name)) > GENERATED
    git("switch", "--quiet", "main")
    git("merge", "--quiet", "--no-edit", "ann")
    git("merge", "--quiet", "bob", fails=True)
    assert set(git("diff", "--name-only", "--diff-filter=U").split()) == GENERATED
    marked = "<<<<<<<" in (repository / "board/README.md").read_text(encoding="utf-8")
    assert marked != attributes
    assert run("build", "board").status == 0
    git("add", "board")
    git("commit", "--quiet", "--no-edit")
    done = run("check", "board")
    assert (done.err, done.out) == ("", "board: ok: 3 systems, 3 submissions\n")


def test_a_board_is_checked_out_to_the_byte_whatever_git_does_to_line_ends(
    run: Run, repository: Path, git: Git
) -> None:
    shutil.rmtree(repository / "board")
    git("-c", "core.autocrlf=true", "checkout", "--", "board")
    assert run("check", "board").status == 0


def test_a_submission_alone_needs_a_board_and_leaves_an_own_gitattributes(run: Run, made: Path, tmp_path: Path) -> None:
    assert "not a board" in run("add", "none", made / "one", "--submission-only").line
    assert not (tmp_path / "none").exists()
    (tmp_path / "own").mkdir()
    (tmp_path / "own/.gitattributes").write_text("* text\n", encoding="utf-8")
    assert run("add", "own", made / "one").status == 0
    assert (tmp_path / "own/.gitattributes").read_text(encoding="utf-8") == "* text\n"
    assert "is on the board already" in run("add", "own", made / "one", "--submission-only").line


# -- the action


@pytest.fixture
def act(repository: Path, tmp_path_factory: pytest.TempPathFactory, git: Git) -> Callable[..., Outcome]:
    action = Action(ACTION, tmp_path_factory.mktemp("runner"))

    def call(number: str = "7", comments: str = "", **inputs: str) -> Outcome:
        (action.said / "comments.txt").write_text(comments, encoding="utf-8")
        base = git("rev-parse", "main").strip()
        return action.run(repository, {"board": "board", "popbench": "", "base": base, **inputs}, number)

    return call


@pytest.mark.slow
def test_the_action_checks_a_pull_request_and_comments_what_it_changes(
    run: Run, made: Path, repository: Path, git: Git, act: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    contribute(git, run, made, "ann", "--submission-only", "--variants-tried", "3")
    monkeypatch.setenv("GH_STATUS", "1")  # as for a pull request from a fork
    done = act(board="./board/")
    assert done.status == 0, done.output
    assert "::warning::The comment could not be written" in done.output
    assert "board: ok: 2 systems, 2 submissions" in done.output
    assert done.comment == done.summary
    assert done.comment is not None
    assert done.comment.startswith("<!-- popbench board ./board/ -->\n### Board ./board/\n")
    assert "**1 system added, 0 systems removed" in done.comment
    assert "| shotlist\\|basic\\|faulty | 3 | 2 |" in done.comment
    assert "The best of 3 variants that are all equal" in done.comment
    assert done.calls[-1].startswith("api --silent --method POST repos/lab/boards/issues/7/comments ")


@pytest.mark.slow
def test_the_action_catches_a_tampered_submission_and_says_so_in_the_comment_that_it_made_before(
    run: Run, made: Path, repository: Path, git: Git, act: Callable[..., Outcome]
) -> None:
    contribute(git, run, made, "ann", "--submission-only")
    (file,) = (path for path in submissions(repository / "board") if "shotlist" in path.name)
    edit(file, lambda content: content["rows"][0].update(popularity=99.0))
    commit(git, "Better")
    done = act(comments="41 Looks good\n42 <!-- popbench board board -->\n")
    assert done.status == 1
    assert "::warning" not in done.output
    assert "was changed after it was submitted" in done.output
    assert done.comment is not None
    assert "The check failed:\n\n    popbench: board/submissions/shotlist" in done.comment
    assert done.calls[-1].startswith("api --silent --method PATCH repos/lab/boards/issues/comments/42 ")


@pytest.mark.slow
def test_the_action_on_a_push_checks_the_pages_too_and_comments_nothing(
    repository: Path, act: Callable[..., Outcome]
) -> None:
    (repository / "board/README.md").write_text("Ours is best\n", encoding="utf-8")
    done = act(number="", generated="check", base="0" * 40)
    assert done.status == 1
    assert "README.md is not what the submissions give" in done.output
    assert "There is no commit to compare with." in done.summary
    assert (done.comment, done.calls) == (None, [])
