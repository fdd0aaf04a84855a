"""What `popbench eval` says when it is done: which samples are worth nothing and why, and which files there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import faults
import popbench
import popbench_runs
from command_line import Run, in_process
from popbench.leaderboard.markup import escaped


def fast(*extra: str, **specs: str) -> list[str]:
    """Arguments of a run that takes milliseconds, with other specs."""
    chosen = {"llm": "faulty", "gen": "faulty", "predictor": "faulty", "mode": "basic", "out": "run", **specs}
    options = [word for name, spec in chosen.items() for word in (f"--{name}", spec)]
    return ["eval", "--task", "popcorn_concrete", "--limit", "5", *options, *extra]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    faults.install()
    return in_process(monkeypatch, capsys, tmp_path)


def errors(tmp_path: Path) -> list[str | None]:
    return [row["error"] for row in popbench_runs.samples(tmp_path / "run")]


# -- invalid samples


@pytest.mark.parametrize("stop", [(), ("--stop-after", "write")])
def test_a_run_in_which_everything_is_invalid_says_so_and_why(run: Run, stop: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*fast(*stop, llm="faulty,fault=always-nonsense"))
    assert done.status == 0
    last = done.out.splitlines()[-1]
    assert last.endswith("5 of 5 samples are invalid and score 0: no usable draft in 3 answers (5)")
    assert ("report.html" in done.out) == (not stop)
    assert stop or "No sample scores above 0." in (tmp_path / "run/report.html").read_text(encoding="utf-8")


def test_equal_reasons_are_told_once_and_one_sample_is_one(run: Run) -> None:
    done = run(*fast(gen="faulty,fault=refusal"))
    assert done.out.splitlines()[-1] == "1 of 5 samples is invalid and scores 0: refused (1)"
    assert "invalid and score" not in run(*fast(out="sound")).out


def test_many_reasons_are_told_by_the_commonest(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate(self: object, chats: list[popbench.Chat]) -> list[popbench.Failure]:
        return [popbench.Failure(chat.id, f"reason {max(n, 1)}", invalid=True) for n, chat in enumerate(chats)]

    monkeypatch.setattr(faults.FaultyLLM, "generate", generate)
    last = run(*fast()).out.splitlines()[-1]
    assert last == (
        "5 of 5 samples are invalid and score 0: reason 1 (2); reason 2 (1); reason 3 (1); 1 other reason (1)"
    )


# -- samples left pending


@pytest.mark.parametrize(("name", "kind"), [("llm", "llm"), ("gen", "generator"), ("predictor", "predictor")])
def test_pending_samples_name_what_ended_and_their_number_agrees(
    run: Run, tmp_path: Path, name: str, kind: str
) -> None:
    arguments = fast(**{name: f"faulty,fault=raise,once={tmp_path / 'happened'}"})
    done = run(*arguments)
    why = f"pending: {kind} faulty raised RuntimeError: the model fell over (1 unanswered)"
    assert errors(tmp_path) == [None] * 2 + [why] * 3
    assert done.status == 1
    assert "3 items stay pending" in done.err
    assert "popbench: 3 of 5 samples have no result; the same command tries them again" in done.err
    assert run(*arguments).status == 0
    assert errors(tmp_path) == [None] * 5


def test_a_draft_to_be_asked_again_stays_pending_when_the_llm_ends(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first answer came, and settled nothing."""

    calls: list[None] = []

    def first_nonsense_then_none(self: object, chats: list[popbench.Chat]) -> Iterator[popbench.Completion]:
        calls.append(None)
        for chat in chats:
            if len(calls) > 1:
                raise RuntimeError("not again")
            yield popbench.Completion(chat.id, "I would rather not.")

    monkeypatch.setattr(faults.FaultyLLM, "generate", first_nonsense_then_none)
    done = run(*fast())
    assert "5 items stay pending" in done.err
    assert errors(tmp_path) == ["pending: llm faulty raised RuntimeError: not again (1 unanswered)"] * 5


def test_a_failure_of_an_item_keeps_its_own_reason(run: Run, tmp_path: Path) -> None:
    done = run(*fast(gen="faulty,fault=failure"))
    assert sorted(map(str, errors(tmp_path))) == ["None"] * 4 + ["quota used up"]
    assert "1 of 5 samples has no result" in done.err


# -- files


def test_only_files_that_this_run_has_are_listed(run: Run, tmp_path: Path) -> None:
    def listed(*extra: str, **specs: str) -> str:
        (line,) = (line for line in run(*fast(*extra, **specs)).out.splitlines() if " in run: " in line)
        return line

    assert listed("--stop-after", "write") == "5 samples in run: samples.jsonl"
    broken = listed("--stop-after", "render", gen=f"faulty,fault=raise,once={tmp_path / 'happened'}")
    assert broken == "5 samples in run: samples.jsonl, videos, errors.log"
    assert listed() == "5 samples in run: leaderboard.md, results.json, samples.jsonl, videos"
    assert listed("--limit", "1").startswith("1 sample in run: ")


def test_a_board_that_a_shorter_run_takes_away_is_told(run: Run, tmp_path: Path) -> None:
    told = (
        "removed results.json and leaderboard.md: the samples now end before their scores; "
        "run without --stop-after to write them again"
    )
    run(*fast())
    assert told in run(*fast("--stop-after", "render")).err
    assert "removed" not in run(*fast("--stop-after", "write")).err
    assert "removed" not in run(*fast()).err
    assert (tmp_path / "run" / "leaderboard.md").exists()


def test_labels_are_escaped_in_all_lines_of_a_board(run: Run, tmp_path: Path) -> None:
    label = "*a*<b>_c_"
    run(*fast("--gen", "counting,label=*x*", llm=f"faulty,label={label}"))
    board = (tmp_path / "run" / "leaderboard.md").read_text()
    assert f"drafts by {escaped(label)}: 5 calls" in board
    assert escaped("*x*") in board
    assert label not in board
    assert "*x*" not in board.replace(escaped("*x*"), "")


# -- demonstrations


def test_a_refusal_comes_alone(run: Run) -> None:
    done = run(*fast(llm="lacking", predictor="demo"))
    assert done.status == 2
    assert "MOON_KEY" in done.line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (fast(predictor="demo"), "its scores come"),
        (fast("--stop-after", "render", predictor="demo"), None),
        (fast("--stop-after", "write", predictor="demo"), None),
        (fast("--stop-after", "write", mode="pe", corpus="demo"), "its references come"),
        (fast(mode="pe", corpus="demo"), "its references come"),
        (fast(corpus="demo"), None),
    ],
)
def test_a_demonstration_is_told_where_the_run_comes_to_it(
    run: Run, tmp_path: Path, arguments: list[str], told: str | None
) -> None:
    err = run(*arguments).err
    assert ("Demo run: " in err) == (told is not None)
    assert told is None or told in err


# -- versions


def test_run_json_has_the_versions_of_what_llms_depend_on(run: Run, tmp_path: Path) -> None:
    from importlib.metadata import version

    run(*fast())
    versions = json.loads((tmp_path / "run" / "run.json").read_text())["versions"]
    for name in ("openai", "accelerate", "tokenizers"):
        assert versions[name] == version(name)


@pytest.mark.parametrize(
    "command",
    [
        ("eval",), ("eval", "--dry-run"), ("merge", "."), ("report", "."), ("report", ".", "--paper"),
        ("export", ".", "--format", "jsonl"), ("leaderboard", "build", "."), ("ballot", "make", "."),
    ],
)  # fmt: skip
def test_a_url_as_output_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = run(*command, "--out", "http://127.0.0.1:9/results")
    assert done.status == 2
    assert "looks like a URL" in done.line
    assert list(tmp_path.iterdir()) == []


# -- files


def test_a_run_that_has_ended_and_is_read_has_no_file_of_sqlite_beside_its_ledger(run: Run, tmp_path: Path) -> None:
    def beside() -> list[str]:
        return sorted(file.name for file in (tmp_path / "run").glob("ledger*"))

    assert run(*fast()).status == 0
    assert beside() == ["ledger.sqlite"]
    readers = (
        ("status", "run"),
        ("report", "run"),
        ("compare", "run", "run"),
        ("leaderboard", "add", "board", "run"),
        (*fast(out="more"), "--reuse", "run"),
        (*fast(), "--dry-run"),
        fast(),
    )
    for arguments in readers:
        run(*arguments)
        assert beside() == ["ledger.sqlite"], arguments
