"""Recognises what looks like a credential, by its name or by its value. It is neither recorded nor published."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from popbench.records import JSON

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET = {
    "auth", "authentication", "authorization", "authorisation", "bearer", "cookie", "cookies", "credential",
    "credentials", "cred", "creds", "csrf", "hmac", "jwt", "login", "oauth", "otp", "pass", "passcode", "passphrase",
    "passwd", "password", "passwords", "pat", "pwd", "secret", "secrets", "session", "sessionid", "sig", "signature",
    "kennwort", "passe", "passwort",
}  # fmt: skip
"""A name with one of these words is that of a credential."""
_JOINED = re.compile(
    r"(api|access|account|auth|client|encryption|master|private|secret|service|signing|subscription)_?(keys?|tokens?)$"
    r"|authori[sz]ation|passwor[dt]|passwd|passphrase|secret(?!ar)|credential|(auth|access|bearer|refresh)token"
)
"""The same in names whose words are not told apart, such as `apikey`."""
_HARMLESS_KEYS = {"cache", "column", "foreign", "group", "json", "object", "partition", "primary", "row", "sort"}
_HARMLESS_TOKENS = {
    "begin", "bos", "cls", "decoder", "end", "eos", "first", "image", "last", "mask", "max", "min", "new", "next",
    "num", "pad", "per", "prefix", "sep", "special", "start", "stop", "suffix", "text", "think", "thinking", "unk",
    "video",
}  # fmt: skip
"""What stands before `token` in names of text processing."""
_OF_VARIABLE = {"env", "var", "variable"}
"""Options that end so hold the name of a variable, not its value."""

CREDENTIAL = re.compile(
    r"\b(?:sk-|gh[pousr]_|github_pat_|xox[a-z]-)[\w-]{8,}"
    r"|\bhf_(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{8,}"
    r"|\b(?:csk-|fw_|glpat-|gsk_|lsv2_|npm_|nvapi-|[pr]k_live_|pplx-|r8_|sk_live_|tgp_v1_|xai-|ya29\.)"
    r"(?=[\w-]*\d)[\w-]{12,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bAIza[\w-]{20,}|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""Values that are credentials by their form: the prefixes of services, signed tokens, private keys."""
_SCHEME = re.compile(r"^\s*(?:bearer|basic|token|digest|apikey)\s+[\w.~+/=-]{6,}\s*$", re.IGNORECASE)
_HEADER = re.compile(r"^\s*([A-Za-z][\w-]{1,40})\s*[:=]\s*\S")
_NAME_FIELDS, _VALUE_FIELDS = ("name", "key", "header"), ("value", "content")
"""Fields of an object that is a header or a variable: `{"name": "Authorization", "value": "..."}`."""
_OTHER_SCRIPTS = re.compile("contraseña|пароль|密码|密碼|密钥|口令|パスワード|비밀번호", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s/@]*:[^\s/@]+|[^\s/@]{16,})@|[?&;]([\w.-]+)=[^&#\s]+")
_NAMED = re.compile(r"secret|passw(?:or)?d", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""Hashes of commits and files are no credentials."""
_TURNS = 4
"""A random run of characters changes so often between letters and digits; words with a number do not."""

_SHORTEST_PIN = 1000
"""Smaller numbers are no credentials, whatever they are called: `{"pass": 1}`, `true`."""


def secret_name(name: str) -> bool:
    """Return whether a field of this name holds a credential, such as `api_key`, `accessToken` or `X-Auth`."""
    words = [word.lower() for word in _WORDS.findall(name) if not word.isdigit()]
    if _OTHER_SCRIPTS.search(name):
        return True
    if not words or words[-1] in _OF_VARIABLE:
        return False
    if _SECRET & set(words) or _JOINED.search("".join(words)):
        return True
    before = words[-2] if len(words) > 1 else ""
    if words[-1] in ("key", "keys"):
        return before not in _HARMLESS_KEYS
    return words[-1] == "token" and before not in _HARMLESS_TOKENS


def secret_value(text: str) -> bool:
    """Return whether a text is a credential by its form, or an address that holds one."""
    if CREDENTIAL.search(text) or _SCHEME.match(text):
        return True
    header = _HEADER.match(text)
    if header is not None and "://" not in text[: header.end() + 2] and secret_name(header[1]):
        return True
    return any(match[1] is None or secret_name(match[1]) for match in _IN_ADDRESS.finditer(text))


def random_value(text: str) -> bool:
    """Return whether a text looks like a credential of no known form: one word that names itself one, or is random."""
    if not text or any(char.isspace() for char in text):
        return False
    if _NAMED.search(text) and any(char.isdigit() for char in text):
        return True
    return any(_turns(run) >= _TURNS for run in _RUN.findall(text) if not _DIGEST.fullmatch(run))


def _turns(run: str) -> int:
    return sum(a.isdigit() != b.isdigit() for a, b in pairwise(run))


def credentials_in(value: JSON, place: str = "", *, random: bool = False, named: bool = False) -> Iterator[str]:
    """Yield the places (`extra_body.headers.auth`) of what looks like a credential in a JSON value, at any depth.

    Texts that are JSON are looked into. `random`: texts that look random are credentials too. `named`: the value stands
    in a field with the name of a credential.
    """
    if isinstance(value, str):
        inner = _parsed(value)
        if inner is not None:
            yield from credentials_in(inner, place, random=random, named=named)
        elif value.strip() and (named or secret_value(value) or (random and random_value(value))):
            yield place
    elif isinstance(value, Mapping):
        spoken = next((value[name] for name in _NAME_FIELDS if isinstance(value.get(name), str)), "")
        for key, item in value.items():
            name = str(key)
            if secret_value(name) or (random and random_value(name)):
                yield f"the name of a field of {place}" if place else "the name of an option"
                continue
            below = f"{place}.{name}" if place else name
            if name in _NAME_FIELDS and any(other in value for other in _VALUE_FIELDS):
                continue
            secret = named or secret_name(name) or (name in _VALUE_FIELDS and secret_name(spoken))
            yield from credentials_in(item, below, random=random, named=secret)
    elif isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str) and secret_name(value[0]):
        yield from credentials_in(value[1], f"{place}.{value[0]}", random=random, named=True)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from credentials_in(item, place, random=random, named=named)
    elif named and isinstance(value, int | float) and abs(value) >= _SHORTEST_PIN:
        yield place


def names_credential(text: str) -> bool:
    """Return whether a name, such as a label with options, holds a credential: `m[extra_body={"token":"..."}]`."""
    if secret_value(text):
        return True
    for start in (match.start() for match in re.finditer(r"[{\[]", text)):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if any(credentials_in(value)):
            return True
    return False


def _parsed(text: str) -> JSON:
    """Return the object or list that a text writes as JSON; None if it is another text."""
    if text.strip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None
