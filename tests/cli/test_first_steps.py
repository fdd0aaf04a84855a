"""The first minutes: what popbench says without a command, a first popbench.toml, and what a command lacks here."""

from __future__ import annotations

import os
import pty
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from command_line import Run, in_process
from popbench.planning.config import EvalConfig, make_config
from popbench.planning.starting_file import starting_file


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def test_popbench_alone_says_three_next_steps(run: Run) -> None:
    done = run()
    assert (done.status, done.err) == (0, "")
    assert [line[:2] for line in done.out.splitlines() if line[:1].isdigit()] == ["1.", "2.", "3."]
    assert "popbench eval" in done.out
    assert "popbench doctor --for" in done.out
    assert "popbench init" in done.out


def test_every_command_that_popbench_alone_names_is_one_of_its_commands(run: Run) -> None:
    out = run().out
    named = {line.split()[1] for line in out.splitlines() if line.startswith("     popbench ")}
    assert named
    for name in named:
        assert run(name, "--help").status == 0


# -- init


def test_init_writes_what_eval_then_takes(run: Run, tmp_path: Path) -> None:
    done = run("init", "--llm", "shotlist", "--llm", "verbatim", "--corpus", "demo", "--limit", "3")
    assert done.status == 0
    settings = tomllib.loads((tmp_path / "popbench.toml").read_text(encoding="utf-8"))
    assert settings == {"llm": ["shotlist", "verbatim"], "corpus": "demo", "limit": 3}
    done = run("eval", "--dry-run")
    assert done.status == 0, done.err
    assert "popcorn_abstract 3, popcorn_concrete 3" in done.out


def test_the_comments_of_a_first_file_are_settings_that_eval_takes() -> None:
    text = starting_file({})
    assert make_config(tomllib.loads(text)) == EvalConfig()
    uncommented = "\n".join(line.removeprefix("# ") if " = " in line and "`" not in line and ":" not in line else ""
                            for line in text.splitlines())  # fmt: skip
    config = make_config(tomllib.loads(uncommented))
    assert (config.mode, config.limit, config.max_cost) == (("basic", "pe"), 20, 10.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--llm", "shotlst"], "did you mean 'shotlist'"),
        (["--gen", "kinetic,fsp=3"], "fps"),
        (["--max-cost", "nan"], "max_cost"),
        (["--mode", " "], "mode"),
        (["--mode", "bsaic"], "did you mean 'basic'"),
        (["--mode", "pe,kk=3"], "kk"),
        (["--task", "popcron"], "unknown task 'popcron'"),
    ],
)
def test_init_refuses_what_eval_would_refuse_and_writes_nothing(
    run: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = run("init", *arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.line
    assert not (tmp_path / "popbench.toml").exists()


def test_init_replaces_a_file_only_when_told_to(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "popbench.toml"
    file.write_text('llm = "verbatim"\n', encoding="utf-8")
    done = run("init", "--llm", "shotlist")
    assert done.status == 2
    assert "--force" in done.err
    assert file.read_text(encoding="utf-8") == 'llm = "verbatim"\n'
    assert run("init", "--llm", "shotlist", "--force").status == 0
    assert 'llm = "shotlist"' in file.read_text(encoding="utf-8")


def test_init_leaves_the_file_that_is_there_where_the_disk_is_full(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "popbench.toml"
    file.write_text('llm = "verbatim"\n', encoding="utf-8")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        done = run("init", "--llm", "shotlist", "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (done.status, done.line) == (1, "popbench: popbench.toml cannot be written: File too large")
    assert file.read_text(encoding="utf-8") == 'llm = "verbatim"\n'
    assert [path.name for path in tmp_path.iterdir()] == ["popbench.toml"]


@pytest.mark.parametrize("value", ['shotlist,label=a"b\\c', "shotlist,label=\x7fx", "shotlist,label=clé ✓"])
def test_init_keeps_odd_characters(run: Run, tmp_path: Path, value: str) -> None:
    done = run("init", "--llm", value)
    if done.status:  # a label with control characters is refused, in one line
        assert (done.status, len(done.err.splitlines())) == (2, 1)
    else:
        assert tomllib.loads((tmp_path / "popbench.toml").read_text(encoding="utf-8"))["llm"] == value


def test_init_asks_on_a_terminal_and_asks_again_after_a_wrong_name(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    code = "import sys; from popbench.cli import main; sys.argv = ['popbench', 'init']; main()"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, b"shotlst\nshotlist\n\n\ndemo\n")
    assert process.wait(60) == 0
    os.close(ours)
    assert tomllib.loads((tmp_path / "popbench.toml").read_text(encoding="utf-8")) == {
        "llm": "shotlist",
        "corpus": "demo",
    }


# -- doctor --for


def test_doctor_says_what_a_command_lacks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = run("doctor", "--for", "popbench eval --llm gpt-4o --corpus demo --embedder hashing --limit 1")
    assert done.status == 1
    (line,) = done.out.splitlines()
    assert "OPENAI_API_KEY" in line


def test_doctor_says_that_nothing_is_missing(run: Run) -> None:
    done = run("doctor", "--for", "eval --limit 1")
    assert done.status == 0
    assert done.out.startswith("nothing is missing here for llm verbatim")


@pytest.mark.parametrize(
    ("command", "said"),
    [("", "expected an eval command"), ("plan", "expected an eval command"), ('eval "', "no command"),
     ("eval --lmit 2", "--limit"), ("eval --llm nope", "unknown llm")],
)  # fmt: skip
def test_doctor_refuses_what_is_no_eval_command_in_one_line(run: Run, command: str, said: str) -> None:
    done = run("doctor", "--for", command)
    assert (done.status, done.out) == (2, "")
    assert said in done.line


# -- after a run, and while a command is typed


def test_eval_ends_by_saying_how_to_see_its_clips(run: Run) -> None:
    done = run("eval", "--limit", "1", "--out", "a run")
    assert done.status == 0
    last = done.out.splitlines()[-1]
    assert last == "To look at its clips: popbench view 'a run' (or, as one page to send: popbench report 'a run')"


def test_a_shell_completes_commands_options_and_names_of_components(tmp_path: Path) -> None:
    def complete(words: str, number: int) -> list[str]:
        environment = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": str(number)}
        environment["_POPBENCH_COMPLETE"] = "bash_complete"
        code = "import sys; from popbench.cli import main; sys.argv = ['popbench']; main()"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    assert "plain,eval" in complete("popbench ev", 1)
    assert "plain,--llm" in complete("popbench eval --ll", 2)
    assert complete("popbench eval --llm shot", 3) == ["plain,shotlist"]
    assert complete("popbench eval --engine lo", 3) == ["plain,local"]
    assert complete("popbench best --gen kin", 3) == ["plain,kinetic"]
