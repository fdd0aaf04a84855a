"""Prompts taken in rounds: who gets more is decided from the scores alone, so that kills and pauses change nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import corpus_files
import popbench
from command_line import Run, in_process
from popbench.stats import SequentialDesign, replay_looks

GEN = "kinetic,width=64,height=64,frames=4"
COMMAND = ["eval", "--until", "best", "--task", "popcorn_concrete", "--gen", GEN]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run until the best is found."""
    out = tmp_path_factory.mktemp("until") / "run"
    popbench.evaluate(until="best", task="popcorn_concrete", gen=GEN, out=out)
    return out


def read(run: Path, name: str = "results.json") -> Any:
    return json.loads((run / name).read_text(encoding="utf-8"))


def samples(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def taken(run: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in samples(run):
        counts[sample["system"]] = counts.get(sample["system"], 0) + 1
    return counts


def test_systems_out_of_question_get_no_more_prompts_and_the_board_says_how_it_stopped(best: Path) -> None:
    results = read(best)
    told = results["sequential"]
    assert told["stop"] in ("best", "futility", "maximum")
    assert taken(best) == told["prompts"]
    assert {row["system"]: row["n"] for row in results["systems"]} == taken(best)
    assert min(taken(best).values()) < 100
    board = (best / "leaderboard.md").read_text(encoding="utf-8")
    assert "Prompts were taken in rounds until the best system is found" in board
    assert "**When pairs were decided**" in board
    assert "detects (80 % power)" not in board
    for pair in results["pairs"]:
        low, high = pair["win_rate"]["simultaneous"]
        assert (pair["verdict"] != "undecided") == (not low <= 0.5 <= high) == (pair["decided_at"] is not None)
        assert pair["p"] is None
        assert pair["wins"] + pair["ties"] + pair["losses"] == pair["n"]


def test_each_round_has_prompts_of_all_categories(best: Path) -> None:
    for system in taken(best):
        categories = [sample["category"] for sample in samples(best) if sample["system"] == system]
        counts = {categories.count(category) for category in set(categories)}
        assert len(counts) == 1


def test_the_board_is_what_the_procedure_gives_for_the_samples(best: Path) -> None:
    told = read(best)["sequential"]
    design = SequentialDesign.from_json(told["design"])
    systems = list(told["systems"])
    prompts = sorted({sample["prompt_id"] for sample in samples(best)})
    values = np.full((len(systems), len(prompts), 1), np.nan)
    for sample in samples(best):
        values[systems.index(sample["system"]), prompts.index(sample["prompt_id"]), 0] = sample["popularity"]
    category = {sample["prompt_id"]: sample["category"] for sample in samples(best)}
    seen: dict[str, int] = {}
    rounds = []
    for prompt in prompts:  # named by category and number, in the order in which a limit takes them
        number = seen[category[prompt]] = seen.get(category[prompt], 0) + 1
        rounds.append((number - 1) // 4)
    strata = np.unique([category[prompt] for prompt in prompts], return_inverse=True)[1]
    state = replay_looks(design, values, rounds, strata)[-1]
    assert (state.look, state.stop) == (told["look"], told["stop"])
    verdicts = [{"better": 1, "worse": -1, "undecided": 0}[pair["verdict"]] for pair in read(best)["pairs"]]
    assert state.verdicts.tolist() == verdicts


def test_the_same_command_again_does_nothing_and_says_so(best: Path, run: Run) -> None:
    before = (best / "results.json").read_bytes()
    done = run(*COMMAND, "--out", best)
    assert done.status == 0
    assert (best / "results.json").read_bytes() == before
    assert f"{len(samples(best))} items, {len(samples(best))} already done" in done.err
    assert "finished" in run("status", best).out


def test_a_dry_run_says_at_which_prompts_it_will_look(run: Run) -> None:
    done = run(*COMMAND, "--limit", 60, "--dry-run")
    assert done.status == 0
    assert "Until best: prompts in rounds, with looks at 20, 40, 60 prompts" in done.out


def test_more_prompts_and_another_goal_go_on_with_what_was_spent(tmp_path: Path, run: Run) -> None:
    out = tmp_path / "run"
    assert run(*COMMAND, "--limit", 40, "--out", out).status == 0
    first = read(out, "run.json")["rounds"]["design"]
    assert run(*COMMAND, "--limit", 60, "--out", out).status == 0
    second = read(out, "run.json")["rounds"]["design"]
    assert second["maxima"] == [2, 3]
    assert second["looks"] == [20, 40, 60]
    assert run(*[word.replace("best", "decided") for word in COMMAND], "--limit", 60, "--out", out).status == 0
    third = read(out, "run.json")["rounds"]["design"]
    assert (third["goal"], third["spending"]) == ("decided", first["spending"])
    assert "give the --limit of before or more" in run(*COMMAND, "--limit", 40, "--out", out).line
    assert "compare other systems" in run(*COMMAND, "--limit", 60, "--mode", "basic", "--out", out).line


def test_without_rounds_the_rest_is_run_and_the_looks_are_told(tmp_path: Path, run: Run) -> None:
    out = tmp_path / "run"
    command = [*COMMAND, "--limit", 40, "--llm", "verbatim", "--mode", "basic", "--mode", "pe", "--corpus", "demo"]
    assert run(*command, "--out", out).status == 0
    assert set(taken(out).values()) == {20}  # both do the same: nothing would ever be decided
    for words in (
        ["leaderboard", "build", out, "--out", tmp_path / "b"],
        ["leaderboard", "add", tmp_path / "b", out],
        ["compare", out, out],
        ["export", out, "--format", "eee", "--out", tmp_path / "eee"],
    ):
        assert "taken in rounds (--until)" in run(*words).line
    assert run("report", out).status == 0
    assert run(*[word for word in command if word not in ("--until", "best")], "--out", out).status == 0
    assert set(taken(out).values()) == {40}
    assert "sequential" not in read(out)
    assert read(out, "run.json")["rounds"]["design"]["looks"] == [20, 40]


def test_human_videos_are_a_system_of_the_comparison_that_takes_prompts_as_others(tmp_path: Path, run: Run) -> None:
    rows = corpus_files.rows()
    path = corpus_files.write(tmp_path / "mine.csv", rows)
    corpus = corpus_files.spec(path, videos=corpus_files.videos(tmp_path / "videos", rows))
    out = tmp_path / "run"
    words = ["--until", "best", "--task", "popcorn_concrete", "--gen", GEN, "--llm", "verbatim", "--mode", "basic"]
    done = run("eval", *words, "--corpus", corpus, "--embedder", "hashing", "--baseline", "human", "--out", out)
    assert done.status == 0, done.err
    assert set(taken(out)) == {"human", "verbatim|basic|" + GEN.replace(",", "[", 1) + "]"}
    assert taken(out) == read(out)["sequential"]["prompts"]
    assert "finished" in run("status", out).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--until", "bset"], "until: expected best, decided, or width=W"),
        (["--until", "width=2"], "until: expected best, decided, or width=W"),
        (["--until", "best", "--shard", "1/2"], "leave out --shard"),
        (["--until", "best", "--stop-after", "write"], "leave out --stop-after"),
        (["--until", "best", "--llm", "shotlist", "--mode", "basic"], "there is one: name another"),
        (["--until", "best", "--limit", "1"], "the first look needs at least 10 prompts"),
    ],
)
def test_what_cannot_be_taken_in_rounds_is_one_line(words: list[str], said: str, run: Run) -> None:
    done = run("eval", *words)
    assert done.status == 2
    assert said in done.line


@pytest.mark.slow
def test_a_run_killed_again_and_again_decides_as_an_undisturbed_one(best: Path, tmp_path: Path) -> None:
    out, rng, kills = tmp_path / "killed", random.Random(3), 0
    command = [sys.executable, "-m", "popbench", *COMMAND, "--out", str(out)]
    for _ in range(40):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
        deadline = time.monotonic() + (rng.uniform(2.0, 7.0) if kills < 5 else 300)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills
    assert (out / "results.json").read_bytes() == (best / "results.json").read_bytes()
    assert taken(out) == taken(best)
