"""What a plugin implements: one class per model, with its options, and an iterator from requests to answers.

The three models (`LLM`, `VideoGenerator`, `Predictor`) have one shape: `generate` or `score` takes an iterable
of requests and yields answers in any order, matched by id. The harness calls it from one thread, pulls one
answer at a time, and stores each before it takes the next; only while a clip of frames is encoded, the clip after
it is rendered already.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic

from popbench.options import Options
from popbench.records import (
    JSON,
    Answer,
    Chat,
    Clip,
    Completion,
    Failure,
    Message,
    Needs,
    Reference,
    Request,
    Score,
    ScoreRequest,
    VideoRequest,
    Workers,
)
from popbench.specs import ComponentSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Options = Options


class Component:
    """What all plugins' classes share.

    Construction must be cheap: load models in the first call that needs them.
    """

    Options: ClassVar[type[Options]] = Options
    kind: ClassVar[str] = ""
    demo: ClassVar[bool] = False
    """True marks every run that uses it as a demonstration, which no real board accepts."""
    note: str = ""
    """A sentence that every board with this component has to show; an instance may have its own."""
    version: str = ""
    """Part of the fingerprint: change it when the same options give other results. Where a class sets none,
    it is the version of the distribution that registers the class."""

    def __init__(self, options: _Options | None = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    def fingerprint(self) -> Mapping[str, JSON]:
        """Say everything that results depend on; add the revision or hash of weights where there are any."""
        cls = type(self)
        return {
            "name": f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}",
            "version": self.version,
            "options": self.options.determining(),
        }

    def label(self) -> str | None:
        """Offer a shorter name for boards than the one made of name and options; None for that one."""
        return None

    def check(self) -> list[str]:
        """List what is missing to run here (a key, weights, memory), each with how to get it."""
        return []

    def needs(self) -> Needs:
        """Say what it occupies while it works."""
        return Needs()

    def close(self) -> None:
        """Free memory and connections. Always called, also after an error; a later call may load again."""


class LLM(Component, ABC):
    """Writes a title and a video prompt."""

    kind = "llm"

    @abstractmethod
    def generate(self, chats: Iterable[Chat]) -> Iterator[Completion | Failure]:
        """Answer every chat once, in any order; a sampled answer draws from `chat.seed` alone."""

    def cost(self, usage: Mapping[str, int]) -> float | None:  # noqa: ARG002 - for those who know
        """Say what a call with this usage costs, in USD; None where prices are not known."""
        return None

    def fits(self, messages: Sequence[Message]) -> bool:  # noqa: ARG002 - for those who know
        """Say whether messages leave the model's context room for an answer; True where that is not known.

        Where they do not, popbench shows fewer references, and says so of the sample. Shorter messages fit
        where longer ones do. Asked of an instance that generates nothing, from one thread at a time.
        """
        return True


class VideoGenerator(Component, ABC):
    """Renders a clip from a video prompt."""

    kind = "generator"

    @abstractmethod
    def generate(self, requests: Iterable[VideoRequest]) -> Iterator[Clip | Failure]:
        """Render every request once, in any order; the frames depend on prompt, seed and options alone."""


class Predictor(Component, ABC):
    """Estimates the popularity of a titled video."""

    kind = "predictor"
    unit: str = "popularity"
    """What `Score.popularity` counts, for instance `comments`; an instance may have its own."""

    @abstractmethod
    def score(self, items: Iterable[ScoreRequest]) -> Iterator[Score | Failure]:
        """Score every item once, in any order; the score depends on title and video alone."""

    def trained_on(self) -> list[str]:
        """Name the corpus parts it has seen, as `corpus/part`, for instance `microlens/train`."""
        return []


class Embedder(Component, ABC):
    """Turns texts into vectors whose nearness is nearness of meaning."""

    kind = "embedder"

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 (len(texts), d); rows have length 1, or 0 for a text with nothing in it."""


PARTS = ("train", "valid", "test")
"""The parts of a corpus; `all` is their union."""

CorpusPart = Literal["train", "valid", "test", "all"]


class CorpusOptions(Options):
    """The option of corpora that let users choose another part than `test`; subclass it to add others."""

    part: CorpusPart = pydantic.Field("test", description="the part that references and human videos come from")


class Corpus(Component, ABC):
    """A collection of published videos with their popularity: for prompt enhancement and the human baseline."""

    kind = "corpus"
    Options: ClassVar[type[_Options]] = CorpusOptions
    known_as: str = ""
    """What a predictor's `trained_on()` calls it; where empty, the name it is registered under."""

    @property
    def part(self) -> str:
        """The part that references and human videos come from: predictors are trained on others than `test`."""
        return str(self.options.part) if isinstance(self.options, CorpusOptions) else "test"

    @abstractmethod
    def rows(self, part: str) -> Iterator[Reference]:
        """Yield the rows of one part: `train`, `valid`, `test` or `all`, of which none may fit in memory at once.

        Raises ValueError for another part, UsageError for data that cannot be used.
        """

    def content(self) -> str:
        """Identify the rows: another text as soon as one of them changes; what is made of rows is kept under it.

        This one hashes all of them, whatever their order, part by part. Where there are many, a revision or a file's
        hash is faster.
        """
        import hashlib

        total = 0
        for part in PARTS:
            for row in self.rows(part):
                values = (part, row.id, row.title, row.description, row.caption, row.tag, row.popularity)
                shown = repr(values).encode()  # which escapes lone surrogates
                total += int.from_bytes(hashlib.sha256(shown).digest(), "big")
        return f"{total % 2**128:032x}"

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add what the rows are."""
        return {**super().fingerprint(), "content": self.content()}

    def remarks(self) -> list[str]:
        """Tell what was skipped or mended in the rows read last, one line each, with how many and where."""
        return []


class Engine(Component, ABC):
    """Runs components: here, or on other machines."""

    kind = "engine"

    def start(self, workspace: Path) -> None:
        """Get ready; finished mp4 files are handed over as paths under `workspace`."""

    @abstractmethod
    def map(self, spec: ComponentSpec, items: Iterable[Request]) -> Iterator[Answer]:
        """Feed `items` to the component that `spec` describes and yield its answers, clips as mp4 files.

        The component is kept for later calls until `release`. `items` is consumed in another thread; it may block
        there until an earlier stage has something for it, and that is no silence of the component. Raises
        ComponentError when the component raises, ends early, answers wrongly, or is silent for too long. Several
        calls, for different components, may be at work in several threads, as far as `overlaps` allows it.
        """

    def overlaps(self, spec: ComponentSpec, others: Sequence[ComponentSpec]) -> bool:  # noqa: ARG002 - for those who can
        """Say whether a component can work while all `others` do. Where it never can, stages follow one another."""
        return False

    def lacks(self, spec: ComponentSpec, component: Component) -> list[str]:  # noqa: ARG002 - for those elsewhere
        """List what a component lacks to run where this engine runs it; here, what `component.check()` says."""
        return component.check()

    def at_work(self, spec: ComponentSpec) -> Workers:  # noqa: ARG002 - for those who have several
        """Say on how many workers, of how many GPUs each, a component works now: for progress and costs."""
        return Workers()

    def interrupt(self) -> None:
        """End every `map` that is at work, from another thread: each raises ComponentError soon."""

    def release(self, spec: ComponentSpec) -> None:
        """Close the component that `spec` describes, so that its memory is free for the next one."""
