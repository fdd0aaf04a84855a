"""Modes that a plugin brings: how a draft is written in one call of an LLM, or in several.

A mode of a task is a template with one call, and needs no code. A `Mode` is code: it asks the LLM turn by turn, sees
each answer, and ends with a draft.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from popbench.interfaces.component import Component
from popbench.records import JSON, Draft, Message, Prompt, Reference


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of an LLM, as `ask` makes it for a mode to yield.

    `schema` is the JSON schema of the answer, empty for free text. With `draft`, a draft is read from the answer: the
    yield then gives a `Draft`. Without a usable draft the LLM is asked again, as in template modes; after the last
    answer the sample is invalid, or the yield gives None if the draft is not `required`.
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, JSON] = field(default_factory=dict)
    draft: bool = False
    required: bool = True
    reasons: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """Makes the turns of one draft. `ask(messages)` is one call of the LLM, `ask.draft()` one that writes a draft.

    `messages` is the task's own request: its template, rendered for this prompt. `seed` is for what a mode draws by
    itself: it differs between prompts and repeats, and stays the same when a run is resumed. `schema` is the JSON
    schema of a draft, and `reasons` says that `messages` ask for reasoning before the JSON.
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, JSON]
    reasons: bool = False
    seed: int = 0

    def __call__(self, messages: Sequence[Message] | str, schema: Mapping[str, JSON] | None = None) -> Turn:
        """Return a turn; `yield` it for the LLM's `Completion`. A text is one message of the user.

        Without a `schema`, any text may be answered.
        """
        return Turn(_messages(messages), dict(schema or {}))

    def draft(self, messages: Sequence[Message] | str | None = None, *, required: bool = True) -> Turn:
        """Return a turn whose answer holds a draft; `yield` it for the `Draft`.

        Without `messages`, the task's own request is sent. Other messages have to ask for a JSON object with `title`
        and `video_prompt`. If no answer has a usable draft, the sample is invalid; with `required=False` the yield
        gives None instead, and the mode goes on.
        """
        if messages is None:
            return Turn(self.messages, self.schema, True, required, self.reasons)
        return Turn(_messages(messages), self.schema, True, required)


def _messages(given: Sequence[Message] | str) -> tuple[Message, ...]:
    """Copy messages, so that a mode may go on with its list."""
    if isinstance(given, str):
        return (Message(role="user", content=given),)
    return tuple(Message(role=message["role"], content=message["content"]) for message in given)


Writing: TypeAlias = Generator[Turn | Draft, Any, None]
"""What `write` returns, for type hints: an Iterator of turns and a draft, whose yields give answers."""


class Mode(Component, ABC):
    """Writes a draft in as many calls of an LLM as it takes.

    >>> import popbench
    >>> class Twice(popbench.Mode):
    ...     "Has the LLM write a draft, and write it again shorter."
    ...
    ...     version = "1"
    ...     turns = 2
    ...
    ...     def write(self, prompt, references, ask):
    ...         draft = yield ask.draft()
    ...         shorter = f"Make the title of this video shorter: {draft.title!r}. It shows: {draft.video_prompt}"
    ...         yield (yield ask.draft(shorter + " Answer with JSON: title, video_prompt.", required=False)) or draft
    """

    kind = "mode"
    uses_references: bool = False
    """Whether `write` gets references: users may then set `k` and the other options of references, as in `pe,k=50`."""
    template: str | None = "basic"
    """The task's template that `ask.messages` come from; None for none. An instance may set its own."""
    turns: int = 1
    """About how many calls a draft takes, for estimates of costs. An instance may set its own."""

    @abstractmethod
    def write(self, prompt: Prompt, references: Sequence[Reference], ask: Ask) -> Iterator[Turn | Draft]:
        """Yield turns, and a draft at the end: a generator, run once for each sample.

        `yield ask(...)` gives the LLM's `Completion` and `yield ask.draft(...)` a `Draft`. Each call is stored before
        its answer is seen. A run that was stopped starts `write` again, and answers from what is stored: so what it
        yields may depend on its arguments, its options and the answers only. It is called for many prompts side by
        side, also from several threads, and computes nothing that takes long.
        """
