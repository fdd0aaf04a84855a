"""The filter of a task file: which rows have a value that `where` names. YAML and data may write it differently."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from popbench.errors import one_line
from popbench.tasks.written import Label

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BOOLEAN_WORDS = {False: ("no", "off", "n", "false"), True: ("yes", "on", "y", "true")}
"""What YAML reads as true or false where it is not in quotes, and `n` and `y`, which others do."""
_SHOWN = 8


def meets(value: Any, wanted: Any) -> bool:
    """Return whether a row's value is the wanted one, or one of them.

    Texts are compared with texts; a number also with a text of that number, true and false also with these words, and a
    date with a text of that date. A class label is named by its name or number.
    """
    if isinstance(wanted, list):
        return any(meets(value, one) for one in wanted)
    if wanted is None:
        return value is None or value == ""
    if isinstance(value, Label) and isinstance(wanted, int) and not isinstance(wanted, bool):
        return value.number == wanted
    if isinstance(value, str) and isinstance(wanted, bool):
        return value.strip().casefold() == str(wanted).casefold()
    if isinstance(value, str) and isinstance(wanted, int | float):
        return bool(_NUMBER.fullmatch(value.strip())) and float(value) == wanted
    if isinstance(wanted, str | date) and value is not None:
        text = str(value)
        return text == str(wanted) or (isinstance(wanted, date) and text == f"{wanted} 00:00:00")
    return bool(value == wanted)


def unmatched(column: str, wanted: Any, values: Iterable[Any]) -> str:
    """Describe a wanted value that no row has, to follow `matches no row`."""
    texts = list(dict.fromkeys("null" if value is None else one_line(str(value), 30) for value in values))
    words = _BOOLEAN_WORDS[wanted] if isinstance(wanted, bool) else ()
    word = next((text for text in texts if text.casefold() in words), None)
    shown = str(wanted).lower() if isinstance(wanted, bool) else repr(wanted) if isinstance(wanted, str) else wanted
    hint = ""
    if word is not None:
        hint = f"; YAML reads {word} without quotes as {shown}: write {word!r}"
    elif not isinstance(wanted, str):
        hint = "; YAML has its own reading of texts that are not in quotes"
    more = f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return (
        f"with {column} {shown if wanted is not None else 'null'} (there are: {', '.join(texts[:_SHOWN])}{more}){hint}"
    )
