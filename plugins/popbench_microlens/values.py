"""Reads single values: texts, numbers, and the video file of a row."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line
from popbench.local import user_path
from popbench.tables import NumberForm, text_of

_COUNT = re.compile(r"\d+(\.0)?", re.ASCII)


class BadValueError(ValueError):
    """A value that cannot be used. `kind` says why without the value; `certain` is false if it may be a good one."""

    def __init__(self, problem: str, kind: str, *, certain: bool = True) -> None:
        super().__init__(problem)
        self.kind = kind
        self.certain = certain


def text(value: Any) -> str:
    """Return a value as text without outer blanks; raises ValueError for lists and objects."""
    return text_of(value).strip()


def popularity(value: Any, form: NumberForm = NumberForm()) -> int | float:  # noqa: B008 - it is immutable
    """Return a finite number of at least 0, as int if it is whole; raises BadValueError otherwise.

    `form` is how texts write numbers.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise BadValueError("is empty", "is empty")
    shown = one_line(repr(value), 60)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise BadValueError(f"{shown} is not a number", "is not a number")
    try:
        number = form.number(value) if isinstance(value, str) else float(value)
    except ValueError:
        advice = form.advice(str(value))
        raise BadValueError(f"{shown} is not a number{advice}", "is not a number", certain=not advice) from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadValueError(f"{shown} is not a finite number", "is not a finite number")
    if number < 0:
        raise BadValueError(f"{shown} is below 0", "is below 0")
    return int(number) if number.is_integer() else number


def count(value: Any) -> int | None:
    """Return a whole number of at least 0; None for anything else, such as `1.2k` and `1.000`, which are ambiguous."""
    if isinstance(value, str) and not _COUNT.fullmatch(value.strip()):
        return None
    try:
        number = popularity(value)
    except ValueError:
        return None
    return number if isinstance(number, int) else None


def folder_problem(option: str, given: str | None) -> str | None:
    """Return one line if the folder that an option names is missing; None if it exists, or none is named."""
    if given is None:
        return None
    return None if is_there(user_path(given), Path.is_dir) else f"{option}={given}: there is no such folder"


def is_there(path: Path, kind: Callable[[Path], bool] = Path.is_file) -> bool:
    """Return whether a file, or a folder, exists. Names that are too long or invalid give False."""
    try:
        return kind(path)
    except (OSError, ValueError):
        return False


def video_names(folder: Path) -> frozenset[str]:
    """Return the names in a folder of videos, read once for all rows; raises UsageError if that fails."""

    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({one_line(error)}): give a folder of videos") from error
