"""Clips are rendered and encoded at the same time, one ahead and no more; all else is taken one by one.

What has to happen at the same time is proved by events: each side waits for the other, and gives up at last. What
must not happen is given `A_WHILE` to happen.
"""

from __future__ import annotations

import threading
import time
import tracemalloc
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import popbench
import popbench.engines.answer_stream
import popbench.engines.local
import popbench_runs
from faults import SHAPE
from popbench.engines import ComponentThread, LocalEngine
from popbench.video import write_mp4
from scripted_clips import PATIENCE, Scripted, await_, before_encoding, grey, requests, shade

A_WHILE = 0.2


def test_the_next_clip_is_rendered_while_one_is_encoded_and_no_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = threading.Event()

    def second(request: popbench.VideoRequest) -> popbench.Clip:
        rendered.set()
        return grey(request)

    before_encoding(monkeypatch, lambda _: await_(rendered))
    generator = Scripted(grey, second, grey, grey)
    thread = generator.running(tmp_path)
    for taken, begun in enumerate(["ab", "abc", "abcd", "abcd"]):
        answer = thread.next(PATIENCE)
        assert answer is not None
        assert answer.id == "abcd"[taken]
        time.sleep(A_WHILE)
        assert generator.begun == list(begun)
    assert thread.next(PATIENCE) is None


def test_a_clip_is_handed_over_while_the_next_one_is_still_rendered(tmp_path: Path) -> None:
    taken = threading.Event()

    def second(request: popbench.VideoRequest) -> popbench.Clip:
        await_(taken)
        return grey(request)

    thread = Scripted(grey, second).running(tmp_path)
    first = thread.next(PATIENCE)
    assert isinstance(first, popbench.Clip)
    assert shade(first.path) == pytest.approx(40, abs=3)
    taken.set()
    assert isinstance(thread.next(PATIENCE), popbench.Clip)
    assert thread.next(PATIENCE) is None


def test_no_clip_is_asked_for_before_the_one_before_the_last_is_committed(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", gen=f"watchful,run={tmp_path / 'run'}", limit=12)
    assert run.problems == ()
    assert run.complete


def test_answers_come_in_order_each_with_its_own_file(tmp_path: Path) -> None:
    def late(request: popbench.VideoRequest) -> popbench.Failure:
        return popbench.Failure(request.id, "quota used up")

    generator = Scripted(
        grey, grey, late, grey, lambda request: popbench.Clip(request.id, path=tmp_path / "a.mp4"), grey
    )
    found = list(generator.running(tmp_path))
    assert [answer.id for answer in found] == list("abcdef")
    assert isinstance(found[2], popbench.Failure)
    assert isinstance(found[4], popbench.Clip)
    assert found[4].path == tmp_path / "a.mp4"
    for answer, light in [(found[0], 40), (found[1], 80), (found[3], 160), (found[5], 240)]:
        assert isinstance(answer, popbench.Clip)
        assert answer.path == tmp_path / f"{answer.id}.mp4"
        assert answer.frames is None
        assert shade(answer.path) == pytest.approx(light, abs=3)


def test_two_clips_of_the_same_content_are_two(tmp_path: Path) -> None:
    generator = Scripted(grey, grey)
    items = [popbench.VideoRequest(id_, "a lake", 3) for id_ in "xy"]
    first, second = ComponentThread(generator, items, tmp_path)
    assert isinstance(first, popbench.Clip)
    assert isinstance(second, popbench.Clip)
    assert Path(first.path or "").read_bytes() == Path(second.path or "").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"x.mp4", "y.mp4"}


def test_one_thread_renders_and_pulls_and_another_encodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pulling, encoding = set(), set()

    def items() -> Iterator[popbench.Request]:
        for request in requests(3):
            pulling.add(threading.get_ident())
            yield request

    before_encoding(monkeypatch, lambda _: encoding.add(threading.get_ident()))
    generator = Scripted(grey, grey, grey)
    assert len(list(ComponentThread(generator, items(), tmp_path))) == 3
    assert len(generator.threads) == 1
    assert generator.threads == pulling
    assert encoding.isdisjoint(pulling)


def test_a_generator_may_reuse_its_buffer_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = np.zeros(SHAPE, np.uint8)
    painted = threading.Event()

    def paint(request: popbench.VideoRequest) -> popbench.Clip:
        buffer[:] = 40 * (1 + request.seed)
        if request.seed:
            painted.set()
        return popbench.Clip(request.id, buffer, 8.0)

    before_encoding(monkeypatch, lambda _: await_(painted))
    for answer, light in zip(Scripted(paint, paint, paint).running(tmp_path), (40, 80, 120), strict=True):
        assert isinstance(answer, popbench.Clip)
        assert shade(answer.path) == pytest.approx(light, abs=3)


def test_frames_of_two_clips_are_held_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 20 * 2**20
    rendered = [threading.Event() for _ in range(5)]
    frames: list[weakref.ref[Any]] = []

    def render(request: popbench.VideoRequest) -> popbench.Clip:
        made = np.full((size // (64 * 64 * 3), 64, 64, 3), 99, np.uint8)
        frames.append(weakref.ref(made))
        rendered[request.seed].set()
        return popbench.Clip(request.id, made, 8.0)

    def encode(frames: Any, fps: float, path: Path, tags: Any, **sound: Any) -> None:
        await_(rendered[min("abcde".index(path.stem) + 1, 4)])

    monkeypatch.setattr(popbench.engines.answer_stream, "write_mp4", encode)
    tracemalloc.start()
    try:
        assert len(list(Scripted(*[render] * 5).running(tmp_path))) == 5
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not any(ref() is not None for ref in frames)
    assert peak < 2.5 * size


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llm", "failure", "file"])
def test_whatever_is_no_clip_of_frames_is_taken_one_by_one(kind: str, tmp_path: Path) -> None:
    asked: list[str] = []
    write_mp4(np.full(SHAPE, 99, np.uint8), 8.0, tmp_path / "made.mp4")

    def items() -> Iterator[Any]:
        for number in range(4):
            asked.append(str(number))
            yield popbench.Chat(str(number), (), 0, {}) if kind == "llm" else popbench.VideoRequest(str(number), "", 0)

    class Echo(popbench.LLM):
        def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
            for chat in chats:
                yield popbench.Completion(chat.id, "Hm.")

    def step(request: popbench.VideoRequest) -> popbench.Clip | popbench.Failure:
        if kind == "file":
            return popbench.Clip(request.id, path=tmp_path / "made.mp4")
        return popbench.Failure(request.id, "quota used up")

    thread = ComponentThread(Echo() if kind == "llm" else Scripted(*[step] * 5), items(), tmp_path)
    for count in range(1, 5):
        assert thread.next(PATIENCE) is not None
        time.sleep(A_WHILE)
        assert asked == [str(number) for number in range(count)]
    assert thread.next(PATIENCE) is None


def test_the_seconds_of_a_clip_hold_neither_encoding_nor_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_encoding(monkeypatch, lambda _: time.sleep(0.6))
    for answer in Scripted(grey, grey, grey).running(tmp_path):
        assert isinstance(answer, popbench.Clip)
        assert answer.seconds is not None
        assert 0 <= answer.seconds < 0.5


def test_an_engine_of_others_yields_the_same_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(LocalEngine):
        def map(self, spec: Any, items: Iterable[popbench.Request]) -> Iterator[popbench.Answer | popbench.Submitted]:
            yield from ComponentThread(self._component(spec).component, items, self._workspace, spec.label)

    local = popbench_runs.run_fast(tmp_path / "local")
    monkeypatch.setattr(popbench.engines.local, "LocalEngine", Other)
    other = popbench_runs.run_fast(tmp_path / "other")
    assert other.complete
    assert popbench_runs.outcome(local.path) == popbench_runs.outcome(other.path)
