"""From a template and a prompt to what an LLM is shown, with as many references as fit the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from popbench.prompting.drafts import DRAFT_SCHEMA
from popbench.prompting.templates import Template
from popbench.records import Chat, Message, Prompt, Reference
from popbench.retrieval import Found
from popbench.tasks.schema import DraftRules


def make_chat(
    template: Template, messages: tuple[Message, ...], seed: int, prompt: Prompt, references: Sequence[Reference]
) -> Chat:
    """Make the request an LLM gets; its id, which is the key of all the rest, is still to come."""
    return Chat("", messages, seed, DRAFT_SCHEMA, prompt.text, tuple(references), template.reasons)


@dataclass(frozen=True, slots=True)
class Shown:
    """What an LLM is shown: messages and the references in them, of those that were `found` of those `wanted`."""

    messages: tuple[Message, ...]
    references: tuple[Reference, ...] = ()
    found: int = 0
    wanted: int = 0
    scope: str = ""
    """Where they were searched."""

    @property
    def short(self) -> str | None:
        """That there were fewer references than asked for."""
        if self.found >= self.wanted:
            return None
        return f"{self.found} of {self.wanted} references: there are no more {self.scope}"

    @property
    def cut(self) -> str | None:
        """That fewer references are shown than were found, for more would not fit."""
        if len(self.references) >= self.found:
            return None
        return f"references cut from {self.found} to {len(self.references)}: more do not fit the model's context"

    @property
    def notes(self) -> list[str]:
        """What is to be told of the references."""
        return [note for note in (self.short, self.cut) if note is not None]


def show(
    template: Template,
    prompt: Prompt,
    rules: DraftRules,
    found: Found | None,
    fits: Callable[[Sequence[Message]], bool],
) -> Shown:
    """Render a template with as many references as fit the model: whole ones, the nearest of what was found.

    They are those of a smaller RAG size, except that `diversity` chose among as many as the size asked for allows.

    Where not even the prompt alone fits, it is shown with none, and the model says what it makes of that.
    """
    if found is None:
        return Shown(template.render(prompt, rules, ()))
    there = len(found.references())

    def at(k: int) -> Shown:
        references = found.references(k)
        return Shown(template.render(prompt, rules, references), references, there, found.wanted, found.scope)

    shown = at(found.options.k)
    if not there or fits(shown.messages):
        return shown
    fitting, too_many = 0, found.options.k
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        fitting, too_many = (middle, too_many) if fits(at(middle).messages) else (fitting, middle)
    return at(fitting)
