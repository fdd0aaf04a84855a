"""Finds other values for an option, for the fingerprint rules: candidates for its type that validation accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from popbench.options import Options

# Sizes are often multiples of 8 or 16, frame counts one more than a multiple of 4.
_STEPS = (1, -1, 2, -2, 4, -4, 8, -8, 16, -16, 32, -32, 64, -64)


def other_options(options: Options, name: str, given: Iterable[Any] | None = None) -> Iterator[Options]:
    """Yield valid options that differ from `options` in `name` alone; `given` replaces the candidates here."""
    cls = type(options)
    current = getattr(options, name)
    values = {field: getattr(options, field) for field in (*cls.model_fields, *(options.model_extra or ()))}
    for candidate in _candidates(cls.model_fields[name].annotation, current) if given is None else given:
        try:
            changed = cls.model_validate({**values, name: candidate})
        except ValueError:  # pydantic's ValidationError is one
            continue
        if getattr(changed, name) != current:
            yield changed


def _types(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _types(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _types(part)
    else:
        yield annotation


def _candidates(annotation: Any, current: Any) -> Iterator[Any]:
    for kind in _types(annotation):
        if get_origin(kind) is Literal:
            yield from get_args(kind)
        elif kind is bool:
            yield from (True, False)
        elif kind is int:
            yield from _numbers(current if isinstance(current, int) else 0)
        elif kind is float:
            start = current if isinstance(current, int | float) else 0.0
            yield from (start + 0.125, start - 0.125, start * 0.75, start * 1.25, *_numbers(start), 0.5)
        elif kind is str:
            yield f"{current}-other" if isinstance(current, str) and current else "other"
        elif kind is NoneType:
            yield None
        elif isinstance(kind, type) and issubclass(kind, Enum):
            yield from kind
        elif isinstance(kind, type) and issubclass(kind, PurePath):
            yield kind("other")


def _numbers(start: float) -> Iterator[float]:
    yield from (start + step for step in _STEPS)
    yield from (start * 2, start // 2, 0, 1)
