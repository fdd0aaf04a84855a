"""What came of the drafts of an idea: their order by the first predictor, and what the winner's lead is worth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from popbench.records import JSON, Sample
from popbench.runs.run import Run
from popbench.runs.run_json import read_run_json
from popbench.stats.winner import Worth, winners_worth, worth_if

ASSUMED = (0.2, 0.5, 0.8)
"""Shares of luck for which the winner's worth is told where no draft has two clips."""


@dataclass(frozen=True)
class DraftClips:
    """A draft with its clips, the highest score first. `numbers` are those of the drafts that are word for word it."""

    numbers: tuple[int, ...]
    clips: tuple[Sample, ...]

    @property
    def best(self) -> Sample:
        """The clip with the highest score."""
        return self.clips[0]


@dataclass(frozen=True)
class Outcome:
    """Drafts with a scored clip, the winner first.

    `wanted` counts all drafts, `invalid` those that can have no score, by reason, and `errors` the samples without a
    result.
    """

    idea: str
    drafts: tuple[DraftClips, ...]
    predictors: tuple[Mapping[str, Any], ...]
    """Name, unit and scale of each; the first one chose."""
    worth: Worth | None
    """On the scale of `place`; None where there is one draft, or no draft has two clips."""
    assumed: tuple[tuple[float, Worth], ...]
    """What it would be if so much of the variance of scores were luck; empty where that is known."""
    wanted: int
    invalid: Mapping[str, int]
    errors: int
    demo: bool
    seed: int

    @property
    def winner(self) -> Sample:
        """The clip to publish."""
        return self.drafts[0].best

    @property
    def real(self) -> bool:
        """Whether scores may have any sign: then they are averaged as they are, and otherwise by their logarithms."""
        return bool(self.predictors[0]["scale"] == "real")

    @cached_property
    def mean(self) -> float:
        """The mean of the drafts, in the predictor's unit: geometric for scores above 0."""
        values = [_mean([place(clip, real=self.real) for clip in draft.clips]) for draft in self.drafts]
        return self.in_unit(_mean(values))

    def of(self, draft: DraftClips) -> float:
        """Return the mean of a draft's clips in the predictor's unit, geometric for scores above 0."""
        return self.in_unit(_mean([place(clip, real=self.real) for clip in draft.clips]))

    def in_unit(self, value: float) -> float:
        """Return a value on the scale of `worth` in the predictor's unit."""
        return value if self.real else math.exp(value)

    def as_json(self) -> dict[str, JSON]:
        """Return what best.json holds."""
        winner = self.winner
        return {
            "schema": 1,
            "idea": self.idea,
            "system": winner.system,
            "predictors": [dict(of) for of in self.predictors],
            "demo": self.demo,
            "seed": self.seed,
            "title": winner.title,
            "video_prompt": winner.video_prompt,
            **({"extra": dict(winner.extra)} if winner.extra else {}),
            "video": "best.mp4",
            "video_sha256": winner.video_sha256,
            "score": winner.popularity,
            "scores": dict(winner.scores),
            "mean_of_drafts": self.mean,
            "worth": None if self.worth is None else self._worth(self.worth),
            "worth_if_luck": [{"luck": luck, **self._worth(worth)} for luck, worth in self.assumed],
            "drafts_wanted": self.wanted,
            "invalid": dict(self.invalid),
            "errors": self.errors,
            "drafts": [
                {
                    "numbers": list(draft.numbers),
                    "title": draft.best.title,
                    "video_prompt": draft.best.video_prompt,
                    "mean": self.of(draft),
                    "clips": [{"video": clip.video, "scores": dict(clip.scores)} for clip in draft.clips],
                }
                for draft in self.drafts
            ],
        }

    def _worth(self, worth: Worth) -> dict[str, JSON]:
        low, high = self.in_unit(worth.low), self.in_unit(worth.high)
        share, lowest, highest = worth.draft_share
        known = {"draft_share": {"value": share, "low": lowest, "high": highest}} if self.worth is worth else {}
        expected = {"value": self.in_unit(worth.expected), "low": low, "high": high}
        return {"expected": expected, "probability_best": worth.best, "lead_kept": worth.kept, **known}


def read_outcome(folder: Path, idea: str, run: Run) -> Outcome | None:
    """Read the samples of a run of an idea; None if none has a score."""
    samples = list(run.samples())
    scored = [sample for sample in samples if sample.status == "ok" and sample.popularity is not None]
    if not scored:
        return None
    run_json = read_run_json(folder)
    scales = run_json.get("scales") or {}
    predictors = tuple(
        {"name": name, "unit": run_json["units"][name], "scale": scales.get(name, "positive")}
        for name in scored[0].scores
    )
    real = predictors[0]["scale"] == "real"
    texts: dict[tuple[str, ...], list[Sample]] = {}
    for sample in scored:
        texts.setdefault((str(sample.title), str(sample.video_prompt), str(dict(sample.extra))), []).append(sample)
    drafts = [_draft(of, real=real) for of in texts.values()]
    values = [[place(clip, real=real) for clip in draft.clips] for draft in drafts]
    worth, assumed = _worths(values)
    first = None if worth is None else worth.winner
    order = sorted(range(len(drafts)), key=lambda at: (at != first, -_mean(values[at]), drafts[at].numbers))
    with_score = {sample.prompt_id for sample in scored}
    without = {sample.prompt_id: sample for sample in samples if sample.prompt_id not in with_score}
    reasons = Counter(sample.error or "no reason given" for sample in without.values() if sample.status == "invalid")
    return Outcome(
        idea=idea,
        drafts=tuple(drafts[at] for at in order),
        predictors=predictors,
        worth=worth,
        assumed=assumed,
        wanted=len({sample.prompt_id for sample in samples}),
        invalid=reasons,
        errors=sum(sample.status == "error" for sample in samples),
        demo=run.demo,
        seed=run_json["config"]["seed"],
    )


def place(sample: Sample, *, real: bool) -> float:
    """Return where a score stands on the scale on which scores are averaged: its logarithm unless it is `real`."""
    value = float(sample.popularity or 0.0)
    return value if real else math.log(value)


def _worths(values: Sequence[Sequence[float]]) -> tuple[Worth | None, tuple[tuple[float, Worth], ...]]:
    if len(values) == 1:
        return None, ()
    if any(len(of) > 1 for of in values):
        return winners_worth(values), ()
    scores = [of[0] for of in values]
    return None, tuple((luck, worth_if(scores, 1 - luck)) for luck in ASSUMED)


def _draft(samples: Sequence[Sample], *, real: bool) -> DraftClips:
    clips = sorted(samples, key=lambda sample: (-place(sample, real=real), sample.prompt_id, sample.repeat))
    return DraftClips(tuple(sorted({int(sample.prompt_id) for sample in samples})), tuple(clips))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
