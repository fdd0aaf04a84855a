"""Running components: the loop around a plugin's iterator that every engine shares, and the local engine.

`answers` is where a plugin's output is checked and clips are encoded, in the process where the plugin runs. It
stores nothing: the driver does.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from popbench.errors import ComponentError, RunError, one_line
from popbench.interfaces import LLM, Component, Engine, Options, Predictor, VideoGenerator, runtime
from popbench.records import (
    Answer,
    Clip,
    Completion,
    Failure,
    Request,
    Score,
    VideoRequest,
)
from popbench.registry import create
from popbench.specs import ComponentSpec
from popbench.video import VideoError, check_mp4, is_black, write_mp4

BLACK = "every frame of the clip is black"


def answers(component: Component, items: Iterable[Request], workspace: Path, label: str = "") -> Iterator[Answer]:
    """Yield a component's answers to `items`, checked; clips become mp4 files under `workspace`.

    An answer that is wrong in itself becomes a Failure of its item. Raises ComponentError where ids cannot be
    trusted (one nobody asked for, one answered twice), the component raises, or ends early.
    """
    who = f"{component.kind} {label or type(component).__name__}"
    asked: dict[str, Request] = {}
    input_error: list[BaseException] = []

    def watched() -> Iterator[Request]:
        try:
            for item in items:
                asked[item.id] = item
                yield item
        except Exception as error:  # ours, not the plugin's: it must not be blamed for it, nor swallow it
            input_error.append(error)
            raise

    answered: set[str] = set()
    source: Iterator[Any] | None = None
    started = time.perf_counter()
    try:
        source = iter(_call(component, watched()))
        for answer in source:
            id_ = _checked_id(answer, asked, answered, who)
            answered.add(id_)
            finished = time.perf_counter()
            if isinstance(answer, (Completion, Clip, Score, Failure)) and answer.seconds is None:
                answer = replace(answer, seconds=finished - started)
            yield _checked(answer, asked.pop(id_), component, workspace, who)
            started = time.perf_counter()
    except (ComponentError, RunError, GeneratorExit):
        raise
    except Exception as error:
        if input_error:
            raise input_error[0] from None
        raise ComponentError(f"{who} raised {one_line(error)} ({_unanswered(asked)})") from error
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()
    if input_error:
        raise input_error[0]
    if asked:
        raise ComponentError(f"{who} ended without answering {_unanswered(asked)}")


def _unanswered(asked: dict[str, Request]) -> str:
    return f"{len(asked)} unanswered, for instance {next(iter(asked))}" if asked else "none unanswered"


def _call(component: Component, items: Iterator[Any]) -> Iterable[Any]:
    if isinstance(component, LLM | VideoGenerator):
        return component.generate(items)
    if isinstance(component, Predictor):
        return component.score(items)
    raise ComponentError(f"a {component.kind} takes no requests")


def _checked_id(answer: Any, asked: dict[str, Request], answered: set[str], who: str) -> str:
    id_ = getattr(answer, "id", None)
    if not isinstance(id_, str):
        raise ComponentError(f"{who} yielded {type(answer).__name__}, which has no id")
    if id_ in answered:
        raise ComponentError(f"{who} answered item {id_} twice")
    if id_ not in asked:
        raise ComponentError(f"{who} answered item {id_!r}, which it was not asked")
    return id_


def _checked(answer: Any, request: Request, component: Component, workspace: Path, who: str) -> Answer:
    if isinstance(answer, Failure):
        return replace(answer, error=one_line(str(answer.error)) or "failed without a reason")
    try:
        if isinstance(component, LLM) and isinstance(answer, Completion):
            return _checked_completion(answer)
        if isinstance(component, Predictor) and isinstance(answer, Score):
            return _checked_score(answer)
        if isinstance(component, VideoGenerator) and isinstance(answer, Clip):
            assert isinstance(request, VideoRequest)
            return _encoded(answer, request, component, workspace)
        raise ValueError(f"{type(answer).__name__} is no answer of a {component.kind}")
    except (ValueError, VideoError) as error:
        message = f"{who}: {one_line(str(error))}"
        return Failure(answer.id, message, seconds=getattr(answer, "seconds", None))


def _checked_completion(answer: Completion) -> Completion:
    if not isinstance(answer.text, str) or not isinstance(answer.reasoning, str | None):
        raise ValueError(f"completion text is {type(answer.text).__name__}, expected str")
    text, reasoning = (
        value if value is None else value.encode("utf-8", "replace").decode("utf-8")
        for value in (answer.text, answer.reasoning)
    )
    return replace(answer, text=text or "", reasoning=reasoning)


def _checked_score(answer: Score) -> Score:
    try:
        popularity = float(answer.popularity)
    except (TypeError, ValueError):
        raise ValueError(f"popularity is {answer.popularity!r}, expected a number") from None
    if not (math.isfinite(popularity) and popularity > 0):
        raise ValueError(f"popularity is {popularity}, expected a finite number above 0")
    return replace(answer, popularity=popularity, extra=dict(answer.extra))


def _encoded(clip: Clip, request: VideoRequest, component: Component, workspace: Path) -> Clip | Failure:
    """Turn frames into an mp4 tagged as generated; check a finished one and leave it as it is."""
    if clip.path is not None:
        path = Path(clip.path)
        if not path.is_file():
            raise ValueError(f"clip file {path} does not exist")
        if check_mp4(path):
            return Failure(clip.id, BLACK, invalid=True, seconds=clip.seconds)
        return replace(clip, path=path, frames=None)
    if clip.frames is None or clip.fps is None:
        raise ValueError("clip has neither frames with fps nor a path")
    frames: Any = clip.frames
    path = workspace / f"{clip.id}.mp4"
    tags = {
        "comment": f"AI-generated video, made by popbench with {component.fingerprint()['name']}, seed {request.seed}",
        "description": "AI-generated",
    }
    try:
        write_mp4(frames, clip.fps, path, tags)
    except OSError as error:
        raise RunError(f"clip {path} cannot be written: {one_line(str(error))}") from error
    if is_black(frames):
        path.unlink()
        return Failure(clip.id, BLACK, invalid=True, seconds=clip.seconds)
    return replace(clip, path=path, frames=None)


class LocalOptions(Options):
    """Options of the local engine."""

    inactivity_limit: float = runtime(1800.0, gt=0, description="seconds of silence after which a component is ended")


class LocalEngine(Engine):
    """Runs components in this process, one at a time, each in a thread of its own."""

    Options = LocalOptions

    def __init__(self, options: LocalOptions | None = None) -> None:
        super().__init__(options)
        self._workspace = Path()
        self._made: dict[int, Component] = {}
        self._specs: dict[int, ComponentSpec] = {}

    def start(self, workspace: Path) -> None:
        """Remember where finished clips go."""
        self._workspace = workspace

    def map(self, spec: ComponentSpec, items: Iterable[Request]) -> Iterator[Answer]:
        """Run the component in a thread and hand its answers over one by one.

        The thread takes the next answer from the plugin only when the caller comes back for it, that is, after
        the last one was stored.
        """
        component = self._component(spec)
        source = answers(component, items, self._workspace, spec.label)
        handover = _Handover(source, f"{spec.kind}-{spec.label}")
        limit = self.options.inactivity_limit
        try:
            while True:
                try:
                    answer = handover.next(timeout=limit)
                except TimeoutError:
                    raise ComponentError(
                        f"{spec.kind} {spec.label} gave no answer for {limit:g} s: it is given up "
                        "(--engine local,inactivity_limit=SECONDS allows more)"
                    ) from None
                if answer is None:
                    return
                yield answer
        finally:
            handover.stop()

    def _component(self, spec: ComponentSpec) -> Component:
        key = id(spec)
        if key not in self._made:
            self._made[key], self._specs[key] = create(spec), spec
        return self._made[key]

    def release(self, spec: ComponentSpec) -> None:
        """Close the component that was made for this spec."""
        component = self._made.pop(id(spec), None)
        self._specs.pop(id(spec), None)
        if component is not None:
            component.close()

    def close(self) -> None:
        """Close every component that is still open."""
        for spec in list(self._specs.values()):
            self.release(spec)


class _Handover:
    """Runs an iterator in a daemon thread; each item is computed only when it is asked for."""

    _grace = 5.0

    def __init__(self, source: Iterator[Answer], name: str) -> None:
        self._source = source
        self._wanted = threading.Semaphore(0)
        self._ready: queue.SimpleQueue[tuple[Answer | None, BaseException | None]] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                self._wanted.acquire()
                if self._stopped:
                    break
                answer = next(self._source, None)
                self._ready.put((answer, None))
                if answer is None:
                    return
        except BaseException as error:
            self._ready.put((None, error))
        finally:
            close: Callable[[], None] | None = getattr(self._source, "close", None)
            if close is not None:
                close()

    def next(self, timeout: float) -> Answer | None:
        """Return the next answer, None at the end; raises what the iterator raised, TimeoutError for silence."""
        self._wanted.release()
        try:
            answer, error = self._ready.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return answer

    def stop(self) -> None:
        """Let the thread end: at once if it waits, after the item it computes otherwise, for a few seconds."""
        self._stopped = True
        self._wanted.release()
        self._thread.join(self._grace)
