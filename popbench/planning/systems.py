"""What is compared, and what it is made of: components with their fingerprints, systems, and what they do on a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from popbench.errors import RunError, UsageError, one_line
from popbench.keys import digest
from popbench.ledger.ledger import STAGES, Cell, Stage
from popbench.prompting.drafts import DRAFTS_VERSION
from popbench.prompting.modes import Mode
from popbench.prompting.originality import ORIGINALITY_VERSION
from popbench.prompting.templates import Template
from popbench.records import JSON, Draft, Message
from popbench.registry import Resolved
from popbench.tasks.task import Task
from popbench.video import ENCODER


def cost_of(llm: Resolved, usage: Mapping[str, int]) -> float | None:
    """Say what calls of an LLM with this usage cost in USD, where it knows; raises RunError if it fails."""
    try:
        found: float | None = llm.component.cost(usage)
    except Exception as error:  # a plugin's code may raise anything
        raise RunError(f"llm {llm.spec.label}: cost of {dict(usage)}: {one_line(error)}") from error
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """A component of the run with the digest of its fingerprint."""

    resolved: Resolved
    fingerprint: Mapping[str, JSON]
    digest: str

    @property
    def label(self) -> str:
        """Its name on boards."""
        return self.resolved.spec.label

    def cost(self, usage: Mapping[str, int]) -> float | None:
        """Say what a call of an LLM with this usage costs in USD, where it knows; raises RunError if it fails."""
        return cost_of(self.resolved, usage)

    def fits(self, messages: Sequence[Message]) -> bool:
        """Ask an LLM whether messages leave room for an answer; raises UsageError if that fails."""
        try:
            return bool(self.resolved.component.fits(messages))
        except Exception as error:  # a plugin's code may raise anything
            raise UsageError(f"llm {self.label}: whether a chat fits cannot be told: {one_line(error)}") from error


@dataclass(frozen=True, slots=True)
class System:
    """What is compared: an LLM, a mode and a generator."""

    llm: Part
    mode: Mode
    generator: Part

    @property
    def id(self) -> str:
        """The labels joined: `llm|mode|generator`."""
        return f"{self.llm.label}|{self.mode.label}|{self.generator.label}"


def made_by(*digests: str, rendered: bool) -> str:
    """Digest components' digests with what the harness adds: how it reads and judges drafts, and encodes clips."""
    harness = {
        "drafts": DRAFTS_VERSION,
        "originality": ORIGINALITY_VERSION,
        "encoder": dict(ENCODER) if rendered else None,
    }
    return digest(harness, *digests)


@dataclass(frozen=True)
class Track:
    """What is run on one task: a mode, or the human baseline. The ledger files results by its fingerprint."""

    task: Task
    label: str
    fingerprint: str

    def cell(self, stage: Stage, *parts: Part) -> Cell:
        """Name the ledger's cell of a stage of the components so far, and of what the harness does between them."""
        made = made_by(*(part.digest for part in parts), rendered=stage != "write")
        return Cell(made, self.task.hash, self.fingerprint, stage)


@dataclass(frozen=True, slots=True)
class Line:
    """A track and the components that it goes through up to some stage: one cell of the ledger."""

    track: Track
    chain: tuple[Part, ...]

    def cell(self, stage: Stage) -> Cell:
        """Name the cell of a stage, of as many of the components as there are up to it."""
        return self.track.cell(stage, *self.chain[: STAGES.index(stage) + 1])


@dataclass(frozen=True)
class TaskMode(Track):
    """One mode on one task: its template, and the examples its messages show."""

    mode: Mode
    template: Template
    examples: tuple[Draft, ...]


def as_part(resolved: Resolved) -> Part:
    """Fingerprint a component; raises UsageError where that fails."""
    try:
        fingerprint = dict(resolved.component.fingerprint())
        return Part(resolved, fingerprint, digest(fingerprint))
    except UsageError:
        raise
    except Exception as error:  # a plugin's code may raise anything
        raise UsageError(f"{resolved.spec.kind} {resolved.spec.label}: no fingerprint ({one_line(error)})") from error
