"""The human baseline (the paper's Table 2): for each prompt the human-made video with the nearest title.

Its title and its file are scored by the same predictors as those of all systems. Matching is no call of a component:
its results are stored in the ledger as a draft and a clip, so scoring, resumes and samples treat it like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from popbench.errors import RunError, UsageError, one_line
from popbench.files import copy_whole, sha256
from popbench.interfaces import Corpus
from popbench.keys import clip_name, digest
from popbench.ledger.ledger import Call, Done, Ledger
from popbench.pipeline.items import SampleKey
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.human import NAME
from popbench.planning.systems import Part, SampleSet
from popbench.progress import Progress
from popbench.records import JSON, Prompt
from popbench.retrieval import Hit, Retriever
from popbench.text import counted
from popbench.video import VideoError, video_info

_TOLD = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A human-made video for a prompt, and its file."""

    hit: Hit
    video: Path


def unmatched(human_samples: Sequence[SampleSet], view: LedgerView) -> list[tuple[SampleSet, Prompt, int]]:
    """List the samples (set, prompt, repeat) that have no human video yet, or whose copy of it is gone."""
    return [
        (samples, result.prompt, result.repeat)
        for samples in human_samples
        for result in view.results(samples)
        if result.clip is None
    ]


def lacks(corpus: Part) -> str | None:
    """Return what is wrong with a corpus that has no video files; reads only as far as to the first video."""
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


def find_matches(retriever: Retriever, prompts: Sequence[str], progress: Progress) -> dict[str, Match]:
    """Match prompts with videos. Raises UsageError if the file of one is missing or is no video."""
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
    """Return what is wrong with a video of the corpus; None if it can be scored."""
    if path is None:
        return f"{id_} has no file"
    try:
        video_info(path)
    except (VideoError, OSError) as error:
        return str(error) if str(path) in str(error) else f"{path}: {one_line(error)}"
    return None


def settle_matches(
    human_samples: Sequence[SampleSet], ledger: Ledger, view: LedgerView, matches: Mapping[str, Match]
) -> dict[SampleKey, str]:
    """Copy the videos of matches to the clips and store them as results; return why others have none.

    Raises RunError if the disk refuses.
    """
    errors: dict[SampleKey, str] = {}
    for samples, prompt, repeat in unmatched(human_samples, view):
        draft_key, clip_key = samples.stage_keys
        sample_key = SampleKey(draft_key, prompt.id, repeat)
        match = matches.get(prompt.text)
        if match is None:
            errors[sample_key] = "its human video is gone from the run: the same command puts it back"
            continue
        try:
            video_sha256 = sha256(match.video)
        except OSError as error:
            errors[sample_key] = f"human video {match.video} cannot be read: {one_line(error)}"
            continue
        reference = match.hit.reference
        clip = _keep(match.video, video_sha256, view.videos)
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
                Done(draft_key, prompt.id, repeat, clip.key, "ok", value),
                Done(clip_key, prompt.id, repeat, clip.key, "ok", {}),
            ],
        )
    return errors


def _keep(video: Path, video_sha256: str, folder: Path) -> Call:
    """Copy a video to the folder of clips, under a key made of its bytes.

    It is not linked: a change to the corpus's file would change every run that has it.
    """
    key = digest(NAME, video_sha256)
    target = folder / clip_name(key)
    try:
        kept = target.exists() and sha256(target) == video_sha256  # a file that is there may be damaged
        if not kept and copy_whole(video, target, video_sha256) != video_sha256:
            raise RunError(f"{video} changed while it was copied: run the same command again")
        size = target.stat().st_size
    except OSError as error:
        raise RunError(f"human video {video} cannot be kept: {one_line(error)}") from error
    payload = {"sha256": video_sha256, "bytes": size, "seconds": None, "peak_memory_mb": None, "notes": []}
    return Call(key, "render", "ok", payload)
