"""The values that pass through popbench, in their order.

`Prompt -> Chat -> Completion -> Draft -> VideoRequest -> Clip -> ScoreRequest -> Score -> Sample`. All are
immutable. This module imports none of popbench's other parts and nothing outside the standard library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JSON: TypeAlias = Any
"""A value that `json.dumps` writes and `json.loads` reads."""

MAX_POPULARITY = 1e300
"""The largest popularity, and the largest distance of any score from 0: sums of several are still finite."""

Scale: TypeAlias = Literal["positive", "real"]
"""What scores may be: numbers above 0, or any finite numbers."""

MAX_PARTS, _PART = 100, 60
"""The most parts of a score, and characters of a part's name: tables have a column for each."""

MAX_JOB_BYTES = 2**16
"""The largest job, as JSON: all that a component has submitted is read at once."""

Status: TypeAlias = Literal["ok", "invalid", "error"]


def parts_of(system: str) -> tuple[str, str, str] | None:
    """Split a system's id into LLM, mode and generator; None for a baseline or a score file's system without these."""
    parts = system.split("|")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None


def wrong_job(job: JSON) -> str | None:
    """Return what is wrong with a job, None if it can be stored."""
    try:
        size = len(json.dumps(job, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        return f"is no JSON ({error})"
    if job is None or size > MAX_JOB_BYTES:
        is_what = "None" if job is None else f"{size:,} bytes of JSON"
        return f"is {is_what}, expected JSON of at most {MAX_JOB_BYTES:,} bytes, such as the id that a provider gave"
    return None


class Message(TypedDict):
    """One message of a chat, in the form that chat APIs take."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One user request of a task; `category` is a stratum of the statistics, `extra` more columns of the data."""

    id: str
    text: str
    category: str
    task: str
    extra: Mapping[str, JSON] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """One video of a corpus. `popularity` counts comments, or what the corpus states; `video` is its file, if any.

    Retrieval sets `popular`: True for positives, False for negatives (the least commented tenth of the tag, as in the
    paper's released code). In a corpus it is None.
    """

    id: str
    title: str
    description: str
    caption: str
    tag: str
    popularity: float
    video: Path | None = None
    popular: bool | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """A request to an LLM. Everything in it but the id determines the answer's key in the ledger.

    `messages` is the rendered template, or a turn of a mode, and `schema` the JSON schema of the answer: it is empty
    where any text may be answered. `reasons` says that the messages ask for written reasoning before the JSON.
    `prompt` and `references` are what the template was rendered from, for components that are not language models (the
    baselines). `job` and `key`: see `Submitted`.
    """

    id: str
    messages: tuple[Message, ...]
    seed: int
    schema: Mapping[str, JSON]
    prompt: str = ""
    references: tuple[Reference, ...] = ()
    reasons: bool = False
    job: JSON = field(default=None, kw_only=True, hash=False)
    key: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class Completion:
    """An LLM's answer. `usage` counts tokens by kind: `input`, `output` and others.

    `seconds` is the wall time of the call and `peak_memory_mb` the peak of accelerator memory; None if unknown. `cut`
    says that the answer ended at the limit of tokens. `notes` stand on the sample. `remarks` do too, and boards count
    them: facts that qualify the LLM's scores, in words that are the same for each answer, so without numbers of it.
    """

    id: str
    text: str
    reasoning: str | None = None
    usage: Mapping[str, float] | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A title and a video prompt, read from a completion; `breaches` lists the requirements that they break.

    `extra` holds the further fields that the task's drafts have, by name.
    """

    title: str
    video_prompt: str
    reasoning: str | None = None
    breaches: tuple[str, ...] = ()
    extra: Mapping[str, JSON] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """A request to a video generator. The same prompt and seed must give the same frames.

    `job` and `key`: see `Submitted`.
    """

    id: str
    prompt: str
    seed: int
    job: JSON = field(default=None, kw_only=True, hash=False)
    key: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class Clip:
    """A rendered clip: `frames` as uint8 (frames, height, width, 3) with `fps`, or `path` to a finished mp4.

    `usage` is what the clip took of what has a price, by kind, for instance `video_seconds`. `sound` goes with frames,
    of a generator that says `makes_sound = True`: float32 (samples, channels) from -1 to 1, in one or two channels, at
    `sample_rate` samples a second, and as long as the clip give or take a second. A finished mp4 has its own sound.
    """

    id: str
    frames: NDArray[np.uint8] | None = None
    fps: float | None = None
    path: Path | str | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()
    usage: Mapping[str, float] | None = None
    sound: NDArray[np.float32] | None = field(default=None, kw_only=True)
    sample_rate: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A request to a predictor: how popular would the video at `path` be with this title?

    It holds what `Predictor.uses` names, and of the rest the defaults: without `title` the title is empty, without
    `video` the path is `Path()`, which cannot be read. A human-made video has the `video_prompt` None.
    `job` and `key`: see `Submitted`.
    """

    id: str
    title: str
    path: Path
    prompt: str | None = None
    video_prompt: str | None = None
    category: str | None = None
    task: str | None = None
    extra: Mapping[str, JSON] = field(default_factory=dict)
    job: JSON = field(default=None, kw_only=True, hash=False)
    key: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """A request to a pairwise predictor: which of two videos of the same prompt would people rather watch?

    `first` and `second` are shown in this order, and hold what the predictor's `uses` names. Each pair is asked about
    both ways round, in two requests. `job` and `key`: see `Submitted`.
    """

    id: str
    first: ScoreRequest
    second: ScoreRequest
    job: JSON = field(default=None, kw_only=True, hash=False)
    key: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True, init=False)
class Score:
    """A predictor's answer: `value` in the predictor's unit, above 0 unless the predictor's `scale` is "real".

    `parts` are further numbers of the same call by name, such as an aspect each of a judgement; they are shown and
    exported, and rank nothing. That of a pairwise predictor is 1 if it prefers the first video, 0 if the second, and a
    half for a tie; of several draws it is their mean. `extra` is stored in the ledger and not shown. `usage` is what
    the score took of what has a price, by kind, for instance `input` and `output` tokens. `popularity` is another name
    of `value`.
    """

    id: str
    value: float
    extra: Mapping[str, JSON]
    seconds: float | None
    peak_memory_mb: float | None
    notes: tuple[str, ...]
    usage: Mapping[str, float] | None
    parts: Mapping[str, float]

    def __init__(
        self,
        id: str,  # noqa: A002 - the field's name
        value: float | None = None,
        extra: Mapping[str, JSON] | None = None,
        seconds: float | None = None,
        peak_memory_mb: float | None = None,
        notes: tuple[str, ...] = (),
        usage: Mapping[str, float] | None = None,
        *,
        parts: Mapping[str, float] | None = None,
        popularity: float | None = None,
    ) -> None:
        # `dataclasses.replace(score, popularity=...)` gives both names: the one that is no field is the new one.
        given = {
            "id": id, "value": value if popularity is None else popularity, "extra": {} if extra is None else extra,
            "seconds": seconds, "peak_memory_mb": peak_memory_mb, "notes": notes, "usage": usage,
            "parts": {} if parts is None else parts,
        }  # fmt: skip
        for name, value_of_name in given.items():
            object.__setattr__(self, name, value_of_name)

    @property
    def popularity(self) -> float:
        """The value, under the name that it has where it is stored."""
        return self.value


def checked_parts(parts: Any) -> dict[str, float]:
    """Return the parts of a score as floats; raises ValueError for anything but finite numbers by short names."""
    if not isinstance(parts, Mapping) or len(parts) > MAX_PARTS:
        raise ValueError(f"parts are {parts!r:.80}, expected at most {MAX_PARTS} numbers by name")
    checked: dict[str, float] = {}
    for name, number in parts.items():
        if not (isinstance(name, str) and name.strip() == name and name.isprintable() and 0 < len(name) <= _PART):
            raise ValueError(f"a part is called {name!r:.80}, expected text on one line of at most {_PART} characters")
        if not isinstance(number, Real) or isinstance(number, bool) or not abs(float(number)) <= MAX_POPULARITY:
            raise ValueError(f"part {name!r} is {number!r:.80}, expected a finite number")
        checked[name] = float(number)
    return checked


@dataclass(frozen=True, slots=True)
class Failure:
    """The answer for one item that failed; the component goes on with the others.

    `invalid=True` is a failure of the model (a refusal, a black clip): final, and it scores 0. Otherwise the cause is
    outside the model (network, quota, memory): an error, never a score, and a resume tries it again. `reason` is the
    kind of an invalid answer as boards count it, in a word or two, for instance `refusal` or `content filter`.
    `usage` is what was paid for all the same: providers charge for refusals too.

    A failure of a request whose job was `Submitted` says that the job is over, so that the request is to be asked anew.
    With `keeps_job=True` it does not: only the asking about the job failed, and a resume asks again.
    """

    id: str
    error: str
    invalid: bool = False
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()
    reason: str = ""
    usage: Mapping[str, float] | None = None
    keeps_job: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Submitted:
    """Not an answer: the world has accepted the work on a request, under a `job` by which it can be asked about.

    It is committed before the next answer is taken. The answer follows in the same iterator; if the run is ended
    before, the request comes again with `request.job` set, and is then polled instead of created. `request.key` is the
    same in all runs until the job is over: an Idempotency-Key, for a kill between acceptance and commit. A request
    that is yielded twice keeps the later job. `job` is JSON of at most 64 KiB, not None; keys and passwords do not
    belong in it.
    """

    id: str
    job: JSON


Request: TypeAlias = Chat | VideoRequest | ScoreRequest | CompareRequest
Answer: TypeAlias = Completion | Clip | Score | Failure


@dataclass(frozen=True, slots=True)
class Needs:
    """What a component occupies while it works. Stages overlap only if their needs fit together."""

    gpus: float = 0
    memory_gb: float = 0
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Workers:
    """How many processes work for a component at a time, and how many GPUs each occupies."""

    count: int = 1
    gpus: float = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one prompt under one system: a line of samples.jsonl.

    `popularity` is the first predictor's, 0 if invalid and None if error; `scores` holds every predictor's, and `parts`
    the parts of those that have any. On a real scale, where 0 is a score, that of an invalid sample is None. `seconds`
    and `peak_memory_mb` are keyed `llm`, `generate`, `predict`. `cost` is the draft's, in USD, None if the LLM has no
    prices. `originality` is 1 - the highest similarity of title or text to a reference that was shown, None without
    references. `match` is the published video of the human baseline, None for other systems. `unusable` holds the
    reason of each of the `attempts` that gave no usable draft, `remarks` what boards count of the LLM's answers.
    `usage` is that of all attempts but `uncounted` ones; without `usage`, that of none is known. `costs` is in USD,
    keyed `llm`, `generate`, `predict` (of all predictors), None where it is unknown; it is empty where neither the
    generator nor a predictor says what it took. `extra` holds the further columns of the task's data and fields of its
    drafts that the task names.
    """

    system: str
    llm: str | None
    mode: str | None
    generator: str | None
    task: str
    prompt_id: str
    prompt: str
    category: str
    repeat: int
    status: Status
    title: str | None = None
    video_prompt: str | None = None
    completion: str | None = None
    reasoning: str | None = None
    references: tuple[str, ...] = ()
    compliance: bool | None = None
    originality: float | None = None
    attempts: int = 0
    video: str | None = None
    video_sha256: str | None = None
    popularity: float | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str | None = None
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    peak_memory_mb: Mapping[str, float | None] = field(default_factory=dict)
    usage: Mapping[str, float] | None = None
    cost: float | None = None
    match: Mapping[str, JSON] | None = None
    unusable: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    uncounted: int = 0
    parts: Mapping[str, Mapping[str, float]] | None = None
    costs: Mapping[str, float | None] = field(default_factory=dict)
    extra: Mapping[str, JSON] = field(default_factory=dict)
