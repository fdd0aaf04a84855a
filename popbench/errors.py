"""The errors that users see. Each is one line that says what is wrong and what to do."""

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
    """A component broke its contract, raised, or fell silent. It is ended; the run goes on with others."""


_SHOWN = 20


def one_line(error: BaseException | str, limit: int = 500) -> str:
    """Return an error's message as one line of at most `limit` characters, with its type if it is not popbench's.

    Lone surrogates, which a server's JSON may hold, can be written to no file, and become `?`.
    """
    text = " ".join(str(error).split()).encode("utf-8", "replace").decode("utf-8")
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    elif isinstance(error, BaseException) and not isinstance(error, PopbenchError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


_EXPECTED = {
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "list_type": "expected a list",
    "dict_type": "expected an object",
    "model_type": "expected an object",
}
"""Messages for pydantic's types of errors, for somebody who has a file before them."""


def damage(error: BaseException) -> str:
    """Describe what is wrong with a file or value that somebody else wrote, without terms of Python."""
    if isinstance(error, KeyError):
        return one_line(f"{error.args[0]!r} is missing" if error.args else "something is missing")
    if isinstance(error, StopIteration):
        return "something is missing"
    if isinstance(error, UnicodeError):
        return "it is no UTF-8 text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OverflowError):
        return "a number is too large"
    if isinstance(error, ValueError) and hasattr(error, "errors"):  # pydantic's own text is several lines with a link
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = _EXPECTED.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        message = message.replace("Input should be", "expected")
        return one_line(
            f"{where} is missing" if first["type"] == "missing" else f"{where}: {message}".removeprefix(": ")
        )
    if isinstance(error, OSError | PopbenchError):
        return one_line(error)
    if isinstance(error, TypeError | AttributeError | LookupError | ArithmeticError):
        return "a value is of another kind than expected"
    text = one_line(str(error))
    return "a number is too long" if "integer string conversion" in text else text or type(error).__name__


def unknown(what: str, name: str, possible: Iterable[str], hint: str = "", *, shown: int | None = _SHOWN) -> UsageError:
    """Make the error for an unknown name: at most `shown` possible ones, and the closest match if there is one."""
    names = sorted(set(possible))
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    message = f"unknown {what} {name!r}"
    if close:
        message += f": did you mean {close[0]!r}?"
    listed = ", ".join(names[:shown]) or "none"
    more = f" and {len(names) - shown} more" if shown is not None and len(names) > shown else ""
    message += f" (possible: {listed}{more})"
    return UsageError(message + (f"; {hint}" if hint else ""))
