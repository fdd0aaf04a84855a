"""Systems and what they are made of: components with their fingerprints, methods on a task, sets of samples."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from popbench.cards.card import PredictorCard, checked, read_card
from popbench.errors import RunError, UsageError, one_line
from popbench.interfaces import Ask, PairwisePredictor
from popbench.interfaces.models import check_scale
from popbench.interfaces.uses import DEFAULT_USES, read_uses, used_values
from popbench.keys import compare_key, digest, score_key, used_key
from popbench.ledger.ledger import STAGES, StageKey, StageName
from popbench.local import user_path
from popbench.prompting.conversations import Conversation
from popbench.prompting.drafts import DRAFTS_VERSION, draft_schema
from popbench.prompting.mode_specs import SelectedMode
from popbench.prompting.originality import ORIGINALITY_VERSION
from popbench.prompting.templates import Template
from popbench.records import JSON, Draft, Message, Prompt, Reference
from popbench.registry import Resolved
from popbench.tasks.task import Task
from popbench.text import counted
from popbench.video import ENCODER, SOUND_ENCODER

HARNESS: Mapping[str, int] = {"drafts": DRAFTS_VERSION, "originality": ORIGINALITY_VERSION}
"""The versions of what popbench itself does between components."""
EARLIER_HARNESSES: tuple[Mapping[str, int], ...] = ({"drafts": 1, "originality": 1},)
"""Those of earlier releases, the latest first: runs that were made with them are looked up and checked with them."""


def cost_of(component: Resolved, usage: Mapping[str, float]) -> float | None:
    """Return the cost in USD of a component's calls; None if it has no prices. Raises RunError if it fails."""
    return _usd(component, f"cost of {dict(usage)}", lambda: component.component.cost(usage))


def _usd(component: Resolved, what: str, call: Callable[[], Any]) -> float | None:
    """Return the amount that a component states; raises RunError if it raises, or states anything but an amount."""
    who = f"{component.spec.kind} {component.spec.label}"
    try:
        usd = call()
    except Exception as error:  # a plugin's code may raise anything
        raise RunError(f"{who}: {what}: {one_line(error)}") from error
    if usd is None or (type(usd) in (int, float) and 0 <= usd < math.inf):
        return usd  # type: ignore[no-any-return]
    if isinstance(usd, numbers.Real) and not isinstance(usd, bool) and 0 <= float(usd) < math.inf:  # of NumPy
        return float(usd)
    raise RunError(f"{who}: {what} is {usd!r:.50}, expected USD as a number of at least 0, or None")


@dataclass(frozen=True, slots=True)
class Part:
    """A component of the run with the digest of its fingerprint."""

    resolved: Resolved
    fingerprint: Mapping[str, JSON]
    digest: str
    uses: frozenset[str] = DEFAULT_USES
    """What a predictor sees of a sample."""
    card: PredictorCard | None = None
    """How far a predictor's order carries to real outcomes, if that is known."""

    @property
    def label(self) -> str:
        """Its name on boards."""
        return self.resolved.spec.label

    @property
    def name(self) -> str:
        """Its kind and label, for messages."""
        return f"{self.resolved.spec.kind} {self.label}"

    @property
    def pairwise(self) -> bool:
        """Whether it is a predictor that compares two samples, and scores none alone."""
        return isinstance(self.resolved.component, PairwisePredictor)

    @property
    def remote(self) -> bool:
        """Whether it works elsewhere, so that it may cost money; True if that cannot be told."""
        try:
            return bool(self.resolved.component.needs().remote)
        except Exception:  # a plugin's code may raise anything
            return True

    def cost(self, usage: Mapping[str, float]) -> float | None:
        """Return the cost in USD of its calls; None if it has no prices. Raises RunError if it fails."""
        return cost_of(self.resolved, usage)

    def planned_cost(self, usage: Mapping[str, float]) -> float | None:
        """Return what an LLM's calls to come will cost by their tokens; None if it has no prices.

        Raises RunError if it fails.
        """
        component = self.resolved.component
        return _usd(self.resolved, f"cost of {dict(usage)}", lambda: component.cost(component.planned(usage)))

    def estimate(self, requests: int) -> float | None:
        """Return what so many requests cost at most, in USD; None if unknown. Raises RunError if it fails."""
        calls = counted(requests, "request")
        return _usd(self.resolved, f"estimate of {calls}", lambda: self.resolved.component.estimate(requests))

    def used(self, prompt: Prompt, draft: Mapping[str, JSON], video: str) -> dict[str, JSON]:
        """Return what a predictor sees of a sample, by name (see `popbench.interfaces.uses.used_values`)."""
        return used_values(self.uses, prompt, draft, video)

    def score_key(self, prompt: Prompt, draft: Mapping[str, JSON], video: str) -> str:
        """Return the key of a predictor's score of a sample."""
        if self.uses == DEFAULT_USES:  # for every sample of a run, that may have millions
            return score_key(self.digest, draft["title"], video)
        return used_key(self.digest, self.used(prompt, draft, video))

    def pair_key(
        self, prompt: Prompt, first: tuple[Mapping[str, JSON], str], second: tuple[Mapping[str, JSON], str]
    ) -> str:
        """Return the key of a predictor's comparison of two samples, each a draft and the hash of its clip's bytes."""
        return compare_key(self.digest, self.used(prompt, *first), self.used(prompt, *second))

    def fits(self, messages: Sequence[Message]) -> bool:
        """Return whether messages leave an LLM room for an answer. Raises UsageError if it cannot tell."""
        try:
            return bool(self.resolved.component.fits(messages))
        except Exception as error:  # a plugin's code may raise anything
            raise UsageError(f"llm {self.label}: whether a chat fits cannot be told: {one_line(error)}") from error


@dataclass(frozen=True, slots=True)
class System:
    """What boards rank: an LLM, a mode and a generator."""

    llm: Part
    mode: SelectedMode
    generator: Part

    @property
    def id(self) -> str:
        """The labels joined: `llm|mode|generator`."""
        return f"{self.llm.label}|{self.mode.label}|{self.generator.label}"


def made_by(*digests: str, rendered: bool, harness: Mapping[str, int] = HARNESS) -> str:
    """Combine components' digests with the harness's share in the result: how it reads drafts and encodes clips."""
    return digest({**harness, "encoder": dict(ENCODER) if rendered else None}, *digests)


@dataclass(frozen=True)
class TaskMethod:
    """How drafts for one task come about: in a mode, or by the human baseline.

    Its fingerprint is part of the keys under which the ledger stores results.
    """

    task: Task
    label: str
    fingerprint: str

    def stage_key(self, stage: StageName, *parts: Part) -> StageKey:
        """Return the ledger's key of a stage; `parts` are the components up to that stage, in order.

        The key also covers what the harness does between components: how it reads drafts and encodes clips.
        """
        made = made_by(*(part.digest for part in parts), rendered=stage != "write")
        return StageKey(made, self.task.hash, self.fingerprint, stage)


@dataclass(frozen=True, slots=True)
class SampleSet:
    """The samples of a task made by one method and one component per stage, up to the stage of the last of `parts`.

    It has `repeats` samples for each of `prompts`: those of one prompt stand together, and samples are numbered from 0.
    """

    method: TaskMethod
    parts: tuple[Part, ...]
    prompts: Sequence[Prompt]
    repeats: int

    def __len__(self) -> int:
        return len(self.prompts) * self.repeats

    def extended(self, part: Part) -> SampleSet:
        """Return the same samples taken one stage further, by another component."""
        return replace(self, parts=(*self.parts, part))

    def stage_key(self, stage: StageName) -> StageKey:
        """Return the ledger's key of a stage."""
        return self.method.stage_key(stage, *self.parts[: STAGES.index(stage) + 1])

    def clip_key(self, *, second: bool = False) -> StageKey:  # noqa: ARG002 - for pairs
        """Return the ledger's key of the clips; with `second`, of the second side of a comparison."""
        return self.stage_key("render")

    @property
    def stage_keys(self) -> list[StageKey]:
        """The ledger's keys of all stages, up to the last."""
        return [self.stage_key(stage) for stage in STAGES[: len(self.parts)]]

    def numbered(self, part: slice = slice(None)) -> Iterator[tuple[int, Prompt, int]]:
        """Yield number, prompt and repeat of every sample, or of the samples with the numbers of a slice."""
        for number in range(len(self))[part]:
            yield number, self.prompts[number // self.repeats], number % self.repeats


@dataclass(frozen=True)
class TaskMode(TaskMethod):
    """One mode on one task: its template, if it has one, and the example drafts that the template's messages show."""

    mode: SelectedMode
    template: Template | None
    options: Mapping[str, JSON] = field(default_factory=dict)
    """The options of the template."""
    examples: tuple[Draft, ...] = ()

    @property
    def uses_references(self) -> bool:
        """Whether drafts on this task are begun with references."""
        return self.mode.writer.uses_references or (self.template is not None and self.template.uses_references)

    @property
    def reasons(self) -> bool:
        """Whether the template asks for reasoning before the draft."""
        return self.template is not None and self.template.reasons

    def begin(self, prompt: Prompt, references: Sequence[Reference], seed: int = 0) -> Conversation:
        """Begin a draft; `seed` is for what the mode draws by itself. Raises UsageError if that fails on the prompt."""
        rules, template = self.task.file.draft, self.template
        messages = () if template is None else template.render(prompt, rules, references, self.options)
        ask = Ask(messages, draft_schema(self.task.file.draft.fields), self.reasons, seed)
        return Conversation(self.mode.writer, self.label, prompt, references, ask, rules)


def as_part(resolved: Resolved) -> Part:
    """Compute a component's fingerprint, and read what a predictor uses. Raises UsageError if that fails.

    That of a generator with sound gets the settings with which its sound is encoded.
    """
    try:
        uses = DEFAULT_USES
        if resolved.spec.kind == "predictor":
            uses = read_uses(resolved.component.uses)
            check_scale(resolved.component)
    except ValueError as error:
        raise UsageError(f"predictor {resolved.spec.label}: {error}") from error
    try:
        fingerprint = dict(resolved.component.fingerprint())
        if resolved.spec.kind == "generator" and resolved.component.makes_sound is True:
            fingerprint["sound_encoder"] = ",".join(f"{name}={value}" for name, value in SOUND_ENCODER.items())
        part = Part(resolved, fingerprint, digest(fingerprint), uses)
    except UsageError:
        raise
    except Exception as error:  # a plugin's code may raise anything
        raise UsageError(f"{resolved.spec.kind} {resolved.spec.label}: no fingerprint ({one_line(error)})") from error
    return replace(part, card=_card(part)) if resolved.spec.kind == "predictor" else part


def _card(part: Part) -> PredictorCard | None:
    """Return the card that the user gave for a predictor, else its own; raises UsageError for what is none."""
    if part.resolved.card is not None:
        return read_card(user_path(part.resolved.card), part.digest, part.label)
    try:
        card = part.resolved.component.card
        own = card() if callable(card) else None
        # A plugin of earlier may keep something of its own under this name.
        return checked(own) if isinstance(own, Mapping) and "by_difference" in own else None
    except Exception as error:  # a plugin's code may raise anything
        raise UsageError(f"{part.name}: its card() is not one ({one_line(error)})") from error
