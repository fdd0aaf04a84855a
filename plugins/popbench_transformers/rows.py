"""A row of a batch: a chat with the tokens of its answer so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import popbench

if TYPE_CHECKING:
    from popbench_transformers.structured import Guide


@dataclass(slots=True, eq=False)
class Row:
    """One chat and its answer so far: `tokens`, at most `budget` of them.

    `thinking`: the prompt ends inside a section of thoughts. `error`: why there will be no answer. `inputs`: what else
    the model takes, such as pictures; such a row is alone in its batch.
    """

    chat: popbench.Chat
    prompt: list[int]
    budget: int
    guide: Guide | None = None
    make_guide: Callable[[], Guide] | None = None
    thinking: bool = False
    tokens: list[int] = field(default_factory=list)
    done: bool = False
    cut: bool = False
    error: str | None = None
    seconds: float = 0.0
    peak_memory_mb: float | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Return how many tokens may still come."""
        return self.budget - len(self.tokens)

    @property
    def going(self) -> bool:
        """Return whether the answer needs more tokens."""
        return not self.done and self.error is None

    def guided_by(self, make: Callable[[], Guide]) -> None:
        """Make the answer follow a schema; raises what making the guide raises."""
        self.make_guide, self.guide = make, make()

    def restart(self) -> None:
        """Drop the tokens so far. Their seconds still count."""
        self.tokens, self.error = [], None
        self.guide = None if self.make_guide is None else self.make_guide()

    def take(self, token: int, eos: Sequence[int]) -> None:
        """Append the chosen token, and update the row's state."""
        if self.error is not None or token in eos:
            self.done = True
            return
        self.tokens.append(token)
        try:
            complete = self.guide is not None and self.guide.accept(token)
        except ValueError as error:
            self.error, self.done = f"structured=true: {error}", True
            return
        self.done = complete or self.left <= 0
        self.cut = self.guide.cut if self.guide is not None else self.left <= 0
