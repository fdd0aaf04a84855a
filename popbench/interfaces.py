"""The base classes of components: a plugin implements one class per model.

The three models (`LLM`, `VideoGenerator`, `Predictor`) have one shape: `generate` or `score` takes an iterable of
requests and yields answers in any order, matched by id. popbench calls it from one thread, pulls one answer at a time,
and stores each before it takes the next. The one exception: while the frames of a clip are encoded, the next clip is
rendered already.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

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
    Scale,
    Score,
    ScoreRequest,
    Submitted,
    VideoRequest,
    Workers,
)
from popbench.specs import ComponentSpec
from popbench.text import first_line
from popbench.uses import DEFAULT_USES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Options = Options


class Component:
    """The base of all components: options, fingerprint, label, check, needs, cost, close.

    Making one must be cheap, since popbench makes every component that a command names: load models in the first call
    that needs them.
    """

    Options: ClassVar[type[Options]] = Options
    kind: ClassVar[str] = ""
    demo: ClassVar[bool] = False
    """True marks every run that uses it as a demonstration, which no real board accepts."""
    note: str = ""
    """A sentence that every board with this component shows; an instance may set its own."""
    repeatable: bool = True
    """False says that the same request may get another answer, as of a model that takes no seed: boards say so, and the
    conformance kit does not ask for equal answers. Embedders and corpora are always repeatable."""
    version: str = ""
    """Part of the fingerprint: change it when the same options give other results. By default it is the version of the
    distribution that registers the class."""

    def __init__(self, options: _Options | None = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    @classmethod
    def describe(cls, preset: Mapping[str, JSON]) -> str:  # noqa: ARG003 - for those with presets
        """Return what a name with these options of a preset is, in a line: the model, its size, what it needs.

        `popbench plugins` shows it. By default it is the first line of the class's docstring.
        """
        return first_line(cls.__doc__)

    def fingerprint(self) -> Mapping[str, JSON]:
        """Return all that results depend on, as JSON; a component with weights adds their revision or hash."""
        cls = type(self)
        return {
            "name": f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}",
            "version": self.version,
            "options": self.options.determining(),
        }

    def label(self) -> str | None:
        """Return a shorter name for boards than the one made of name and options; None to keep that one."""
        return None

    def check(self) -> list[str]:
        """Return what is missing to run here (a key, weights, memory), one line each, with how to get it."""
        return []

    def notices(self) -> list[str]:
        """Return what stands in no way yet and should be known, such as the day its provider retires it, in lines."""
        return []

    def needs(self) -> Needs:
        """Return what the component occupies while it works."""
        return Needs()

    def cost(self, usage: Mapping[str, float]) -> float | None:  # noqa: ARG002 - for those who know
        """Return what calls with this usage cost together, in USD; None if prices are unknown.

        `usage` is that of one call, or the sum of several; kinds that sum to 0 may be missing.
        """
        return None

    def estimate(self, requests: int) -> float | None:  # noqa: ARG002 - for those who know
        """Return what so many requests cost at most, in USD; None if that is unknown.

        `--dry-run` shows it, and `--max-cost` reserves the estimate of one request for each that is not answered yet.
        """
        return None

    def close(self) -> None:
        """Free memory and connections. Called always, also after an error; a later call may load again."""


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


def is_real(predictor: Predictor) -> bool:
    """Say whether a predictor scores on a real scale; a plugin of earlier may keep something of its own in `scale`."""
    return isinstance(predictor.scale, str) and predictor.scale == "real"


def check_scale(predictor: Predictor) -> None:
    """Raise ValueError if a predictor's scale is a text that names none."""
    if isinstance(predictor.scale, str) and predictor.scale not in get_args(Scale):
        raise ValueError(f"scale is {predictor.scale!r:.50}, expected 'positive' or 'real' (set it in the class)")


class Embedder(Component, ABC):
    """Turns texts into vectors; texts of similar meaning have a small distance.

    Texts of a corpus, its titles and its tags' names go through `encode`, users' prompts through `encode_queries`.

    >>> import numpy as np
    >>> import popbench
    >>> class Letters(popbench.Embedder):
    ...     "Counts letters."
    ...
    ...     version = "1"
    ...
    ...     def encode(self, texts):
    ...         rows = [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
    ...         counts = np.array(rows, np.float32).reshape(len(texts), 26)
    ...         lengths = np.linalg.norm(counts, axis=1, keepdims=True)
    ...         return counts / np.where(lengths > 0, lengths, 1)
    """

    kind = "embedder"

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 (len(texts), d); rows have length 1, or 0 for an empty text."""

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return what `encode` does, of texts that something is searched with.

        The default is `encode`. Override it for a model that is trained to tell queries from what they find, for
        instance by instructions before each; rows of both are compared.
        """
        return self.encode(texts)

    @property
    def tells_queries(self) -> bool:
        """Whether `encode_queries` gives other rows than `encode`; by default, whether a class overrides it."""
        return type(self).encode_queries is not Embedder.encode_queries


PARTS = ("train", "valid", "test")
"""The parts of a corpus; `all` is their union."""

CorpusPart = Literal["train", "valid", "test", "all"]


class CorpusOptions(Options):
    """The options of a corpus of which users may choose a part; subclass it to add others."""

    part: CorpusPart = pydantic.Field("test", description="the part that references and human videos come from")


class Corpus(Component, ABC):
    """A collection of published videos with their popularity: for prompt enhancement and the human baseline.

    >>> import popbench
    >>> class Shelf(popbench.Corpus):
    ...     "Two videos, of which one is left for references."
    ...
    ...     version = "1"
    ...
    ...     def rows(self, part):
    ...         if part not in ("train", "valid", "test", "all"):
    ...             raise ValueError(f"no part {part!r}")
    ...         if part in ("train", "all"):
    ...             yield popbench.Reference("a", "A cat", "a cat on a sofa", "my cat #cat", "pets", 12)
    ...         if part in ("test", "all"):
    ...             yield popbench.Reference("b", "A dog", "a dog in snow", "winter", "pets", 480)
    """

    kind = "corpus"
    Options: ClassVar[type[_Options]] = CorpusOptions
    known_as: str = ""
    """The name that a predictor's `trained_on()` gives it; if empty, the name it is registered under."""

    @property
    def part(self) -> str:
        """The part that references and human videos come from; predictors are not trained on `test`, the default."""
        return str(self.options.part) if isinstance(self.options, CorpusOptions) else "test"

    @abstractmethod
    def rows(self, part: str) -> Iterator[Reference]:
        """Yield the rows of a part, `train`, `valid`, `test` or `all`; a part may be larger than memory.

        Raises ValueError for any other part, UsageError for data that cannot be used.
        """

    def content(self) -> str:
        """Return a text that identifies the rows and changes with any of them; indexes are cached under it.

        The default is a hash of all rows, part by part, independent of their order. With many rows, a revision or a
        file's hash is faster.
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
        """Add `content()`."""
        return {**super().fingerprint(), "content": self.content()}

    def remarks(self) -> list[str]:
        """Return what was skipped or repaired in the rows read last, one line each, with how many and where."""
        return []


class Engine(Component, ABC):
    """Runs components: here, or on other machines.

    >>> import popbench
    >>> from popbench.engines import Rendered, answers
    >>> from popbench.registry import create
    >>> class Plain(popbench.Engine):
    ...     "Makes a component for each call and runs it in the thread of the call."
    ...
    ...     version = "1"
    ...
    ...     def start(self, workspace):
    ...         self._workspace = workspace
    ...
    ...     def map(self, spec, items):
    ...         component = create(spec)
    ...         try:
    ...             for answer in answers(component, items, self._workspace, spec.label):
    ...                 yield answer.encoded() if isinstance(answer, Rendered) else answer
    ...         finally:
    ...             component.close()
    """

    kind = "engine"

    def start(self, workspace: Path) -> None:
        """Prepare for `map`; clips are yielded as paths of mp4 files under `workspace`."""

    @abstractmethod
    def map(self, spec: ComponentSpec, items: Iterable[Request]) -> Iterator[Answer | Submitted]:
        """Pass `items` to the component that `spec` describes and yield its answers, clips as mp4 files.

        What a component has `Submitted` is yielded too, as soon as it comes, and its item stays unanswered. It is
        stored before the next is taken. Should an engine send such an item again, it sends it with that `job`.

        The component may be kept for later calls until `release`. `items` may be consumed in another thread. Pulling
        an item may block until an earlier stage has one; that time does not count as silence of the component. Raises
        ComponentError if the component raises, ends early, answers wrongly, or is silent for too long. `map` may be
        called for different components in several threads at a time, as far as `overlaps` allows.
        """

    def overlaps(self, spec: ComponentSpec, others: Sequence[ComponentSpec]) -> bool:  # noqa: ARG002 - for those who can
        """Say whether a component can work while all `others` work. By default never: stages run one by one."""
        return False

    def lacks(self, spec: ComponentSpec, component: Component) -> list[str]:  # noqa: ARG002 - for those elsewhere
        """Return what a component lacks to run where this engine runs it; by default `component.check()`."""
        return component.check()

    def at_work(self, spec: ComponentSpec) -> Workers:  # noqa: ARG002 - for those who have several
        """Return on how many workers, with how many GPUs each, a component works now: for progress and costs."""
        return Workers()

    def notices(self) -> list[str]:
        """Return lines for the user that have come up since the last call, such as machines that are left out."""
        return []

    def interrupt(self) -> None:
        """Make every running `map` raise ComponentError soon. Called from another thread."""

    def release(self, spec: ComponentSpec) -> None:
        """Close the component that `spec` describes, to free its memory for the next one."""
