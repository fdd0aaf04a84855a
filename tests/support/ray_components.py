"""Components that count, sleep and fail on nodes of a Ray cluster, where they are loaded as an installed plugin."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import popbench
from popbench.hookspecs import Register
from popbench.video import read_frames

_Outcome = popbench.Clip | popbench.Failure | popbench.Submitted


class Notes:
    """A file to which all workers append lines about their work."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def add(self, *words: object) -> None:
        """Append a line, whole."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(" ".join(map(str, words)) + "\n")

    def read(self) -> list[list[str]]:
        """Return the words of all lines so far."""
        text = self._path.read_text(encoding="utf-8") if self._path.is_file() else ""
        return [line.split() for line in text.splitlines()]


class Scripted(popbench.VideoGenerator):
    """Renders noise, and obeys prompts of one word, once or always."""

    version = "1"

    class Options(popbench.Options):
        seconds: float = popbench.runtime(0.0, description="that a clip takes")
        notes: str = popbench.runtime("/dev/null", description="a file of begun and done clips")
        broken: str = popbench.runtime("", description="a file whose presence makes it unmakeable")

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        if self.options.broken and Path(self.options.broken).exists():
            raise ValueError("no weights\nhere")

    def fingerprint(self) -> dict[str, popbench.JSON]:
        """Differ where a variable of the environment says so."""
        return {**super().fingerprint(), "weights": os.environ.get("RAYTEST_WEIGHTS", "same")}

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[_Outcome]:
        notes = Notes(self.options.notes)
        for request in requests:
            again = any(words[:2] == ["begun", request.id] for words in notes.read())
            notes.add("begun", request.id, os.getpid())
            match request.prompt:
                case "die":
                    os._exit(3)
                case "die-once" if not again:
                    os._exit(3)
                case "raise":
                    raise ValueError("bad\nprompt")
                case "hang-once" if not again:
                    time.sleep(1000)
                case "refuse":
                    yield popbench.Failure(request.id, "refused", invalid=True)
                    continue
            time.sleep(self.options.seconds)
            frames = np.random.default_rng(request.seed).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)
            notes.add("done", request.id, os.getpid())
            yield popbench.Clip(request.id, frames, 8.0, seconds=self.options.seconds)


class Queued(Scripted):
    """Submits a job for each clip, and dies once on the way to a clip of the prompt `die-once`."""

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[_Outcome]:
        notes = Notes(self.options.notes)
        for request in requests:
            if request.job is None:
                notes.add("created", request.id, os.getpid())
                yield popbench.Submitted(request.id, {"of": request.id})
                time.sleep(1.0)  # it is stored meanwhile
                if request.prompt == "die-once":
                    os._exit(3)
            frames = np.random.default_rng(request.seed).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)
            yield popbench.Clip(request.id, frames, 8.0)


class Bright(popbench.Predictor):
    """Scores the brightness of the file."""

    version = "1"
    unit = "likes"

    class Options(popbench.Options):
        seconds: float = popbench.runtime(0.0, description="that a score takes")

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            time.sleep(self.options.seconds)
            if item.title == "raise":
                raise ValueError("bad title")
            yield popbench.Score(item.id, 1.0 + float(read_frames(item.path, 2).mean()), {"file": item.path.name})


class Chatty(popbench.LLM):
    """Works elsewhere, in the driver's process."""

    version = "1"

    def needs(self) -> popbench.Needs:
        return popbench.Needs(remote=True)

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            yield popbench.Completion(chat.id, str(os.getpid()))


@popbench.hookimpl
def register_llms(register: Register) -> None:
    register("chatty", Chatty)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    register("scripted", Scripted)
    register("scripted-too", Scripted)
    register("queued", Queued)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("bright", Bright)
