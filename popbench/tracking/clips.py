"""Finds the clip of a sample. A stranger may have made the run: nothing outside of its `videos` is taken for a clip."""

from __future__ import annotations

from pathlib import Path

from popbench.interfaces import TrackedClip
from popbench.records import Sample


def clip_of(run: Path, sample: Sample) -> TrackedClip | None:
    """Return the clip of a run's sample; None if it has none, or one that is missing or lies elsewhere."""
    if not sample.video:
        return None
    try:
        file = (run / sample.video).resolve()
        if not file.is_relative_to((run / "videos").resolve()) or not file.is_file():
            return None
    except (OSError, ValueError, RuntimeError):  # also for a path with NUL, and a link to itself
        return None
    return TrackedClip(
        file, sample.system, sample.task, sample.prompt_id, sample.repeat, sample.title or "", sample.popularity
    )
