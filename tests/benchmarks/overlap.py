"""Do stages overlap: does a run of three stages of equal cost take little more than the time of one?

The components sleep: an LLM that runs elsewhere, a generator that claims a GPU, and a predictor without one. The time
of one stage is that of a bare loop over the same 100 sleeps. The time of the run is from the start of the first stage
to the commit of the last score; the same run with `overlap=false` is measured too. Planning, imports and the run's last
files are excluded on both sides.

    .venv/bin/python tests/benchmarks/overlap.py [SECONDS_PER_ITEM]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import popbench
from popbench.hookspecs import Register
from popbench.progress import Progress
from popbench.registry import Plugin, load_registry

ITEMS, GOAL = 100, 1.15
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 0.1


class SleepingLLM(popbench.LLM):
    """Repeats the prompt after a while."""

    def needs(self) -> popbench.Needs:
        """It works elsewhere."""
        return popbench.Needs(remote=True)

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion]:
        """Sleep for each."""
        for chat in chats:
            time.sleep(SECONDS)
            yield popbench.Completion(chat.id, json.dumps({"title": chat.prompt[:40], "video_prompt": chat.prompt}))


class SleepingGenerator(popbench.VideoGenerator):
    """Renders noise after a while."""

    def needs(self) -> popbench.Needs:
        """It says that it takes a GPU."""
        return popbench.Needs(gpus=1)

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip]:
        """Sleep for each."""
        for request in requests:
            time.sleep(SECONDS)
            frames = np.random.default_rng(request.seed).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)
            yield popbench.Clip(request.id, frames, 8.0)


class SleepingPredictor(popbench.Predictor):
    """Scores by the length of the title after a while."""

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score]:
        """Sleep for each."""
        for item in items:
            time.sleep(SECONDS)
            yield popbench.Score(item.id, float(len(item.title)))


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register it."""
    register("sleeping", SleepingLLM)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    """Register it."""
    register("sleeping", SleepingGenerator)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    """Register it."""
    register("sleeping", SleepingPredictor)


class Clock(Progress):
    """Records when the first stage begins and when the last item is committed."""

    def __init__(self) -> None:
        self.begun = self.ended = 0.0

    def stage(self, name: str, total: int, done: int) -> None:
        """Note the first."""
        self.begun = self.begun or time.perf_counter()

    def advance(self, count: int = 1, stage: str | None = None) -> None:
        """Note the last."""
        self.ended = time.perf_counter()


def run(folder: str, **options: Any) -> float:
    """Return the seconds that a run takes from its first item to its last."""
    clock = Clock()
    chosen = {"llm": "sleeping", "gen": "sleeping", "predictor": "sleeping", "mode": "basic", "corpus": "demo"}
    found = popbench.evaluate(
        **{**chosen, **options}, task="popcorn_concrete", limit=ITEMS, out=Path(folder) / "run", progress=clock
    )
    assert found.complete
    assert found.n == ITEMS
    return clock.ended - clock.begun


def loop() -> float:
    """Return the seconds of one stage: a bare loop over its sleeps."""
    started = time.perf_counter()
    for _ in range(ITEMS):
        time.sleep(SECONDS)
    return time.perf_counter() - started


def main() -> None:
    """Measure both side by side."""
    load_registry().add(sys.modules[__name__], Plugin("sleeping", "sleeping", "1", __name__))
    took = {}
    for name, options in {"overlapped": {}, "one after another": {"engine": "local,overlap=false"}}.items():
        with tempfile.TemporaryDirectory() as folder:
            took[name] = run(folder, **options)
    one = loop()
    print(f"one stage, {ITEMS} items of {SECONDS:g} s: {one:.2f} s")
    for name, seconds in took.items():
        print(f"three stages, {name}: {seconds:.2f} s, {seconds / one:.3f} times one stage")
    ratio = took["overlapped"] / one
    print(f"goal: at most {GOAL}: {'met' if ratio <= GOAL else 'NOT MET'}")


if __name__ == "__main__":
    main()
