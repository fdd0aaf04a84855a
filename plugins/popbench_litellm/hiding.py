"""Removes keys from what a provider says, in an answer or an error."""

from __future__ import annotations

import base64
import json
import os
from urllib.parse import quote

from popbench.credentials import credentials_in

_SHORTEST = 8
"""Keys with fewer characters are not secret: servers without keys are often given `x` or `none`."""
_SHOWN = "[key]"


class Hider:
    """Replaces the values of all variables that hold a credential, since LiteLLM chooses itself which to use.

    They are known plain, with the escapes of JSON and URLs, and in base64.
    """

    def __init__(self, *keys: str) -> None:
        values = {value.strip() for name, value in os.environ.items() if any(credentials_in({name: value}))}
        forms = {form for key in values | set(keys) if len(key) >= _SHORTEST for form in _forms(key)}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return a text without keys."""
        for form in self._forms:
            text = text.replace(form, _SHOWN)
        return text


def _forms(key: str) -> set[str]:
    return {key, json.dumps(key)[1:-1], quote(key, safe=""), base64.b64encode(key.encode()).decode()}
