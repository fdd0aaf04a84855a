"""How much work a stranger's template may do: what values and operations cost, foreseen where it can be large.

A step is an operation or a value that is touched, or sixteen of its characters. Counting steps, not seconds, refuses
the same template on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.visitor import NodeTransformer

STEPS = 5_000_000
"""Steps that one rendering may take: a few seconds."""
LONGEST = 10_000_000
"""Characters of a rendered message at most."""
_WIDEST = 10_000
"""The largest width of a column, size of a batch, or number of bits that a template may ask for."""

_WIDTHS = r"[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?"
_FORMAT, _NAMED_FORMAT = re.compile("%" + _WIDTHS), re.compile(r"[%)]" + _WIDTHS)
COUNTED, WEIGHED, JOINED = "counted iteration", "weighed value", "joined text"
"""Filters that a template cannot name: the parsed template is given them where Jinja has no other hook."""


class TooMuchWorkError(SecurityError):
    """A rendering that would take longer, or more memory, than one prompt may."""

    def __init__(self) -> None:
        super().__init__("the template does more work, or makes a longer text, than one prompt may take")


class Work:
    """The work that one rendering has left, and what its lists and mappings weigh: they do not change."""

    def __init__(self) -> None:
        self.left = STEPS
        self._known: dict[int, tuple[tuple[int, str | None], Any]] = {}

    def weight(self, value: Any) -> tuple[int, str | None]:
        """Return what a value weighs with all that is in it, and the kind of what in it is not plain data, if any."""
        if isinstance(value, str):
            return 1 + len(value) // 16, None
        if isinstance(value, int):
            return 1 + value.bit_length() // 64, None
        if value is None or isinstance(value, float | jinja2.Undefined):
            return 1, None
        if isinstance(value, range):
            return 1 + len(value), None
        if not isinstance(value, list | tuple | dict):
            return 1, kind_of(value)
        known = self._known.get(id(value))
        if known is None:
            steps, foreign = 1, None
            for item in (*value, *value.values()) if isinstance(value, dict) else value:
                more, kind = self.weight(item)
                steps, foreign = steps + more, foreign or kind
                if steps > STEPS:
                    raise TooMuchWorkError
            known = self._known[id(value)] = (steps, foreign), value  # which keeps its id from being used again
        return known[0]


def foreseen(name: str, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """Return the steps of a filter or method whose result may be far larger than what it is given.

    Raises SecurityError for what would be too large whatever is left.
    """
    values = [*args, *named.values()]
    texts = [value for value in values if isinstance(value, str)]
    whole = [abs(value) for value in values[1:] if isinstance(value, int)]
    if name in ("center", "indent", "batch", "slice", "round") and any(value > _WIDEST for value in whole):
        raise TooMuchWorkError
    if name == "sum" and not all(isinstance(value, int | float | str | None) for value in values[1:]):
        raise SecurityError("a template sums numbers only")
    if name == "format" and texts:
        check_format(texts[0])
    if name == "join":
        times = len(values[0]) if isinstance(values[0], Sequence) else 1
        return sum(map(len, texts)) * times // 16
    steps = 0
    if name in ("replace", "indent", "strip", "lstrip", "rstrip", "trim") and len(texts) > 1:
        steps += len(texts[0]) * max(len(text) for text in texts[1:]) // 16
    if name == "indent" and texts:
        steps += (texts[0].count("\n") + 1) * max(whole, default=4)
    return steps


def computed(operator: str, left: Any, right: Any) -> int:
    """Return the steps of `left operator right`; raises TooMuchWorkError for a number or width without bounds."""
    if operator == "%" and isinstance(left, str):
        check_format(left)
    if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(right, 1) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > _WIDEST:
            raise TooMuchWorkError
    elif operator == "*":
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | list | tuple) and isinstance(other, int):
                return len(one) * max(other, 0) // (16 if isinstance(one, str) else 1)
    return 0


class Counting(NodeTransformer):
    """Puts the counting filters where a loop, a comparison, a slice or a `~` would not be seen."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - jinja2's name
        """Count the turns of a loop."""
        self.generic_visit(node)
        node.iter = _filtered(node.iter, COUNTED)
        return node

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


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def check_format(text: str) -> None:
    """Raise SecurityError for a `%` format whose width is computed, or would fill the memory."""
    for match in (_NAMED_FORMAT if "%(" in text else _FORMAT).finditer(text):
        for width in match.groups():
            if width == "*" or (width and len(width) > 4):
                raise TooMuchWorkError


def kind_of(value: object) -> str:
    """Name a value's kind in a message."""
    return str(getattr(value, "__name__", None) or type(value).__name__)
