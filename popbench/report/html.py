"""What every self-contained page needs: templates, data that cannot end its element, and a content security policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from popbench.records import JSON

_TURNING = re.compile("[\\u202a-\\u202e\\u2066-\\u2069]")
"""What turns the text around it, so that one name would look like another."""


def unturned(value: Any) -> Any:
    """Return a text with such characters as their codes; anything else, and what is markup already, as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _TURNING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), value)


@cache
def environment(folder: Path) -> jinja2.Environment:
    """Return the environment of the templates in a folder, which escapes all values."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        finalize=unturned,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def inert(value: JSON) -> str:
    """Return JSON in which no text can end the script element around it, or start a comment in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _TURNING.sub(lambda match: f"\\\\u{ord(match[0]):04x}", text.replace("<", "\\u003c"))


def policy(scripts: Sequence[str], media: str) -> str:
    """Return a page's Content-Security-Policy, which allows its own scripts, by hash, and videos from `media` only."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; media-src {media}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
