"""What both corpora do with single values: texts, numbers, and the video file of a row."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line
from popbench.local import user_path

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COUNT = re.compile(r"\d+(\.0)?", re.ASCII)


def text(value: Any) -> str:
    """Return a value as text without outer blanks; a whole number has no decimals, whatever type its column has.

    Raises ValueError for lists and objects.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | dict | tuple | bytes):
        raise ValueError(f"{one_line(repr(value), 60)} is no text")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def popularity(value: Any) -> int | float:
    """Return a finite number of at least 0, whole where it is; raises ValueError that says what is wrong."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError("is empty")
    shown = one_line(repr(value), 60)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"{shown} is not a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError(f"{shown} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{shown} is not a finite number")
    if number < 0:
        raise ValueError(f"{shown} is below 0")
    return int(number) if number.is_integer() else number


def count(value: Any) -> int | None:
    """Return a whole number of at least 0; None for whatever else, `1.2k` and `1.000` among it: none is guessed."""
    if isinstance(value, str) and not _COUNT.fullmatch(value.strip()):
        return None
    try:
        found = popularity(value)
    except ValueError:
        return None
    return found if isinstance(found, int) else None


def folder_problem(option: str, given: str | None) -> str | None:
    """Say that a folder which an option names is not there; None where it is, or none is named."""
    if given is None:
        return None
    return None if is_there(user_path(given), Path.is_dir) else f"{option}={given}: there is no such folder"


def is_there(path: Path, kind: Callable[[Path], bool] = Path.is_file) -> bool:
    """Whether there is a file, or a folder, of this name; no name is too long, or too odd, to be asked for."""
    try:
        return kind(path)
    except (OSError, ValueError):
        return False


def video_names(folder: Path) -> frozenset[str]:
    """List the names in a folder of videos: one look for all rows; raises UsageError where that fails."""
    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({one_line(error)}): give a folder of videos") from error
