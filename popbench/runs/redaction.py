"""Removes what may not be published from a run's settings: keys, credentials in addresses, folders of a machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePath, PureWindowsPath
from urllib.parse import urlsplit, urlunsplit

from popbench.credentials import CREDENTIAL, secret_name
from popbench.records import JSON
from popbench.specs import parse_spec, write_spec

HIDDEN = "(not published)"
_USER = re.compile(r"[^\s/:@]+:[^\s/@]+@(?=[\w.-]+)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_FOLDERS = re.compile(r"(?<![\w.:/\\~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\,;:'\"()]+[/\\])+")


def public_spec(text: str) -> str:
    """Return a component's spec for publication: only the last part of paths, addresses without user and query."""
    name, options = parse_spec(text)
    shown = {key: public_option(key, value) for key, value in options.items()}
    if shown == options:  # as it was typed
        return text
    return write_spec(public_text(name), shown)


def public_option(key: str, value: str) -> str:
    """Return one option of a spec for publication; lists and objects are searched."""
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = value
    if isinstance(parsed, dict | list):
        return json.dumps(public(parsed, key), ensure_ascii=False)
    if isinstance(parsed, bool | int | float | None):
        return str(public(parsed, key)) if secret_name(key) else value
    return str(public(value, key))


def public(value: JSON, key: str = "") -> JSON:
    """Return a JSON value for publication; `key` is its key in the object around it."""
    if isinstance(value, Mapping):
        return {public_text(str(name)): public(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item, key) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if secret_name(key):
        return HIDDEN
    if not isinstance(value, str):
        return value
    windows = PureWindowsPath(value)
    if PurePath(value).is_absolute() or (windows.drive and windows.root) or value.startswith("~/"):
        return windows.name or value
    return public_text(value)


def public_text(text: str) -> str:
    """Return a text without the folders of paths, without user, query and fragment of addresses, and without keys."""
    hidden = CREDENTIAL.sub(HIDDEN, _URL.sub(lambda match: _address(match[0]), text))
    return _FOLDERS.sub("", _USER.sub("", hidden))


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def public_machine(machine: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return a machine for publication: system and architecture without the kernel's build, processors, GPUs."""
    platform = str(machine.get("platform", ""))
    system = platform.partition("-")[0]
    architecture = re.search(r"x86_64|amd64|aarch64|arm64|AMD64|ARM64|ppc64le|s390x|riscv64", platform)
    return {
        "platform": f"{system} {architecture[0]}" if architecture else system,
        "cpus": machine.get("cpus"),
        "gpus": list(machine.get("gpus") or []),
    }
