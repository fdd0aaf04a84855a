"""Ballots of runs that popbench has made: with a task's question, in rounds, without scores, and with sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import faults
import popbench
from ballot_runs import best_of, key_of, votes_of, write_votes
from made_tasks import task_file
from popbench.ballot.add import add_votes
from popbench.ballot.clips import bare_clip
from popbench.ballot.make import make_ballot
from popbench.video import has_sound, write_mp4
from popbench_runs import FAST
from run_folders import results_of

GEN = "kinetic,width=64,height=64,frames=4"
QUESTION = "Which would your aunt send on?"


def systems_of(run: Path) -> list[str]:
    return sorted({row["system"] for row in results_of(run)["systems"]})


def test_a_run_is_voted_on_from_its_task_to_its_win_rates(tmp_path: Path) -> None:
    faults.install()
    task = task_file(tmp_path / "task", question=QUESTION)
    settings = {
        **FAST,
        "llm": ["shotlist", "verbatim"],
        "gen": GEN,
        "task": str(task),
        "out": tmp_path / "run",
    }
    run = popbench.evaluate(**settings).path
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["tasks"]["mine"]["draft"]["question"] == QUESTION
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    ballot = make_ballot(run, 5, tmp_path / "vote.html")
    assert QUESTION in ballot.page.read_text(encoding="utf-8")
    key, systems = key_of(run), systems_of(run)
    files = [write_votes(tmp_path / f"{n}.json", votes_of(key, best_of(systems), n)) for n in range(3)]
    board = add_votes(run, files).board
    (pair,) = board["people"]["pairs"]
    assert (pair["a"], pair["labels"]["value"], pair["wins"], pair["voters"]) == (systems[0], 1.0, 15, 3)
    assert results_of(run) == board
    assert "By people (15 votes by 3 voters, on 1 of 1 pair)" in (run / "leaderboard.md").read_text(encoding="utf-8")
    assert popbench.evaluate(**settings).complete
    assert results_of(run)["people"] == board["people"]
    kept = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    changed = {name for name in before if kept[name] != before[name]}
    assert changed <= {"run.json", "results.json", "leaderboard.md", "ledger.sqlite", ".sums.json"}
    assert len(kept["votes.jsonl"].splitlines()) == 15


def test_clips_of_a_run_without_scores_and_with_an_invalid_sample_are_voted_on(tmp_path: Path) -> None:
    faults.install()
    settings = {**FAST, "llm": ["shotlist", "verbatim"], "gen": "faulty,fault=black", "stop_after": "render"}
    run = popbench.evaluate(**settings, out=tmp_path / "rendered").path
    assert not (run / "results.json").exists()
    assert make_ballot(run, 9, tmp_path / "rendered.html").pairs == 4
    key = key_of(run)
    systems = sorted({pair[side]["system"] for pair in key["pairs"] for side in ("left", "right")} - {None})
    files = [write_votes(tmp_path / f"{n}.json", votes_of(key, best_of(systems), n)) for n in range(2)]
    (row,) = add_votes(run, files).board["people"]["pairs"]
    assert (row["predictor"], row["predicted"], row["count"], row["labels"]["value"]) == (None, None, 8, 1.0)
    assert not (run / "results.json").exists()


@pytest.mark.slow
def test_a_run_in_rounds_is_voted_on(tmp_path: Path) -> None:
    run = popbench.evaluate(until="best", task="popcorn_concrete", gen=GEN, out=tmp_path / "run").path
    ballot = make_ballot(run, 10, tmp_path / "vote.html")
    assert ballot.pairs == 10
    key, systems = key_of(run), systems_of(run)
    files = [write_votes(tmp_path / f"{n}.json", votes_of(key, best_of(systems), n)) for n in range(12)]
    board = add_votes(run, files).board
    assert {row["verdict"] for row in board["people"]["pairs"]} <= {"better", None}
    assert all(row["labels"]["value"] == 1 and row["predicted"] is not None for row in board["people"]["pairs"])
    assert "By people (120 votes by 12 voters" in (run / "leaderboard.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "mpeg4"])
def test_clips_of_all_codecs_lose_their_metadata_and_keep_their_pictures(tmp_path: Path, codec: str) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (10, 64, 64, 3), dtype=np.uint8)
    with av.open(str(tmp_path / "clip.mp4"), "w", format="mp4") as file:
        file.metadata["title"] = file.metadata["comment"] = "secret"
        stream: Any = file.add_stream(codec, rate=8)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.metadata["handler_name"] = "secret"
        for frame in noise:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode(None))
    bare = bare_clip(tmp_path, "clip.mp4")
    assert b"secret" in (tmp_path / "clip.mp4").read_bytes()
    for word in (b"secret", b"Lavf", b"x264"):
        assert word not in bare
    (tmp_path / "bare.mp4").write_bytes(bare)

    def pictures(name: str) -> list[bytes]:
        with av.open(str(tmp_path / name), "r") as container:
            return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]

    assert pictures("bare.mp4") == pictures("clip.mp4")
    assert len(pictures("bare.mp4")) == 10


def test_sound_stays_as_it_is(tmp_path: Path) -> None:
    frames = np.zeros((16, 32, 32, 3), np.uint8)
    frames[8:] = 200
    tone = np.sin(np.arange(48_000, dtype=np.float32) / 20)[:, None] * np.float32(0.5)
    write_mp4(frames, 8, tmp_path / "clip.mp4", {"title": "secret"}, sound=tone, sample_rate=24_000)
    bare = bare_clip(tmp_path, "clip.mp4")
    (tmp_path / "bare.mp4").write_bytes(bare)
    assert has_sound(tmp_path / "bare.mp4")
    assert b"secret" not in bare

    def packets(file: Path) -> list[bytes]:
        with av.open(str(file), "r") as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    assert packets(tmp_path / "bare.mp4") == packets(tmp_path / "clip.mp4")
