"""What predictors see: the values that `Predictor.uses` names, in requests and in the keys of scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from popbench.records import JSON, Prompt, ScoreRequest

POSSIBLE = ("video", "title", "prompt", "video_prompt", "category", "task", "extra")
DEFAULT_USES = frozenset({"video", "title"})


def read_uses(given: object) -> frozenset[str]:
    """Return the names of a predictor's `uses`; raises ValueError with what is wrong and what is possible."""
    possible = f"possible are {', '.join(POSSIBLE)}"
    if not isinstance(given, frozenset | set | list | tuple) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"uses is {given!r:.100}, no set of names: {possible}")
    if not given:
        raise ValueError(f"uses is empty, so that all scores would be equal: {possible}")
    unknown = sorted(set(given) - set(POSSIBLE))
    if unknown:
        raise ValueError(f"uses names {unknown[0]!r}: {possible}")
    return frozenset(given)


def used_values(uses: frozenset[str], prompt: Prompt, draft: Mapping[str, JSON], video: str) -> dict[str, JSON]:
    """Return what a predictor with these `uses` sees of a sample, by name; `video` is the hash of the clip's bytes.

    `draft` is what the ledger holds of the draft. A human-made video has no video prompt: None. `extra` holds further
    columns of the task's data and further fields of the draft.
    """
    values: dict[str, JSON] = {
        "video": video,
        "title": draft["title"],
        "prompt": prompt.text,
        "video_prompt": draft.get("video_prompt"),
        "category": prompt.category,
        "task": prompt.task,
        "extra": {**prompt.extra, **(draft.get("extra") or {})},
    }
    return {name: values[name] for name in uses}


def score_request(id_: str, used: Mapping[str, JSON], clip: Path) -> ScoreRequest:
    """Return a request with the values of `used_values`, and the path of the clip if the video is used."""
    others = {name: value for name, value in used.items() if name not in DEFAULT_USES}
    return ScoreRequest(id_, used.get("title", ""), clip if "video" in used else Path(), **others, key=id_)
