"""How much work a stranger's template may do: what values and operations cost, foreseen where it can be large.

A step is an operation or a value that is touched, or eight of its characters. Counting steps, not seconds, refuses
the same template on every machine.
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
"""Steps that one rendering may take: a few seconds."""
MAX_MESSAGE_CHARS = 4_000_000
"""Characters of a rendered message at most."""
MAX_FILES = 100
"""Files that a template may be made of, at most."""
_MAX_NODES = 20_000
"""Nodes of a template's syntax tree at most."""
_MAX_DEPTH = 60
"""Levels of a template's syntax tree at most: compiling one takes longer with each, whatever its length."""
_STEP_CHARS = 8
"""Characters that are worked on in one step."""
_MAX_WIDTH = 10_000
"""The largest width of a column, or size of a batch."""
_MAX_BITS = 60
"""Bits of a whole number at most: Python's hashes of larger ones collide at will."""

_WIDTHS = r"[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?"
_FORMAT, _NAMED_FORMAT = re.compile("%" + _WIDTHS), re.compile(r"[%)]" + _WIDTHS)
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
COUNTED, WEIGHED, JOINED, STEPPED = "counted iteration", "weighed value", "joined text", "steps of a body"
"""Filters that the parsed template is given where Jinja has no other hook; no template can name them."""


class TooMuchWorkError(SecurityError):
    """A rendering that would take longer, or more memory, than one prompt may."""

    def __init__(self) -> None:
        super().__init__("the template does more work, or makes a longer text, than one prompt may take")


class Work:
    """The work that one rendering has left, and what its lists and mappings weigh: they do not change."""

    def __init__(self) -> None:
        self.left = MAX_STEPS
        self._known: dict[int, tuple[tuple[int, str | None], Any]] = {}

    def charge(self, steps: int) -> None:
        """Take steps off what is left; raises TooMuchWorkError where that is less."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWorkError

    def weight(self, value: Any) -> tuple[int, str | None]:
        """Return what a value weighs with all that is in it, and the kind of what in it is not plain data, if any."""
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
        known = self._known.get(id(value))
        if known is not None:
            return known[0]
        steps, foreign = 1, None
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            more, kind = self.weight(item)
            steps, foreign = steps + more, foreign or kind
            if steps > MAX_STEPS:
                raise TooMuchWorkError
        if steps > _STEP_CHARS:  # the small ones are weighed again in no time
            self._known[id(value)] = (steps, foreign), value  # which keeps its id from being used again
        return steps, foreign

    def chars(self, value: Any) -> int:
        """Return how long a value is as text, at most."""
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


def foreseen(work: Work, name: str, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """Return the steps of a filter or method whose result may be far larger than what it is given.

    Raises SecurityError for what would be too large whatever is left.
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
        steps += _formatted(work, str(subject), [*args[1:], dict(named)])
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


def computed(work: Work, operator: str, left: Any, right: Any) -> int:
    """Return the steps of `left operator right`; raises TooMuchWorkError for a number or width without bounds."""
    if operator == "%" and isinstance(left, str):
        return _formatted(work, left, [right])
    if operator == "**" and isinstance(left, int) and isinstance(right, int):
        if left.bit_length() * max(right, 1) > 2 * _MAX_BITS:
            raise TooMuchWorkError
    elif operator == "*":
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | list | tuple) and isinstance(other, int):
                return len(one) * max(other, 0) // (_STEP_CHARS if isinstance(one, str) else 1)
    return 0


def _formatted(work: Work, text: str, values: Sequence[Any]) -> int:
    """Return the steps of a `%` format; raises TooMuchWorkError for a width that is computed, or very large."""
    widths = 0
    for match in (_NAMED_FORMAT if "%(" in text else _FORMAT).finditer(text):
        for width in match.groups():
            if width == "*" or (width and len(width) > 4):
                raise TooMuchWorkError
            widths += int(width or 0)
    uses = text.count("%(") or 1  # a named value may be used many times
    return (widths + uses * sum(work.chars(value) for value in values)) // _STEP_CHARS


def check_tree(tree: nodes.Template) -> tuple[int, int]:
    """Return how many nodes a syntax tree has, and the sum of their depths, which compiling it takes as long as.

    Raises TooMuchWorkError where they are too many or too deep.
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
    """Puts the counting filters where a loop, a body, a comparison, a slice or a `~` would not be seen."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - jinja2's name
        """Count the turns of a loop, and what each of them does."""
        node.body = _stepped(node, node.body)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, COUNTED)
        return node

    def visit_Macro(self, node: nodes.Macro | nodes.CallBlock | nodes.Block) -> nodes.Node:  # noqa: N802
        """Count what each call of a macro or a block does."""
        node.body = _stepped(node, node.body)
        self.generic_visit(node)
        return node

    visit_CallBlock = visit_Block = visit_Macro  # noqa: N815

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Count the characters of `~`."""
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), JOINED)

    def visit_Compare(self, node: nodes.Compare | nodes.Operand) -> nodes.Node:  # noqa: N802
        """Weigh what is compared: nested lists may take for ever."""
        self.generic_visit(node)
        node.expr = _filtered(node.expr, WEIGHED)
        return node

    visit_Operand = visit_Compare  # noqa: N815

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        """Weigh what is hashed."""
        self.generic_visit(node)
        node.key = _filtered(node.key, WEIGHED)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        """Count the characters of a slice, which Jinja takes without asking."""
        self.generic_visit(node)
        return _filtered(node, WEIGHED) if isinstance(node.arg, nodes.Slice) else node


def _stepped(node: nodes.Node, body: list[nodes.Node]) -> list[nodes.Node]:
    """Put before a body what charges for its nodes."""
    steps = sum(1 for part in body for _ in part.find_all(nodes.Node)) + len(body)
    return [nodes.ExprStmt(_filtered(nodes.Const(steps, lineno=node.lineno), STEPPED), lineno=node.lineno), *body]


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def kind_of(value: object) -> str:
    """Name a value's kind in a message."""
    return type(value).__name__
