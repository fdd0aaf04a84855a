"""Errors that users see: each is one line that says what is wrong and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PopbenchError(Exception):
    """Base of every error that popbench raises on purpose; `str(error)` is one line for the user."""


class UsageError(PopbenchError):
    """The request cannot be carried out as given; nothing was run (exit status 2)."""


class RunError(PopbenchError):
    """The run stopped before it was done; what was finished is kept (exit status 1)."""


class ComponentError(PopbenchError):
    """A plugin's component broke its contract, raised, or fell silent: it is ended, the run goes on."""


_SHOWN = 20


def one_line(error: BaseException | str, limit: int = 500) -> str:
    """Return an error's message as one line of at most `limit` characters, with its type if it is not ours."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    elif isinstance(error, BaseException) and not isinstance(error, PopbenchError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, as in `1 sample` and `2 samples`."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def unknown(what: str, name: str, possible: Iterable[str], hint: str = "", *, shown: int | None = _SHOWN) -> UsageError:
    """Build the error for a wrong name: what is possible, `shown` of it at most, and the closest match if any."""
    names = sorted(set(possible))
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    message = f"unknown {what} {name!r}"
    if close:
        message += f": did you mean {close[0]!r}?"
    listed = ", ".join(names[:shown]) or "none"
    more = f" and {len(names) - shown} more" if shown is not None and len(names) > shown else ""
    message += f" (possible: {listed}{more})"
    return UsageError(message + (f"; {hint}" if hint else ""))
