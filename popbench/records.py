"""The values that flow through popbench, in the order they flow.

`Prompt -> Chat -> Completion -> Draft -> VideoRequest -> Clip -> ScoreRequest -> Score -> Sample`. All are
immutable. This module imports none of popbench's other parts and nothing outside the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JSON: TypeAlias = Any
"""What `json.dumps` writes and `json.loads` reads."""

MAX_POPULARITY = 1e300
"""What a popularity is at most, so that sums of some are still numbers."""

Status: TypeAlias = Literal["ok", "invalid", "error"]


def parts_of(system: str) -> tuple[str, str, str] | None:
    """Split a system's id into LLM, mode and generator; None for one without these: a baseline, or a score file's."""
    parts = system.split("|")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None


class Message(TypedDict):
    """One message of a chat, in the form chat APIs take."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One user request of a task; `category` is a stratum of the statistics."""

    id: str
    text: str
    category: str
    task: str


@dataclass(frozen=True, slots=True)
class Reference:
    """One video of a corpus. `popularity` counts its comments, or what the corpus says; `video` is its file, if any.

    `popular` is set by retrieval: True for positives, False for negatives (the least commented tenth of the
    tag, as the paper's released code has it); in a corpus it is None.
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
    """What an LLM is asked: everything here but the id determines the answer's key in the ledger.

    `messages` is the rendered template; `schema` the JSON schema of the answer, before which the messages ask for
    written-out reasoning where `reasons` says so. `prompt` and `references` are what the template was rendered
    from, for models that are not language models (the baselines).
    """

    id: str
    messages: tuple[Message, ...]
    seed: int
    schema: Mapping[str, JSON]
    prompt: str = ""
    references: tuple[Reference, ...] = ()
    reasons: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """An LLM's answer. `usage` counts tokens by kind: `input`, `output`, and whatever else is known.

    `seconds` is the wall time of the call and `peak_memory_mb` the accelerator's peak, where they are known.
    """

    id: str
    text: str
    reasoning: str | None = None
    usage: Mapping[str, int] | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A title and a video prompt read from a completion; `breaches` are the requirements it does not keep."""

    title: str
    video_prompt: str
    reasoning: str | None = None
    breaches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """What a video generator is asked: the same prompt and seed must give the same frames."""

    id: str
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Clip:
    """A rendered clip: `frames` as uint8 (frames, height, width, 3) with `fps`, or `path` to a finished mp4."""

    id: str
    frames: NDArray[np.uint8] | None = None
    fps: float | None = None
    path: Path | str | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What a predictor is asked: how popular would the video at `path` be under this title?"""

    id: str
    title: str
    path: Path


@dataclass(frozen=True, slots=True)
class Score:
    """A predictor's answer: `popularity` > 0 in the predictor's unit; `extra` goes into the ledger with it."""

    id: str
    popularity: float
    extra: Mapping[str, JSON] = field(default_factory=dict)
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that could not be done; the component goes on with the others.

    `invalid=True` is the model's own failure (a refusal, a black clip): final, and it scores 0. Otherwise it
    is the world's (network, quota, memory): an error, never a score, and tried again by a resume.
    """

    id: str
    error: str
    invalid: bool = False
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()


Request: TypeAlias = Chat | VideoRequest | ScoreRequest
Answer: TypeAlias = Completion | Clip | Score | Failure


@dataclass(frozen=True, slots=True)
class Needs:
    """What a component occupies while it works; stages overlap only where their needs fit together."""

    gpus: float = 0
    memory_gb: float = 0
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Workers:
    """How many processes work for a component at the same time, and how many GPUs each of them occupies."""

    count: int = 1
    gpus: float = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a run: what became of one prompt under one system. The fields of samples.jsonl.

    `popularity` is the first predictor's, 0 if invalid and None if error; `scores` holds every predictor's.
    `seconds` and `peak_memory_mb` are keyed `llm`, `generate`, `predict`; `cost` is the draft's, in USD, where the
    LLM knows its prices. `originality` is 1 - the highest similarity of title or text to one of the
    references shown, None where none were; `match` is None until something computes it.
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
    usage: Mapping[str, int] | None = None
    cost: float | None = None
    match: Mapping[str, JSON] | None = None
