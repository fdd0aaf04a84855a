"""A generator whose every answer is scripted, and clips of one grey that tell which they are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import popbench
import popbench.engines.answer_stream
from faults import SHAPE
from popbench.engines import ComponentThread
from popbench.video import read_frames, write_mp4

if TYPE_CHECKING:
    import pytest


PATIENCE = 20.0

Step = Callable[[popbench.VideoRequest], Any]


def await_(event: threading.Event) -> None:
    """Wait until a condition is true; fail after a time limit."""
    if not event.wait(PATIENCE):
        raise AssertionError("it did not happen")


def grey(request: popbench.VideoRequest) -> popbench.Clip:
    """Render a clip of one grey, which `shade` reads from its file."""
    return popbench.Clip(request.id, np.full(SHAPE, 40 * (1 + request.seed), np.uint8), 8.0)


def shade(path: Path | str | None) -> float:
    """Return the mean of all pixels of a file."""
    assert path is not None
    return float(read_frames(Path(path)).mean())


class Scripted(popbench.VideoGenerator):
    """Answers each request as its step says; a step that returns None ends it."""

    def __init__(self, *steps: Step) -> None:
        super().__init__()
        self.steps = steps
        self.begun: list[str] = []
        self.threads: set[int] = set()
        self.ended = threading.Event()

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        try:
            for request, step in zip(requests, self.steps, strict=False):
                self.begun.append(request.id)
                self.threads.add(threading.get_ident())
                answer = step(request)
                if answer is None:
                    return
                yield answer
                del answer
        finally:
            self.ended.set()

    def running(self, workspace: Path) -> ComponentThread:
        """Ask it for as many clips as it has steps."""
        return ComponentThread(self, requests(len(self.steps)), workspace, "scripted")


def requests(count: int) -> list[popbench.VideoRequest]:
    """Return requests with the ids a, b, c, and the seeds 0, 1, 2."""
    return [popbench.VideoRequest("abcdefgh"[number], "a lake", number) for number in range(count)]


def before_encoding(monkeypatch: pytest.MonkeyPatch, before: Callable[[Path], object]) -> None:
    """Call a function before each clip is encoded, with the path of its file."""

    def encode(frames: Any, fps: float, path: Path, tags: Any = None, **sound: Any) -> None:
        before(path)
        write_mp4(frames, fps, path, tags, **sound)

    monkeypatch.setattr(popbench.engines.answer_stream, "write_mp4", encode)
