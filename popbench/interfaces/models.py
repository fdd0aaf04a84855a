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
    CompareRequest,
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


class PairwisePredictor(Predictor):
    """Says which of two videos of the same prompt people would rather watch, where others score one by one.

    It is asked about the systems of a run pair by pair, each pair both ways round, so that a preference for a place
    cancels. A sample's score is the share of its comparisons that it won. So scores depend on the other systems of the
    run, and those of two runs share no board.

    >>> import popbench
    >>> class Longer(popbench.PairwisePredictor):
    ...     "Takes the video with the longer title."
    ...
    ...     version = "1"
    ...     uses = frozenset({"title"})
    ...
    ...     def compare(self, items):
    ...         for item in items:
    ...             first, second = len(item.first.title), len(item.second.title)
    ...             yield popbench.Score(item.id, 0.5 if first == second else float(first > second))
    """

    unit = "win share"
    scale: Scale = "real"
    opponents: int | None = None
    """With how many others each system is compared on a prompt; None for all others. An instance may set its own."""

    @abstractmethod
    def compare(self, items: Iterable[CompareRequest]) -> Iterator[Score | Failure | Submitted]:
        """Yield one answer per item, in any order: a score of 1 prefers the first video, 0 the second, 1/2 none.

        It depends on what it `uses` of both alone, and on their order.
        """

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[Score | Failure | Submitted]:  # noqa: ARG002 - it has none
        """Raise TypeError: a video alone has no score."""
        raise TypeError(f"{type(self).__name__} compares two videos, and scores none alone")


def balanced(shown_first: float, shown_second: float) -> float:
    """Return how far a video is preferred to another, 0 to 1, by a pairwise predictor's answers both ways round.

    `shown_first` is the answer where it was shown first, and `shown_second` the one where the other was.
    """
    return (shown_first + 1 - shown_second) / 2


def is_real(predictor: Predictor) -> bool:
    """Say whether a predictor scores on a real scale; a plugin of earlier may keep something of its own in `scale`."""
    return isinstance(predictor.scale, str) and predictor.scale == "real"


def check_scale(predictor: Predictor) -> None:
    """Raise ValueError if a predictor's scale is a text that names none, or is not that of a pairwise predictor."""
    if isinstance(predictor.scale, str) and predictor.scale not in get_args(Scale):
        raise ValueError(f"scale is {predictor.scale!r:.50}, expected 'positive' or 'real' (set it in the class)")
    if isinstance(predictor, PairwisePredictor):
        if not is_real(predictor):
            raise ValueError(f"scale is {predictor.scale!r:.50}, expected 'real': a share of comparisons won may be 0")
        most = predictor.opponents
        if most is not None and (type(most) is not int or most < 1):
            raise ValueError(f"opponents is {most!r:.50}, expected a number of at least 1, or None for all")
