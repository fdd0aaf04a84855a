"""Texts with variables that are no messages of a mode, such as a judge's rubric: a single Jinja file in the sandbox."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import jinja2
import jinja2.meta
from jinja2 import nodes
from jinja2.exceptions import SecurityError

from popbench.errors import UsageError, damage, one_line, unknown
from popbench.files import MAX_CONFIG_BYTES, read_text
from popbench.keys import digest
from popbench.local.files import user_path
from popbench.prompting.sandbox import Sandbox, plain
from popbench.prompting.sandbox_limits import MAX_MESSAGE_CHARS


class TextTemplate:
    """A text with variables, from a Jinja file of anyone: it is rendered in the sandbox that templates of tasks have.

    `used` are the variables that it names, `source` is its text, and `fingerprint` the hash of that. The file is read
    once; it cannot include others. Raises UsageError if it cannot be read, is no template, or names a variable that is
    none of `variables`.
    """

    def __init__(self, path: Path | str, variables: Collection[str]) -> None:
        self.path = user_path(path)
        try:
            source = read_text(self.path, MAX_CONFIG_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            why = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else one_line(error)
            raise UsageError(f"{self.path}: {why}; give a Jinja file") from None
        name, self.source = self.path.name, source
        self.fingerprint = digest(source)
        self._environment = Sandbox(jinja2.DictLoader({name: source}))
        try:
            with self._environment.limited():
                self._template = self._environment.get_template(name)
                syntax = self._environment.parse(source, name)
                others = list(jinja2.meta.find_referenced_templates(syntax))
                named = jinja2.meta.find_undeclared_variables(syntax) - definitions(syntax)
        except jinja2.TemplateSyntaxError as error:
            raise UsageError(f"{self.path}: line {error.lineno}: {one_line(str(error.message))}") from error
        except Exception as error:  # a hostile template can make any part of the compiler fail
            raise UsageError(f"{self.path}: {failure_text(error)}") from error
        if others:
            raise UsageError(f"{self.path}: this text is a single file: put what it includes, extends or imports there")
        for strange in sorted(named - set(variables)):
            raise UsageError(f"{self.path}: {unknown('variable', strange, variables)}")
        self.used = frozenset(named)

    def render(self, **values: object) -> str:
        """Return the text for values, which are copied as plain data; raises UsageError if the template fails on them.

        Undefined names are errors, and so are an empty text and one of more than 4 million characters.
        """
        try:
            with self._environment.limited():
                context = self._template.new_context({name: plain(value) for name, value in values.items()})
                text = self._environment.concat(self._template.root_render_func(context)).strip()
                text.encode()  # raises for a lone surrogate, which cannot be sent to a model
        except Exception as error:
            raise UsageError(f"{self.path}: {failure_text(error)}") from error
        if not text:
            raise UsageError(f"{self.path}: renders to nothing")
        if len(text) > MAX_MESSAGE_CHARS:
            raise UsageError(f"{self.path}: renders to over {MAX_MESSAGE_CHARS:,} characters")
        return text


def failure_text(error: Exception) -> str:
    """Return why a template is refused. Messages of the sandbox are complete, others need the error's type."""
    if isinstance(error, RecursionError | UnicodeDecodeError):
        return damage(error)
    return one_line(str(error) if isinstance(error, SecurityError) else error)


def definitions(syntax: nodes.Template) -> set[str]:
    """Return the names that a template defines anywhere: variables, macros, imports."""
    names = {name.name for name in syntax.find_all(nodes.Name) if name.ctx == "store"}
    names |= {macro.name for macro in syntax.find_all(nodes.Macro)}
    names |= {item.target for item in syntax.find_all(nodes.Import)}
    for item in syntax.find_all(nodes.FromImport):
        names |= {name if isinstance(name, str) else name[1] for name in item.names}
    return names
