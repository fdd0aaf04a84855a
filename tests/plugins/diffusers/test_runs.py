"""Whole evaluations with tiny text-to-video pipelines: repeated, reordered, killed and long."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import popbench
import popbench_runs
from diffusers_pipelines import CAT, DOG, MOCHI_WARNS, PRESET_FAMILIES, PRESETS, frames, make, spec
from popbench.engines import Rendered
from popbench.engines import answers as checked
from popbench.video import read_frames, video_info
from tiny_pipelines import SMALLEST, Family

pytestmark = pytest.mark.filterwarnings(MOCHI_WARNS)

FPS = {
    "ltx": 15, "cogvideox-5b": 8, "hunyuan": 15, "wan-2.1-1.3b": 16, "hunyuan-1.5": 24, "ltx-2": 24, "mochi": 30,
    "wan-2.2-5b": 24, "wan-2.2-a14b": 16, "skyreels-v2": 24,
    "diffusers-ltx": 25, "diffusers-latte": 8, "diffusers-modelscope": 8,
}  # fmt: skip
CHANGES: dict[str, dict[str, Any]] = {
    "cogvideox-5b": {"dtype": "float32"},
    "hunyuan": {"dtype": "float32", "quantization": "none"},
    "hunyuan-1.5": {"dtype": "float32"},
    "mochi": {"variant": None},  # which its repository has and the tiny pipeline lacks
}
"""Slow ones in 32 bits, which take a fraction of the time on a processor."""
GENERAL: dict[str, Family] = {"diffusers-ltx": "ltx", "diffusers-latte": "latte", "diffusers-modelscope": "modelscope"}
CASES = {**PRESETS, **GENERAL}


def typed(case: str) -> str:
    return spec("diffusers" if case in GENERAL else case, CASES[case], **CHANGES.get(case, {}))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def run(case: str) -> popbench.Run:
        return popbench_runs.run_fast(tmp_path_factory.mktemp(case) / "run", gen=typed(case), limit=2)

    return run


def rows(run: popbench.Run) -> list[dict[str, Any]]:
    text = (run.path / "samples.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_run_is_complete_and_its_clips_are_playable_and_tagged(case: str, finished: Any) -> None:
    run = finished(case)
    assert run.complete, run.problems
    smallest = SMALLEST[CASES[case]]
    assert len({row["video_sha256"] for row in rows(run)}) == 2
    for row in rows(run):
        assert row["status"] == "ok"
        assert row["seconds"]["generate"] > 0
        assert row["peak_memory_mb"]["generate"] is None
        clip = run.path / row["video"]
        info = video_info(clip)
        assert (info.width, info.height, info.frames) == (smallest.width, smallest.height, smallest.num_frames)
        assert info.fps == pytest.approx(FPS[case])
        seen = read_frames(clip)
        assert seen.shape == (smallest.num_frames, smallest.height, smallest.width, 3)
        assert seen.std() > 10
        with av.open(str(clip)) as file:
            tags = file.metadata
        assert tags["comment"].startswith("AI-generated video, made by popbench with popbench_diffusers.")
        assert tags["description"] == "AI-generated"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_another_run_of_fewer_prompts_gives_the_same_bytes(case: str, finished: Any, tmp_path: Path) -> None:
    again = popbench_runs.run_fast(tmp_path / "again", gen=typed(case), limit=1)
    first, _ = popbench_runs.outcome(finished(case).path)["samples"]
    assert popbench_runs.outcome(again.path)["samples"] == [first]
    assert (again.path / first["video"]).read_bytes() == (finished(case).path / first["video"]).read_bytes()


def test_the_same_run_in_another_directory_gives_the_same_bytes(finished: Any, tmp_path: Path) -> None:
    again = popbench_runs.run_fast(tmp_path / "again", gen=typed("ltx"), limit=2)
    assert popbench_runs.outcome(again.path) == popbench_runs.outcome(finished("ltx").path)


@pytest.mark.slow
@pytest.mark.parametrize("family", PRESET_FAMILIES)
def test_a_clip_depends_on_neither_what_came_before_nor_who_renders_it(family: Family) -> None:
    first, other = make(family), make(family)
    alone = frames(first, CAT)["cat"]
    after = frames(other, DOG, CAT)
    assert np.array_equal(after["cat"], alone)
    assert np.array_equal(frames(first, DOG)["dog"], after["dog"])
    assert not np.array_equal(after["dog"], alone)


@pytest.mark.slow
def test_a_run_killed_while_it_renders_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    changes = {"gen": spec("ltx", "ltx", num_inference_steps=8, threads=1), "limit": 3}
    whole = popbench_runs.run_fast(tmp_path / "whole", **changes)
    options = {**popbench_runs.FAST, **changes}
    arguments = ["eval", *(str(part) for key, value in options.items() for part in (f"--{key}", value))]
    process = popbench_runs.start([*arguments, "--out", "run"], tmp_path)
    killed = tmp_path / "run"
    deadline = time.monotonic() + 60
    while process.is_alive() and not clips(killed) and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)  # into the next clip
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "stderr.txt").read_text()
    before = clips(killed)
    assert 0 < len(before) < 3
    resumed = popbench_runs.run_fast(killed, **changes)
    assert resumed.complete
    assert popbench_runs.outcome(resumed.path) == popbench_runs.outcome(whole.path)
    assert before.items() <= clips(killed).items(), "a committed clip was rendered again"


def clips(run: Path) -> dict[str, tuple[int, int]]:
    """Return which committed clips there are, and which file and of when each of them is."""
    done = popbench_runs.committed(run)
    files = [(path.stem, path.stat()) for path in (run / "videos").glob("*.mp4")]
    return {key: (stat.st_ino, stat.st_mtime_ns) for key, stat in files if key in done}


@pytest.mark.slow
def test_memory_does_not_grow_over_300_clips(tmp_path: Path) -> None:
    generator = make(width=32, height=32, num_inference_steps=1)
    requests = (replace(CAT, id=f"clip-{n}", prompt=f"A cat {'and a dog ' * (n % 9)}{n}", seed=n) for n in range(300))
    used: list[int] = []
    for answer in checked(generator, requests, tmp_path):
        assert isinstance(answer, Rendered)
        clip = answer.encoded()
        assert isinstance(clip, popbench.Clip)
        assert clip.path is not None
        Path(clip.path).unlink()
        used.append(resident() if len(used) in (49, 299) else 0)
    assert len(used) == 300
    assert used[299] - used[49] < 3 * 2**20  # the frames of 250 clips are 7 MB
    generator.close()


def resident() -> int:
    """Return the bytes of memory in use, after giving back what is free: heaps that wait for use are no leak."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
