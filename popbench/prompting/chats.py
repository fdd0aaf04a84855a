"""Begins a draft with as many references as fit the model's context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from popbench.prompting.conversations import Conversation
from popbench.records import Message, Reference
from popbench.retrieval import Found


@dataclass(frozen=True, slots=True)
class Shown:
    """A draft that was begun, with the references in it; `found` and `wanted` count those before any cut."""

    conversation: Conversation
    found: int = 0
    wanted: int = 0
    scope: str = ""
    """Where references were searched, to follow `there are no more`."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages of the first call."""
        return self.conversation.messages

    @property
    def references(self) -> tuple[Reference, ...]:
        """The references that the mode has."""
        return self.conversation.references

    @property
    def short(self) -> str | None:
        """The note that there were fewer references than asked for; None if there were enough."""
        if self.found >= self.wanted:
            return None
        return f"{self.found} of {self.wanted} references: there are no more {self.scope}"

    @property
    def cut(self) -> str | None:
        """The note that some references did not fit the context; None if all did."""
        if len(self.references) >= self.found:
            return None
        return f"references cut from {self.found} to {len(self.references)}: more do not fit the model's context"

    @property
    def notes(self) -> list[str]:
        """All notes on the references."""
        return [note for note in (self.short, self.cut) if note is not None]


def show(
    begin: Callable[[Sequence[Reference]], Conversation],
    found: Found | None,
    fits: Callable[[Sequence[Message]], bool],
) -> Shown:
    """Begin a draft with as many of the nearest references as let its first call fit the model's context.

    They are the references of a smaller RAG size, except that `diversity` chose them among as many as the full size
    allows. If the first call does not fit even without references, it has none: the model then fails on it.
    """
    if found is None:
        return Shown(begin(()))
    available = len(found.references())

    def with_size(k: int) -> Shown:
        return Shown(begin(found.references(k)), available, found.wanted, found.scope)

    shown = with_size(found.options.k)
    if not available or fits(shown.messages):
        return shown
    # The largest size that fits, by bisection: if messages fit, shorter ones fit too.
    fitting, too_many = 0, found.options.k
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        fitting, too_many = (middle, too_many) if fits(with_size(middle).messages) else (fitting, middle)
    return with_size(fitting)
