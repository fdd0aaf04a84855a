"""Names that trackers take, for metrics and settings with labels in which anything may stand; no two become one."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from popbench import Metric, TrackedClip

_LONGEST_PART, _LONGEST = 90, 240
"""Bytes of a part of a name, which is a file's name in some stores, and characters of a whole one."""
_UNUSUAL = re.compile(r"[^\w.\- ]")


def metrics_by_name(metrics: Iterable[Metric]) -> dict[str, float]:
    """Return all numbers of metrics by names such as `median_low/popcorn/demo/shotlist basic kinetic`.

    The parts are the statistic, the task, the predictor, and the system or the two that are compared (`a vs b`).
    """
    numbers: dict[tuple[str, ...], float] = {}
    for metric in metrics:
        of = metric.of if len(metric.of) < 4 else (*metric.of[:2], " vs ".join(metric.of[2:]))
        numbers |= {(name, *of): value for name, value in metric.numbers().items()}
    named = names(numbers)
    return {named[parts]: value for parts, value in numbers.items()}


def names(of: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return a name for each sequence of parts; those that would get the same one get a digest too."""
    plain = {parts: "/".join(map(_plain, parts)) for parts in of}
    shared = Counter(plain.values())
    return {
        parts: name if shared[name] == 1 and len(name) <= _LONGEST else f"{name[: _LONGEST - 9]}-{_digest(parts)}"
        for parts, name in plain.items()
    }


def settings_by_name(params: Mapping[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
    """Return settings by names that trackers take."""
    named = names(tuple(name.split("/", 1)) for name in params)
    return {named[tuple(name.split("/", 1))]: value for name, value in params.items()}


def clip_names(clips: Iterable[TrackedClip]) -> dict[TrackedClip, str]:
    """Return a file name for each clip: `task/prompt/system.mp4`, with the repeat's number from the second on."""
    parts = {
        clip: (clip.task, clip.prompt_id, clip.system + (f" {clip.repeat}" if clip.repeat else "")) for clip in clips
    }
    named = names(parts.values())
    return {clip: f"{named[of]}.mp4" for clip, of in parts.items()}


def _plain(part: str) -> str:
    """Return a part of a name with the signs that every store takes: letters, digits, `_`, `.`, `-` and spaces."""
    text = _UNUSUAL.sub("_", part.replace("|", " ")).strip()
    text = text if text.strip(".") else f"_{text}"
    encoded = text.encode()
    if len(encoded) <= _LONGEST_PART:
        return text
    return f"{encoded[: _LONGEST_PART - 9].decode(errors='ignore')}-{_digest((part,))}"


def _digest(parts: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:8]
