"""Opens clients of the `openai` SDK, and reads the bodies of what servers answer."""

from __future__ import annotations

import openai

from popbench import JSON
from popbench_openai.bodies import json_of
from popbench_openai.hiding import Hider
from popbench_openai.options import OPENAI_URL

_CONNECT = 30.0
"""The most seconds for a connection to be opened."""


def open_client(url: str, key: str) -> openai.AsyncOpenAI:
    """Make a client that neither repeats a request nor ends one. Connections are opened when they are needed."""
    client = openai.AsyncOpenAI(
        api_key=key or "none",
        base_url=url,
        max_retries=0,
        timeout=None,
        http_client=openai.DefaultAioHttpClient(timeout=None),  # a call takes half the time with it
    )
    _forget_settings(client, url)
    return client


def open_plain_client(url: str, key: str, timeout: float) -> openai.OpenAI:
    """Make a synchronous client. A connection without data for `timeout` seconds is given up."""
    limits = openai.Timeout(timeout, connect=min(timeout, _CONNECT))
    client = openai.OpenAI(
        api_key=key or "none",
        base_url=url,
        max_retries=0,
        timeout=limits,
        http_client=openai.DefaultHttpxClient(timeout=limits),
    )
    _forget_settings(client, url)
    return client


def _forget_settings(client: openai.AsyncOpenAI | openai.OpenAI, url: str) -> None:
    """Remove OpenAI's settings in the environment, which must not go to another server."""
    if url != OPENAI_URL:
        client.organization = client.project = None
        client._custom_headers = {}


def read_body(content: bytes, hide: Hider) -> JSON:
    """Read a body as UTF-8, whatever its headers say, and remove the key. Returns text if it is no JSON."""
    text = content.decode("utf-8-sig", "replace")
    try:
        return hide.of_json(json_of(text))
    except (ValueError, RecursionError):
        return hide(text)
