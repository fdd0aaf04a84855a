"""Makes the gallery's data: an index of all samples, by column, and their texts, compressed prompt by prompt.

6,000 samples have tens of megabytes of completions, so the page reads only the index when it opens, and a prompt's
texts when the reader selects it.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from popbench.errors import damage
from popbench.files import read_bytes
from popbench.records import JSON, Sample
from popbench.report.shown_references import References
from popbench.video import has_sound


def gallery(
    samples: Sequence[Sample],
    predictors: Sequence[Mapping[str, Any]],
    references: References,
    clips: Collection[str],
    run: Path,
    page: Path,
) -> dict[str, Any]:
    """Return the index and the texts of a run's samples; videos have paths relative to the folder of `page`.

    `scores` are flat lists over system, prompt and repeat, with None for missing samples; of predictors with a `real`
    scale, False stands for invalid ones. `texts` has one item for each
    prompt. `references` are those whose texts are known; `clips` are the paths of the clips in the page.
    """
    systems = sorted({sample.system for sample in samples})
    repeats = {repeat: number for number, repeat in enumerate(sorted({sample.repeat for sample in samples}))}
    prompts = sorted({(sample.task, sample.prompt_id): sample for sample in samples}.items())
    prompt_numbers = {cell: number for number, (cell, _) in enumerate(prompts)}
    number_of = {system: number for number, system in enumerate(systems)}
    cells = len(systems) * len(prompts) * len(repeats)
    real = [item["name"] for item in predictors if item.get("scale") == "real"]
    scores: dict[str, list[float | None]] = {item["name"]: [None] * cells for item in predictors}
    for sample in samples:
        cell = number_of[sample.system] * len(prompts) + prompt_numbers[sample.task, sample.prompt_id]
        cell = cell * len(repeats) + repeats[sample.repeat]
        for predictor, column in scores.items():
            value = sample.scores.get(predictor)
            column[cell] = False if value is None and predictor in real and sample.status != "error" else value
    ordered = sorted(samples, key=lambda s: (s.task, s.prompt_id, s.system, s.repeat))
    return {
        "systems": systems,
        "predictors": {item["name"]: item["unit"] for item in predictors},
        "real": real,
        "prompts": [[sample.task, sample.prompt_id, sample.prompt, sample.category] for _, sample in prompts],
        "repeats": list(repeats),
        "scores": scores,
        "folder": folder_url(run, page),
        "embedded": sorted({prompt_numbers[s.task, s.prompt_id] for s in samples if clip_path(s.video) in clips}),
        "texts": [
            _packed(_of_prompt(list(group), number_of, repeats, references, run))
            for _, group in groupby(ordered, key=lambda s: (s.task, s.prompt_id))
        ],
    }


def _of_prompt(
    samples: Sequence[Sample],
    number_of: Mapping[str, int],
    repeats: Mapping[int, int],
    references: References,
    run: Path,
) -> JSON:
    shown = dict.fromkeys(reference for sample in samples for reference in sample.references)
    return {
        "samples": [
            {**texts_of(sample, run), "system": number_of[sample.system], "repeat": repeats[sample.repeat]}
            for sample in samples
        ],
        "references": {reference: references[reference] for reference in shown if reference in references},
    }


def texts_of(sample: Sample, run: Path) -> dict[str, JSON]:
    """Return the fields of a sample that the page shows, without empty ones, and whether its clip has sound."""
    values = {
        "title": sample.title,
        "prompt": sample.video_prompt,
        "extra": "\n".join(f"{name}: {_shown(value)}" for name, value in sample.extra.items()) or None,
        "reasoning": sample.reasoning,
        "completion": sample.completion,
        "references": list(sample.references),
        "notes": [*sample.notes, *sample.remarks],
        "error": sample.error,
        "video": clip_path(sample.video),
        "sound": is_heard(sample.video, run) or None,
        "attempts": sample.attempts,
        "originality": sample.originality,
        "compliance": sample.compliance,
        "match": sample.match,
        "parts": _parts(sample.parts or {}),
        "seconds": {stage: float(f"{value:.3g}") for stage, value in sample.seconds.items() if value is not None},
    }
    return {key: value for key, value in values.items() if value not in (None, [], {})}


def _parts(parts: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the parts of a sample's scores by name; where several predictors have some, after the predictor's name."""
    many = len(parts) > 1
    return {f"{by}: {name}" if many else name: value for by, of in parts.items() for name, value in of.items()}


def _shown(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def clip_path(video: str | None) -> str | None:
    """Return a clip's path below the run as a URL; None if the path leads out of the run, as a stranger's may."""
    if video is None:
        return None
    path = PurePosixPath(video)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return None
    return quote(str(path))


def is_heard(video: str | None, run: Path) -> bool:
    """Return whether a clip is in the run and has sound."""
    if video is None or clip_path(video) is None:
        return False
    try:
        return (run / video).resolve().is_relative_to(run.resolve()) and has_sound(run / video)
    except (OSError, ValueError, RuntimeError):  # also for a path with NUL, and a link to itself
        return False


def folder_url(run: Path, page: Path) -> str:
    """Return the run's folder as seen from the page's, as a URL that ends in a slash."""
    try:
        relative = os.path.relpath(run.resolve(), page.resolve())
    except ValueError:  # on another drive
        return run.resolve().as_uri() + "/"
    return "./" if relative == "." else quote(Path(relative).as_posix()) + "/"


def _packed(value: JSON) -> str:
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # in ASCII: models also write half characters
    return base64.b64encode(zlib.compress(text.encode("ascii"), 6)).decode("ascii")


def embedded(
    samples: Sequence[Sample], run: Path, order: Sequence[str], count: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Return `count` clips as base64, by path, and why clips are missing, by path.

    The clips of the first two systems of `order` come first, spread over the prompts, then those of the other systems,
    prompt by prompt. A clip is missing if there is no such file, or if it is a link that leads out of the run.
    """
    clips: dict[str, str] = {}
    missing: dict[str, str] = {}
    for sample in _spread(samples, order):
        path = clip_path(sample.video)
        if len(clips) >= count:
            break
        if path is None or path in clips or path in missing:
            continue
        file = run / str(sample.video)
        try:
            if not file.resolve().is_relative_to(run.resolve()):
                missing[path] = "it is a link that leads out of the run"
                continue
            clips[path] = base64.b64encode(read_bytes(file)).decode("ascii")
        except (OSError, ValueError, RuntimeError) as error:  # also for a path with NUL, and a link to itself
            missing[path] = damage(error)
    return clips, missing


def _spread(samples: Sequence[Sample], order: Sequence[str]) -> Iterator[Sample]:
    """Yield samples in an order of which any beginning covers tasks and categories, with both of the first systems."""
    seen: dict[tuple[str, str], int] = {}
    turn: dict[tuple[str, str], int] = {}
    for sample in sorted(samples, key=lambda s: (s.task, s.prompt_id)):
        if (sample.task, sample.prompt_id) not in turn:
            stratum = (sample.task, sample.category)
            turn[sample.task, sample.prompt_id] = seen.get(stratum, 0)
            seen[stratum] = seen.get(stratum, 0) + 1
    rank = {system: system_rank for system_rank, system in enumerate(order)}

    def sort_key(sample: Sample) -> tuple[int, int, str, str, int, int]:
        system_rank = rank.get(sample.system, len(rank))
        prompt = (sample.task, sample.prompt_id)
        return int(system_rank > 1), turn[prompt], *prompt, system_rank, sample.repeat

    yield from sorted(samples, key=sort_key)
