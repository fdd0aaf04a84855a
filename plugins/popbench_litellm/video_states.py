"""What a job of a provider has come to, read from LiteLLM's answer and from the provider's own.

LiteLLM calls an operation of Google's Veo completed whether it holds a video, an error or neither, and fails to read
one that a filter has emptied: so the operation itself is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from popbench import JSON
from popbench_litellm.faults import FILTERED, text_of

_DONE = {"completed", "succeeded"}
_OVER = {"failed", "cancelled", "canceled", "expired", "deleted", "error"}
_AT_WORK = {"queued", "in_progress", "pending", "processing", "running"}
_GOOGLE = {"gemini", "vertex_ai"}
_TAKEN_FOR_QUEUED = {"fal_ai", "runwayml"}
"""Providers of which LiteLLM takes a status that it does not know for a place in the queue."""
_KNOWN = _DONE | _AT_WORK | {"in_queue", "throttled"}
_LONGEST_CLIP = 24 * 3600
_REFUSAL = re.compile(
    r"^(INPUT_PREPROCESSING\.)?SAFETY\b|content_policy|moderation|DataInspection|Sensitive(Content|Information)|^102[67]$"
)
"""The codes by which Runway, fal, OpenAI, Alibaba, ByteDance and MiniMax name a refusal."""


class Kind(Enum):
    """Where a job is."""

    AT_WORK = "at work"
    DONE = "its clip is there"
    FAILED = "over without a clip"
    REFUSED = "over, since a filter refuses it"
    UNKNOWN = "not told"


@dataclass(frozen=True)
class Reply:
    """A provider's answer: the HTTP status and the JSON, None if it was none."""

    status: int
    body: JSON = None


@dataclass(frozen=True)
class State:
    """What a job has come to; `said` is the provider's reason, `seconds` what the provider counts as made."""

    kind: Kind
    said: str = ""
    seconds: float | None = None


def state_of(provider: str, video: Any, replies: Sequence[Reply]) -> State | None:
    """Return the state of a job from LiteLLM's `VideoObject`, None if it raised, and the answers it was made from.

    Returns None if nothing is known of the job.
    """
    body = replies[0].body if replies and replies[0].status < 300 else None
    if provider in _GOOGLE and isinstance(body, Mapping) and body.get("done") is True:
        return _operation(body)
    if video is None:
        return None
    status = str(video.status).lower()
    if provider in _TAKEN_FOR_QUEUED and isinstance(body, Mapping):
        own = str(body.get("status", "none")).lower()
        status = status if own in _KNOWN else own
    if status in _OVER:
        error = video.error or {}
        details = _details(replies[-1].body if replies else None)
        codes = [str(error.get("code", "")), *(str(detail.get("type", "")) for detail in details)]
        return _over(str(error.get("message") or error.get("code") or ""), codes)
    usage = video.usage or {}
    seconds = seconds_of(usage.get("duration_seconds")) or seconds_of(video.seconds)
    if status in _DONE:
        return State(Kind.DONE, seconds=seconds)
    return State(Kind.AT_WORK if status in _AT_WORK else Kind.UNKNOWN, status[:40])


def _operation(body: Mapping[str, Any]) -> State:
    """Return the state of an operation of Google's that is done."""
    if error := body.get("error"):
        return _over(text_of(body), [str(error.get("status", ""))] if isinstance(error, Mapping) else [])
    response = body.get("response") or {}
    held = (response.get("generateVideoResponse") or response) if isinstance(response, Mapping) else response
    if not isinstance(held, Mapping):
        return State(Kind.UNKNOWN, "it ended with an answer in a shape that is not read")
    if held.get("generatedSamples") or held.get("videos"):
        return State(Kind.DONE)
    told = held.get("raiMediaFilteredReasons") or []
    reasons = " ".join(map(str, told if isinstance(told, list) else [told]))
    if reasons or held.get("raiMediaFilteredCount"):
        return State(Kind.REFUSED, reasons)
    return State(Kind.FAILED, "it ended without a video")


def _over(said: str, codes: Sequence[str]) -> State:
    refused = bool(FILTERED.search(said)) or any(_REFUSAL.search(code) for code in codes)
    return State(Kind.REFUSED if refused else Kind.FAILED, said or " ".join(code for code in codes if code))


def _details(body: JSON) -> list[Mapping[str, Any]]:
    """Return what fal lists of an error, of which LiteLLM keeps the words alone."""
    details = body.get("detail") if isinstance(body, Mapping) else None
    return [each for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []


def seconds_of(value: Any) -> float | None:
    """Return the seconds of a clip; None for what can be none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number <= _LONGEST_CLIP else None
