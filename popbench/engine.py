"""Running components: the loop around a plugin's iterator that every engine shares, and the local engine.

`answers` is where a plugin's output is checked and clips are encoded, in the process where the plugin runs. It
stores nothing: the driver does.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from popbench.drafts import split_thoughts
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
from popbench.video import VideoError, check_frames, check_mp4, is_black, write_mp4

BLACK = "every frame of the clip is black"


def answers(component: Component, items: Iterable[Request], workspace: Path, label: str = "") -> Iterator[Answer]:
    """Yield a component's answers to `items`, checked; clips become mp4 files under `workspace`.

    An answer that is wrong in itself becomes a Failure of its item. Raises ComponentError where ids cannot be
    trusted (one nobody asked for, one answered twice), the component raises, or ends early.
    """
    who = f"{component.kind} {label or type(component).__name__}"
    maker = str(component.fingerprint().get("name", type(component).__name__))
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
    feed = watched()
    try:
        source = iter(_call(component, feed))
        for answer in source:
            id_ = _checked_id(answer, asked, answered, who)
            answered.add(id_)
            finished = time.perf_counter()
            if isinstance(answer, (Completion, Clip, Score, Failure)) and answer.seconds is None:
                answer = replace(answer, seconds=finished - started)
            yield _checked(answer, asked.pop(id_), component, workspace, who, maker)
            started = time.perf_counter()
        if next(feed, None) is not None:
            raise ComponentError(f"{who} ended before it was asked everything ({_unanswered(asked)})")
    except (ComponentError, RunError, GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # also SystemExit: no plugin ends the host
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
        raise ComponentError(f"{who} ended early ({_unanswered(asked)})")


def _unanswered(asked: dict[str, Request]) -> str:
    return f"{len(asked)} unanswered" if asked else "none unanswered"


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


def _checked(answer: Any, request: Request, component: Component, workspace: Path, who: str, maker: str) -> Answer:
    try:
        answer = _checked_costs(answer)
        if isinstance(answer, Failure):
            return replace(answer, error=one_line(str(answer.error)) or "failed without a reason")
        if isinstance(component, LLM) and isinstance(answer, Completion):
            return _checked_completion(answer)
        if isinstance(component, Predictor) and isinstance(answer, Score):
            return _checked_score(answer)
        if isinstance(component, VideoGenerator) and isinstance(answer, Clip):
            assert isinstance(request, VideoRequest)
            return _encoded(answer, request, workspace, maker)
        raise ValueError(f"{type(answer).__name__} is no answer of a {component.kind}")
    except (ValueError, TypeError, AttributeError, VideoError) as error:
        message = f"{who}: {one_line(str(error))}"
        return Failure(answer.id, message)


def _checked_costs(answer: Any) -> Any:
    """Return an answer whose common fields are what records say; raises ValueError for one that is not."""
    if not isinstance(answer, Completion | Clip | Score | Failure):
        raise ValueError(f"answered with {type(answer).__name__}")
    for name in ("seconds", "peak_memory_mb"):
        value = getattr(answer, name)
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value!r}, expected a finite number of at least 0")
    if isinstance(answer.notes, str) or not all(isinstance(note, str) for note in answer.notes or ()):
        raise ValueError(f"notes are {answer.notes!r}, expected texts")
    return replace(answer, notes=tuple(answer.notes or ()))


def _checked_completion(answer: Completion) -> Completion:
    if not isinstance(answer.text, str) or not isinstance(answer.reasoning, str | None):
        raise ValueError(f"completion text is {type(answer.text).__name__}, expected str")
    thoughts, text = split_thoughts(_encodable(answer.text))
    reasoning = "\n\n".join(part for part in (_encodable(answer.reasoning or "").strip(), thoughts) if part)
    usage = answer.usage
    if usage is not None and not all(isinstance(key, str) and isinstance(n, int) for key, n in usage.items()):
        raise ValueError(f"usage is {usage!r}, expected counts of tokens by kind")
    return replace(answer, text=text.strip() if thoughts else text, reasoning=reasoning or None)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _checked_score(answer: Score) -> Score:
    try:
        popularity = float(answer.popularity)
    except (TypeError, ValueError):
        raise ValueError(f"popularity is {answer.popularity!r}, expected a number") from None
    if not (math.isfinite(popularity) and popularity > 0):
        raise ValueError(f"popularity is {popularity}, expected a finite number above 0")
    try:
        extra = json.loads(json.dumps(dict(answer.extra), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"extra is not JSON: {one_line(str(error))}") from None
    return replace(answer, popularity=popularity, extra=extra)


def _encoded(clip: Clip, request: VideoRequest, workspace: Path, maker: str) -> Clip | Failure:
    """Turn frames into an mp4 tagged as generated; check a finished one and leave it as it is."""
    if clip.path is not None:
        path = Path(clip.path)
        if not path.is_file():
            raise ValueError(f"clip file {path} does not exist")
        if check_mp4(path):
            return _black(clip)
        return replace(clip, path=path, frames=None)
    if clip.frames is None or clip.fps is None:
        raise ValueError("clip has neither frames with fps nor a path")
    frames = check_frames(clip.frames)
    if is_black(frames):
        return _black(clip)
    path = workspace / f"{clip.id}.mp4"
    tags = {
        "comment": f"AI-generated video, made by popbench with {maker}, seed {request.seed}",
        "description": "AI-generated",
    }
    try:
        write_mp4(frames, clip.fps, path, tags)
    except OSError as error:
        raise RunError(f"clip {path} cannot be written: {one_line(str(error))}") from error
    return replace(clip, path=path, frames=None)


def _black(clip: Clip) -> Failure:
    return Failure(clip.id, BLACK, True, clip.seconds, clip.peak_memory_mb, clip.notes)


class LocalOptions(Options):
    """Options of the local engine."""

    inactivity_limit: float = runtime(1800.0, gt=0, description="seconds of silence after which a component is ended")


class LocalEngine(Engine):
    """Runs components in this process, one at a time, in threads of their own."""

    Options = LocalOptions

    def __init__(self, options: LocalOptions | None = None) -> None:
        super().__init__(options)
        self._workspace = Path()
        self._open: dict[int, _Open] = {}

    def start(self, workspace: Path) -> None:
        """Remember where finished clips go."""
        self._workspace = workspace

    def map(self, spec: ComponentSpec, items: Iterable[Request]) -> Iterator[Answer]:
        """Run the component in a thread and hand its answers over one by one.

        The thread takes the next answer from the plugin only when the caller comes back for it, that is, after
        the last one was stored.
        """
        made = self._component(spec)
        source = answers(made.component, items, self._workspace, spec.label)
        handover = made.handover = _Handover(source, f"{THREAD}{spec.kind}-{spec.label}")
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

    def _component(self, spec: ComponentSpec) -> _Open:
        if id(spec) not in self._open:
            try:
                self._open[id(spec)] = _Open(spec, create(spec))
            except Exception as error:  # a plugin's constructor may raise anything
                raise ComponentError(f"{spec.kind} {spec.label} cannot be made: {one_line(error)}") from error
        return self._open[id(spec)]

    def release(self, spec: ComponentSpec) -> None:
        """Close the component that was made for this spec, unless its thread hangs: then it cannot be touched."""
        made = self._open.pop(id(spec), None)
        if made is not None and not (made.handover is not None and made.handover.alive):
            made.component.close()

    def close(self) -> None:
        """Close every component that is still open."""
        for made in list(self._open.values()):
            self.release(made.spec)


THREAD = "popbench-"
"""How the names of the threads begin in which components run."""


@dataclass(slots=True)
class _Open:
    """A component that was made, with the thread that ran it last."""

    spec: ComponentSpec
    component: Component
    handover: _Handover | None = None


class _Handover:
    """Runs an iterator in a daemon thread; each item is computed only when it is asked for."""

    _grace = 2.0

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

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let the thread end: at once if it waits, after the item it computes otherwise, for a few seconds."""
        self._stopped = True
        self._wanted.release()
        self._thread.join(self._grace)
