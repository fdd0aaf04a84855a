"""The real videos that a predictor is measured on: those of a part of a corpus that have what it uses, and a count."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from popbench.errors import UsageError
from popbench.interfaces import Corpus
from popbench.interfaces.uses import score_request
from popbench.planning.systems import Part
from popbench.records import Prompt, Reference, ScoreRequest
from popbench.text import counted
from popbench.video import sha256

PARTS = ("train", "valid", "test")
FEWEST = 10
"""The fewest videos that anything is said of."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A part of a corpus, `all` for all of them, and what its popularity counts. `spec` makes the corpus again."""

    corpus: Corpus
    spec: str
    name: str
    label: str
    part: str
    target: str

    @property
    def parts(self) -> list[str]:
        """The parts of the corpus, as `Predictor.trained_on` names them."""
        return [f"{self.name}/{part}" for part in (PARTS if self.part == "all" else (self.part,))]


@dataclass(frozen=True, slots=True)
class Video:
    """A real video: its request, whose id is the key of the score, and log2 of its count."""

    id: str
    tag: str
    log2: float
    request: ScoreRequest


def choose(held: HeldOut, predictor: Part, limit: int | None) -> tuple[list[Video], list[str]]:
    """Return the videos to score, and remarks on those that are left out; raises UsageError for too few.

    With `limit`, that many are drawn at random: always the same ones, and more of them with a larger limit.
    """
    left_out: Counter[str] = Counter()
    videos = []
    rows = list(_usable(held, predictor, left_out))
    usable = len(rows)
    if limit is not None:
        chosen = sorted(range(usable), key=lambda row: hashlib.sha256(rows[row].id.encode("utf-8", "replace")).digest())
        rows = [rows[place] for place in sorted(chosen[:limit])]
    for row in rows:
        try:
            videos.append(_video(held, predictor, row))
        except OSError:
            left_out["whose file cannot be read"] += 1
    remarks = [f"left out: {counted(count, 'video')} {why}" for why, count in left_out.items()]
    if len(videos) < FEWEST:
        told = f" ({'; '.join([*remarks, *held.corpus.remarks()])})" if remarks or held.corpus.remarks() else ""
        raise UsageError(
            f"corpus {held.label}: {counted(len(videos), 'video')} of part {held.part} to measure on, at least "
            f"{FEWEST} are needed{told}"
        )
    if limit is not None and limit < usable:
        remarks.append(f"{len(videos):,} of {usable:,} videos, drawn at random")
    return videos, remarks


def _usable(held: HeldOut, predictor: Part, left_out: Counter[str]) -> Iterator[Reference]:
    for part in PARTS if held.part == "all" else (held.part,):
        for row in held.corpus.rows(part):
            if not row.title.strip() and predictor.uses & {"title", "prompt"}:
                left_out["without a title"] += 1
            elif row.popularity < 1:
                left_out[f"with less than 1 {held.target.removesuffix('s')}"] += 1
            elif row.video is None and "video" in predictor.uses:
                left_out["without a video file"] += 1
            else:
                yield row


def _video(held: HeldOut, predictor: Part, row: Reference) -> Video:
    """Return a video with its request; nobody asked for it, so its title stands for the prompt."""
    prompt = Prompt(row.id, row.title, row.tag, held.name)
    draft = {"title": row.title}
    video = sha256(row.video) if row.video is not None and "video" in predictor.uses else ""
    used = predictor.used(prompt, draft, video)
    request = score_request(predictor.score_key(prompt, draft, video), used, row.video or Path())
    return Video(row.id, row.tag, math.log2(row.popularity), request)
