"""The clips that requests to predictors name: they travel to workers as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import popbench

ENDS = (".mp4", "-1.mp4", "-2.mp4")
"""Ends of the names that a request's clips have in a worker's folder, after its id: of one clip, or of two."""


def clips_of(request: popbench.Request) -> list[Path]:
    """Return the clips that a request names; none if it uses no video."""
    match request:
        case popbench.ScoreRequest():
            sides = [request]
        case popbench.CompareRequest():
            sides = [request.first, request.second]
        case _:
            sides = []
    return [Path(side.path) for side in sides if side.path != Path()]


def with_clips(request: popbench.Request, videos: Sequence[bytes], folder: Path) -> popbench.Request:
    """Write the clips of a request into a folder, and return it with their paths; raises OSError."""
    ends = ENDS[:1] if len(videos) == 1 else ENDS[1:]
    paths = [folder / f"{request.id}{end}" for end in ends]
    for path, video in zip(paths, videos, strict=True):
        path.write_bytes(video)
    if isinstance(request, popbench.CompareRequest):
        first, second = paths
        return replace(request, first=replace(request.first, path=first), second=replace(request.second, path=second))
    assert isinstance(request, popbench.ScoreRequest)
    return replace(request, path=paths[0])
