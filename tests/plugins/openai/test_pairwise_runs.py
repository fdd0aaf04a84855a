"""Whole runs with a judge of pairs: up to the board, with faults, limits of cost and kills."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import command_line
import judge_server
import popbench_runs
from command_line import Run
from judge_server import KEY, JudgeServer, chat_body, choose
from made_tasks import task_file
from openai_servers import holders

ROWS = [
    {"id": f"p{n}", "prompt": f"A {'vile' if n % 4 == 0 else 'mild'} thing {n}", "category": "ab"[n % 2]}
    for n in range(8)
]
SYSTEMS = 3
CALLS = SYSTEMS * (SYSTEMS - 1) * len(ROWS)
NAME = "judge-pairwise[model=seer,frames=2]"
PRICE = (900 * 2 + 40 * 8) / 1e6


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    with judge_server.prepared(monkeypatch, choose) as server:
        yield server


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    task_file(tmp_path / "tasks", ROWS)
    return command_line.in_process(monkeypatch, capsys, tmp_path)


def words(server: JudgeServer, *more: object, out: str = "run", **options: Any) -> tuple[str, ...]:
    gens = [f"kinetic,width=64,height=64,frames={frames},label=k{frames}" for frames in (4, 5, 6)]
    return (
        "eval", "--llm", "verbatim", *(word for gen in gens for word in ("--gen", gen)), "--mode", "basic",
        "--task", "tasks/mine.yaml", "--predictor", judge_server.spec(server, "judge-pairwise", **options),
        "--out", out, *map(str, more),
    )  # fmt: skip


def rows(out: str = "run") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(out, "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def told(out: str = "run") -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(Path(out, "run.json").read_text(encoding="utf-8"))["comparisons"][NAME]
    return entry


def test_brighter_clips_win_and_the_shares_are_those_of_the_frames(server: JudgeServer, run: Run) -> None:
    done = run(*words(server, price_in=2, price_out=8))
    assert done.status == 0, done.err
    assert len(server.asked) == CALLS
    won: Counter[tuple[str, str]] = Counter()
    of = {(row["prompt_id"], row["generator"]): row for row in rows()}
    for prompt in {row["id"] for row in ROWS}:
        for one, other in combinations(("k4", "k5", "k6"), 2):
            share = sum(of[prompt, name]["scores"][NAME] for name in (one, other))
            assert 0.5 <= share <= 1.5
        assert sum(of[prompt, name]["scores"][NAME] for name in ("k4", "k5", "k6")) == pytest.approx(1.5)
        won[prompt, ""] += 1
    assert told()["agree"] == 1.0
    results = json.loads(Path("run/results.json").read_text(encoding="utf-8"))
    (cost,) = [row for row in results["costs"] if "predictor" in row]
    assert (cost["calls"], cost["cost"]) == (CALLS, pytest.approx(CALLS * PRICE))
    assert sum(row["costs"]["predict"] for row in rows()) == pytest.approx(CALLS * PRICE)
    assert run(*words(server, price_in=2, price_out=8)).status == 0
    assert len(server.asked) == CALLS, "what is answered is not asked again"


def test_a_server_that_always_prefers_the_first_decides_nothing_and_is_found_out(server: JudgeServer, run: Run) -> None:
    server.reply = lambda _: '{"better": "first"}'
    done = run(*words(server))
    assert done.status == 0, done.err
    assert {row["scores"][NAME] for row in rows()} == {0.5}
    assert (told()["first"], told()["agree"]) == (1.0, 0.0)
    assert "shown first is chosen in 100 % of its answers" in Path("run/leaderboard.md").read_text(encoding="utf-8")
    results = json.loads(Path("run/results.json").read_text(encoding="utf-8"))
    assert {pair["win_rate"]["value"] for pair in results["pairs"]} == {0.5}


def test_a_run_gets_through_faults_and_leaves_no_trace_of_the_key(server: JudgeServer, run: Run) -> None:
    def reply(asked: judge_server.Asked) -> Any:
        if "vile" in asked.prompt:
            return chat_body(None, refusal=f"Not this one. {asked.key}")
        return choose(asked)

    server.reply = reply
    busy, broken = (lambda _: (429, {"error": {"message": "busy"}})), (lambda _: (500, "oops"))
    server.first = [busy, broken, lambda _: '{"better": 3}', busy, lambda _: (200, '{"cho'), lambda _: "no JSON"]
    done = run(*words(server))
    assert done.status == 0, done.err
    assert Counter(row["status"] for row in rows()) == {"ok": 18, "invalid": 6}
    assert KEY not in done.out + done.err
    assert not holders(KEY[:12], Path())


def test_a_budget_is_kept_and_a_dry_run_says_what_all_pairs_cost(server: JudgeServer, run: Run) -> None:
    prices: dict[str, Any] = {"price_in": 2, "price_out": 8}
    dry = run(*words(server, **prices), "--dry-run")
    assert "each of 3 systems is compared with every other, both ways round: 3 x 2 = 6 calls" in dry.out
    one = judge_server.make(server, "judge-pairwise", **prices).estimate(1)
    (estimate,) = json.loads(run(*words(server, **prices), "--dry-run", "--json").out)["costs"]
    assert (estimate["scores"], estimate["cost"]) == (CALLS, pytest.approx(CALLS * one))
    assert not server.asked
    assert run(*words(server, **prices), "--max-cost", round(3.5 * one, 6)).status == 1
    assert 0 < len(server.asked) * PRICE <= 3.5 * one
    assert run(*words(server, **prices)).status == 0
    assert len(server.asked) == CALLS


@pytest.mark.slow
def test_a_killed_run_pays_for_no_stored_answer_again(server: JudgeServer, run: Run, tmp_path: Path) -> None:
    assert run(*words(server, out="whole")).status == 0
    server.asked.clear()
    server.latency, kills = 0.05, 0
    arguments = words(server, concurrency=2)
    while True:
        process = popbench_runs.start(arguments, tmp_path)
        goal = len(popbench_runs.committed(tmp_path / "run")) + 8 + 32 * (not kills)
        while process.is_alive() and (kills == 3 or len(popbench_runs.committed(tmp_path / "run")) < goal):
            time.sleep(0.01)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "stderr.txt").read_text()
    assert kills == 3
    assert CALLS <= len(server.asked) <= CALLS + 3 * 2
    assert popbench_runs.samples(tmp_path / "run") == popbench_runs.samples(tmp_path / "whole")
