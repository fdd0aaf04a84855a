"""From templates to chats: each mode of a task is a Jinja template with the blocks `system` and `user`.

Templates see `prompt`, `category`, `task`, `draft` and, in modes with prompt enhancement, `references`. They
run in Jinja's sandbox with undefined names as errors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import pydantic
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from popbench.drafts import DRAFT_SCHEMA, find_drafts
from popbench.errors import UsageError, one_line, unknown
from popbench.interfaces import Options
from popbench.keys import digest
from popbench.records import Chat, Draft, Message, Prompt, Reference
from popbench.specs import check_label, differing, make_label, parse_spec, read_options
from popbench.tasks import DraftRules, Task

VARIABLES = ("prompt", "category", "task", "draft", "references")
_BLOCKS = ("system", "user")


class ModeOptions(Options):
    """A mode whose template uses no references has no options."""


class RetrievalOptions(ModeOptions):
    """Prompt enhancement: how many references, from how many tags, and the share of unpopular ones."""

    k: int = pydantic.Field(10, ge=1, le=1000)
    tags: int = pydantic.Field(1, ge=1)
    negative_ratio: float = pydantic.Field(0.1, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode as selected: a template's name, its options and its label on boards."""

    name: str
    label: str
    options: ModeOptions


def read_mode(text: str, tasks: Sequence[Task]) -> Mode:
    """Read a `--mode` spec against the tasks of the run; raises UsageError for what one of them lacks."""
    name, raw = parse_spec(text)
    for task in tasks:
        if name not in task.file.templates:
            raise unknown(f"mode of task {task.name}", name, task.file.templates)
    uses = any(Template(task.template(name)).uses_references for task in tasks)
    options_class = RetrievalOptions if uses else ModeOptions
    label = raw.pop("label", None)
    options = read_options(options_class, raw, {}, f"mode {name}")
    assert isinstance(options, ModeOptions)
    return Mode(name, check_label(label) if label is not None else make_label(name, differing(options, {})), options)


class Template:
    """One template file, parsed and checked: raises UsageError where it is no popbench template."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._environment = ImmutableSandboxedEnvironment(
            loader=jinja2.FileSystemLoader(path.parent),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        try:
            self._sources = self._read(path.name, {})
            self._template = self._environment.get_template(path.name)
        except jinja2.TemplateSyntaxError as error:
            file = path.parent / (error.name or path.name)
            raise UsageError(f"{file}: line {error.lineno}: {one_line(str(error.message))}") from error
        except (jinja2.TemplateError, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: {one_line(error)}") from error
        used: set[str] = set()
        defined: set[str] = set(VARIABLES)
        blocks: set[str] = set()
        for source in self._sources.values():
            syntax = self._environment.parse(source)
            used |= jinja2.meta.find_undeclared_variables(syntax)
            defined |= _definitions(syntax)
            blocks |= {block.name for block in syntax.find_all(nodes.Block)}
        for name in sorted(used - defined):
            raise UsageError(f"{path}: {unknown('variable', name, VARIABLES)}")
        for name in _BLOCKS:
            if name not in blocks:
                raise UsageError(f"{path}: block {name!r} is missing (a template has the blocks system and user)")
        body = self._environment.parse(self._sources[path.name]).body
        self._has_top = any(not isinstance(node, nodes.Block | nodes.Output) for node in body)
        self.uses_references = "references" in used
        self.reasons = self._setting("reasoning_first", default=self.uses_references)

    def _setting(self, name: str, *, default: bool) -> bool:
        """Read a top-level `{% set NAME = true %}` of the template, or else of those it is made of."""
        for source in self._sources.values():
            for node in self._environment.parse(source).body:
                if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name) and node.target.name == name:
                    if not isinstance(node.node, nodes.Const) or not isinstance(node.node.value, bool):
                        raise UsageError(f"{self.path}: line {node.lineno}: {name} is set to true or false")
                    return node.node.value
        return default

    def _read(self, name: str, seen: dict[str, str]) -> dict[str, str]:
        """Collect the sources of the template and of all that it extends, includes or imports."""
        assert self._environment.loader is not None
        source, _, _ = self._environment.loader.get_source(self._environment, name)
        seen[name] = source
        for other in jinja2.meta.find_referenced_templates(self._environment.parse(source, name)):
            if other is None:
                raise UsageError(f"{self.path}: includes a template by a computed name; write the name out")
            if other not in seen:
                self._read(other, seen)
        return seen

    @cached_property
    def fingerprint(self) -> str:
        """The hash of all sources: what the wording of the messages depends on."""
        return digest(sorted(self._sources.items()))

    def render(self, prompt: Prompt, rules: DraftRules, references: Sequence[Reference]) -> tuple[Message, ...]:
        """Render the messages for one prompt; raises UsageError where the template fails on it."""
        variables: Mapping[str, Any] = {
            "prompt": prompt.text,
            "category": prompt.category,
            "task": prompt.task,
            "draft": rules,
            "references": references,
        }
        try:
            context = self._template.new_context(dict(variables))
            if self._has_top:  # what stands outside the blocks: `extends`, `import`, `set`, `macro`
                deque(self._template.root_render_func(context), maxlen=0)
            texts = {name: "".join(context.blocks[name][0](context)).strip() for name in _BLOCKS}
        except Exception as error:
            raise UsageError(f"{self.path}: prompt {prompt.id!r}: {one_line(error)}") from error
        if not texts["user"]:
            raise UsageError(f"{self.path}: prompt {prompt.id!r}: block 'user' renders to nothing")
        return tuple(Message(role=role, content=text) for role, text in texts.items() if text)

    def examples(self, messages: Sequence[Message]) -> tuple[Draft, ...]:
        """Find the examples of an answer that the messages show: an answer that copies one is not a draft."""
        return tuple(draft for message in messages for draft in find_drafts(message["content"]))


def _definitions(syntax: nodes.Template) -> set[str]:
    """Name what a template defines anywhere: variables, macros, imports."""
    names = {name.name for name in syntax.find_all(nodes.Name) if name.ctx == "store"}
    names |= {macro.name for macro in syntax.find_all(nodes.Macro)}
    names |= {item.target for item in syntax.find_all(nodes.Import)}
    for item in syntax.find_all(nodes.FromImport):
        names |= {name if isinstance(name, str) else name[1] for name in item.names}
    return names


def make_chat(
    template: Template, messages: tuple[Message, ...], seed: int, prompt: Prompt, references: Sequence[Reference]
) -> Chat:
    """Make the request an LLM gets; its id, which is the key of all the rest, is still to come."""
    return Chat("", messages, seed, DRAFT_SCHEMA, prompt.text, tuple(references), template.reasons)
