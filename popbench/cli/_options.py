"""Describes a component's options, for `popbench plugins`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic_core import PydanticUndefined

from popbench.errors import UsageError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from rich.table import Table

    from popbench.records import JSON
    from popbench.registry import Registration

_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", NoneType: "null"}
_BOUNDS = (
    (annotated_types.Ge, "ge", "at least"),
    (annotated_types.Gt, "gt", "more than"),
    (annotated_types.Le, "le", "at most"),
    (annotated_types.Lt, "lt", "less than"),
)


def options_of(item: Registration) -> list[dict[str, JSON]]:
    """Describe a component's options; nothing if its class cannot be imported.

    `default` is what holds where a spec says nothing, also by the component's preset; one that is `required` has
    none. Results do not depend on one that is `runtime`.
    """
    try:
        options = item.load().Options
    except UsageError:
        return []
    runtime = options.runtime_names()
    return [
        {
            "name": name,
            "type": _type(field.annotation, field.metadata),
            "required": field.is_required() and name not in item.preset,
            "default": _default(name, field, item.preset),
            "runtime": name in runtime,
            "description": field.description or "",
        }
        for name, field in {**options.model_fields, **options.further(item.preset)}.items()
    ]


def options_table(item: Registration) -> Table:
    """Print a component's options, with a star at those that results do not depend on."""
    from rich.table import Table
    from rich.text import Text

    title = f"{item.kind} {item.name}: {item.summary}"
    if item.docstring not in ("", item.summary):
        title += f"\n{item.docstring}"
    table = Table(title=Text(title), title_justify="left")
    for column in ("option", "type", "default", "what it is"):
        table.add_column(column, overflow="fold", no_wrap=column == "option")
    for option in options_of(item):
        star = "*" if option["runtime"] else ""
        default = "required" if option["required"] else _word(option["default"])
        table.add_row(Text(option["name"] + star), Text(option["type"]), Text(default), Text(option["description"]))
    table.add_row("label", "text", "", "the component's name on boards")
    if item.kind == "predictor":
        table.add_row("card*", "text", "", "the folder of its card, by popbench predictor eval --predictor")
    return table


def _default(name: str, field: FieldInfo, preset: Mapping[str, JSON]) -> JSON:
    if name in preset:
        return preset[name]
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return None
    try:
        json.dumps(value)
    except (TypeError, ValueError):  # a path, an enumeration
        return str(value)
    return value


def _word(value: JSON) -> str:
    """Return a value as it is written in a spec."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _type(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Return what an option takes, in words: `whole number (at least 1) or null`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0], [part for item in inner[1:] for part in getattr(item, "metadata", [item])])
    bounds = ", ".join(_bounds(metadata))
    if origin in (Union, UnionType):
        others = [part for part in inner if part is not NoneType]
        kinds = [_type(part, metadata if len(others) == 1 else ()) for part in others]
        return " or ".join(kinds + ["null"] * (len(others) < len(inner)))
    if origin is Literal:
        return " or ".join(map(_word, inner))
    if origin is not None:
        kinds = [_type(part) for part in inner if part is not Ellipsis]
        word = f"{getattr(origin, '__name__', origin)}[{', '.join(kinds)}]"
    else:
        word = _WORDS.get(annotation) or str(getattr(annotation, "__name__", annotation)).lower()
    return f"{word} ({bounds})" if bounds else word


def _bounds(metadata: Sequence[Any]) -> Iterator[str]:
    for item in metadata:
        for kind, name, words in _BOUNDS:
            if isinstance(item, kind):
                yield f"{words} {getattr(item, name)}"
