"""Calls the API of files and batches through the `openai` SDK: each method makes one call, or a page after the other.

The SDK opens connections, writes requests and classifies errors of its transport. Answers are read from their JSON, as
those of chats are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import openai

from popbench import JSON
from popbench.engines import retry_after
from popbench_openai.clients import open_plain_client, read_body
from popbench_openai.faults import CallError, Kind, of_body, of_connection, of_status

PATH = "/chat/completions"
"""Where the requests of a batch go."""

_WINDOW = "24h"
_NO_API = "it may have no Batch API: leave out batch=true, or check base_url="
_BINARY = openai.HttpxBinaryResponseContent
_PAGE, _PAGES = 100, 2000
"""Batches of a page, and the most pages that are read."""

_LOOK = "look there, and if there is none, make another run (--out)"

State = Mapping[str, Any]
"""What a server says of a batch: `id` and `status` are there."""


class UnlistedError(CallError):
    """A file may have a batch or not: the server lists no batches, or without end."""


class BatchApi:
    """A connection to one server. Every method raises CallError for a call without an answer."""

    def __init__(self, url: str, key: str, variable: str, timeout: float, hide: Any) -> None:
        self._client = open_plain_client(url, key, timeout)
        self._variable, self._hide = variable, hide

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def upload(self, lines: bytes) -> str:
        """Store a file of requests, which costs nothing, and return its id."""
        headers = {"Content-Type": "multipart/form-data"}
        body = self._json(
            lambda: self._client.post(
                "/files",
                cast_to=_BINARY,
                body={"purpose": "batch"},
                files={"file": ("popbench.jsonl", lines, "application/jsonl")},
                options={"headers": headers, "follow_redirects": False},
            ),
            absent=_NO_API,
        )
        return _id(body, "file")

    def create(self, file: str) -> State:
        """Have a file's requests answered: from now on they are paid for."""
        wanted = {"input_file_id": file, "endpoint": f"/v1{PATH}", "completion_window": _WINDOW}
        return self._state(
            self._json(
                lambda: self._client.post(
                    "/batches", cast_to=_BINARY, body=wanted, options={"follow_redirects": False}
                ),
                absent=_NO_API,
            )
        )

    def look(self, batch: str) -> State | None:
        """Return the state of a batch; None if it is not there."""
        body = self._get(f"/batches/{quote(batch, safe='')}", gone=True)
        return None if body is None else self._state(body)

    def find(self, file: str) -> State | None:
        """Return the newest batch of a file; None if it has none. Raises UnlistedError if that cannot be told."""
        after = ""
        for _ in range(_PAGES):
            page = self._get(
                f"/batches?limit={_PAGE}" + (f"&after={quote(after, safe='')}" if after else ""), gone=True
            )
            if page is None:
                break
            found = page.get("data")
            rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
            for row in rows:
                if row.get("input_file_id") == file:
                    return self._state(row)
            last = str(rows[-1].get("id", "")) if rows else ""
            if not last or last == after or not page.get("has_more"):
                return None
            after = last
        raise UnlistedError(Kind.FATAL, f"whether file {file} has a batch cannot be told, since it lists none", _LOOK)

    def has_file(self, file: str) -> bool:
        """Say whether a file is there."""
        return self._get(f"/files/{quote(file, safe='')}", gone=True) is not None

    def download(self, file: str) -> bytes | None:
        """Return the content of a file; None if it is not there any more."""
        place = f"/files/{quote(file, safe='')}/content"
        return self._bytes(  # which may lie with another host, which is sent no key
            lambda: self._client.get(place, cast_to=_BINARY, options={"follow_redirects": True}), gone=True
        )

    def _get(self, place: str, *, gone: bool) -> JSON:
        return self._json(
            lambda: self._client.get(place, cast_to=_BINARY, options={"follow_redirects": False}), gone=gone
        )

    def _json(self, send: Callable[[], Any], *, gone: bool = False, absent: str = "") -> JSON:
        """Return the JSON of an answer; None for 404 and 410 if `gone`. `absent` is the remedy of a 404 otherwise."""
        content = self._bytes(send, gone=gone, absent=absent)
        if content is None:
            return None
        body = read_body(content, self._hide)
        if not isinstance(body, dict):
            raise CallError(Kind.PASSING, f"answered with no JSON object: {' '.join(str(body).split())[:80]!r}")
        known = "object" in body or "status" in body or "data" in body
        if not known and (fault := of_body(body, self._variable, formatted=False)) is not None:
            raise fault
        return body

    def _bytes(self, send: Callable[[], Any], *, gone: bool = False, absent: str = "") -> bytes | None:
        try:
            return bytes(send().content)
        except openai.APIStatusError as error:
            status, headers = error.status_code, error.response.headers
            if gone and status in (404, 410):
                return None
            if 300 <= status < 400:
                moved = f"{status} moved to {headers.get('location', 'an unknown place')}"
                raise CallError(Kind.FATAL, self._hide(moved), "set base_url= to where it is now") from None
            body = read_body(error.response.content, self._hide)
            fault = of_status(status, body, retry_after(headers), self._variable, formatted=False)
            if absent and status in (404, 405, 501):
                fault = CallError(Kind.FATAL, fault.what, absent)
            fault.refused = 400 <= status < 500
            raise fault from None
        except (openai.OpenAIError, OSError) as error:
            raise of_connection(error) from None
        except Exception as error:  # the SDK and its transport fail on malformed charsets and headers
            unreadable = self._hide(f"unreadable answer ({type(error).__name__}: {error})")
            raise CallError(Kind.PASSING, unreadable) from None

    def _state(self, body: JSON) -> State:
        _id(body, "batch")
        if not isinstance(body.get("status"), str):
            raise CallError(Kind.PASSING, "answered with no status of the batch")
        return dict(body)


def _id(body: JSON, what: str) -> str:
    """Return the id of what was made; raises CallError if there is none."""
    made = body.get("id")
    if not isinstance(made, str) or not made.strip(".") or not made.isprintable():
        raise CallError(Kind.FATAL, f"answered without the id of a {what}", _NO_API)
    return made
