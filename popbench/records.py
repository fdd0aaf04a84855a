"""The values that pass through popbench, in their order.

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
"""A value that `json.dumps` writes and `json.loads` reads."""

MAX_POPULARITY = 1e300
"""The largest popularity: sums of several are still finite."""

Status: TypeAlias = Literal["ok", "invalid", "error"]


def parts_of(system: str) -> tuple[str, str, str] | None:
    """Split a system's id into LLM, mode and generator; None for a baseline or a score file's system without these."""
    parts = system.split("|")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None


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

    `messages` is the rendered template and `schema` the JSON schema of the answer. `reasons` says that the messages ask
    for written reasoning before the JSON. `prompt` and `references` are what the template was rendered from, for
    components that are not language models (the baselines).
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
    """A request to a video generator. The same prompt and seed must give the same frames."""

    id: str
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Clip:
    """A rendered clip: `frames` as uint8 (frames, height, width, 3) with `fps`, or `path` to a finished mp4.

    `usage` is what the clip took of what has a price, by kind, for instance `video_seconds`.
    """

    id: str
    frames: NDArray[np.uint8] | None = None
    fps: float | None = None
    path: Path | str | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()
    usage: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A request to a predictor: how popular would the video at `path` be with this title?

    It holds what `Predictor.uses` names, and of the rest the defaults: without `title` the title is empty, without
    `video` the path is `Path()`, which cannot be read. A human-made video has the `video_prompt` None.
    """

    id: str
    title: str
    path: Path
    prompt: str | None = None
    video_prompt: str | None = None
    category: str | None = None
    task: str | None = None
    extra: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """A predictor's answer: `popularity` > 0 in the predictor's unit; `extra` is stored in the ledger with it.

    `usage` is what the score took of what has a price, by kind, for instance `input` and `output` tokens.
    """

    id: str
    popularity: float
    extra: Mapping[str, JSON] = field(default_factory=dict)
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()
    usage: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The answer for one item that failed; the component goes on with the others.

    `invalid=True` is a failure of the model (a refusal, a black clip): final, and it scores 0. Otherwise the cause is
    outside the model (network, quota, memory): an error, never a score, and a resume tries it again. `reason` is the
    kind of an invalid answer as boards count it, in a word or two, for instance `refusal` or `content filter`.
    `usage` is what was paid for all the same: providers charge for refusals too.
    """

    id: str
    error: str
    invalid: bool = False
    seconds: float | None = None
    peak_memory_mb: float | None = None
    notes: tuple[str, ...] = ()
    reason: str = ""
    usage: Mapping[str, float] | None = None


Request: TypeAlias = Chat | VideoRequest | ScoreRequest
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

    `popularity` is the first predictor's, 0 if invalid and None if error; `scores` holds every predictor's. `seconds`
    and `peak_memory_mb` are keyed `llm`, `generate`, `predict`. `cost` is the draft's, in USD, None if the LLM has no
    prices. `originality` is 1 - the highest similarity of title or text to a reference that was shown, None without
    references. `match` is the published video of the human baseline, None for other systems. `unusable` holds the
    reason of each of the `attempts` that gave no usable draft, `remarks` what boards count of the LLM's answers.
    `usage` is that of all attempts but `uncounted` ones; without `usage`, that of none is known. `extra` holds the
    further columns of the task's data and fields of its drafts that the task names.
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
    extra: Mapping[str, JSON] = field(default_factory=dict)
