"""Takes files of votes into a run: `votes.jsonl`, one line a vote with both samples, the voter and the sides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from popbench.ballot.key import Key, read_key
from popbench.ballot.tally import Tally, tally
from popbench.ballot.votes import Vote, VotesFile, checked, read_vote, read_votes
from popbench.errors import UsageError, damage
from popbench.files import read_lines, write_files
from popbench.runs.directory import HeldDirectory
from popbench.runs.run_json import read_finished
from popbench.runs.samples import read_jsonl

FILE = "votes.jsonl"


@dataclass(frozen=True)
class Added:
    """What came of files of votes: new votes, files that brought nothing new, refused ones, and what all votes say."""

    votes: int
    known: tuple[Path, ...]
    refused: tuple[str, ...]
    tally: Tally


def add_votes(run: Path, files: Sequence[Path], failed_allowed: int = 0) -> Added:
    """Check files of votes and add those that pass to a run's votes.jsonl; a refused one keeps out no other.

    A voter's later file may have more votes than an earlier one, and no other. A file with more than `failed_allowed`
    failed attention checks is refused.

    Raises UsageError if the run is damaged or at work, RunError if the disk refuses; then nothing is added.
    """
    read_finished(run, scored=False)
    with HeldDirectory(run):
        votes = read_run_votes(run)
        before = len(votes)
        known: list[Path] = []
        refused: list[str] = []
        clips: dict[tuple[str, ...], str | None] = {}
        for file in files:
            try:
                content = read_votes(file)
                key = read_key(run, content.ballot)
                clips = clips or _clips(run)
                new = _new(content, checked(content, key, failed_allowed), votes)
                _check_clips(key, new, clips)
            except UsageError as error:
                text = str(error)
                refused.append(text if text.startswith(str(file)) else f"{file}: {text}")
            except ValueError as error:
                refused.append(f"{file}: refused, since {error}")
            else:
                votes += new
                if not new:
                    known.append(file)
        if len(votes) > before:
            write_files(run, {FILE: "".join(json.dumps(vote, ensure_ascii=False) + "\n" for vote in votes)})
    return Added(len(votes) - before, tuple(known), tuple(refused), tally(votes))


def read_run_votes(run: Path) -> list[Vote]:
    """Read the votes.jsonl of a run, empty if it has none; raises UsageError that names a line that is no vote."""
    path = run / FILE
    votes: list[Vote] = []
    if not path.exists():
        return votes
    try:
        for number, line in enumerate(read_lines(path), 1):
            try:
                votes.append(read_vote(json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no vote ({damage(error)})") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
    return votes


def _new(content: VotesFile, given: Iterable[Vote], votes: Iterable[Vote]) -> list[Vote]:
    """Return the votes of a file that the run does not have; raises ValueError if the voter has voted otherwise."""
    of_ballot = [vote for vote in votes if vote["ballot"] == content.ballot]
    name = content.name.casefold()
    if name and any(vote["name"].casefold() == name and vote["voter"] != content.voter for vote in of_ballot):
        raise ValueError(f"a voter of the name {content.name!r} has voted on this ballot already, in another browser")
    earlier = {vote["pair"]: vote for vote in of_ballot if vote["voter"] == content.voter}
    new = []
    for vote in given:
        there = earlier.get(vote["pair"])
        if there is None:
            new.append(vote)
        elif (there["choice"], there["left"]) != (vote["choice"], vote["left"]):
            raise ValueError(
                f"voter {content.name or content.voter} has voted on pair {vote['pair']} already, otherwise"
            )
    return new


def _clips(run: Path) -> dict[tuple[str, ...], str | None]:
    return {
        (sample.system, sample.task, sample.prompt_id, str(sample.repeat)): sample.video_sha256
        for sample in read_jsonl(run / "samples.jsonl")
    }


def _check_clips(key: Key, votes: Iterable[Vote], clips: dict[tuple[str, ...], str | None]) -> None:
    """Raise ValueError if votes are on clips that the run no longer has."""
    pairs = {pair["id"]: pair for pair in key["pairs"]}
    for vote in votes:
        pair = pairs[vote["pair"]]
        for shown in (pair["left"], pair["right"]):
            place = (str(shown["system"]), pair["task"], pair["prompt_id"], str(pair["repeat"]))
            if place not in clips or clips[place] != shown["video_sha256"]:
                raise ValueError(f"the run has no longer the clip of {place[0]} for {place[2]} that was voted on")
