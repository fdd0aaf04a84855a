"""Work items: one sample's share of a stage, the key of its result, and why results are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from popbench.ledger.ledger import StageKey
from popbench.planning.systems import TaskMethod
from popbench.prompting.conversations import Conversation
from popbench.records import JSON, Prompt


class SampleKey(NamedTuple):
    """Where the ledger stores a sample's result of a stage: stage key, prompt id and repeat."""

    stage_key: StageKey
    prompt: str
    repeat: int


@dataclass(slots=True)
class WorkItem:
    """One sample's share of a stage, with the `inputs` that earlier stages made for it.

    `number` is the sample's number in its sample set. The last fields are for drafts: the number of answers so far,
    how many of them the turn had, what they cost, a digest of the last one, and the draft in the making.
    """

    stage_key: StageKey
    method: TaskMethod
    prompt: Prompt
    repeat: int
    inputs: Mapping[str, JSON] = field(default_factory=dict)
    number: int = 0
    answers: int = 0
    attempt: int = 0
    costs: dict[str, JSON] = field(default_factory=dict)
    answer: str = ""
    conversation: Conversation | None = None

    @property
    def sample_key(self) -> SampleKey:
        """Where its result is stored."""
        return SampleKey(self.stage_key, self.prompt.id, self.repeat)

    @property
    def name(self) -> str:
        """Its name in messages."""
        repeat = f" repeat {self.repeat}" if self.repeat else ""
        return f"{self.prompt.task}/{self.prompt.id}{repeat} ({self.method.label})"


class ResultErrors(dict[SampleKey, str]):
    """Why samples have no result: an error of each, or in `pending` why the rest of a stage key's samples wait."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: dict[StageKey, str] = {}

    def why(self, stage_key: StageKey, prompt: str, repeat: int) -> str | None:
        """Return why a sample has no result, if that is known."""
        return self.get(SampleKey(stage_key, prompt, repeat)) or self.pending.get(stage_key)
