"""What the components share that ask a server: its address, its key, and the options that name both."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import popbench
from popbench.credentials import credentials_in

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_RECORDED = "and options are recorded with the run: put keys into the environment (api_key_env=VARIABLE)"
_NO_URL = "is no URL: write it like http://127.0.0.1:8000/v1"
_NAMES = {"model", "base_url", "api_key_env"}
"""Options with ids of models and of accounts, which look random."""


def refuse_options(
    kind: str, called: str, options: popbench.Options, extra_body: Collection[str], reserved: Collection[str]
) -> None:
    """Raise UsageError for options that would record a secret, which is not repeated, and for reserved fields."""
    told, names = options.model_dump(exclude=_NAMES), options.model_dump(include=_NAMES)
    for place in (*credentials_in(names), *credentials_in(told, random=True)):
        raise popbench.UsageError(f"{kind}: {place} looks like a credential, {_RECORDED}")
    if names["api_key_env"] and not _VARIABLE.fullmatch(names["api_key_env"]):
        raise popbench.UsageError(
            f"{called}: api_key_env is the name of an environment variable, in capitals, and never the key itself"
        )
    if names["base_url"] is not None and (problem := url_problem(names["base_url"])):
        raise popbench.UsageError(f"{called}: base_url {problem}")
    taken = sorted(set(reserved) & set(extra_body))
    if taken:
        raise popbench.UsageError(f"{called}: extra_body cannot hold {', '.join(taken)}: popbench sets that itself")


def url_problem(url: str) -> str:
    """Return what is wrong with a server's address, without repeating it; empty if nothing is."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for what is no port
    except ValueError:
        return _NO_URL
    if parts.username or parts.password or parts.query or parts.fragment:
        return "holds more than scheme, host, port and path: keys belong into the environment (api_key_env=)"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return _NO_URL
    return ""


def shown_url(url: str) -> str:
    """Return a server's address without possible secrets, for messages."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def key_in(variable: str) -> str:
    """Return the key that an environment variable holds; empty if there is none."""
    return os.environ.get(variable, "").strip() if variable else ""


def key_problem(variable: str) -> str:
    """Return that a variable holds what no key does, and what to do; empty if it does not."""
    key = key_in(variable)
    if key.isascii() and key.isprintable():
        return ""
    return f"{variable} holds what no key does, such as a line break or a curly quote: set it anew"


@contextmanager
def key_kept(key: str) -> Iterator[None]:
    """Replace an error whose traceback contains the key by a ComponentError whose message does not."""
    try:
        yield
    except Exception as error:
        if len(key) < 8 or key not in "".join(traceback.format_exception(error)):
            raise
        raise popbench.ComponentError(f"{type(error).__name__}: {error}".replace(key, "[key]")) from None
