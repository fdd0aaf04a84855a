"""What of a run's settings is fit to publish: no keys, no credentials in addresses, no folders of a machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePath, PureWindowsPath
from urllib.parse import urlsplit, urlunsplit

from popbench.records import JSON
from popbench.specs import parse_spec, write_spec

HIDDEN = "(not published)"
_SECRET = re.compile(
    r"(?i:(?:^|[_-])(?:api_?keys?|keys?|token|secrets?|pass(?:words?|wd|phrase)?|auth(?:ori[sz]ation)?|bearer|credentials?|cookie|pat)"
    r"(?:$|[_-]))|(?:Key|Token|Secret|Password)$"
)
"""Whole words: a tokenizer, keyframes and max_tokens are no secrets."""
_CREDENTIAL = re.compile(r"\b(?:sk-|gh[pousr]_|github_pat_|hf_|xox[a-z]-)[\w-]{8,}")
_USER = re.compile(r"[^\s/:@]+:[^\s/@]+@(?=[\w.-]+)")
_NAME_OF = re.compile(r"(?i)_(env|var|variable)$")
"""Options that hold the name of a variable, and not what is in it."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_FOLDERS = re.compile(r"(?<![\w.:/\\~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\,;:'\"()]+[/\\])+")


def public_spec(text: str) -> str:
    """Return a component's spec as anybody may see it: paths by their last part, addresses without user and query."""
    name, options = parse_spec(text)
    shown = {key: public_option(key, value) for key, value in options.items()}
    if shown == options:  # as it was typed
        return text
    return write_spec(public_text(name), shown)


def public_option(key: str, value: str) -> str:
    """Return one option of a spec; lists and objects are looked into."""
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = value
    if isinstance(parsed, dict | list):
        return json.dumps(public(parsed, key), ensure_ascii=False)
    if isinstance(parsed, bool | int | float | None):
        return str(public(parsed, key)) if _secret(key) else value
    return str(public(value, key))


def public(value: JSON, key: str = "") -> JSON:
    """Return a JSON value as anybody may see it; `key` is what it stands under."""
    if isinstance(value, Mapping):
        return {public_text(str(name)): public(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item, key) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if _secret(key):
        return HIDDEN
    if not isinstance(value, str):
        return value
    windows = PureWindowsPath(value)
    if PurePath(value).is_absolute() or (windows.drive and windows.root) or value.startswith("~/"):
        return windows.name or value
    return public_text(value)


def public_text(text: str) -> str:
    """Take folders out of paths in a text, user, query and fragment out of addresses, and what looks like a key."""
    hidden = _CREDENTIAL.sub(HIDDEN, _URL.sub(lambda match: _address(match[0]), text))
    return _FOLDERS.sub("", _USER.sub("", hidden))


def _secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _NAME_OF.search(name)


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def public_machine(machine: Mapping[str, JSON]) -> dict[str, JSON]:
    """Say what a machine is without its kernel's build: system and architecture, processors, GPUs."""
    platform = str(machine.get("platform", ""))
    system = platform.partition("-")[0]
    architecture = re.search(r"x86_64|amd64|aarch64|arm64|AMD64|ARM64|ppc64le|s390x|riscv64", platform)
    return {
        "platform": f"{system} {architecture[0]}" if architecture else system,
        "cpus": machine.get("cpus"),
        "gpus": list(machine.get("gpus") or []),
    }
