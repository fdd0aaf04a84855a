"""The loop that every engine runs around a component: it passes requests in, and checks the answers.

It runs in the process where the plugin runs, and stores nothing. `ComponentThread` is this loop in a thread of its own.
"""

from __future__ import annotations

import errno
import json
import math
import numbers
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from popbench.errors import ComponentError, RunError, one_line
from popbench.interfaces import LLM, Component, PairwisePredictor, Predictor, VideoGenerator
from popbench.interfaces.models import is_real
from popbench.keys import clip_name
from popbench.prompting.drafts import split_reasoning
from popbench.records import (
    MAX_POPULARITY,
    Answer,
    Clip,
    Completion,
    Failure,
    Request,
    Score,
    Submitted,
    VideoRequest,
    checked_parts,
    wrong_job,
)
from popbench.video import VideoError, check_frames, check_mp4, check_sound, is_black, sound_of, write_mp4

BLACK = "every frame of the clip is black"
MUTE = "its sound cannot be decoded, and stays in the file as it is"

_REASON = 60
"""The most characters of the reason of a failure, of which boards count each."""
_WRONG = (ValueError, TypeError, AttributeError, VideoError)
"""Errors of checking and encoding that are the fault of one answer."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A clip of checked frames that is still to be encoded. Its generator must not go on before it is `copied`."""

    clip: Clip
    path: Path
    tags: Mapping[str, str]
    who: str

    def copied(self) -> Rendered | Failure:
        """Copy the frames, since a generator may reuse its buffer for the next clip."""
        try:
            sound = None if self.clip.sound is None else np.array(self.clip.sound)
            return replace(self, clip=replace(self.clip, frames=np.array(self.clip.frames), sound=sound))
        except MemoryError as error:
            return _failed(self.clip, self.who, error, keeps_job=True)

    def encoded(self) -> Clip | Failure:
        """Write the mp4; any thread may do it. Raises RunError if the disk refuses, ComponentError for a bug."""
        clip = self.clip
        assert clip.frames is not None
        assert clip.fps is not None
        try:
            if is_black(clip.frames):
                return _black(clip)
            write_mp4(clip.frames, clip.fps, self.path, self.tags, sound=clip.sound, sample_rate=clip.sample_rate)
        except (*_WRONG, MemoryError) as error:
            return _failed(clip, self.who, error, keeps_job=isinstance(error, MemoryError))
        except OSError as error:
            hint = ": make room and run the same command again" if error.errno == errno.ENOSPC else ""
            raise RunError(f"clip {self.path} cannot be written: {one_line(str(error))}{hint}") from error
        except Exception as error:  # a bug below us: it ends this component, and not the whole run
            raise ComponentError(f"{self.who}: clip {clip.id} cannot be encoded: {one_line(error)}") from error
        return replace(clip, path=self.path, frames=None, sound=None)


def answers(
    component: Component, items: Iterable[Request], workspace: Path, label: str = ""
) -> Generator[Answer | Rendered | Submitted, None, None]:
    """Yield a component's answers to `items`, checked; clips given as frames are yielded as `Rendered`.

    What is `Submitted` is passed on and is no answer: that of the same item is still to come. An answer that is wrong
    in itself becomes a Failure of its item. Raises ComponentError if the component raises, ends early, or answers an id
    twice or one that it was not asked. An error of the component's own says which it is of.
    """
    who = f"{component.kind} {label or type(component).__name__}"
    maker = str(component.fingerprint().get("name", type(component).__name__))
    asked: dict[str, Request] = {}
    input_error: list[BaseException] = []
    waited = 0.0  # for requests, since the last answer: the stage before may be slower than this one

    def watched() -> Iterator[Request]:
        nonlocal waited
        source = iter(items)
        try:
            while True:
                since = time.perf_counter()
                item = next(source, None)
                waited += time.perf_counter() - since
                if item is None:
                    return
                asked[item.id] = item
                yield item
        except Exception as error:  # an error of ours: the plugin must not be blamed for it, nor swallow it
            input_error.append(error)
            raise

    answered: set[str] = set()
    source: Iterator[Any] | None = None
    started = time.perf_counter()
    feed = watched()
    try:
        source = iter(_call(component, _Requests(feed, items)))
        for answer in source:
            seconds = max(0.0, time.perf_counter() - started - waited)
            id_ = _checked_id(answer, asked, answered, who)
            if isinstance(answer, Submitted):
                if (wrong := wrong_job(answer.job)) is not None:  # it could not be found again after a kill
                    raise ComponentError(f"{who}: the job of item {id_} {one_line(wrong)}")
                yield answer
                continue
            answered.add(id_)
            checked = [_checked(answer, seconds, asked.pop(id_), component, workspace, who, maker)]
            del answer  # nor is it kept in `checked`: frames must not stay while the next clip is rendered
            yield checked.pop()
            started, waited = time.perf_counter(), 0.0
        if next(feed, None) is not None:
            raise ComponentError(f"{who} ended before it was asked everything ({_unanswered(asked)})")
    except (RunError, GeneratorExit, KeyboardInterrupt):
        raise
    except ComponentError as error:
        if str(error).startswith(who):
            raise
        raise ComponentError(f"{who}: {error}") from error.__cause__  # its author need not say whose it is
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


class _Requests(Iterator[Request]):
    """The requests as a component gets them; where the engine's own iterable can, they tell when it is to end."""

    def __init__(self, requests: Iterator[Request], of_engine: Iterable[Request]) -> None:
        self._requests = requests
        self.on_stop = getattr(of_engine, "on_stop", None)

    def __next__(self) -> Request:
        return next(self._requests)


def _unanswered(asked: dict[str, Request]) -> str:
    return f"{len(asked)} unanswered" if asked else "none unanswered"


def _call(component: Component, items: Iterator[Any]) -> Iterable[Any]:
    if isinstance(component, LLM | VideoGenerator):
        return component.generate(items)
    if isinstance(component, PairwisePredictor):
        return component.compare(items)
    if isinstance(component, Predictor):
        return component.score(items)
    raise ComponentError(f"a {component.kind} takes no requests")


def _checked_id(answer: Any, asked: dict[str, Request], answered: set[str], who: str) -> str:
    id_ = getattr(answer, "id", None)
    if not isinstance(id_, str):
        raise ComponentError(f"{who} yielded {type(answer).__name__}, which has no id")
    did = "submitted" if isinstance(answer, Submitted) else "answered"
    if id_ in answered:
        how = "after its answer" if did == "submitted" else "twice"
        raise ComponentError(f"{who} {did} item {id_} {how}")
    if id_ not in asked:
        raise ComponentError(f"{who} {did} item {id_!r}, which it was not asked")
    return id_


def _checked(
    answer: Any, seconds: float, request: Request, component: Component, workspace: Path, who: str, maker: str
) -> Answer | Rendered:
    if isinstance(answer, (Completion, Clip, Score, Failure)) and answer.seconds is None:
        answer = replace(answer, seconds=seconds)
    try:
        answer = _checked_costs(answer)
        if isinstance(answer, Failure):
            if not isinstance(answer.reason, str):
                raise ValueError(f"reason is {answer.reason!r}, expected text")
            error, reason = one_line(str(answer.error)) or "failed without a reason", one_line(answer.reason, _REASON)
            return replace(answer, error=error, reason=reason, keeps_job=bool(answer.keeps_job))
        if isinstance(component, LLM) and isinstance(answer, Completion):
            return _checked_completion(answer)
        if isinstance(component, Predictor) and isinstance(answer, Score):
            scored = _checked_score(answer, real=is_real(component))
            if isinstance(component, PairwisePredictor) and not 0 <= scored.value <= 1:
                raise ValueError(
                    f"value is {scored.value}, expected 1 for the first video, 0 for the second, or between"
                )
            return scored
        if isinstance(component, VideoGenerator) and isinstance(answer, Clip):
            assert isinstance(request, VideoRequest)
            if answer.path is not None:
                return _finished(answer, Path(answer.path))
            return _rendered(_heard(answer, component), request, workspace, who, maker)
        raise ValueError(f"{type(answer).__name__} is no answer of a {component.kind}")
    except _WRONG as error:
        # A job may be fetched once more, in case its file was cut. If that is of no use either, it is over.
        return _failed(answer, who, error, keeps_job=request.job is None)


def _failed(answer: Any, who: str, error: BaseException, *, keeps_job: bool = False) -> Failure:
    usage = None
    with suppress(AttributeError, ValueError):  # what is wrong may have been paid for
        usage = _checked_usage(answer.usage)
    return Failure(answer.id, f"{who}: {one_line(str(error) or repr(error))}", usage=usage, keeps_job=keeps_job)


def _checked_costs(answer: Any) -> Any:
    """Return an answer with its common fields checked. Raises ValueError if one is not as `records` has it."""
    if not isinstance(answer, Completion | Clip | Score | Failure):
        raise ValueError(f"answered with {type(answer).__name__}")
    costs: dict[str, Any] = {}
    for name in ("seconds", "peak_memory_mb"):
        value = getattr(answer, name)
        if value is not None and not (isinstance(value, numbers.Real) and math.isfinite(value) and float(value) >= 0):
            raise ValueError(f"{name} is {value!r}, expected a finite number of at least 0")
        costs[name] = None if value is None else float(value)
    if isinstance(answer.notes, str) or not all(isinstance(note, str) for note in answer.notes or ()):
        raise ValueError(f"notes are {answer.notes!r}, expected texts")
    costs["notes"] = tuple(answer.notes or ())
    costs["usage"] = None if answer.usage is None else _checked_usage(answer.usage)
    return replace(answer, **costs)


def _checked_usage(usage: Any) -> dict[str, float]:
    """Return what an answer took of each kind; raises ValueError for anything but finite numbers of at least 0."""
    expected = "numbers of at least 0 by kind, for instance of tokens"
    if not isinstance(usage, Mapping):
        raise ValueError(f"usage is {usage!r}, expected {expected}")
    checked: dict[str, float] = {}
    for kind, number in usage.items():
        if not isinstance(kind, str) or not isinstance(number, numbers.Real) or isinstance(number, bool):
            raise ValueError(f"usage is {usage!r}, expected {expected}")
        checked[kind] = int(number) if isinstance(number, numbers.Integral) else float(number)
        if not (math.isfinite(checked[kind]) and checked[kind] >= 0):
            raise ValueError(f"usage is {usage!r}, expected {expected}")
    return checked


def _checked_completion(answer: Completion) -> Completion:
    if not isinstance(answer.text, str) or not isinstance(answer.reasoning, str | None):
        raise ValueError(f"completion text is {type(answer.text).__name__}, expected str")
    text, reasoning = split_reasoning(_encodable(answer.text), _encodable(answer.reasoning or ""))
    remarks = answer.remarks
    if isinstance(remarks, str) or not all(isinstance(remark, str) for remark in remarks or ()):
        raise ValueError(f"remarks are {remarks!r}, expected texts")
    if not isinstance(answer.cut, bool):
        raise ValueError(f"cut is {answer.cut!r}, expected True or False")
    remarks = tuple(filter(None, (one_line(_encodable(remark)) for remark in remarks or ())))
    return replace(answer, text=text, reasoning=reasoning, remarks=remarks)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _checked_score(answer: Score, *, real: bool) -> Score:
    try:
        value = float(answer.value)
    except (TypeError, ValueError):
        raise ValueError(f"popularity is {answer.value!r}, expected a number") from None
    if real:
        if not abs(value) <= MAX_POPULARITY:
            raise ValueError(f"value is {value}, expected a finite number")
    elif not (math.isfinite(value) and value > 0):
        more = ', or scale = "real" for scores of any sign' if math.isfinite(value) else ""
        raise ValueError(f"popularity is {value}, expected a finite number above 0{more}")
    try:
        extra = json.loads(json.dumps(dict(answer.extra), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"extra is not JSON: {one_line(str(error))}") from None
    return replace(answer, value=value, extra=extra, parts=checked_parts(answer.parts))


def _finished(clip: Clip, path: Path) -> Clip | Failure:
    """Check a clip's file, which stays as it is."""
    if not path.is_file():
        raise ValueError(f"clip file {path} does not exist")
    if clip.sound is not None:
        raise ValueError("clip has a path and sound: the file holds its own sound")
    if check_mp4(path):
        return _black(clip)
    # Predictors read frames: they can judge a clip that nobody can listen to.
    _, wrong = sound_of(path)
    notes = clip.notes if wrong is None else (*clip.notes, f"{MUTE} ({wrong})")
    return replace(clip, path=path, frames=None, notes=notes)


def _heard(clip: Clip, generator: VideoGenerator) -> Clip:
    """Check the sound that goes with frames."""
    if clip.sound is None:
        return clip
    if generator.makes_sound is not True:
        raise ValueError("clip has sound, which its key has to cover: set makes_sound = True in the generator's class")
    return replace(clip, sound=check_sound(clip.sound, clip.sample_rate))


def _rendered(clip: Clip, request: VideoRequest, workspace: Path, who: str, maker: str) -> Rendered:
    """Check frames, and add the path and tags of the mp4, which say that it is generated."""
    if clip.frames is None or clip.fps is None:
        raise ValueError("clip has neither frames with fps nor a path")
    tags = {
        "comment": f"AI-generated video, made by popbench with {maker}, seed {request.seed}",
        "description": "AI-generated",
    }
    return Rendered(replace(clip, frames=check_frames(clip.frames)), workspace / clip_name(clip.id), tags, who)


def _black(clip: Clip) -> Failure:
    return Failure(clip.id, BLACK, True, clip.seconds, clip.peak_memory_mb, clip.notes, usage=clip.usage)
