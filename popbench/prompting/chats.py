"""Makes the messages for an LLM from a template, a prompt and as many references as fit the model's context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from popbench.prompting.drafts import DRAFT_SCHEMA
from popbench.prompting.templates import Template
from popbench.records import JSON, Chat, Message, Prompt, Reference
from popbench.retrieval import Found
from popbench.tasks.schema import DraftRules


def make_chat(
    template: Template,
    messages: tuple[Message, ...],
    seed: int,
    prompt: Prompt,
    references: Sequence[Reference],
    schema: Mapping[str, JSON] = DRAFT_SCHEMA,
) -> Chat:
    """Make the request to an LLM, without an id: that is the call's key, which depends on the rest."""
    return Chat("", messages, seed, schema, prompt.text, tuple(references), template.reasons)


@dataclass(frozen=True, slots=True)
class Shown:
    """The messages for an LLM, with the references in them; `found` and `wanted` count those before any cut."""

    messages: tuple[Message, ...]
    references: tuple[Reference, ...] = ()
    found: int = 0
    wanted: int = 0
    scope: str = ""
    """Where references were searched, to follow `there are no more`."""

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
    template: Template,
    prompt: Prompt,
    rules: DraftRules,
    found: Found | None,
    fits: Callable[[Sequence[Message]], bool],
) -> Shown:
    """Render a template with as many of the nearest references as fit the model's context.

    They are the references of a smaller RAG size, except that `diversity` chose them among as many as the full size
    allows. If the prompt does not fit even without references, it is rendered with none: the model then fails on it.
    """
    if found is None:
        return Shown(template.render(prompt, rules, ()))
    available = len(found.references())

    def with_size(k: int) -> Shown:
        references = found.references(k)
        return Shown(template.render(prompt, rules, references), references, available, found.wanted, found.scope)

    shown = with_size(found.options.k)
    if not available or fits(shown.messages):
        return shown
    # The largest size that fits, by bisection: if messages fit, shorter ones fit too.
    fitting, too_many = 0, found.options.k
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        fitting, too_many = (middle, too_many) if fits(with_size(middle).messages) else (fitting, middle)
    return with_size(fitting)
