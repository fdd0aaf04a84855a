"""What counts as done: the one place that says so, for the stages, for checks and for samples.

A row of the ledger's index is believed only while what it stands for is there: a clip while its file is, a score
while it is the score of this title and of the bytes the clip has now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from popbench.keys import score_key
from popbench.ledger import Call, Cell, Done, Ledger, Stage
from popbench.records import JSON
from popbench.systems import Part, Track

At: TypeAlias = tuple[str, int]
"""A place in a cell: prompt id and repeat."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled stage of a sample: the index row and the call behind it."""

    done: Done
    call: Call

    @property
    def ok(self) -> bool:
        """Whether the next stage can go on from it."""
        return self.done.status == "ok"


@dataclass(frozen=True, slots=True)
class View:
    """Reads what is settled from a ledger and a folder of clips; without a ledger, nothing is."""

    ledger: Ledger | None
    videos: Path

    def has_clip(self, call: Call) -> bool:
        """Say whether a clip's file is there with the size it had: not so after a power cut, or under other hands."""
        if call.status != "ok":
            return False
        try:
            return (self.videos / f"{call.key}.mp4").stat().st_size == int(call.payload["bytes"])
        except OSError:
            return False

    def write(self, track: Track, llm: Part) -> dict[At, Done]:
        """Return the settled drafts of a cell."""
        return self._done(track.cell("write", llm))

    def render(self, track: Track, llm: Part, generator: Part) -> dict[At, Settled]:
        """Return the settled clips of a cell."""
        return {
            at: found
            for at, found in self._settled(track.cell("render", llm, generator))
            if not found.ok or self.has_clip(found.call)
        }

    def score(self, track: Track, llm: Part, generator: Part, predictor: Part) -> dict[At, Settled]:
        """Return the settled scores of a cell."""
        drafts, clips = self.write(track, llm), self.render(track, llm, generator)
        return {
            at: found
            for at, found in self._settled(track.cell("score", llm, generator, predictor))
            if at in clips
            and clips[at].ok
            and found.call.key == score_key(predictor.digest, drafts[at].value["title"], sha256(clips[at].call))
        }

    def settled(self, stage: Stage, track: Track, chain: Sequence[Part]) -> Collection[At]:
        """Return the settled places of a stage's cell, given the components up to that stage."""
        if stage == "write":
            return self.write(track, *chain)
        return self.render(track, *chain) if stage == "render" else self.score(track, *chain)

    def calls(self, cell: Cell) -> Iterator[tuple[At, Call]]:
        """Yield the calls behind a cell's rows."""
        if self.ledger is not None:
            yield from self.ledger.calls(cell)

    def _done(self, cell: Cell) -> dict[At, Done]:
        return {} if self.ledger is None else self.ledger.done(cell)

    def _settled(self, cell: Cell) -> Iterator[tuple[At, Settled]]:
        if self.ledger is not None:
            done = self.ledger.done(cell)
            for at, call in self.ledger.calls(cell):
                if call.status == done[at].status:  # a shared clip may have come out otherwise the second time
                    yield at, Settled(done[at], call)


def sha256(call: Call) -> str:
    """Return the hash of a clip's bytes, as its call recorded it."""
    payload: Mapping[str, JSON] = call.payload
    return str(payload["sha256"])
