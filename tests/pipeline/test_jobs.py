"""Jobs of every kind of component: they come back in the next run, and one that is over is replaced once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import popbench
import popbench.engines.local
import popbench_runs
from popbench.engines import LocalEngine
from popbench.pipeline.stages import ATTEMPTS
from popbench.progress import Progress


class World:
    """What an API knows: which jobs were created, by key, and those that are over."""

    def __init__(self) -> None:
        self.created: dict[str, str] = {}
        self.seen: list[Any] = []
        self.over: set[str] = set()
        self.dies = False


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for cls in (Batches, Judge):
        monkeypatch.setattr(cls, "world", made)
    return made


class Told(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def problem(self, line: str) -> None:
        self.lines.append(line)


class Batches(popbench.LLM):
    """Answers in batches of all chats that there are."""

    version = "1"
    world: ClassVar[World] = World()
    usable = True

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[Any]:
        asked = list(chats)
        new = [chat for chat in asked if chat.job is None]
        batch = f"batch-{len(self.world.created)}"
        for chat in new:
            assert chat.key not in self.world.created, "created twice under one key"
            self.world.created[chat.key] = batch
            yield popbench.Submitted(chat.id, {"batch": batch})
        if self.world.dies:
            raise OSError("connection lost")
        for chat in asked:
            job = (chat.job or {"batch": batch})["batch"]
            self.world.seen.append(job)
            if job in self.world.over:
                yield popbench.Failure(chat.id, f"{job} has expired")
            else:
                draft = {"title": "Look", "video_prompt": chat.prompt}
                yield popbench.Completion(chat.id, json.dumps(draft) if self.usable else "no draft")


class Judge(popbench.Predictor):
    """Judges elsewhere."""

    version = "1"
    unit = "likes"
    world: ClassVar[World] = World()

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[Any]:
        for item in items:
            if item.job is None:
                self.world.created[item.key] = item.id
                yield popbench.Submitted(item.id, item.id)
                if self.world.dies:
                    raise OSError("connection lost")
            yield popbench.Score(item.id, 1.0)


def test_a_batch_that_outlives_a_run_is_not_created_again(world: World, tmp_path: Path) -> None:
    world.dies = True
    stopped = popbench_runs.run_fast(tmp_path / "run", llm=Batches)
    assert stopped.errors == 5
    assert len(world.created) == 5
    world.dies = False
    assert popbench_runs.run_fast(tmp_path / "run", llm=Batches).complete
    assert len(world.created) == 5
    assert world.seen == ["batch-0"] * 5


@pytest.mark.parametrize("again", [True, False])
def test_a_batch_that_has_expired_is_made_anew_once_in_the_run_that_finds_it(
    again: bool, world: World, tmp_path: Path
) -> None:
    """Two modes share each clip, but not their drafts."""
    world.dies = True
    popbench_runs.run_fast(tmp_path / "run", llm=Batches, mode=["basic", "pe"])
    first, world.dies = set(world.created), False
    world.over = {"batch-0"} if again else {"batch-0", "batch-10"}
    told = Told()
    run = popbench_runs.run_fast(tmp_path / "run", llm=Batches, mode=["basic", "pe"], progress=told)
    assert run.errors == (0 if again else 10)
    assert set(world.created) == first | {f"{key}-2" for key in first}
    anew = "its job of an earlier run is over, and it is asked anew: batch-0 has expired"
    assert [line for line in told.lines if anew in line][1:] == [f"Batches: 10 items: {anew}"]
    if not again:
        assert popbench_runs.run_fast(tmp_path / "run", llm=Batches, mode=["basic", "pe"]).complete
        assert set(world.created) == first | {f"{key}-{number}" for key in first for number in (2, 3)}


def test_a_draft_that_is_asked_for_again_is_another_job(world: World, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(Batches, "usable", False)
    run = popbench_runs.run_fast(tmp_path / "run", llm=Batches)
    assert run.invalid == 5
    assert 5 < len(world.created) <= 5 * ATTEMPTS


def test_clips_of_two_modes_whose_job_is_over_are_made_anew_together(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`verbatim` asks for one clip in both modes."""
    world.dies = True
    popbench_runs.run_fast(tmp_path / "run", llm="verbatim", mode=["basic", "pe"], predictor=Judge)
    assert len(world.created) == 1
    (lost,), world.dies = world.created, False
    score = Judge.score

    def forgetful(self: Judge, items: Iterable[popbench.ScoreRequest]) -> Iterator[Any]:
        for item in items:
            if item.job is not None:
                yield popbench.Failure(item.id, "expired")
            else:
                yield from score(self, [item])

    monkeypatch.setattr(Judge, "score", forgetful)
    run = popbench_runs.run_fast(tmp_path / "run", llm="verbatim", mode=["basic", "pe"], predictor=Judge)
    assert run.complete
    assert run.n == 10
    assert len(world.created) == 1 + 5
    assert f"{lost}-2" in world.created


def test_an_engine_that_takes_a_job_for_the_answer_is_told_and_loses_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class First(LocalEngine):
        def map(self, spec: Any, items: Iterable[popbench.Request]) -> Iterator[popbench.Answer | popbench.Submitted]:
            seen: set[str] = set()
            for answer in super().map(spec, items):
                if answer.id not in seen:
                    seen.add(answer.id)
                    yield answer

    with monkeypatch.context() as patch:
        patch.setattr(popbench.engines.local, "LocalEngine", First)
        run = popbench_runs.run_fast(tmp_path / "run", llm=Batches)
    assert run.errors == 5
    assert run.problems[0].startswith("llm Batches: the engine gave no answer to 5 items; 5 items stay pending")
    assert popbench_runs.run_fast(tmp_path / "run", llm=Batches).complete
    assert len(world.created) == 5
