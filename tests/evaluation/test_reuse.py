"""A run takes the calls of other runs that it would otherwise make, reads them only, and says what it took."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import faults
import popbench
from command_line import Run, in_process
from popbench.runs.status_reading import read_status
from popbench_runs import FAST, committed, outcome, run_fast, samples

EARLIER = Path(__file__).parents[1] / "data/earlier/runs"
ALL = {
    "mode": ["basic", "pe,k=2"],
    "llm": "counting",
    "gen": "counting,frames=3,width=64,height=64",
    "predictor": "counting",
}


class Told(popbench.Progress):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def notice(self, line: str) -> None:
        self.lines.append(line)

    problem = notice

    def about(self, path: Path) -> list[str]:
        return [line for line in self.lines if str(path) in line]


@pytest.fixture
def first(in_tmp: Path, log: Path) -> Path:
    """A finished run, after which nothing was asked yet."""
    run_fast(in_tmp / "first", **ALL)
    log.write_text("", encoding="utf-8")
    return Path("first")


def bytes_of(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def change(run: Path, sql: str, *values: Any) -> None:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(sql, values)


def reuse(out: str, *runs: Path, told: Told | None = None, **changes: Any) -> popbench.Run:
    return popbench.evaluate(**{**FAST, **ALL, **changes}, out=out, reuse=list(runs), progress=told)


def test_a_run_that_has_everything_is_taken_without_a_call_and_only_read(first: Path, log: Path) -> None:
    before, told = bytes_of(first), Told()
    reuse("second", first, told=told)
    assert bytes_of(first) == before
    assert log.read_text(encoding="utf-8") == ""
    assert outcome(Path("second")) == outcome(first)
    assert committed(Path("second")) == committed(first)
    assert told.about(first) == ["10 drafts, 10 clips and 10 scores are taken from first"]
    about = json.loads(Path("second/run.json").read_text(encoding="utf-8"))
    assert about["reused"] == {"first": {"write": 10, "render": 10, "score": 10}}
    assert "reuse" not in about["config"]


def test_only_what_the_run_needs_is_taken_and_the_rest_is_asked(first: Path, log: Path) -> None:
    told = Told()
    run = reuse("second", first, told=told, limit=7, mode="basic", predictor=["counting", "demo"])
    assert told.about(first) == ["5 drafts, 5 clips and 5 scores are taken from first"]
    asked = log.read_text(encoding="utf-8").split()
    assert len(asked) == 2 * 3  # two prompts more
    assert run.complete
    assert committed(first) - committed(Path("second"))  # what only the other mode needs stays there
    run_fast(Path("alone"), **{**ALL, "limit": 7, "mode": "basic", "predictor": ["counting", "demo"]})
    assert outcome(Path("second")) == outcome(Path("alone"))


def test_what_was_taken_stays_known_when_the_run_is_gone_on_with(first: Path, log: Path) -> None:
    reuse("second", first, stop_after="write")
    run_fast(Path("second"), **ALL)
    assert len(log.read_text(encoding="utf-8").split()) == 20
    assert json.loads(Path("second/run.json").read_text(encoding="utf-8"))["reused"] == {"first": {"write": 10}}


def test_clips_and_scores_are_taken_where_another_llm_wrote_the_same(first: Path, log: Path) -> None:
    """Their keys hold what they were made of, and no LLM."""

    class Same(faults.CountingLLM):
        """Writes what the other one wrote."""

        version = "another"

    told = Told()
    reuse("second", first, told=told, llm=Same, mode="basic")
    assert len(log.read_text(encoding="utf-8").split()) == 5
    assert told.about(first) == ["5 clips and 5 scores are taken from first"]


def test_drafts_are_taken_where_the_task_is_another_but_the_request_is_the_same(first: Path, log: Path) -> None:
    popcorn = Path(__file__).parents[2] / "tasks/popcorn"
    shutil.copytree(popcorn, "popcorn")
    task = Path("popcorn/popcorn_concrete.yaml")
    task.write_text(task.read_text(encoding="utf-8").replace("version: 1", "version: 2"), encoding="utf-8")
    told = Told()
    reuse("second", first, told=told, task=str(task))
    assert log.read_text(encoding="utf-8") == ""
    assert told.about(first) == ["10 drafts, 10 clips and 10 scores are taken from first"]


def test_a_component_that_is_not_asked_is_not_checked(first: Path) -> None:
    """With everything taken, no key, no weights and no server are needed."""

    class Locked(popbench.LLM):
        """Has no key."""

        version = "1"

        def check(self) -> list[str]:
            return ["no key"] if Path("locked").exists() else []

        def generate(self, chats: Any) -> Any:
            for chat in chats:
                yield popbench.Completion(chat.id, json.dumps({"title": "t", "video_prompt": chat.prompt}))

    run_fast(Path("one"), llm=Locked)
    Path("locked").touch()
    run = popbench.evaluate(**{**FAST, "llm": Locked}, out="two", reuse="one")
    assert run.complete
    with pytest.raises(popbench.UsageError, match="no key"):
        popbench.evaluate(**{**FAST, "llm": Locked}, out="three")


def test_drafts_of_modes_that_share_a_call_are_all_taken_before_any_work(first: Path, log: Path) -> None:
    """The draft that `best` picks is the answer to a call of `basic`: once that is taken, both drafts are there."""
    modes = {**ALL, "llm": "shotlist", "mode": ["basic", "best,n=2"]}
    run_fast(Path("one"), **modes)
    log.write_text("", encoding="utf-8")
    told = Told()
    reuse("two", Path("one"), told=told, **modes)
    assert log.read_text(encoding="utf-8") == ""
    assert outcome(Path("two")) == outcome(Path("one"))
    assert len(told.about(Path("one"))) == 1  # nothing more was found in the course of the run


def test_the_status_of_a_run_says_that_taken_calls_are_not_in_its_spend(log: Path) -> None:
    run_fast(Path("first"), **ALL | {"llm": "faulty"})  # which says what its answers took
    reuse("second", Path("first"), llm="faulty")
    assert read_status(Path("second")).notes == ("the spend is without calls that were taken from other runs",)


def test_of_two_answers_to_one_call_the_first_runs_is_taken(first: Path) -> None:
    shutil.copytree(first, "other")
    change(Path("other"), "UPDATE calls SET payload = json_set(payload, '$.popularity', 7.5) WHERE stage = 'score'")
    for order, same in ((("first", "other"), True), (("other", "first"), False)):
        told = Told()
        reuse(f"of-{order[0]}", *map(Path, order), told=told)
        rows = samples(Path(f"of-{order[0]}"))
        assert (rows == samples(first)) is same
        assert {row["popularity"] for row in rows} != {7.5} or not same
        assert told.lines[0] == f"10 drafts, 10 clips and 10 scores are taken from {order[0]}"
        assert f"nothing is taken from {order[1]}: it has none of the calls that were needed" in told.lines


def test_an_answer_of_its_own_is_kept_against_that_of_another_run(first: Path) -> None:
    shutil.copytree(first, "own")
    change(first, "UPDATE calls SET payload = json_set(payload, '$.popularity', 7.5) WHERE stage = 'score'")
    before = samples(Path("own"))
    reuse("own", first)
    assert samples(Path("own")) == before


@pytest.mark.parametrize("how", ["deleted", "changed", "emptied", "linked"])
def test_a_clip_that_is_not_what_was_rendered_is_not_taken(first: Path, log: Path, how: str) -> None:
    clip = min((first / "videos").iterdir())
    data = clip.read_bytes()
    clip.unlink()
    match how:
        case "changed":
            clip.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "emptied":
            clip.touch()
        case "linked":
            Path("elsewhere.mp4").write_bytes(data)
            clip.symlink_to(Path("elsewhere.mp4").absolute())
    told = Told()
    reuse("second", first, told=told)
    assert log.read_text(encoding="utf-8").split() == [clip.stem]
    assert (Path("second/videos") / clip.name).read_bytes() == data
    assert told.about(first)[0] == "10 drafts, 9 clips and 9 scores are taken from first"
    other = "first: 1 clip of other bytes than were rendered is not taken"
    assert (other in told.lines) is (how != "deleted")
    assert "1 score more is taken from first" in told.lines


def test_nothing_is_taken_under_another_seed_and_that_is_said(first: Path) -> None:
    told = Told()
    reuse("second", first, told=told, seed=7)
    assert "nothing is taken from first: its seed is 42, here 7" in told.lines


def test_a_killed_run_and_a_run_at_work_are_taken_as_far_as_they_are(first: Path, log: Path) -> None:
    change(first, "DELETE FROM done WHERE stage = 'score'")
    change(first, "DELETE FROM calls WHERE stage = 'score'")
    with closing(sqlite3.connect(first / "ledger.sqlite")) as writer:
        writer.execute("BEGIN IMMEDIATE")  # another process writes it now
        reuse("second", first)
    assert len(log.read_text(encoding="utf-8").split()) == 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study", "interrupted"])
def test_a_run_of_an_earlier_popbench_is_taken(in_tmp: Path, name: str) -> None:
    """Its clips and scores: its drafts were asked for with another template."""
    shutil.copytree(EARLIER / name, "earlier")
    told = Told()
    popbench.evaluate(
        llm=["verbatim", "shotlist"], mode="basic", gen="kinetic,width=64,height=64,frames=4", task="popcorn",
        corpus="demo", limit=5, seed=5, out="now", reuse="earlier", progress=told,
    )  # fmt: skip
    (line,) = told.about(Path("earlier"))
    assert (
        line
        == {
            "study": "20 clips and 20 scores are taken from earlier",
            "interrupted": "nothing is taken from earlier: it has none of the calls that were needed",
        }[name]
    )


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], in_tmp: Path) -> Run:
    return in_process(monkeypatch, capsys, in_tmp)


WORDS = shlex.split(
    "eval --llm counting --gen counting,frames=3,width=64,height=64 --predictor counting --mode basic --mode pe,k=2"
    " --task popcorn_concrete --corpus demo --limit 5"
)


def test_a_dry_run_says_what_would_be_taken_and_changes_nothing(first: Path, command: Run) -> None:
    before = bytes_of(first)
    done = command(*WORDS, "--out", "second", "--reuse", "first", "--dry-run", "--json")
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["reused"] == ["10 drafts, 10 clips and 10 scores are taken from first"]
    assert found["run"] == "second"
    assert [stage["done"] for stage in found["stages"]] == [10, 10, 10]
    assert not Path("second").exists()
    assert bytes_of(first) == before
    done = command(*WORDS, "--limit", "6", "--out", "second", "--reuse", "first", "--dry-run")
    assert "10 drafts, 10 clips and 10 scores are taken from first" in done.out
    assert "Run directory: second (new)" in done.out


def damaged(run: Path) -> None:
    (run / "ledger.sqlite").write_bytes(b"not a database" * 100)


def torn(run: Path) -> None:
    data = (run / "ledger.sqlite").read_bytes()
    (run / "ledger.sqlite").write_bytes(data[: len(data) // 2])


def poisoned(run: Path) -> None:
    change(run, "UPDATE calls SET payload = '[1, 2]' WHERE stage = 'write'")


def unsettled(run: Path) -> None:
    change(run, "UPDATE done SET value = json_set(value, '$.title', 3) WHERE stage = 'write'")


def endless(run: Path) -> None:
    change(run, "UPDATE calls SET payload = json_set(payload, '$.popularity', 9e999) WHERE stage = 'score'")


def programmed(run: Path) -> None:
    change(run, "CREATE TRIGGER evil AFTER INSERT ON calls BEGIN DELETE FROM done; END")


def foreign(run: Path) -> None:
    change(run, "UPDATE about SET value = '99' WHERE name = 'schema'")


@pytest.mark.parametrize(
    "spoil", [damaged, torn, poisoned, unsettled, endless, programmed, foreign], ids=lambda f: f.__name__
)
def test_a_ledger_that_cannot_be_trusted_is_one_line(first: Path, command: Run, spoil: Callable[[Path], None]) -> None:
    spoil(first)
    done = command(*WORDS, "--out", "second", "--reuse", "first")
    assert done.status in (1, 2)
    lines = [line for line in done.err.splitlines() if line.startswith("popbench: ")]
    assert len(lines) == 1
    assert "reuse: first/ledger.sqlite" in lines[0]
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("nowhere", "nowhere: no such folder"),
        ("empty", "empty: no run has begun here"),
        ("second", "second is the directory of this run"),
        ("https://example.org/run", "looks like a URL"),
        ("", "expected the directory of a run"),
    ],
)
def test_what_is_no_other_run_is_refused_before_any_work(in_tmp: Path, command: Run, word: str, why: str) -> None:
    Path("empty").mkdir()
    done = command(*WORDS, "--out", "second", "--reuse", word)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    assert why in done.err
    assert not Path("second").exists()


class Moody(faults.CountingGenerator):
    """Takes no seed."""

    repeatable = False


def test_boards_say_of_a_component_that_it_is_not_repeatable_and_reports_too(in_tmp: Path, command: Run) -> None:
    run = run_fast(Path("run"), gen=Moody)
    line = "Moody: not repeatable: asked again, it may answer otherwise"
    assert line in " ".join((run.path / "leaderboard.md").read_text(encoding="utf-8").split())
    assert json.loads((run.path / "run.json").read_text(encoding="utf-8"))["notes"]["Moody"] == line.partition(": ")[2]
    assert command("report", "run").status == 0
    assert "not repeatable" in (run.path / "report.html").read_text(encoding="utf-8")


def test_that_clips_are_rendered_again_by_what_is_not_repeatable_is_told(in_tmp: Path) -> None:
    run_fast(Path("run"), gen=Moody)
    for clip in sorted(Path("run/videos").iterdir())[:2]:
        clip.unlink()
    told = Told()
    run_fast(Path("run"), gen=Moody, progress=told)
    assert "Moody: 2 results of it are made again, and may be other ones: it is not repeatable" in told.lines
    told = Told()
    popbench.evaluate(**{**FAST, "gen": Moody}, out="second", reuse="run", progress=told)
    assert told.lines[0] == "5 drafts, 5 clips and 5 scores are taken from run"
    assert not any("repeatable" in line for line in told.lines)
