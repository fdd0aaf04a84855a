"""Templates: each mode of a task is a Jinja template with the blocks `system` and `user`.

A template gets `prompt`, `category`, `task`, `extra`, `draft` and, in modes with prompt enhancement, `references`, all
as plain data. It may have options, which it states with `{% set default_options = {"tone": "plain"} %}` and gets as
`options`. It is rendered in `sandbox`; undefined names are errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import pydantic
from jinja2 import nodes
from jinja2.loaders import split_template_path

from popbench.errors import UsageError, one_line, unknown
from popbench.files import MAX_CONFIG_BYTES, read_text
from popbench.keys import digest
from popbench.options import Options
from popbench.prompting.drafts import find_drafts
from popbench.prompting.sandbox import Plain, Sandbox, plain
from popbench.prompting.sandbox_limits import MAX_FILES, MAX_MESSAGE_CHARS, WEIGHED
from popbench.prompting.texts import definitions, failure_text
from popbench.records import JSON, Draft, Message, Prompt, Reference
from popbench.tasks.schema import DraftRules

VARIABLES = ("prompt", "category", "task", "extra", "draft", "references")
_DEFAULTS = "default_options"
_BLOCKS = ("system", "user")
_OF_REFERENCES = ("id", "title", "description", "caption", "tag", "popularity", "popular")
"""The fields of a reference that templates get: all but the path of its video on this machine."""


class Template:
    """A template file, parsed and checked; raises UsageError if it is not a popbench template."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._environment = Sandbox(jinja2.FunctionLoader(self._load))
        try:
            with self._environment.limited():  # compiling a hostile template can take forever, like rendering it
                self._read_all()
        except jinja2.TemplateSyntaxError as error:
            file = path.parent / (error.name or path.name)
            raise UsageError(f"{file}: line {error.lineno}: {one_line(str(error.message))}") from error
        except UsageError:
            raise
        except Exception as error:  # a hostile template can make any part of the compiler fail
            raise UsageError(f"{path}: {failure_text(error)}") from error

    def _read_all(self) -> None:
        """Read and compile the template and all files that it uses; raises UsageError if something is missing."""
        path = self.path
        self._sources = self._read(path.name, {})
        self.options = self._options()
        used: set[str] = set()
        defined: set[str] = {*VARIABLES, *(["options"] if self.options.model_fields else [])}
        blocks: set[str] = set()
        for name, source in self._sources.items():
            self._environment.get_template(name)  # compiled here, so that an error names this file
            syntax = self._environment.parse(source, name)
            used |= jinja2.meta.find_undeclared_variables(syntax)
            defined |= definitions(syntax)
            blocks |= {block.name for block in syntax.find_all(nodes.Block)}
        for name in sorted(used - defined):
            raise UsageError(f"{path}: {unknown('variable', name, VARIABLES)}")
        for name in _BLOCKS:
            if name not in blocks:
                raise UsageError(f"{path}: block {name!r} is missing (a template has the blocks system and user)")
        self._refuse_unsent_blocks(path.name)
        body = self._environment.parse(self._sources[path.name]).body
        self._template = self._environment.get_template(path.name)
        self._has_top = any(not isinstance(node, nodes.Block | nodes.Output) for node in body)
        self.uses_references = "references" in used
        self.uses_prompt = not used.isdisjoint(("prompt", "extra"))
        self.reasons = self._setting("reasoning_first", default=self.uses_references)

    def _refuse_unsent_blocks(self, name: str) -> None:
        """Raise UsageError for a block of the template, or of one that it extends, that is in no message."""
        inner: dict[str, set[str]] = {}
        chain: list[tuple[str, str]] = []
        parent: str | None = name
        while parent is not None:
            syntax = self._environment.parse(self._sources[parent], parent)
            for block in syntax.find_all(nodes.Block):
                inner.setdefault(block.name, set()).update(each.name for each in block.find_all(nodes.Block))
                chain.append((parent, block.name))
            extends = syntax.find(nodes.Extends)
            parent = (
                extends.template.value if extends is not None and isinstance(extends.template, nodes.Const) else None
            )
        sent, reached = set[str](), set(_BLOCKS)
        while reached - sent:
            sent |= reached
            reached = {each for block in sent for each in inner.get(block, ())}
        for file, block_name in chain:
            if block_name not in sent:
                what = unknown("block", block_name, sorted(sent))
                raise UsageError(f"{self.path.parent / file}: {what} (what is outside of system and user is not sent)")

    def _load(self, name: str) -> str:
        """Read a template of the folder. A link out of the folder is followed only for the file that the task names."""
        path = self.path.parent.joinpath(*split_template_path(name))
        if name != self.path.name and not path.resolve().is_relative_to(self.path.parent.resolve()):
            raise jinja2.TemplateNotFound(name, f"{name!r} leads out of the folder of its template")
        try:
            return read_text(path, MAX_CONFIG_BYTES)
        except FileNotFoundError:
            raise jinja2.TemplateNotFound(name) from None

    def _assigned(self, name: str) -> nodes.Assign | None:
        """Return the top-level `{% set NAME = ... %}` of the template, or of a file that it uses."""
        for source in self._sources.values():
            for node in self._environment.parse(source).body:
                if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name) and node.target.name == name:
                    return node
        return None

    def _setting(self, name: str, *, default: bool) -> bool:
        node = self._assigned(name)
        if node is None:
            return default
        if not isinstance(node.node, nodes.Const) or not isinstance(node.node.value, bool):
            raise UsageError(f"{self.path}: line {node.lineno}: {name} is set to true or false")
        return node.node.value

    def _options(self) -> type[Options]:
        """Return the template's options, typed like their defaults."""
        node = self._assigned(_DEFAULTS)
        fields: dict[str, Any] = {}
        for pair in node.node.items if node is not None and isinstance(node.node, nodes.Dict) else ():
            key, value = _constant(pair.key), _constant(pair.value)
            if not (isinstance(key, str) and key.isidentifier() and not key.startswith("_")) or value is None:
                fields.clear()
                break
            if key == "label" or hasattr(Options, key):
                raise UsageError(f"{self.path}: line {pair.lineno}: an option cannot be called {key!r}: rename it")
            fields[key] = (type(value), value)
        if node is not None and not fields:
            raise UsageError(
                f"{self.path}: line {node.lineno}: {_DEFAULTS} maps names to texts, numbers, true or false, as in "
                '{"tone": "plain"}'
            )
        return pydantic.create_model("TemplateOptions", __base__=Options, **fields)

    def _read(self, name: str, seen: dict[str, str]) -> dict[str, str]:
        """Return the sources of the template and of all files that it extends, includes or imports, by name."""
        assert self._environment.loader is not None
        source, _, _ = self._environment.loader.get_source(self._environment, name)
        seen[name] = source
        if len(seen) > MAX_FILES:
            raise UsageError(f"{self.path}: is made of more than {MAX_FILES} files")
        for other in jinja2.meta.find_referenced_templates(self._environment.parse(source, name)):
            if other is None:
                raise UsageError(f"{self.path}: includes a template by a computed name; write the name out")
            if other not in seen:
                self._read(other, seen)
        return seen

    @property
    def sources(self) -> Mapping[str, str]:
        """The texts of the template and of all files that it uses, by their names in its folder."""
        return self._sources

    @cached_property
    def fingerprint(self) -> str:
        """The hash of all sources, on which the wording of the messages depends."""
        return digest(sorted(self._sources.items()))

    def render(
        self,
        prompt: Prompt,
        rules: DraftRules,
        references: Sequence[Reference],
        options: Mapping[str, JSON] | None = None,
    ) -> tuple[Message, ...]:
        """Render the messages for a prompt; raises UsageError if the template fails on it.

        `options` are those of `self.options`, the defaults if there are none.
        """
        environment = self._environment
        try:
            with environment.limited():
                values = variables(prompt, rules, references)
                if self.options.model_fields:
                    values["options"] = plain(self.options().model_dump() if options is None else options)
                context = self._template.new_context(values)
                if self._has_top:  # statements outside the blocks: `extends`, `import`, `set`, `macro`
                    environment.concat(self._template.root_render_func(context))
                texts = {name: environment.concat(context.blocks[name][0](context)).strip() for name in _BLOCKS}
                for text in texts.values():
                    text.encode()  # raises for a lone surrogate, which cannot be sent to a model
        except Exception as error:
            raise UsageError(f"{self.path}: prompt {prompt.id!r}: {failure_text(error)}") from error
        for name, text in texts.items():
            if len(text) > MAX_MESSAGE_CHARS:
                raise UsageError(
                    f"{self.path}: prompt {prompt.id!r}: block {name!r} is over {MAX_MESSAGE_CHARS:,} characters long"
                )
        if not texts["user"]:
            raise UsageError(f"{self.path}: prompt {prompt.id!r}: block 'user' renders to nothing")
        return tuple(Message(role=role, content=text) for role, text in texts.items() if text)

    def examples(self, messages: Sequence[Message]) -> tuple[Draft, ...]:
        """Return the example answers in the messages: an answer that copies one is not a draft."""
        return tuple(draft for message in messages for draft in find_drafts(message["content"]))


def variables(prompt: Prompt, rules: DraftRules, references: Sequence[Reference]) -> dict[str, Plain]:
    """Return the variables of a template: copies of plain data, without objects of popbench or of a library."""
    shown: list[Plain] = [{name: plain(getattr(one, name)) for name in _OF_REFERENCES} for one in references]
    return {
        "prompt": plain(prompt.text),
        "category": plain(prompt.category),
        "task": plain(prompt.task),
        "extra": plain(prompt.extra),
        "draft": plain(rules.model_dump()),
        "references": tuple(shown),
    }


def _constant(node: nodes.Node) -> str | int | float | bool | None:
    """Return a constant text, number or truth value; None for anything else."""
    if isinstance(node, nodes.Filter) and node.name == WEIGHED:  # the sandbox puts it around keys
        return None if node.node is None else _constant(node.node)
    if isinstance(node, nodes.Neg):
        number = _constant(node.node)
        return -number if isinstance(number, int | float) else None
    value = node.value if isinstance(node, nodes.Const) else None
    return value if isinstance(value, str | int | float) else None
