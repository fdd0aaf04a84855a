"""Reads what people said of a run's clips, by pair of systems: votes, and which of two posted clips did better.

What is about clips that the run no longer has is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from popbench import stats
from popbench.errors import UsageError
from popbench.records import JSON, Sample
from popbench.runs.ballot_keys import Key, read_key
from popbench.runs.labels import Label, Place, place_of, read_run_labels
from popbench.runs.votes import Vote, read_run_votes

VOTES, OUTCOMES = "votes", "outcomes"
_POINTS = {"left": 1.0, "tie": 0.5, "right": 0.0}
_MOST = 1e300
"""What a count divided by a tiny exposure is at most, so that sums stay finite."""
_Clips = dict[Place, str | None]
"""Samples with a clip, and its hash."""


class Said(NamedTuple):
    """What one voter, or the counts of two posted clips, say of a pair: 1 if its first system wins, 1/2 for a tie."""

    prompt: tuple[str, str]
    label: float
    side: int
    """1 if the first system was shown on the left, -1 if on the right, 0 without sides."""
    voter: str
    """Empty for outcomes."""


Pairs = dict[tuple[str, str], list[Said]]
"""By pair of systems, the first by name first."""


@dataclass
class Source:
    """One kind of what people said: `about` is for results.json, `pairs` what was said of every pair.

    `counts` are real outcomes by system, each with its prompt.
    """

    name: str
    about: dict[str, JSON]
    pairs: Pairs = field(default_factory=dict)
    counts: dict[str, list[tuple[tuple[str, str], float]]] = field(default_factory=dict)


def read_people(run: Path, samples: Iterable[Sample]) -> list[Source]:
    """Read votes.jsonl and labels.jsonl of a run; a file that cannot be read is a source with a `problem`.

    `samples` are read only if one of the files is there.
    """
    found: list[Source] = []
    votes: list[Vote] = []
    labels: list[Label] = []
    try:
        votes = read_run_votes(run)
    except UsageError as error:
        found.append(Source(VOTES, {"problem": str(error).removeprefix(f"{run}/")}))
    try:
        labels = read_run_labels(run)
    except UsageError as error:
        found.append(Source(OUTCOMES, {"problem": str(error).removeprefix(f"{run}/")}))
    if votes or labels:
        wanted = {place for vote in votes for place in _places(vote)} | {place_of(label) for label in labels}
        clips = _clips(samples, wanted)
        found += [of_votes(votes, clips, run)] if votes else []
        found += [_of_labels(labels, clips)] if labels else []
    return sorted(found, key=lambda source: source.name != OUTCOMES)


def _clips(samples: Iterable[Sample], wanted: set[Place]) -> _Clips:
    clips: _Clips = {}
    for sample in samples:
        place = (sample.system, sample.task, sample.prompt_id, sample.repeat)
        if sample.video is not None and place in wanted:
            clips[place] = sample.video_sha256
    return clips


def _places(vote: Vote) -> Iterator[Place]:
    for system in (vote["left"], vote["right"]):
        yield system, vote["task"], vote["prompt_id"], vote["repeat"]


def of_votes(votes: Sequence[Vote], clips: _Clips, run: Path) -> Source:
    """Return the votes on clips that are still there; which clips were shown is in the keys of the run's ballots."""
    shown = _Shown(run)
    kept = [
        vote
        for vote in votes
        if vote["left"] != vote["right"]
        and all(place in clips and shown.fits(vote, place[0], clips[place]) for place in _places(vote))
    ]
    given = [vote for vote in kept if vote["choice"] != "skip"]
    pairs: Pairs = {}
    for vote in given:
        a, b = sorted((vote["left"], vote["right"]))
        side = 1 if vote["left"] == a else -1
        points = _POINTS[vote["choice"]]
        said = Said((vote["task"], vote["prompt_id"]), points if side > 0 else 1 - points, side, vote["voter"])
        pairs.setdefault((a, b), []).append(said)
    about: dict[str, JSON] = {
        "count": len(given),
        "skipped": len(kept) - len(given),
        "voters": len({vote["voter"] for vote in kept}),
        "left_out": len(votes) - len(kept),
        "questions": sorted({vote["question"] for vote in kept}),
        "first": _first(given),
    }
    return Source(VOTES, about, pairs)


class _Shown:
    """The hashes of the clips that voters saw, by ballot and pair; a key that is gone says nothing."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._hashes: dict[str, dict[tuple[str, str | None], str | None]] = {}

    def fits(self, vote: Vote, system: str, sha256: str | None) -> bool:
        ballot = vote["ballot"]
        if ballot not in self._hashes:
            try:
                self._hashes[ballot] = _hashes(read_key(self._run, ballot))
            except UsageError:
                self._hashes[ballot] = {}
        return self._hashes[ballot].get((vote["pair"], system), sha256) == sha256


def _hashes(key: Key) -> dict[tuple[str, str | None], str | None]:
    return {
        (pair["id"], shown["system"]): shown["video_sha256"]
        for pair in key["pairs"]
        for shown in (pair["left"], pair["right"])
    }


def _first(votes: Sequence[Vote]) -> dict[str, JSON] | None:
    """Return how often the clip that was shown first was chosen, of votes without a tie; None without any."""
    sided = [vote for vote in votes if vote["choice"] != "tie"]
    if not sided:
        return None
    said = [Said((vote["task"], vote["prompt_id"]), _POINTS[vote["choice"]], 0, vote["voter"]) for vote in sided]
    prompts = {of.prompt: number for number, of in enumerate(said)}
    numbers = {prompt: number for number, prompt in enumerate(prompts)}
    value = float(np.mean([of.label for of in said]))
    row: dict[str, JSON] = {"value": value, "low": None, "high": None, "count": len(said)}
    if len({of.voter for of in said}) < 2:
        return row
    found = stats.corrected_win_rate(
        np.full(len(numbers), 0.5),
        [numbers[of.prompt] for of in said],
        [of.label for of in said],
        np.zeros(len(numbers), np.int64),
        voters=codes([of.voter for of in said]),
    ).labels
    return {**row, "value": found.value, "low": found.low, "high": found.high}


def codes(names: Sequence[str]) -> list[int]:
    """Return a number for each name, the same for the same name."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


def _of_labels(labels: Sequence[Label], clips: _Clips) -> Source:
    """Return which of every two posted clips of a prompt did better: by counts, for the same exposure if it is known.

    Two systems meet in the same repeat only, as in win rates by a predictor.
    """
    kept = [label for label in labels if clips.get(place_of(label), "") == label["video_sha256"]]
    meetings: dict[tuple[str, str, int], dict[str, float]] = {}
    counts: dict[str, list[tuple[tuple[str, str], float]]] = {}
    for label in kept:
        rate = min(label["count"] / (label["exposure"] or 1), _MOST)
        counts.setdefault(label["system"], []).append(((label["task"], label["prompt_id"]), rate))
        meetings.setdefault((label["task"], label["prompt_id"], label["repeat"]), {})[label["system"]] = rate
    pairs: Pairs = {}
    for (task, prompt, _), rates in sorted(meetings.items()):
        for a, b in combinations(sorted(rates), 2):
            won = (1.0 + (rates[a] > rates[b]) - (rates[a] < rates[b])) / 2
            pairs.setdefault((a, b), []).append(Said((task, prompt), won, 0, ""))
    about: dict[str, JSON] = {
        "count": len(kept),
        "left_out": len(labels) - len(kept),
        "measure": labels[0]["measure"],
        "exposure_in": labels[0]["exposure_in"],
    }
    return Source(OUTCOMES, about, pairs, counts)
