"""Takes files of votes into a run: `votes.jsonl`, one line a vote with both samples, the voter and the sides."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.ballot.votes import VotesFile, checked, read_votes
from popbench.errors import UsageError
from popbench.files import write_files
from popbench.leaderboard.people import KEY, without_scores
from popbench.leaderboard.run_board import read_board, with_people
from popbench.runs.ballot_keys import Key, read_key
from popbench.runs.directory import HeldDirectory
from popbench.runs.run_json import read_finished
from popbench.runs.samples import SamplesFile
from popbench.runs.votes import FILE, Vote, read_run_votes

_COPIED_FROM = 3
"""As many votes of two voters in the same millisecond are no chance."""


@dataclass(frozen=True)
class Added:
    """What came of files of votes: new votes, files that brought nothing new, refused ones, and the run's board.

    Of the board of a run without scores there is only `people`, from votes alone.
    """

    votes: int
    known: tuple[Path, ...]
    refused: tuple[str, ...]
    board: dict[str, Any]


def add_votes(run: Path, files: Sequence[Path], failed_allowed: int = 0) -> Added:
    """Check files of votes and add those that pass to a run's votes.jsonl and its board.

    A refused file keeps out no other.

    A voter's later file may have more votes than an earlier one, and no other. A file with more than `failed_allowed`
    failed attention checks is refused.

    Raises UsageError if the run is damaged or at work, RunError if the disk refuses; then nothing is added.
    """
    run_json = read_finished(run, scored=False)
    with HeldDirectory(run) as directory:
        board = read_board(run, run_json["config"], KEY)
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
        if board is None:
            samples = SamplesFile(run / "samples.jsonl")
            board = {KEY: without_scores(samples, run_json["tasks"], run)}
        elif votes:
            with_people(directory, board, run_json)
    return Added(len(votes) - before, tuple(known), tuple(refused), board)


def _new(content: VotesFile, given: Iterable[Vote], votes: Iterable[Vote]) -> list[Vote]:
    """Return the votes of a file that the run does not have; raises ValueError if the voter has voted otherwise."""
    of_ballot = [vote for vote in votes if vote["ballot"] == content.ballot]
    name = content.name.casefold()
    if name and any(vote["name"].casefold() == name and vote["voter"] != content.voter for vote in of_ballot):
        raise ValueError(f"a voter of the name {content.name!r} has voted on this ballot already, in another browser")
    if copied := _copied(content, of_ballot):
        raise ValueError(
            f"its votes were given in the same moments as those of voter {copied}: it is a copy under another id"
        )
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


def _copied(content: VotesFile, votes: Iterable[Vote]) -> str | None:
    """Return the other voter who gave most of a file's votes at its moments, which the page tells in milliseconds."""
    moments = {(vote["pair"], vote["at"]) for vote in content.votes}
    equal = Counter(
        vote["voter"] for vote in votes if vote["voter"] != content.voter and (vote["pair"], vote["at"]) in moments
    )
    voter, most = max(equal.items(), key=lambda item: item[1], default=("", 0))
    return voter if most >= _COPIED_FROM else None


def _clips(run: Path) -> dict[tuple[str, ...], str | None]:
    return {
        (sample.system, sample.task, sample.prompt_id, str(sample.repeat)): sample.video_sha256
        for sample in SamplesFile(run / "samples.jsonl")
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
