"""`popbench status`: what it says of a run is what the run says of itself, at any moment, and it is in nobody's way."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import command_line
import faults
import popbench.runs.collect
from popbench.keys import digest
from popbench.ledger.ledger import Call, Ledger
from popbench.runs.directory import HOLDER, LOCK, HeldDirectory
from popbench.runs.heartbeat import FILE, Sums
from popbench.runs.status import StageStatus
from popbench.runs.status_reading import read_status
from popbench_runs import run_fast, start
from usage_errors import refusal

LIMIT = 5


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> command_line.Run:
    return command_line.in_process(monkeypatch, capsys, tmp_path)


def stages(path: Path) -> dict[str, StageStatus]:
    return {stage.stage: stage for stage in read_status(path).stages}


def counts(path: Path) -> dict[str, tuple[int, int, int]]:
    return {name: (stage.done, stage.total, stage.invalid) for name, stage in stages(path).items()}


def edit(path: Path, change: Callable[[Any], object]) -> None:
    about = json.loads((path / "run.json").read_text(encoding="utf-8"))
    change(about)
    (path / "run.json").write_text(json.dumps(about), encoding="utf-8")


def take(path: Path, seconds: float, gpus: float, part: str) -> None:
    """Add a call to a run, as if one of its components had made it."""
    with closing(Ledger(path / "ledger.sqlite")) as ledger:
        ledger.commit(Call(f"more-{part}", "render", "ok", {"seconds": seconds, "gpus": gpus}), (), part)


def test_what_is_invalid_never_gets_to_later_stages_and_what_failed_is_not_done(tmp_path: Path) -> None:
    run_fast(tmp_path / "run", llm="faulty,fault=refusal,at=1", predictor="faulty,fault=failure,at=0")
    assert counts(tmp_path / "run") == {"write": (5, 5, 1), "render": (4, 4, 0), "score": (3, 4, 0)}
    status = read_status(tmp_path / "run")
    assert status.state == "incomplete"
    assert status.seconds_left is None
    run_fast(tmp_path / "run", llm="faulty,fault=refusal,at=1", predictor="faulty")
    assert read_status(tmp_path / "run").state == "finished"
    assert read_status(tmp_path / "run").seconds_left == 0


def test_results_of_earlier_commands_count_where_the_last_has_use_for_them(tmp_path: Path) -> None:
    """With fewer prompts there is not more than all; with another generator the drafts are there."""
    run_fast(tmp_path / "run")
    run_fast(tmp_path / "run", limit=3, stop_after="render", gen=["faulty", "faulty,at=9,label=other"])
    found = read_status(tmp_path / "run")
    assert [(stage.component, stage.done, stage.total) for stage in found.stages] == [
        ("faulty", 3, 3), ("faulty", 3, 3), ("other", 3, 3),
    ]  # fmt: skip


def test_it_says_what_a_run_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds times GPUs of a component's calls, and of all; the spend of LLMs that know their prices."""
    monkeypatch.setattr(faults.FaultyLLM, "cost", lambda _, usage: usage["input"] / 10)
    path = run_fast(tmp_path / "run").path
    about = json.loads((path / "run.json").read_text(encoding="utf-8"))
    generator = digest(about["components"]["generator faulty"]["fingerprint"])
    take(path, 30.0, 2.0, generator)
    take(path, 7.0, 1.0, "of-an-earlier-command")
    found = stages(path)
    assert (found["render"].gpu_seconds, found["write"].gpu_seconds) == (60, 0)
    assert found["write"].usd == pytest.approx(LIMIT * 3 / 10)
    status = read_status(path)
    assert (status.gpu_seconds, status.notes) == (67, ())
    assert status.usd == pytest.approx(1.5)


def test_without_the_plugin_only_the_spend_is_unknown(tmp_path: Path) -> None:
    path = run_fast(tmp_path / "run").path
    before = counts(path)
    edit(path, lambda about: about["components"]["llm faulty"].update(spec="nobody-has-this"))
    assert counts(path) == before
    (note,) = read_status(path).notes
    assert note.startswith("what nobody-has-this cost is not known here (unknown llm 'nobody-has-this'")


def test_a_run_at_work_is_looked_at_without_a_lock_and_told_from_a_dead_one(tmp_path: Path) -> None:
    """Its third clip never comes: at work, then stalled; killed, it has stopped, whatever its files say."""
    path = tmp_path / "run"
    command = ["eval", "--llm", "faulty", "--gen", "faulty,fault=silent", "--predictor", "faulty", "--mode", "basic"]
    process = start([*command, "--task", "popcorn_concrete", "--limit", "5", "--corpus", "demo", "--out", str(path)],
                    tmp_path)  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not (path / "run.json").exists() or stages(path)["render"].done < 2:
            assert time.monotonic() < until
            assert process.is_alive()
            time.sleep(0.05)
        status = read_status(path)
        assert status.state == "at work"
        assert status.holder is not None
        assert status.holder.startswith(f"process {process.pid} on ")
        assert stages(path)["write"].rate is not None
        later = read_status(path, now=time.time() + 1000)
        assert later.state == "stalled"
        assert later.silent == pytest.approx(1000, abs=30)
    finally:
        process.kill()
        process.join()
    assert (path / HOLDER).exists()
    assert read_status(path).holder is None
    status = read_status(path)
    assert (status.state, status.killed) == ("stopped", True)
    assert stages(path)["render"].rate is None


def test_rates_are_over_the_last_minutes_of_this_start_where_enough_came(tmp_path: Path) -> None:
    """100 an hour ago, 6 within the last 300 s: of another start's rows none counts."""
    path = run_fast(tmp_path / "run").path
    now = time.time() // 10 * 10 + 5
    edit(path, lambda about: about["timings"].update(started="2026-01-01T00:00:00+0000"))
    with closing(sqlite3.connect(path / "ledger.sqlite")) as db:
        db.execute("DELETE FROM tally WHERE stage = 'write'")
        cell = db.execute("SELECT system, task, mode FROM tally WHERE stage = 'render'").fetchone()
        db.execute("UPDATE tally SET tick = 0, last = 0")
        for ago, n in ((3000, 100), (200, 6)):
            tick = (now - ago) // 10 * 10
            db.execute("INSERT INTO tally VALUES (?, ?, ?, 'render', 'ok', ?, ?, ?)", (*cell, tick, n, tick))
        db.commit()
    with HeldDirectory(path):
        assert stages_at(path, now)["render"].rate == pytest.approx(6 / 305)
        assert stages_at(path, now)["score"].rate is None
        edit(path, lambda about: about["timings"].update(started=time.strftime(
            "%Y-%m-%dT%H:%M:%S+0000", time.gmtime(now - 100))))  # fmt: skip
        assert stages_at(path, now)["render"].rate is None


def stages_at(path: Path, now: float) -> dict[str, StageStatus]:
    return {stage.stage: stage for stage in read_status(path, now).stages}


def test_it_leaves_nothing_in_the_run(tmp_path: Path) -> None:
    """SQLite would make files beside a ledger that is only read, where it can."""
    path = run_fast(tmp_path / "run").path
    before = sorted(path.iterdir())
    assert read_status(path).state == "finished"
    assert sorted(path.iterdir()) == before


def test_a_run_of_another_machine_is_at_work_while_its_lock_is_taken(tmp_path: Path) -> None:
    """It says what that machine told last, by its clock, and opens no ledger that is written elsewhere."""
    path = run_fast(tmp_path / "run").path
    started = json.loads((path / "run.json").read_text(encoding="utf-8"))["timings"]["started"]
    at = datetime.fromisoformat(started).timestamp() + 100
    with closing(Ledger(path / "ledger.sqlite")) as ledger:
        sums = Sums.of(ledger, at - 100, at)
    (path / "ledger.sqlite").rename(path / "kept")
    (path / "ledger.sqlite").write_bytes(b"not to be read")
    with HeldDirectory(path):
        (path / HOLDER).write_text("process 1 on elsewhere, since 2026", encoding="utf-8")
        assert read_status(path).notes == (
            "at work on another machine, which has told nothing yet: look again in a minute",
        )
        (path / FILE).write_text(sums.model_dump_json(), encoding="utf-8")
        status = read_status(path)
        assert status.holder == "process 1 on elsewhere, since 2026"
        assert counts(path) == {"write": (5, 5, 0), "render": (5, 5, 0), "score": (5, 5, 0)}
        assert [stage.rate for stage in status.stages] == [pytest.approx(0.05)] * 3
        assert (status.now, status.notes) == (at, ())
        (path / FILE).write_text("{", encoding="utf-8")
        assert counts(path)["write"] == (0, 5, 0)
    (path / "kept").replace(path / "ledger.sqlite")
    (path / HOLDER).write_text("process 1 on elsewhere, since 2026", encoding="utf-8")
    assert read_status(path).holder is None
    assert (path / LOCK).exists()


def test_a_run_at_work_tells_other_machines_what_its_ledger_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Sums | None] = []
    monkeypatch.setattr("popbench.runs.heartbeat.EVERY", 0.01)
    path, collect = tmp_path / "run", popbench.runs.collect.collect

    def slowly(*arguments: Any) -> Any:
        until = time.monotonic() + 30
        while not told or told[-1] is None or len(told[-1].settled) < 3:
            assert time.monotonic() < until
            told.append(Sums.read(path))
        return collect(*arguments)

    monkeypatch.setattr("popbench.evaluation.finish.collect", slowly)
    run_fast(path)
    assert told[-1] is not None
    assert sorted(row[3:6] for row in told[-1].settled) == [
        ("render", "ok", 5), ("score", "ok", 5), ("write", "ok", 5),
    ]  # fmt: skip
    assert not (path / FILE).exists()


def test_a_run_at_work_tells_what_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Sums | None] = [None]
    monkeypatch.setattr("popbench.runs.heartbeat.EVERY", 0.01)
    path, collect = tmp_path / "run", popbench.runs.collect.collect

    def slowly(*arguments: Any) -> Any:
        until = time.monotonic() + 30
        while told[-1] is None or not told[-1].errors:
            assert time.monotonic() < until
            told.append(Sums.read(path))
        return collect(*arguments)

    monkeypatch.setattr("popbench.evaluation.finish.collect", slowly)
    run_fast(path, llm="faulty,fault=failure,at=1")
    assert told[-1] is not None
    assert told[-1].errors == {"quota used up": 1}


def test_what_is_invalid_of_an_earlier_command_takes_nothing_from_the_last(tmp_path: Path) -> None:
    options: dict[str, Any] = {"llm": "faulty,fault=refusal,at=3", "stop_after": "write"}
    run_fast(tmp_path / "run", limit=5, **options)
    run_fast(tmp_path / "run", limit=1, **options)
    edit(tmp_path / "run", lambda about: about["config"].update(stop_after=None))
    assert counts(tmp_path / "run")["render"] == (0, 1, 0)
    assert read_status(tmp_path / "run").state != "finished"
    assert any("an earlier command wanted more" in note for note in read_status(tmp_path / "run").notes)


def test_what_is_no_run_is_told_in_one_line(tmp_path: Path, run: command_line.Run) -> None:
    path = run_fast(tmp_path / "run").path
    (path / "ledger.sqlite").write_bytes(b"")
    assert counts(path) == {"write": (0, 5, 0), "render": (0, 5, 0), "score": (0, 5, 0)}
    (path / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    assert "ledger cannot be opened" in run("status", path).line
    for content in ("{", "[]", '{"config": 1}'):
        (path / "run.json").write_text(content, encoding="utf-8")
        assert "run.json cannot be read" in run("status", path).line
    (path / "run.json").unlink()
    assert "not a run directory" in run("status", path).line
    assert run("status", tmp_path / "nowhere").status == 2
    with HeldDirectory(path):
        assert "the run is only being made, by process" in refusal(lambda: read_status(path))


@pytest.mark.parametrize("every", ["nan", "inf", "1e10", "0", "-1", "often"])
def test_looks_are_a_number_of_seconds_apart(tmp_path: Path, run: command_line.Run, every: str) -> None:
    run_fast(tmp_path / "run")
    assert "Invalid value for '--every'" in run("status", tmp_path / "run", "--every", every).line


def test_it_is_shown_by_component_and_several_runs_by_run(tmp_path: Path, run: command_line.Run) -> None:
    path = run_fast(tmp_path / "one").path
    run_fast(tmp_path / "two", stop_after="write")
    take(path, 3600.0, 2.0, "gpu")
    lines = [line.split() for line in run("status", path).out.splitlines()]
    assert lines[0][:2] == [f"{path}:", "finished;"]
    assert [(line[0], line[1], line[-1]) for line in lines[2:5]] == [
        ("write", "faulty", "5/5"), ("render", "faulty", "5/5"), ("score", "faulty", "5/5"),
    ]  # fmt: skip
    assert lines[5] == ["2.0", "GPU-hours"]
    both = run("status", path, tmp_path / "two", tmp_path / "three")
    assert both.status == 1
    assert [line.split()[-2:] for line in both.out.splitlines()[1:3]] == [["2.0", "finished"], ["5/5", "finished"]]
    assert "2 runs: 20/20 done, 2.0 GPU-hours" in both.out
    assert f"{tmp_path / 'three'}: no such folder" in both.out
    told = json.loads(run("status", path, "--json", "--every", "0.1").out)
    assert (told["done"], told["gpu_seconds"], told["runs"][0]["state"]) == (15, 7200, "finished")


def test_eval_says_how_many_gpu_hours_its_run_took(tmp_path: Path, run: command_line.Run) -> None:
    path = run_fast(tmp_path / "run").path
    command = ["eval", "--config", path / "run.json", "--out", path]
    assert "GPU-hours" not in run(*command).out
    take(path, 3600.0, 2.0, "gpu")
    assert "videos; 2.0 GPU-hours\n" in run(*command).out
