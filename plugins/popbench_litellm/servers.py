"""The server and the key of a model: which they are, and what of them options may not hold."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit

import popbench
from popbench.credentials import credentials_in
from popbench_litellm.library import Access, missing

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_RECORDED = "and options are recorded with the run: put keys into the environment"


def refuse_options(kind: str, options: Any, name: str = "litellm") -> None:
    """Refuse options that would record a secret, with messages that do not repeat it. Raises UsageError."""
    free = {"model", "api_base", "api_key_env"}  # ids of models look random
    told, names = options.model_dump(exclude=free), options.model_dump(include=free)
    for place in (*credentials_in(names), *credentials_in(told, random=True)):
        raise popbench.UsageError(f"{kind}: {place} looks like a credential, {_RECORDED} (api_key_env=VARIABLE)")
    if options.api_key_env and not _VARIABLE.fullmatch(options.api_key_env):
        raise popbench.UsageError(
            f"{kind} {name}: api_key_env is the name of an environment variable, in capitals, and never the key itself"
        )
    if options.api_base is not None and not is_address(options.api_base):
        raise popbench.UsageError(
            f"{kind} {name}: api_base is no address of scheme, host, port and path: write it like"
            " http://127.0.0.1:8000/v1"
        )


def key_of(options: Any) -> str | None:
    """Return the key of `api_key_env`, or None for what LiteLLM reads from the environment.

    The keys of providers go to no other server: where `api_base` is given without `api_key_env`, there is none.
    """
    if options.api_key_env:
        return os.environ.get(options.api_key_env, "").strip()
    return None if options.api_base is None else "none"


def key_problem(options: Any, access: Access) -> str:
    """Return that the variables of the key are not set, with how to set them; empty if all is well."""
    if options.api_key_env and not key_of(options):
        return f"the key {options.api_key_env} is not set: export {options.api_key_env}=..."
    if options.api_base is None and not options.api_key_env and access.needs_missing:
        names = (" or " if access.either else " and ").join(access.missing)
        return f"{options.model} needs {names} in the environment: export {access.missing[-1]}=..."
    return ""


def environment_base(options: Any, provider: str, *endings: str) -> tuple[str, str]:
    """Return the variable that names another server for a provider, and that server; empty if `api_base` is given.

    `endings` are those of further variables that LiteLLM reads first.
    """
    if options.api_base is not None:
        return "", ""
    named = options.model.partition("/")[0] if missing() else provider
    start = re.sub(r"\W", "_", named).upper()
    for ending in (*endings, "API_BASE", "BASE_URL"):
        if value := os.environ.get(f"{start}_{ending}", "").strip():
            return f"{start}_{ending}", value.rstrip("/")
    return "", ""


def base_problem(name: str, base: str) -> str:
    """Return that a server of the environment is more than an address; empty if all is well."""
    if base and not is_address(base):
        return f"{name} holds more than scheme, host, port and path: it would be recorded with the run"
    return ""


def is_address(url: str) -> bool:
    """Return whether a text is the address of a server, without a user, a query or a fragment."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for what is no port
    except ValueError:
        return False
    extra = parts.username or parts.password or parts.query or parts.fragment
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not extra
