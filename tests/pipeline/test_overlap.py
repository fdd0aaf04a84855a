"""Stages overlap where their needs fit together, and what comes of a run does not depend on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import faults
import popbench
import popbench.engines.answer_stream
import popbench_runs
from popbench.engines import ComponentThread, LoadLock, LocalEngine
from popbench.errors import RunError
from popbench.pipeline.queues import SharedState, WorkQueue
from popbench.pipeline.scheduler import Scheduler, allowed
from popbench.progress import Progress
from scripted_clips import before_encoding

PATIENCE = 20.0


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components that use different resources: one elsewhere, one with a GPU, one without."""
    faults.install()
    monkeypatch.setattr(faults.FaultyLLM, "needs", lambda self: popbench.Needs(remote=True))
    monkeypatch.setattr(faults.FaultyGenerator, "needs", lambda self: popbench.Needs(gpus=1))
    monkeypatch.setattr(faults.FaultyPredictor, "needs", lambda self: popbench.Needs())


def last_draft_waits(monkeypatch: pytest.MonkeyPatch, patience: float) -> list[bool]:
    """Let the LLM give its last answer only after something was scored; tell whether that came."""
    scored, told = threading.Event(), []
    generate, score = faults.FaultyLLM.generate, faults.FaultyPredictor.score

    def last_waits(self: Any, chats: Iterable[popbench.Chat]) -> Iterator[Any]:
        for number, answer in enumerate(generate(self, chats), 1):
            if number == popbench_runs.FAST["limit"]:
                told.append(scored.wait(patience))
            yield answer

    def tells(self: Any, items: Iterable[popbench.ScoreRequest]) -> Iterator[Any]:
        for answer in score(self, items):
            scored.set()
            yield answer

    monkeypatch.setattr(faults.FaultyLLM, "generate", last_waits)
    monkeypatch.setattr(faults.FaultyPredictor, "score", tells)
    return told


def test_a_draft_is_rendered_and_scored_while_others_are_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = last_draft_waits(monkeypatch, PATIENCE)
    run = popbench_runs.run_fast(tmp_path)
    assert told == [True]
    assert run.complete


def test_stages_follow_one_another_where_overlap_is_off_and_come_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlapped = popbench_runs.run_fast(tmp_path / "overlapped")
    told = last_draft_waits(monkeypatch, 0.3)
    followed = popbench_runs.run_fast(tmp_path / "followed", engine="local,overlap=false")
    assert told == [False]
    assert popbench_runs.outcome(overlapped.path) == popbench_runs.outcome(followed.path)


def test_what_does_not_fit_in_a_queue_is_found_again_and_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv(faults.LOG, str(log))
    monkeypatch.setattr(WorkQueue, "LIMIT", 1)
    before_encoding(monkeypatch, lambda _: time.sleep(0.05))
    run = popbench_runs.run_fast(tmp_path / "run", limit=12, mode=["basic", "pe"])
    assert run.complete
    asked = log.read_text(encoding="utf-8").split()
    assert len(asked) == len(set(asked)) == 24 + 12 + 12  # its drafts are the same in both modes


def test_what_is_lost_before_a_stage_is_not_counted_on(tmp_path: Path) -> None:
    totals: dict[str, int] = {}
    done: dict[str, int] = {}

    class Told(Progress):
        def stage(self, name: str, total: int, done_before: int) -> None:
            totals[name], done[name] = total, done_before

        def resize(self, total: int, stage: str) -> None:
            totals[stage] = total

        def advance(self, count: int = 1, stage: str | None = None) -> None:
            done[stage or ""] += count

    run = popbench_runs.run_fast(tmp_path, llm="faulty,fault=refusal", gen="faulty,fault=failure", progress=Told())
    assert run.errors == 1
    assert totals == done == {"write faulty": 5, "render faulty": 4, "score faulty": 3}


def test_a_run_that_cannot_go_on_stops_all_stages_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*arguments: Any, **sound: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(popbench.engines.answer_stream, "write_mp4", refuses)
    started = time.monotonic()
    with pytest.raises(RunError, match="No space left"):
        popbench_runs.run_fast(tmp_path, llm="faulty,fault=silent,at=4")  # a minute
    assert time.monotonic() - started < 30
    assert popbench_runs.committed(tmp_path)


def wait(items: Iterable[Any], seconds: float) -> Iterator[Any]:
    for item in items:
        time.sleep(seconds)
        yield item


def requests(count: int) -> list[popbench.Request]:
    return [popbench.VideoRequest(f"{number}", "a cat", number) for number in range(count)]


@pytest.mark.slow
def test_waiting_for_an_earlier_stage_is_no_silence_and_no_time_of_a_clip(tmp_path: Path) -> None:
    thread = ComponentThread(faults.FaultyGenerator(), wait(requests(3), 0.8), tmp_path)
    for _ in range(3):
        answer = thread.next(timeout=0.6)
        assert isinstance(answer, popbench.Clip)
        assert answer.seconds is not None
        assert answer.seconds < 0.5
    assert thread.next(timeout=PATIENCE) is None


@dataclass
class Spans:
    """A generator that notes from when to when it computes."""

    spans: list[tuple[float, float]]

    def make(self, seconds: float) -> popbench.VideoGenerator:
        spans = self.spans

        class Noting(faults.FaultyGenerator):
            def generate(self, items: Iterable[popbench.VideoRequest]) -> Iterator[Any]:
                for item in items:
                    begun = time.monotonic()
                    time.sleep(seconds)
                    spans.append((begun, time.monotonic()))
                    yield popbench.Failure(item.id, "nothing")

        return Noting()


@pytest.mark.slow
def test_a_model_is_loaded_while_no_other_computes_and_then_works_beside_it(tmp_path: Path) -> None:
    load_lock, first, second = LoadLock(), Spans([]), Spans([])
    one = ComponentThread(first.make(0.05), requests(30), tmp_path, load_lock=load_lock)
    assert one.next(PATIENCE) is not None  # it is loaded
    other = ComponentThread(second.make(0.3), requests(2), tmp_path, load_lock=load_lock)
    taker = threading.Thread(target=lambda: list(one))
    taker.start()
    assert len(list(other)) == 2
    taker.join(PATIENCE)
    loading, computing = second.spans
    assert not [span for span in first.spans if span[0] < loading[1] and loading[0] < span[1]]
    assert [span for span in first.spans if span[0] < computing[1] and computing[0] < span[1]]


@pytest.mark.slow
def test_one_that_hangs_does_not_keep_others_from_loading(tmp_path: Path) -> None:
    load_lock = LoadLock()
    hanging = ComponentThread(Spans([]).make(60.0), requests(1), tmp_path, load_lock=load_lock)
    with pytest.raises(TimeoutError):
        hanging.next(0.2)
    hanging.stop()
    assert ComponentThread(Spans([]).make(0.0), requests(1), tmp_path, load_lock=load_lock).next(PATIENCE) is not None


def queue(stage: str, kind: str, state: str = "waiting") -> Any:
    part = SimpleNamespace(digest=object())
    rank = ("write", "render", "score").index(stage)
    started, over = state != "waiting", state == "over"
    return SimpleNamespace(stage=stage, rank=rank, kind=kind, part=part, started=started, over=over)


def one_of_a_kind(queue: Any, others: Any) -> bool:
    """Overlap as the local engine has it."""
    used = [each.kind for each in (queue, *others) if each.kind != "remote"]
    return len(used) == len(set(used))


@pytest.mark.parametrize(
    ("queues", "starts"),
    [
        ([("write", "remote"), ("write", "remote"), ("render", "gpu"), ("score", "cpu")], [0, 1, 2, 3]),
        ([("write", "gpu"), ("render", "gpu"), ("score", "cpu")], [0, 2]),  # scoring leaves room for rendering
        ([("write", "gpu"), ("render", "gpu"), ("score", "gpu")], [0]),
        ([("write", "remote"), ("render", "gpu"), ("render", "gpu"), ("score", "gpu")], [0, 1]),
        ([("write", "remote"), ("render", "gpu"), ("render", "gpu"), ("score", "cpu")], [0, 1, 3]),
        ([("write", "gpu"), ("write", "gpu"), ("render", "gpu")], [0]),
        ([("write", "gpu", "over"), ("write", "gpu"), ("render", "gpu"), ("score", "gpu")], [1]),
        ([("write", "gpu", "over"), ("render", "gpu", "over"), ("score", "gpu")], [2]),
        # an LLM that computes where the generator would waits for what the generator waits for
        ([("write", "remote"), ("write", "gpu"), ("render", "gpu")], [0, 1]),
        ([("write", "cpu"), ("write", "cpu"), ("render", "gpu"), ("score", "cpu")], [0, 2]),
    ],
)
def test_queues_start_where_they_fit_and_leave_room_for_what_they_wait_for(
    queues: list[Any], starts: list[int]
) -> None:
    made = [queue(*about) for about in queues]
    found = []
    for number, each in enumerate(made):
        if not each.started and allowed(each, made, one_of_a_kind):
            each.started = True
            found.append(number)
    assert found == starts


def test_equal_components_never_work_side_by_side() -> None:
    one, twin = queue("write", "remote", "at work"), queue("write", "remote")
    twin.part = one.part
    assert not allowed(twin, [one, twin], one_of_a_kind)
    one.over = True
    assert allowed(twin, [one, twin], one_of_a_kind)


def test_an_error_is_raised_also_when_all_queues_are_over_before_it_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing:
        def run(self, queue: Any) -> None:
            raise RunError("the disk is full")

    def started(scheduler: Scheduler, queue: Any) -> None:
        queue.started = True
        start(scheduler, queue)
        scheduler._threads[-1].join()

    start = Scheduler._start
    monkeypatch.setattr(Scheduler, "_start", started)
    only = queue("write", "remote")
    only.name, only.quiet, only.begin, only.wake, only.stop = "write one", True, list, list, list
    scheduler = Scheduler([only], Failing(), LocalEngine(), Progress(), SharedState())  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"^the disk is full$"):
        scheduler.run()


def test_an_engine_that_says_nothing_of_overlap_has_one_stage_after_another() -> None:
    class Plain(popbench.Engine):
        def map(self, spec: Any, items: Any) -> Iterator[Any]:
            yield from items

    assert not Plain().overlaps(popbench.ComponentSpec("llm", "one"), [popbench.ComponentSpec("generator", "two")])
