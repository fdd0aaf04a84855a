"""The human baseline (the paper's Table 2): for each prompt the human-made video with the nearest title.

Its title and its file are scored by the same predictor as everyone's. Matching is no call of a component: what it
finds is settled in the ledger as a draft and a clip, so that scoring, resuming and sampling go on from it as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from popbench.errors import RunError, UsageError, one_line
from popbench.files import copy_whole, sha256
from popbench.interfaces import Corpus
from popbench.keys import clip_name, digest
from popbench.ledger.ledger import Call, Cell, Done, Ledger
from popbench.pipeline.ledger_view import View
from popbench.planning.human import NAME
from popbench.planning.plan import Plan
from popbench.planning.systems import Part, Track
from popbench.progress import Progress
from popbench.records import JSON, Prompt
from popbench.retrieval import Hit
from popbench.text import counted
from popbench.video import VideoError, video_info

_TOLD = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A human-made video for a prompt, and its file."""

    hit: Hit
    video: Path


def unmatched(plan: Plan, view: View) -> list[tuple[Track, Prompt, int]]:
    """List what has no human video yet, or whose copy of it is gone."""
    human = plan.human
    if human is None:
        return []
    left = []
    for track in plan.human_tracks:
        places = ((prompt.id, repeat) for prompt, repeat in plan.places(track))
        found = zip(plan.places(track), view.samples(track, (human, human), (), places), strict=True)
        left += [(track, prompt, repeat) for (prompt, repeat), settled in found if settled.clip is None]
    return left


def lacks(corpus: Part) -> str | None:
    """Say that a corpus has no video files, without reading more of it than it takes."""
    component: Corpus = corpus.resolved.component
    try:
        if any(row.video is not None for row in component.rows(component.part)):
            return None
    except Exception as error:  # a plugin's code may raise anything
        return f"corpus {corpus.label} cannot be read: {one_line(error)}"
    spec = corpus.resolved.spec.text
    folder = corpus.resolved.spec.options.get("videos")
    if folder is not None:
        return (
            f"baseline {NAME}: no file in {folder} belongs to a video of corpus {corpus.label}: they are named ID.mp4"
        )
    return (
        f"baseline {NAME}: corpus {corpus.label} has no video files: give their folder, as in --corpus "
        f"'{spec},videos=DIR' (`popbench corpus build --corpus '{spec}' --videos DIR` checks them)"
    )


def find_matches(plan: Plan, prompts: Sequence[str], progress: Progress) -> dict[str, Match]:
    """Match prompts and check the files of what was found; raises UsageError where one is missing or no video."""
    retriever = plan.retriever
    retriever.load_titles(progress)
    retriever.prepare(prompts)
    hits = {prompt: retriever.nearest_title(prompt) for prompt in dict.fromkeys(prompts)}
    videos = retriever.videos([hit.reference.id for hit in hits.values()])
    problems = [wrong for id_, path in sorted(videos.items()) if (wrong := problem(id_, path)) is not None]
    if problems:
        more = f", and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise UsageError(
            f"baseline {NAME}: {counted(len(problems), 'video')} of the {len(videos)} it needs cannot be used: "
            f"{'; '.join(problems[:_TOLD])}{more} (`popbench corpus build --corpus ... --videos DIR` checks them all)"
        )
    return {prompt: Match(hit, Path(videos[hit.reference.id] or "")) for prompt, hit in hits.items()}


def problem(id_: str, path: Path | None) -> str | None:
    """Say what is wrong with the video of a row; None where it can be scored."""
    if path is None:
        return f"{id_} has no file"
    try:
        video_info(path)
    except (VideoError, OSError) as error:
        return str(error) if str(path) in str(error) else f"{path}: {one_line(error)}"
    return None


def settle(plan: Plan, ledger: Ledger, view: View, matches: Mapping[str, Match]) -> dict[tuple[Cell, str, int], str]:
    """Put the videos of matches beside the clips and settle their prompts; return what could not be, and why, by place.

    Raises RunError where the disk refuses.
    """
    human, errors = plan.human, {}
    if human is None:
        return {}
    for track, prompt, repeat in unmatched(plan, view):
        cell = track.cell("write", human)
        match = matches.get(prompt.text)
        if match is None:
            errors[cell, prompt.id, repeat] = "its human video is gone from the run: the same command puts it back"
            continue
        try:
            found = sha256(match.video)
        except OSError as error:
            errors[cell, prompt.id, repeat] = f"human video {match.video} cannot be read: {one_line(error)}"
            continue
        reference = match.hit.reference
        clip = _keep(match.video, found, view.videos)
        value: dict[str, JSON] = {
            "title": reference.title,
            "match": {
                "id": reference.id,
                "similarity": round(match.hit.similarity, 6),
                "popularity": reference.popularity,
            },
        }
        ledger.commit(
            clip,
            [
                Done(cell, prompt.id, repeat, clip.key, "ok", value),
                Done(track.cell("render", human, human), prompt.id, repeat, clip.key, "ok", {}),
            ],
        )
    return errors


def _keep(video: Path, found: str, folder: Path) -> Call:
    """Copy a video to where clips are, under a key made of its bytes.

    No link: who edits the corpus's file would edit every run that has it.
    """
    key = digest(NAME, found)
    target = folder / clip_name(key)
    try:
        there = target.exists() and sha256(target) == found  # a file that is there may be damaged
        if not there and copy_whole(video, target, found) != found:
            raise RunError(f"{video} changed while it was copied: run the same command again")
        size = target.stat().st_size
    except OSError as error:
        raise RunError(f"human video {video} cannot be kept: {one_line(error)}") from error
    payload = {"sha256": found, "bytes": size, "seconds": None, "peak_memory_mb": None, "notes": []}
    return Call(key, "render", "ok", payload)
