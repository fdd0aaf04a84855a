"""A clip in encoding when something ends or goes wrong: it is kept where it can be, and nothing hangs."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import faults
import popbench
import popbench.engines.answer_stream
import popbench.engines.local
import popbench_runs
from faults import SHAPE
from popbench.engines import ComponentThread
from popbench.engines.component_thread import THREAD
from popbench.errors import ComponentError, RunError
from popbench.video import VideoError, write_mp4
from scripted_clips import PATIENCE, Scripted, await_, before_encoding, grey

A_WHILE = 0.2


@pytest.mark.parametrize(
    "trouble", ["raise", "early", "failure", "refusal", "shape", "black", "unknown", "twice", "type", "exit"]
)
def test_what_comes_after_a_clip_in_encoding_waits_for_it(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def second(request: popbench.VideoRequest) -> Any:
        begun.set()
        match trouble:
            case "shape":
                return popbench.Clip(request.id, np.zeros(SHAPE[1:], np.uint8), 8.0)
            case "black":
                return popbench.Clip(request.id, np.zeros(SHAPE, np.uint8), 8.0)
            case "twice":
                return grey(popbench.VideoRequest("a", "a lake", 0))
        return next(faults.misbehave(trouble, grey(request)), None)

    def before(_: Path) -> None:
        await_(begun)
        time.sleep(A_WHILE)  # the trouble is there, and is not to get past the clip

    before_encoding(monkeypatch, before)
    generator = Scripted(grey, second, grey)
    thread = generator.running(tmp_path)
    first = thread.next(PATIENCE)
    assert isinstance(first, popbench.Clip)
    assert first.id == "a"
    if trouble in ("failure", "refusal", "shape", "black"):
        failure = thread.next(PATIENCE)
        assert isinstance(failure, popbench.Failure)
        assert failure.id == "b"
        assert failure.error.startswith(
            {"shape": "generator scripted: frames have shape", "black": "every"}.get(trouble, "")
        )
        third = thread.next(PATIENCE)
        assert isinstance(third, popbench.Clip)
        assert thread.next(PATIENCE) is None
    else:
        with pytest.raises(ComponentError, match="generator scripted"):
            thread.next(PATIENCE)
    await_(generator.ended)


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (OSError(28, "No space left on device"), RunError, r"clip .*a\.mp4 cannot be written: .*No space left"),
        (TimeoutError(110, "Connection timed out"), RunError, r"clip .*a\.mp4 cannot be written: .*timed out"),
        (VideoError("fps is 0"), None, "generator scripted: fps is 0"),
        (ValueError("odd"), None, "generator scripted: odd"),
        (MemoryError(), None, r"generator scripted: MemoryError\(\)"),
        (RuntimeError("a bug"), ComponentError, "generator scripted: clip a cannot be encoded: RuntimeError: a bug"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_what_goes_wrong_in_encoding_is_told_at_once(
    error: BaseException,
    expected: type[BaseException] | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def before(path: Path) -> None:
        if path.stem == "a":
            raise error

    before_encoding(monkeypatch, before)
    generator = Scripted(grey, grey)
    answers = iter(generator.running(tmp_path))
    if expected is None:
        failure, clip = answers
        assert isinstance(failure, popbench.Failure)
        assert not failure.invalid
        assert re.match(said, failure.error)
        assert isinstance(clip, popbench.Clip)
    else:
        with pytest.raises(expected, match=said):
            next(answers)
    await_(generator.ended)
    assert not list(tmp_path.glob("a.mp4"))


def test_a_disk_that_refuses_a_clip_ends_the_run_and_keeps_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = iter(range(9))
    there = set(threading.enumerate())  # other tests leave some that hang

    def encode(*arguments: Any, **sound: Any) -> None:
        if next(count) == 2:
            raise OSError(28, "No space left on device")
        write_mp4(*arguments, **sound)

    with monkeypatch.context() as patched:
        patched.setattr(popbench.engines.answer_stream, "write_mp4", encode)
        with pytest.raises(RunError, match=r"cannot be written: .*No space left on device"):
            popbench_runs.run_fast(tmp_path / "run")
    left = set(threading.enumerate()) - there
    assert not [thread for thread in left if thread.name.startswith(THREAD)]
    log = tmp_path / "asked.txt"
    before = popbench_runs.committed(tmp_path / "run")
    assert len(before) == 5 + 2
    monkeypatch.setenv(faults.LOG, str(log))
    assert popbench_runs.run_fast(tmp_path / "run").complete
    assert before.isdisjoint(log.read_text().split())


def test_one_who_stops_leaves_no_thread_and_no_clip_behind(tmp_path: Path) -> None:
    """Stopped while a second clip is there and not taken."""
    rendered = threading.Event()

    def second(request: popbench.VideoRequest) -> popbench.Clip:
        rendered.set()
        return grey(request)

    generator = Scripted(grey, second, grey)
    thread = generator.running(tmp_path)
    answers = iter(thread)
    assert next(answers).id == "a"
    await_(rendered)
    answers.close()  # type: ignore[attr-defined]
    await_(generator.ended)
    assert not thread.alive
    assert generator.begun == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_one_who_stops_does_not_wait_long_for_a_rendering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ComponentThread, "_grace", A_WHILE)
    go_on = threading.Event()

    def second(request: popbench.VideoRequest) -> popbench.Clip:
        await_(go_on)
        return grey(request)

    generator = Scripted(grey, second, grey)
    thread = generator.running(tmp_path)
    assert thread.next(PATIENCE) is not None
    thread.stop()
    assert thread.alive
    go_on.set()
    await_(generator.ended)
    assert generator.begun == ["a", "b"]


def test_the_time_that_encoding_takes_is_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before_encoding(monkeypatch, lambda _: time.sleep(3 * A_WHILE))
    thread = Scripted(grey, grey, grey).running(tmp_path)
    assert [thread.next(A_WHILE) is None for _ in range(4)] == [False, False, False, True]


def test_a_generator_that_falls_silent_behind_a_clip_is_given_up(tmp_path: Path) -> None:
    go_on = threading.Event()

    def second(request: popbench.VideoRequest) -> popbench.Clip:
        await_(go_on)
        return grey(request)

    thread = Scripted(grey, second).running(tmp_path)
    assert thread.next(PATIENCE) is not None
    with pytest.raises(TimeoutError):
        thread.next(A_WHILE)
    go_on.set()
    thread.stop()
    assert not thread.alive


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_stopped_in_the_midst_of_encoding_goes_on(how: signal.Signals, tmp_path: Path) -> None:
    """The third clip is long; the process is stopped while its file is being written."""
    arguments = ["eval", "--llm", "faulty", "--gen", "faulty,fault=long", "--predictor", "faulty", "--mode", "basic"]
    arguments += ["--task", "popcorn_concrete", "--limit", "5", "--out", "run"]
    videos = tmp_path / "run" / "videos"
    process = popbench_runs.start(arguments, tmp_path)
    partial: list[Path] = []
    deadline = time.monotonic() + 60
    while process.is_alive() and time.monotonic() < deadline:
        partial = [path for path in videos.glob(".*.part") if len(list(videos.glob("*.mp4"))) == 2]
        if partial:
            break
        time.sleep(0.002)
    assert partial, "the long clip was not caught"
    os.kill(process.pid or 0, how)
    process.join(60)
    assert process.exitcode == (130 if how == signal.SIGINT else -how), (tmp_path / "stderr.txt").read_text()
    before = popbench_runs.committed(tmp_path / "run")
    assert {path.stem for path in videos.glob("*.mp4")} <= before
    assert bool(list(videos.glob(".*.part"))) == (how == signal.SIGKILL)
    log = tmp_path / "asked.txt"
    process = popbench_runs.start([*arguments[:-2], "--json", *arguments[-2:]], tmp_path, log)
    process.join(60)
    assert process.exitcode == 0, (tmp_path / "stderr.txt").read_text()
    assert before.isdisjoint(log.read_text().split())
    assert not list(videos.glob(".*.part"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"]
