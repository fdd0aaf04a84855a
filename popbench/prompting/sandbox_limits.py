"""Limits the work of an untrusted template: what values and operations cost, in steps.

A step is an operation, a value that is touched, or eight of its characters. Operations with large results are charged
before they run. Steps are counted instead of seconds, so that every machine refuses the same templates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.visitor import NodeTransformer

MAX_STEPS = 3_000_000
"""Steps that one rendering may take; a few seconds."""
MAX_MESSAGE_CHARS = 4_000_000
"""The longest rendered message."""
MAX_FILES = 100
"""The most files that a template may use."""
_MAX_NODES = 20_000
"""The most nodes of a template's syntax tree."""
_MAX_DEPTH = 60
"""The most levels of a template's syntax tree: the time to compile it grows with each, whatever its length."""
_STEP_CHARS = 8
"""Characters of text that count as one step."""
_MAX_WIDTH = 10_000
"""The largest width of padded text, or size of a batch."""
_MAX_BITS = 60
"""The most bits of a whole number: hashes of larger ones can be made to collide."""

_WIDTHS = r"[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?"
_FORMAT, _NAMED_FORMAT = re.compile("%" + _WIDTHS), re.compile(r"[%)]" + _WIDTHS)
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
COUNTED, WEIGHED, JOINED, STEPPED = "counted iteration", "weighed value", "joined text", "steps of a body"
"""Filters that `Counting` puts into a parsed template where Jinja has no hook. No template can name them: they have
spaces."""


class TooMuchWorkError(SecurityError):
    """Raised if a rendering takes more time or memory than a prompt may."""

    def __init__(self) -> None:
        super().__init__("the template does more work, or makes a longer text, than one prompt may take")


class Work:
    """The steps that a rendering has left, and the weights of its lists and mappings, which are immutable to it."""

    def __init__(self) -> None:
        self.left = MAX_STEPS
        self._weights: dict[int, tuple[tuple[int, str | None], Any]] = {}

    def charge(self, steps: int) -> None:
        """Subtract steps from those left; raises TooMuchWorkError if there are too few."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWorkError

    def weight(self, value: Any) -> tuple[int, str | None]:
        """Return the steps that a value with its content counts as, and the type of a part that is not plain data."""
        if isinstance(value, str):
            return 1 + len(value) // _STEP_CHARS, None
        if isinstance(value, int):
            if value.bit_length() > _MAX_BITS:
                raise TooMuchWorkError
            return 1, None
        if value is None or isinstance(value, float | jinja2.Undefined):
            return 1, None
        if isinstance(value, range):
            return 1 + len(value), None
        if not isinstance(value, list | tuple | dict):
            return 1, kind_of(value)
        cached = self._weights.get(id(value))
        if cached is not None:
            return cached[0]
        steps, foreign = 1, None
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            more, kind = self.weight(item)
            steps, foreign = steps + more, foreign or kind
            if steps > MAX_STEPS:
                raise TooMuchWorkError
        if steps > _STEP_CHARS:  # weighing a small one again is faster than a lookup
            self._weights[id(value)] = (steps, foreign), value  # a reference, so that its id stays its own
        return steps, foreign

    def chars(self, value: Any) -> int:
        """Return an upper bound for the length of a value as text."""
        return len(value) if isinstance(value, str) else 32 * self.weight(value)[0]


_TEXTS_ONLY = frozenset({"format", "indent", "trim", "center", "replace"})
_TO_MANY = frozenset({
    "list", "sort", "max", "min", "unique", "batch", "slice", "map", "select", "reject", "first", "last", "reverse",
    "groupby", "join", "selectattr", "rejectattr", "sum", "items", "dictsort",
})  # fmt: skip
_TO_LONGER = frozenset({
    "split", "rsplit", "splitlines", "wordcount", "title", "urlencode", "e", "escape", "forceescape", "tojson",
    "string", "truncate", "int", "float",
})  # fmt: skip
_TO_FIND = frozenset({
    "replace", "indent", "strip", "lstrip", "rstrip", "trim", "rfind", "rindex", "rsplit", "rpartition",
})  # fmt: skip


def filter_steps(work: Work, name: str, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """Return the steps of a filter or method whose result may be far larger than its arguments.

    Raises SecurityError if the result would be too large with any number of steps left.
    """
    if not args:
        return 0
    subject, others = args[0], [*args[1:], *named.values()]
    texts = [value for value in others if isinstance(value, str)]
    whole = [abs(value) for value in others if isinstance(value, int)]
    if name in _TEXTS_ONLY and isinstance(subject, list | tuple | dict | range):
        raise SecurityError(f"the filter {name} takes a text")
    if name == "tojson" and (texts or max(whole, default=0) > 16):
        raise TooMuchWorkError
    if name in ("center", "ljust", "rjust", "zfill", "indent", "batch", "slice", "round") and any(
        value > _MAX_WIDTH for value in whole
    ):
        raise TooMuchWorkError
    if name == "sum" and not all(isinstance(value, int | float | str | None) for value in others):
        raise SecurityError("a template sums numbers only")
    steps = 0
    if name == "format":
        steps += _format_steps(work, str(subject), [*args[1:], dict(named)])
    if name == "join":
        times = len(subject) if isinstance(subject, Sized) else 1
        steps += sum(map(len, texts)) * times // _STEP_CHARS
    if isinstance(subject, str):
        if name in _TO_MANY:
            steps += 2 * len(subject)
        if name in _TO_LONGER:
            steps += len(subject)
        if name in _TO_FIND and texts:
            steps += len(subject) * max(map(len, texts)) // _STEP_CHARS
        if name == "indent":
            widest = max([*map(len, texts), *whole], default=4)
            steps += (1 + sum(map(subject.count, _LINE_ENDS))) * widest // _STEP_CHARS
    return steps


def operator_steps(work: Work, operator: str, left: Any, right: Any) -> int:
    """Return the steps of `left operator right`; raises TooMuchWorkError for a number or width that is too large."""
    if operator == "%" and isinstance(left, str):
        return _format_steps(work, left, [right])
    if operator == "**" and isinstance(left, int) and isinstance(right, int):
        if left.bit_length() * max(right, 1) > 2 * _MAX_BITS:
            raise TooMuchWorkError
    elif operator == "*":
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | list | tuple) and isinstance(other, int):
                return len(one) * max(other, 0) // (_STEP_CHARS if isinstance(one, str) else 1)
    return 0


def _format_steps(work: Work, text: str, values: Sequence[Any]) -> int:
    """Return the steps of a `%` format; raises TooMuchWorkError for a width that is `*`, or of over four digits."""
    widths = 0
    for match in (_NAMED_FORMAT if "%(" in text else _FORMAT).finditer(text):
        for width in match.groups():
            if width == "*" or (width and len(width) > 4):
                raise TooMuchWorkError
            widths += int(width or 0)
    uses = text.count("%(") or 1  # a format may use a named value many times
    return (widths + uses * sum(work.chars(value) for value in values)) // _STEP_CHARS


def check_tree(tree: nodes.Template) -> tuple[int, int]:
    """Return the number of nodes in a syntax tree, and the sum of their depths: compiling it takes time as the latter.

    Raises TooMuchWorkError if there are too many nodes or levels.
    """
    count, depths, level = 0, 0, [iter((tree,))]
    while level:
        node = next(level[-1], None)
        if node is None:
            level.pop()
            continue
        count, depths = count + 1, depths + len(level)
        level.append(node.iter_child_nodes())  # type: ignore[arg-type]  # an iterator of nodes, as the first is
        if count > _MAX_NODES or len(level) > _MAX_DEPTH:
            raise TooMuchWorkError
    return count, depths


class Counting(NodeTransformer):
    """Puts counting filters into a syntax tree, at loops, bodies, comparisons, slices and `~`.

    Jinja compiles these into Python code that calls no method of the environment.
    """

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - jinja2's name
        """Charge for the turns of a loop, and in each turn for its body."""
        node.body = _with_steps(node, node.body)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, COUNTED)
        return node

    def visit_Macro(self, node: nodes.Macro | nodes.CallBlock | nodes.Block) -> nodes.Node:  # noqa: N802
        """Charge for the body of a macro or block in each call."""
        node.body = _with_steps(node, node.body)
        self.generic_visit(node)
        return node

    visit_CallBlock = visit_Block = visit_Macro  # noqa: N815

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Charge for the characters that `~` joins."""
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), JOINED)

    def visit_Compare(self, node: nodes.Compare | nodes.Operand) -> nodes.Node:  # noqa: N802
        """Charge for compared values: comparing nested lists may take forever."""
        self.generic_visit(node)
        node.expr = _filtered(node.expr, WEIGHED)
        return node

    visit_Operand = visit_Compare  # noqa: N815

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        """Charge for a key, which is hashed."""
        self.generic_visit(node)
        node.key = _filtered(node.key, WEIGHED)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        """Charge for a slice, which Jinja takes without calling `getitem`."""
        self.generic_visit(node)
        return _filtered(node, WEIGHED) if isinstance(node.arg, nodes.Slice) else node


def _with_steps(node: nodes.Node, body: list[nodes.Node]) -> list[nodes.Node]:
    """Return a body that first charges for its number of nodes."""
    steps = sum(1 for part in body for _ in part.find_all(nodes.Node)) + len(body)
    return [nodes.ExprStmt(_filtered(nodes.Const(steps, lineno=node.lineno), STEPPED), lineno=node.lineno), *body]


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def kind_of(value: object) -> str:
    """Return the name of a value's type, for messages."""
    return type(value).__name__
