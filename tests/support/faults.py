"""Fault injection for tests: components that log their requests, and components that fail on purpose."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import popbench
import popbench.engines.answer_stream
from popbench.hookspecs import Register
from popbench_baselines.kinetic import Kinetic
from popbench_baselines.llms import Shotlist
from popbench_baselines.predictor import DemoPredictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOG = "POPBENCH_TEST_LOG"
SHAPE = (4, 32, 48, 3)


def logging_requests(items: Iterable[Any]) -> Iterator[Any]:
    """Append the id of every request that is pulled to the log file."""
    path = os.environ.get(LOG)
    for item in items:
        if path:
            with Path(path).open("a", encoding="utf-8") as log:
                log.write(f"{item.id}\n")
        yield item


class CountingLLM(Shotlist):
    """Shotlist that logs its requests."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        return super().generate(logging_requests(chats))


class CountingGenerator(Kinetic):
    """Kinetic that logs its requests."""

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        return super().generate(logging_requests(requests))


class CountingPredictor(DemoPredictor):
    """The demo predictor that logs its requests."""

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        return super().score(logging_requests(items))


class Batched(Shotlist):
    """Shotlist that takes its chats in batches and answers each batch backwards."""

    class Options(popbench.Options):
        batch: int = popbench.runtime(4)
        concurrency: int = popbench.runtime(1)

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        batch: list[popbench.Chat] = []
        for chat in logging_requests(chats):
            batch.append(chat)
            if len(batch) == self.options.batch * self.options.concurrency:
                yield from super().generate(reversed(batch))
                batch = []
        yield from super().generate(reversed(batch))


class FaultOptions(popbench.Options):
    """`at`: which item goes wrong, counted from 0; `fault`: how; `once`: a file that makes it happen once only."""

    fault: str = popbench.runtime("none")
    at: int = popbench.runtime(2)
    once: str = popbench.runtime("")


class FaultPlan:
    """Decides which item of a component fails, and how."""

    def __init__(self, options: FaultOptions) -> None:
        self.options = options
        self.count = -1

    def now(self) -> str:
        """Return the fault of this item, `none` for most."""
        self.count += 1
        if self.count != self.options.at:
            return "none"
        if self.options.once:
            if Path(self.options.once).exists():
                return "none"
            Path(self.options.once).touch()
        return str(self.options.fault)


def misbehave(fault: str, answer: Any) -> Iterator[Any]:
    """Yield answers with a fault that any kind of component may have."""
    match fault:
        case "raise":
            raise RuntimeError("the model\nfell over")
        case "early":
            return
        case "silent":
            time.sleep(60)
        case "twice":
            yield answer
            yield answer
        case "unknown":
            yield type(answer)(**{**{name: getattr(answer, name) for name in answer.__slots__}, "id": "nobody"})
        case "type":
            yield {"id": answer.id}
        case "exit":
            raise SystemExit(0)
        case "notes":
            yield replace(answer, notes=None)
        case "seconds":
            yield replace(answer, seconds=float("nan"))
        case "surrogate":
            yield popbench.Failure(answer.id, "no such file: b\udcff.bin", invalid=True, notes=("\ud800",))
        case "failure":
            yield popbench.Failure(answer.id, "quota used up")
        case "refusal":
            yield popbench.Failure(answer.id, "refused", invalid=True)
        case _:
            yield answer


class FaultyLLM(popbench.LLM):
    """Repeats the prompt, until it fails."""

    Options = FaultOptions

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        plan = FaultPlan(self.options)
        for chat in logging_requests(chats):
            fault = plan.now()
            text = json.dumps({"title": chat.prompt[:40], "video_prompt": chat.prompt})
            if fault == "nonsense" or (self.options.fault == "always-nonsense"):
                text = f"I would rather not, {chat.seed}."
            elif self.options.fault == "copies":
                text = chat.messages[-1]["content"]
            elif self.options.fault == "breaks":
                text = json.dumps({"title": chat.prompt * 3, "video_prompt": f"One.\nTwo. {chat.prompt}"})
            yield from misbehave(fault, popbench.Completion(chat.id, text, usage={"input": 3, "output": 0}))
            if fault == "early":
                return


class FaultyGenerator(popbench.VideoGenerator):
    """Renders noise, until it fails."""

    Options = FaultOptions

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        plan = FaultPlan(self.options)
        for request in logging_requests(requests):
            fault = plan.now()
            frames: Any = np.random.default_rng(request.seed).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)
            match fault:
                case "shape":
                    frames = frames[0]
                case "nan":
                    frames = np.full((4, 32, 48, 3), np.nan, dtype=np.float32)
                case "black":
                    frames = np.zeros_like(frames)
                case "long":
                    frames = np.random.default_rng(request.seed).integers(0, 255, (120, 240, 320, 3), dtype=np.uint8)
                case "missing":
                    yield popbench.Clip(request.id, path="/nonexistent/clip.mp4")
                    continue
            yield from misbehave(fault, popbench.Clip(request.id, frames, 8.0))
            if fault == "early":
                return


class FaultyPredictor(popbench.Predictor):
    """Scores by the length of the title, until it fails."""

    Options = FaultOptions
    unit = "likes"

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        plan = FaultPlan(self.options)
        for item in logging_requests(items):
            fault = plan.now()
            if fault == "extra":
                yield popbench.Score(item.id, 1.0, extra={"x": np.float32(1)})
                continue
            popularity = {"nan": float("nan"), "zero": 0.0, "negative": -1.0}.get(fault, float(len(item.title)))
            yield from misbehave(fault, popbench.Score(item.id, popularity))
            if fault == "early":
                return


class Unwilling(popbench.LLM):
    """Takes three chats and no more."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in itertools.islice(logging_requests(chats), 3):
            yield popbench.Completion(chat.id, json.dumps({"title": "A", "video_prompt": chat.prompt}))


class Busy(popbench.LLM):
    """Computes in native code that interrupts do not stop."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        import torch

        for number, chat in enumerate(logging_requests(chats)):
            if number:
                a = torch.rand(3000, 3000)
                for _ in range(200):
                    a = (a @ a).tanh()
            yield popbench.Completion(chat.id, json.dumps({"title": "A", "video_prompt": chat.prompt}))


class Finished(popbench.VideoGenerator):
    """Returns one finished file for every request."""

    class Options(popbench.Options):
        path: Path

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in requests:
            yield popbench.Clip(request.id, path=self.options.path)


def tone(seconds: float, pitch: float = 440, rate: int = 24_000) -> NDArray[np.float32]:
    """Make the sound of two channels, of which the second is quieter."""
    wave = np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    return np.stack([0.5 * wave, 0.2 * wave], 1).astype(np.float32)


class Ringing(popbench.VideoGenerator):
    """Renders noise with a tone, as high as the seed says; `mute` says of it what a version without sound did."""

    version = "1"

    class Options(popbench.Options):
        mute: bool = popbench.runtime(False)

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self.makes_sound = not self.options.mute

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in requests:
            frames = np.random.default_rng(request.seed).integers(0, 255, SHAPE, dtype=np.uint8)
            sound = tone(0.45, 200 + request.seed % 2000) if self.makes_sound else None
            yield popbench.Clip(request.id, frames, 8.0, sound=sound, sample_rate=24_000)


class Watchful(popbench.VideoGenerator):
    """Renders noise, and raises where it is asked for a clip before the one before the last is in the run's ledger."""

    class Options(popbench.Options):
        run: Path

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        import popbench_runs

        pulled: list[str] = []
        for request in requests:
            missing = set(pulled[:-1]) - popbench_runs.committed(self.options.run)
            if missing:
                raise AssertionError(f"not committed: {missing}")
            pulled.append(request.id)
            frames = np.random.default_rng(request.seed).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)
            yield popbench.Clip(request.id, frames, 8.0)


class Gated(popbench.VideoGenerator):
    """Renders as many clips as the number in a file allows, and waits for the next one to be allowed."""

    class Options(popbench.Options):
        gate: Path = popbench.runtime(Path("gate"))

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for number, request in enumerate(requests):
            while int(self.options.gate.read_text(encoding="ascii") or 0) <= number:
                time.sleep(0.05)
            if number == 2:
                yield popbench.Failure(request.id, "HTTP 429: slow down")
                continue
            frames = np.random.default_rng(request.seed).integers(60, 255, (12, 32, 48, 3), dtype=np.uint8)
            frames[0] = 0  # a fade from black
            yield popbench.Clip(request.id, frames, 8.0)


class Lacking(popbench.LLM):
    """A component whose `check` always lists something missing."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        raise AssertionError("was never to run")

    def check(self) -> list[str]:
        return ["the key MOON_KEY is not set: export MOON_KEY=..."]


@popbench.hookimpl
def register_llms(register: Register) -> None:
    register("counting", CountingLLM)
    register("batched", Batched)
    register("faulty", FaultyLLM)
    register("lacking", Lacking)
    register("unwilling", Unwilling)
    register("busy", Busy)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    register("counting", CountingGenerator)
    register("faulty", FaultyGenerator)
    register("finished", Finished)
    register("gated", Gated)
    register("ringing", Ringing)
    register("watchful", Watchful)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("counting", CountingPredictor)
    register("faulty", FaultyPredictor)


def install() -> None:
    """Register these components in this process, once."""
    import sys

    from popbench.registry import Plugin, load_registry

    registry = load_registry()
    if not any(plugin.name == "faults" for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin("faults", "popbench-faults", "1", "faults"))
