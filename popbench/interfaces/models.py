"""The models that are compared, and the one that scores them: LLM, video generator, predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import get_args

from popbench.cards.card import PredictorCard
from popbench.interfaces.component import Component
from popbench.interfaces.uses import DEFAULT_USES
from popbench.records import (
    JSON,
    Chat,
    Clip,
    Completion,
    Failure,
    Message,
    Scale,
    Score,
    ScoreRequest,
    Submitted,
    VideoRequest,
)


class LLM(Component, ABC):
    """Writes a title and a video prompt for each chat.

    >>> import json
    >>> import popbench
    >>> class Echo(popbench.LLM):
    ...     "Takes the user's prompt for title and video prompt."
    ...
    ...     version = "1"
    ...
    ...     def generate(self, chats):
    ...         for chat in chats:
    ...             draft = {"title": chat.prompt[:50], "video_prompt": chat.prompt}
    ...             yield popbench.Completion(chat.id, json.dumps(draft))
    """

    kind = "llm"

    @abstractmethod
    def generate(self, chats: Iterable[Chat]) -> Iterator[Completion | Failure | Submitted]:
        """Yield one answer per chat, in any order; randomness comes from `chat.seed` alone."""

    def planned(self, usage: Mapping[str, float]) -> Mapping[str, float]:
        """Return the usage of calls to come from their tokens, `input` and `output`: `--dry-run` asks its cost.

        By default it is `usage` itself. An LLM with other prices for some calls, as in batches, adds kinds for these.
        """
        return usage

    def fits(self, messages: Sequence[Message]) -> bool:  # noqa: ARG002 - for those who know
        """Say whether messages leave room for an answer in the model's context; True if that is unknown.

        If they do not fit, popbench shows fewer references and notes that on the sample. If messages fit, shorter
        ones must fit too. Called on an instance that generates nothing, from one thread at a time.
        """
        return True


class VideoGenerator(Component, ABC):
    """Renders a clip for each video prompt.

    >>> import numpy as np
    >>> import popbench
    >>> class Snow(popbench.VideoGenerator):
    ...     "Renders one second of television snow."
    ...
    ...     version = "1"
    ...
    ...     def generate(self, requests):
    ...         for request in requests:
    ...             seed = [request.seed, *request.prompt.encode()]
    ...             frames = np.random.default_rng(seed).integers(0, 256, (8, 36, 64, 3), np.uint8)
    ...             yield popbench.Clip(request.id, frames=frames, fps=8)
    """

    kind = "generator"
    makes_sound: bool = False
    """Whether it gives sound along with frames (`Clip.sound`): how sound is encoded is then part of the keys of its
    clips. It need not be set for finished files, which keep their sound. An instance may set its own."""

    @abstractmethod
    def generate(self, requests: Iterable[VideoRequest]) -> Iterator[Clip | Failure | Submitted]:
        """Yield one clip per request, in any order; frames depend on prompt, seed and options alone."""


class Predictor(Component, ABC):
    """Estimates the popularity of videos with their titles.

    >>> import popbench
    >>> from popbench.video import VideoError, read_frames
    >>> class Bright(popbench.Predictor):
    ...     "Takes bright videos for popular."
    ...
    ...     version = "1"
    ...     unit = "views"
    ...
    ...     def score(self, items):
    ...         for item in items:
    ...             try:
    ...                 yield popbench.Score(item.id, 1.0 + float(read_frames(item.path, count=3).mean()))
    ...             except VideoError as error:
    ...                 yield popbench.Failure(item.id, str(error))
    """

    kind = "predictor"
    unit: str = "popularity"
    """What `Score.value` counts, for instance `comments`; an instance may set its own."""
    uses: frozenset[str] = DEFAULT_USES
    """The fields of `ScoreRequest` that it sees: any of `video`, `title`, `prompt`, `video_prompt`, `category`, `task`
    and `extra`. A score is made anew only if one of them changes. An instance may set its own."""
    scale: Scale = "positive"
    """What a score may be: a number above 0, as a count is, or with "real" any finite number, as a judgement or a
    reward is. An invalid sample ranks below every score. An instance may set its own."""

    @abstractmethod
    def score(self, items: Iterable[ScoreRequest]) -> Iterator[Score | Failure | Submitted]:
        """Yield one score per item, in any order; it depends on what it `uses` alone."""

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the scale, if it is real."""
        return {**super().fingerprint(), **({"scale": "real"} if is_real(self) else {})}

    def trained_on(self) -> list[str]:
        """Return the corpus parts it was trained on, as `corpus/part`, for instance `microlens/train`."""
        return []

    def card(self) -> PredictorCard | None:
        """Return how far its order carries to real outcomes, by videos that it has not seen; None if that is not known.

        Boards tell by it what a win is worth. Scores do not depend on it, so no fingerprint covers it; a user may give
        another one with `card=` in the spec.
        """
        return None


def is_real(predictor: Predictor) -> bool:
    """Say whether a predictor scores on a real scale; a plugin of earlier may keep something of its own in `scale`."""
    return isinstance(predictor.scale, str) and predictor.scale == "real"


def check_scale(predictor: Predictor) -> None:
    """Raise ValueError if a predictor's scale is a text that names none."""
    if isinstance(predictor.scale, str) and predictor.scale not in get_args(Scale):
        raise ValueError(f"scale is {predictor.scale!r:.50}, expected 'positive' or 'real' (set it in the class)")
