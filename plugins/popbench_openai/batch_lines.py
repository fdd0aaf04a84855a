"""The lines of a batch: requests as a file has them, and what the files of results say of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

import popbench
from popbench import JSON
from popbench_openai.accepted import ChatRequest
from popbench_openai.answers import read
from popbench_openai.batch_api import PATH, State
from popbench_openai.batch_usage import in_batch
from popbench_openai.faults import CallError, Kind, of_body, of_status
from popbench_openai.hiding import Hider
from popbench_openai.options import ChatOptions

_CANCELLED = "cancelled"
_LATEST = 10**11
"""The latest second since 1970 that is one."""


def written(custom_id: str, request: ChatRequest, options: ChatOptions) -> bytes:
    """Return a request as a line."""
    line = {"custom_id": custom_id, "method": "POST", "url": f"/v1{PATH}", "body": request.body(options)}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def results(content: bytes) -> Iterator[tuple[str, Mapping[str, JSON]]]:
    """Yield the lines of a file of results by their custom_id; what is no line of such a file is left out."""
    for raw in content.decode("utf-8-sig", "replace").split("\n"):
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("custom_id"), str):
            yield line["custom_id"], line


def seconds_of(state: State) -> float | None:
    """Return the seconds that a batch took; None if the server does not tell."""
    began, ended = state.get("created_at"), state.get("completed_at") or state.get("expired_at")
    if isinstance(began, int) and isinstance(ended, int) and 0 <= began <= ended < _LATEST:
        return float(ended - began)
    return None


def answer(
    request: ChatRequest,
    line: Mapping[str, JSON] | None,
    seconds: float | None,
    variable: str,
    hide: Hider,
    options: ChatOptions,
) -> popbench.Completion:
    """Read the answer to a request, None if no file has a line of it; raises CallError if there is none.

    `seconds` are those of the whole batch.
    """
    if line is None:
        raise CallError(Kind.PASSING, "no line of it in the results")
    try:
        return _read(request, cast(Mapping[str, JSON], hide.of_json(dict(line))), seconds, variable, hide, options)
    except RecursionError:
        raise CallError(Kind.ITEM, "an answer that is nested too deeply") from None


def _read(
    request: ChatRequest,
    line: Mapping[str, JSON],
    seconds: float | None,
    variable: str,
    hide: Hider,
    options: ChatOptions,
) -> popbench.Completion:
    formatted, system = request.format != "off", request.has_system
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, Mapping):
        if isinstance(error, Mapping) and _CANCELLED in str(error.get("code")):
            raise CallError(Kind.ITEM, "cancelled before it was answered")
        if isinstance(error, Mapping) and "expired" in str(error.get("code")):
            raise CallError(Kind.PASSING, "not answered within the batch's day")
        fault = of_body({"error": error}, variable, formatted=formatted, system=system) if error else None
        raise fault or CallError(Kind.PASSING, "no answer in its line")
    status, body = response.get("status_code"), response.get("body")
    if isinstance(status, int) and status >= 400:
        raise of_status(status, body, None, variable, formatted=formatted, system=system)
    if not isinstance(body, dict):
        raise CallError(Kind.PASSING, "no answer in its line")
    if (fault := of_body(body, variable, formatted=formatted, system=system)) is not None:
        raise fault
    completion = read(request, body, 0.0, hide, options)
    return replace(completion, seconds=seconds, usage=completion.usage and in_batch(completion.usage))
