"""Clips of a page that shows few: a poster for each, and the clips themselves as far as a page can have them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from popbench.files import read_bytes
from popbench.report.gallery import clip_path, folder_url
from popbench.video import VideoError, poster

LARGEST = 60 * 10**6
"""The most bytes of clips that are put into a page: larger pages open slowly."""


@dataclass(frozen=True)
class PageClip:
    """A clip of a page. `data` is base64, None for one that is not in the page: it is played from `url` then.

    `poster` is a data URL, empty if the file cannot be decoded.
    """

    id: str
    url: str
    poster: str
    data: Markup | None


def page_clips(run: Path, page: Path, videos: Iterable[str | None], largest: int = LARGEST) -> dict[str, PageClip]:
    """Return the clips of a run by their path in it, in the order of `videos`, in which they are put into the page.

    `page` is the folder of the page. Clips that are gone, or lie outside of the run, are left out.
    """
    clips: dict[str, PageClip] = {}
    folder, left = folder_url(run, page), largest
    for video in dict.fromkeys(video for video in videos if video):
        path = clip_path(video)
        try:
            file = run / video
            if path is None or not file.resolve().is_relative_to(run.resolve()):
                continue
            content = read_bytes(file, left) if file.stat().st_size <= left else None
        except (OSError, ValueError, RuntimeError):  # also for a path with NUL, and a link to itself
            continue
        left -= 0 if content is None else len(content)
        data = None if content is None else Markup(_base64(content))
        clips[video] = PageClip(f"clip-{len(clips)}", folder + path, _poster(file), data)
    return clips


def _poster(file: Path) -> str:
    try:
        return f"data:image/jpeg;base64,{_base64(poster(file))}"
    except (VideoError, OSError):
        return ""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
