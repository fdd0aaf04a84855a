"""Whole runs with a judge: on clips of an earlier run, with faults, limits of cost and kills."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import command_line
import judge_server
import popbench_runs
from command_line import Run
from judge_server import KEY, JudgeServer, chat_body, spec
from made_tasks import task_file
from openai_servers import holders

ROWS = [
    {"id": f"p{n}", "prompt": f"A {'vile' if n % 4 == 0 else 'mild'} thing {n}", "category": "ab"[n % 2]}
    for n in range(8)
]
SYSTEMS = 2
SAMPLES = SYSTEMS * len(ROWS)
PRICES = {"price_in": 2, "price_out": 8}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    with judge_server.prepared(monkeypatch) as server:
        yield server


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    task_file(tmp_path / "tasks", ROWS)
    return command_line.in_process(monkeypatch, capsys, tmp_path)


def words(predictor: str, *more: object, out: str = "run") -> tuple[str, ...]:
    return (
        "eval", "--llm", "verbatim", "--llm", "shotlist", "--gen", "kinetic,width=64,height=64,frames=4",
        "--mode", "basic", "--task", "tasks/mine.yaml", "--predictor", predictor, "--out", out, *map(str, more),
    )  # fmt: skip


def rows(out: str = "run") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(out, "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_judge_scores_the_clips_of_an_earlier_run_up_to_the_board(server: JudgeServer, run: Run) -> None:
    first = run(*words("demo", out="first"))
    assert first.status == 0, first.err
    done = run(*words(spec(server, draws=2), "--predictor", "demo", "--reuse", "first"))
    assert done.status == 0, done.err
    assert len(server.asked) == 2 * SAMPLES
    by_prompt = Counter(asked.prompt for asked in server.asked)
    assert by_prompt == {row["prompt"]: 2 * SYSTEMS for row in ROWS}
    seen = sorted({round(asked.brightness, 6) for asked in server.asked})
    scores = sorted({round(row["scores"]["judge[model=seer,frames=2,draws=2]"], 6) for row in rows()})
    assert scores == pytest.approx(seen)
    results = json.loads(Path("run/results.json").read_text(encoding="utf-8"))
    judge = results["predictors"][0]
    assert (judge["unit"], judge["scale"]) == ("points", "real")
    assert {row["part"] for row in results["parts"]} == {"hook", "clarity", "novelty", "fit"}
    board = Path("run/leaderboard.md").read_text(encoding="utf-8")
    assert "seer is shown 2 frames of each clip, without sound" in board
    assert run(*words(spec(server, draws=2), "--predictor", "demo", "--reuse", "first")).status == 0
    assert len(server.asked) == 2 * SAMPLES, "what is scored is not asked again"
    assert run("report", "run").status == 0


def test_a_run_gets_through_faults_and_leaves_no_trace_of_the_key(server: JudgeServer, run: Run) -> None:
    def reply(asked: judge_server.Asked) -> Any:
        if "vile" in asked.prompt:
            return chat_body(None, refusal=f"Not this one. {asked.key}")
        return json.dumps(asked.marks())

    server.reply = reply
    busy, broken = (lambda _: (429, {"error": {"message": "busy"}})), (lambda _: (500, "oops"))
    server.first = [busy, broken, lambda _: '{"score": 12}', busy, lambda _: (200, '{"cho'), lambda _: "no JSON"]
    done = run(*words(spec(server)))
    assert done.status == 0, done.err
    status = Counter((row["status"], row["popularity"] is None) for row in rows())
    assert status == {("ok", False): 12, ("invalid", True): 4}
    assert KEY not in done.out + done.err
    assert not holders(KEY[:12], Path())


def test_what_failed_is_asked_by_the_next_run_and_nothing_else(server: JudgeServer, run: Run) -> None:
    usual = server.reply
    server.reply = lambda asked: (503, {"error": {}}) if "thing 3" in asked.prompt else usual(asked)
    done = run(*words(spec(server, max_retries=0)))
    assert done.status == 1
    assert [row["status"] for row in rows()].count("error") == SYSTEMS
    server.asked.clear()
    server.reply = usual
    assert run(*words(spec(server))).status == 0
    assert [asked.prompt for asked in server.asked] == ["A mild thing 3"] * SYSTEMS


def test_costs_are_estimated_counted_and_limited(server: JudgeServer, run: Run) -> None:
    judge = spec(server, **PRICES)
    plan = json.loads(run(*words(judge), "--dry-run", "--json").out)
    (estimate,) = plan["costs"]
    one = judge_server.make(server, **PRICES).estimate(1)
    assert estimate["cost"] == pytest.approx(SAMPLES * one)
    assert not server.asked
    held = run(*words(judge), "--max-cost", round(2.5 * one, 6))
    assert held.status == 1
    price = (900 * 2 + 40 * 8) / 1e6
    assert 0 < len(server.asked) * price <= 2.5 * one
    assert len(server.asked) < SAMPLES
    assert run(*words(judge)).status == 0
    assert len(server.asked) == SAMPLES
    (cost,) = [row for row in json.loads(Path("run/results.json").read_text())["costs"] if row.get("cost")]
    assert cost["cost"] == pytest.approx(SAMPLES * price)


def committed(path: Path) -> int:
    """Return how many scores a ledger has, also while another process writes it."""
    if not (path / "ledger.sqlite").exists():
        return 0
    with closing(sqlite3.connect(f"file:{path / 'ledger.sqlite'}?mode=ro", uri=True, timeout=5)) as ledger:
        try:
            return int(ledger.execute("SELECT count(*) FROM calls WHERE stage = 'score'").fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


@pytest.mark.slow
def test_a_killed_run_asks_for_no_stored_score_again(server: JudgeServer, run: Run, tmp_path: Path) -> None:
    arguments = words(spec(server, draws=2, concurrency=2))
    assert run(*arguments[:-2], "--out", "whole").status == 0
    server.asked.clear()
    server.latency, kills, draws_at_work = 0.05, 0, 0
    while True:
        process = popbench_runs.start(arguments, tmp_path)
        goal = committed(tmp_path / "run") + 3
        while process.is_alive() and (kills == 3 or committed(tmp_path / "run") < goal):
            time.sleep(0.01)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
            draws_at_work += 2 * 2  # of two clips, two draws each
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "stderr.txt").read_text()
    assert kills == 3
    assert 2 * SAMPLES <= len(server.asked) <= 2 * SAMPLES + draws_at_work
    assert popbench_runs.samples(tmp_path / "run") == popbench_runs.samples(tmp_path / "whole")
