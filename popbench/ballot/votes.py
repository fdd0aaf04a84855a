"""Reads a file of votes that a page has exported, and checks it against its ballot's key.

Anybody may have written or edited the file: it is accepted whole or refused with one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from typing_extensions import TypedDict  # pydantic reads no other TypedDict before Python 3.12

from popbench.errors import UsageError, damage
from popbench.files import read_json
from popbench.runs.ballot_keys import Key, KeyPair
from popbench.runs.votes import Choice, Vote
from popbench.text import counted

_MAX_BYTES = 2**20
_CLOCKS = timedelta(days=1)
"""How far the clocks of two machines may be apart."""

_Id = Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{16}$")]
_Seconds = Annotated[float, pydantic.Field(ge=0, le=10**7, allow_inf_nan=False)]


class PageVote(TypedDict):
    """A vote as the page writes it: `left` is the id of the clip on the left, `choice` names a side as it was shown."""

    pair: _Id
    left: _Id
    choice: Choice
    seconds: _Seconds
    at: Annotated[str, pydantic.Field(max_length=40)]


class _File(TypedDict):
    schema: Literal[1]
    ballot: _Id
    voter: _Id
    name: Annotated[str, pydantic.Field(max_length=60)]
    votes: Annotated[list[PageVote], pydantic.Field(max_length=1000)]


_FILE = pydantic.TypeAdapter(_File)


@dataclass(frozen=True)
class VotesFile:
    """The content of a file of votes, without checks of its meaning."""

    ballot: str
    voter: str
    name: str
    votes: tuple[PageVote, ...]


def read_votes(file: Path) -> VotesFile:
    """Read a file that a page has exported; raises UsageError for any other."""
    try:
        content = _FILE.validate_python(read_json(file, _MAX_BYTES), strict=True)
    except pydantic.ValidationError as error:
        raise UsageError(f"{file}: not a file of votes ({damage(error)})") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file}: cannot be read as votes ({damage(error)})") from error
    name = " ".join(content["name"].encode("utf-8", "replace").decode("utf-8").split())
    return VotesFile(content["ballot"], content["voter"], name, tuple(content["votes"]))


def checked(content: VotesFile, key: Key, failed_allowed: int) -> list[Vote]:
    """Return the votes on pairs of systems; raises ValueError with the reason for which the file is refused."""
    pairs = {pair["id"]: pair for pair in key["pairs"]}
    made = datetime.fromisoformat(key["made"])
    seen: set[str] = set()
    mirrored: set[bool] = set()
    for vote in content.votes:
        pair = pairs.get(vote["pair"])
        if pair is None:
            raise ValueError(f"pair {vote['pair']} is none of the ballot's")
        if vote["pair"] in seen:
            raise ValueError(f"pair {vote['pair']} has two votes")
        if vote["left"] not in (pair["left"]["id"], pair["right"]["id"]):
            raise ValueError(f"clip {vote['left']} is none of its pair's")
        _check_moment(vote["at"], made)
        seen.add(vote["pair"])
        mirrored.add(vote["left"] != pair["left"]["id"])
    if len(mirrored) > 1:
        raise ValueError("some pairs have their sides changed and others have not, which no page does")
    if not seen:
        raise ValueError("it has no votes")
    if mirrored != {int(content.voter[-1], 16) % 2 == 1}:  # as the page shows them
        raise ValueError(f"its sides are not those that voter {content.voter} saw: the file was edited")
    last = max(number for number, id_ in enumerate(pairs) if id_ in seen)
    if any(pair["check"] is not None and id_ not in seen for id_, pair in list(pairs.items())[:last]):
        raise ValueError("an attention check between its votes has none, which the page does not skip: it was edited")
    _check_attention(content, pairs, failed_allowed)
    return [_vote(content, key, pair, vote) for vote in content.votes if (pair := pairs[vote["pair"]])["check"] is None]


def _check_moment(text: str, made: datetime) -> None:
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        early, late = at < made - _CLOCKS, at > datetime.now(UTC) + _CLOCKS
    except (ValueError, OverflowError, TypeError):
        raise ValueError(f"{text!r} is no moment") from None
    if early or late:
        raise ValueError(f"a vote of {text} was given {'before the ballot was made' if early else 'in the future'}")


def _check_attention(content: VotesFile, pairs: Mapping[str, KeyPair], failed_allowed: int) -> None:
    answers = [(pairs[vote["pair"]], vote) for vote in content.votes if pairs[vote["pair"]]["check"] is not None]
    failed = [pair["check"] for pair, vote in answers if not _passed(pair, vote)]
    if len(failed) > failed_allowed:
        what = {"same": "preferred a clip to itself", "black": "did not prefer a clip to a black one"}
        told = " and ".join(what[kind] for kind in sorted({kind for kind in failed if kind}, reverse=True))
        raise ValueError(
            f"{counted(len(failed), 'attention check')} of {len(answers)} failed: the voter {told} (--allow-failed "
            f"{len(failed)} takes the votes all the same)"
        )
    given = [vote for _, vote in answers if vote["choice"] != "skip"]
    if answers and not given:
        raise ValueError("all its attention checks were skipped, so nothing tells whether the voter looked")


def _passed(pair: KeyPair, vote: PageVote) -> bool:
    """Return whether an attention check is passed; one that is skipped is not failed."""
    if vote["choice"] == "skip" or pair["check"] == "same":
        return vote["choice"] in ("skip", "tie")
    left = pair["left"] if vote["left"] == pair["left"]["id"] else pair["right"]
    return vote["choice"] == ("right" if left["system"] is None else "left")


def _vote(content: VotesFile, key: Key, pair: KeyPair, vote: PageVote) -> Vote:
    as_made = vote["left"] == pair["left"]["id"]
    left, right = (pair["left"], pair["right"]) if as_made else (pair["right"], pair["left"])
    return {
        "ballot": content.ballot,
        "pair": pair["id"],
        "task": pair["task"],
        "prompt_id": pair["prompt_id"],
        "category": pair["category"],
        "repeat": pair["repeat"],
        "left": str(left["system"]),
        "right": str(right["system"]),
        "choice": vote["choice"],
        "question": key["questions"][pair["task"]],
        "voter": content.voter,
        "name": content.name,
        "seconds": float(vote["seconds"]),
        "at": vote["at"],
    }
