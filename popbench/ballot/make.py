"""Makes a ballot of a run: the page that voters open, and the key that stays in the run."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from popbench.ballot.choice import Comparison, Two, candidates, choose, margins
from popbench.ballot.clips import bare_clip, black_clip
from popbench.ballot.page import TITLE, PageClip, PagePair, page_of
from popbench.errors import UsageError, damage
from popbench.files import read_json, write_files
from popbench.keys import digest
from popbench.records import Sample
from popbench.runs.ballot_keys import Key, KeyPair, Shown, key_path
from popbench.runs.directory import HeldDirectory
from popbench.runs.run_json import RunJson, read_finished
from popbench.runs.samples import read_jsonl
from popbench.text import counted
from popbench.video import VideoError

QUESTION = "Which of the two would you rather watch and comment on?"
_PAIRS_OF_A_CHECK, _FEWEST_CHECKS = 10, 2
_LARGEST = 300 * 10**6
"""The most bytes of clips in a page: browsers open no much larger ones."""

Check: TypeAlias = Literal["same", "black"] | None


@dataclass(frozen=True)
class Ballot:
    """A ballot that was made: its id and page, and how many pairs, checks and comparisons of systems it has."""

    id: str
    page: Path
    pairs: int
    checks: int
    comparisons: int


def make_ballot(
    run: Path,
    pairs: int,
    out: Path | None = None,
    *,
    seed: int = 42,
    title: str = TITLE,
    question: str | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Ballot:
    """Write the page of a blind vote on `pairs` pairs of a run's clips, and its key into the run.

    Which pairs, their order and their sides follow from the run and `seed`; the ids in the page are random. `question`
    is asked in place of those of the tasks. `tell` is called with a line about pairs or clips that are missing.

    Raises UsageError if the run is not finished or has no two clips to compare, RunError if the disk refuses.
    """
    ballot = secrets.token_hex(8)
    file = out or Path(f"ballot-{ballot}.html")
    _check_out(file)
    read_finished(run, scored=False)
    with HeldDirectory(run):
        run_json = read_finished(run, scored=False)
        rng = random.Random(digest("ballot", seed, pairs))
        chosen, clips = _chosen(run, run_json, pairs, rng, tell)
        questions = {two[0].task: question or _question(run_json, two[0].task) for two in chosen}
        key_pairs: list[KeyPair] = []
        page_pairs: list[PagePair] = []
        page_clips: list[PageClip] = []
        ids: dict[tuple[str, ...], str] = {}
        for two, check in _with_checks(chosen, rng):
            shown = [_shown(sample, ids, apart=check is not None) for sample in two]
            blank = rng.randrange(2) if check == "black" else None
            data = [black_clip(run, str(s.video)) if n == blank else clips[_id(s)] for n, s in enumerate(two)]
            if blank is not None:
                shown[blank] = {"id": secrets.token_hex(8), "system": None, "video_sha256": None}
            page_clips += [PageClip(of["id"], content) for of, content in zip(shown, data, strict=True)]
            key_pairs.append(_key_pair(two[0], shown, check))
            titles = (two[0].title or "", two[1].title or "")
            page_pairs.append(
                PagePair(key_pairs[-1]["id"], questions[two[0].task], shown[0]["id"], shown[1]["id"], *titles)
            )
        page = page_of(ballot, title, page_pairs, page_clips)
        key: Key = {
            "schema": 1,
            "ballot": ballot,
            "made": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seed": seed,
            "questions": questions,
            "pairs": key_pairs,
        }
        write_files(run, {key_path(ballot): json.dumps(key, indent=1, ensure_ascii=False) + "\n"})
        write_files(file.parent, {file.name: page})
    compared = {Comparison(two[0].task, *sorted((two[0].system, two[1].system))) for two in chosen}
    return Ballot(ballot, file, len(chosen), len(key_pairs) - len(chosen), len(compared))


def _check_out(file: Path) -> None:
    if file.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{file}: a page's name ends in .html: choose another --out")
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent}: no such folder: make it first, or choose another --out")
    if file.is_symlink() or file.exists():
        raise UsageError(f"{file} is there already, and would be lost: remove it, or choose another --out")


def _chosen(
    run: Path, run_json: RunJson, count: int, rng: random.Random, tell: Callable[[str], object]
) -> tuple[list[Two], dict[tuple[str, ...], bytes]]:
    """Choose pairs of which both clips can be put into a page, and return them with the clips."""
    decided = _margins(run, run_json)
    samples = [sample for sample in read_jsonl(run / "samples.jsonl") if sample.status == "ok" and sample.video]
    clips: dict[tuple[str, ...], bytes] = {}
    broken: dict[tuple[str, ...], str] = {}
    state = rng.getstate()
    while True:
        rng.setstate(state)
        possible = candidates(sample for sample in samples if _id(sample) not in broken)
        if not possible:
            why = f" ({len(broken)} cannot be read: {next(iter(broken.values()))})" if broken else ""
            raise UsageError(f"{run}: no prompt has clips of two systems{why}, so there is nothing to compare")
        chosen = choose(possible, decided, count, rng)
        before = len(broken)
        for sample in (sample for two in chosen for sample in two if _id(sample) not in clips):
            try:
                clips[_id(sample)] = bare_clip(run, str(sample.video))
            except VideoError as error:
                broken[_id(sample)] = f"{sample.video}: {error}"
        size = sum(len(clips[id_]) for id_ in {_id(sample) for two in chosen for sample in two} if id_ in clips)
        if size > _LARGEST:
            fit = max(1, len(chosen) * _LARGEST // size)
            raise UsageError(
                f"the clips of {counted(len(chosen), 'pair')} are {size / 1e6:,.0f} MB, and browsers open pages of up "
                f"to {_LARGEST / 1e6:,.0f} MB: give --pairs {fit}, and make several ballots with other seeds"
            )
        if len(broken) == before:
            break
    if broken:
        tell(f"{counted(len(broken), 'clip')} cannot be read, and others are shown ({next(iter(broken.values()))})")
    if len(chosen) < count:
        tell(f"the run has {counted(len(chosen), 'pair')} of clips to compare, and the ballot has them all")
    return chosen, clips


def _margins(run: Path, run_json: RunJson) -> Mapping[Comparison, tuple[bool, float]]:
    file = run / "results.json"
    if not file.exists():
        return {}
    try:
        return margins(read_json(file), {task: entry["group"] for task, entry in run_json["tasks"].items()})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{file}: cannot be read ({damage(error)})") from error


def _question(run_json: RunJson, task: str) -> str:
    draft = run_json["tasks"][task].get("draft") if task in run_json["tasks"] else None
    given = draft.get("question") if isinstance(draft, dict) else None
    return given if isinstance(given, str) and given.strip() else QUESTION


def _with_checks(chosen: Sequence[Two], rng: random.Random) -> list[tuple[Two, Check]]:
    """Put attention checks among pairs: a clip against itself and a black one, by turns, at places of their own."""
    checks = max(_FEWEST_CHECKS, round(len(chosen) / _PAIRS_OF_A_CHECK))
    entries: list[tuple[Two, Check]] = [(two, None) for two in chosen]
    for number in range(checks):
        sample = rng.choice(rng.choice(chosen))
        kind: Check = "same" if number % 2 == 0 else "black"
        start, end = number * len(chosen) // checks, (number + 1) * len(chosen) // checks
        entries.insert(number + rng.randint(min(start + 1, end), end), ((sample, sample), kind))
    return entries


def _id(sample: Sample) -> tuple[str, ...]:
    return sample.system, sample.task, sample.prompt_id, str(sample.repeat)


def _shown(sample: Sample, ids: dict[tuple[str, ...], str], *, apart: bool) -> Shown:
    """Return a clip of the page. It has one id in all pairs, but other ones in checks, which would stand out."""
    id_ = secrets.token_hex(8) if apart else ids.setdefault(_id(sample), secrets.token_hex(8))
    return {"id": id_, "system": sample.system, "video_sha256": sample.video_sha256}


def _key_pair(sample: Sample, shown: Sequence[Shown], check: Check) -> KeyPair:
    return {
        "id": secrets.token_hex(8),
        "task": sample.task,
        "prompt_id": sample.prompt_id,
        "category": sample.category,
        "repeat": sample.repeat,
        "left": shown[0],
        "right": shown[1],
        "check": check,
    }
