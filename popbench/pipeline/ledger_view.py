"""What counts as done: the one place that says so, for the stages, for checks and for samples.

A row of the ledger's index is believed only while what it stands for is there: a clip while its file is, a score
while it is the score of this title and of the bytes the clip has now. Places are read in their order and a few at a
time: no cell is ever held whole, but for what is ready of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from popbench.keys import clip_name, score_key
from popbench.ledger.guard import check_payload, check_value
from popbench.ledger.ledger import STAGES, Call, Cell, Ledger, Stage
from popbench.planning.systems import Part, Track
from popbench.records import JSON, Prompt

At: TypeAlias = tuple[str, int]
"""A place in a cell: prompt id and repeat."""

_LOOKED_AT: Mapping[Stage, str] = {
    "write": "d0.status",
    "render": "d0.status, CASE WHEN d1.key IS NULL THEN d0.value END, d1.key, d1.status, c1.status,"
    " json_extract(c1.payload, '$.bytes')",
    "score": "d0.status, CASE WHEN d2.key IS NULL THEN d0.value END, d1.key, d1.status, c1.status,"
    " json_extract(c1.payload, '$.bytes'), json_extract(c1.payload, '$.sha256'), json_extract(d0.value, '$.title'),"
    " d2.key, d2.status, c2.status",
}
"""What is read of a place to say what a stage has of it. Drafts are long: whole, only those to go on from are read."""


class Settled(NamedTuple):
    """A settled stage of a sample: its status, what followed from the call (`value`), and the call itself."""

    status: str
    value: Mapping[str, JSON]
    key: str
    payload: Mapping[str, JSON]

    @property
    def ok(self) -> bool:
        """Whether the next stage can go on from it."""
        return self.status == "ok"


class Sampled(NamedTuple):
    """What is settled of one place: a draft, a clip, and a score by each predictor."""

    at: At
    draft: Settled | None
    clip: Settled | None
    scores: Sequence[Settled | None]


@dataclass(frozen=True, slots=True)
class Open:
    """What a stage has of one cell, of the places asked about.

    `settled` counts those that are done, `lost` those that an earlier stage found invalid, `gone` those that have a row
    and are neither: a clip is no longer there. `ready` are those that the
    stage can go on with now, each with what it goes on from: for `render` a `title` and `video_prompt`, for `score` a
    `title` and the `key` and `sha256` of a clip, for `write` nothing.
    """

    settled: int
    lost: int
    ready: Mapping[At, Mapping[str, JSON]]
    gone: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """As `Open`, by the ledger's rows alone: no file is looked at, and no score compared with its clip."""

    settled: int
    lost: int
    ready: int


@dataclass(frozen=True, slots=True)
class View:
    """Reads what is settled from a ledger and a folder of clips; without a ledger, nothing is."""

    ledger: Ledger | None
    videos: Path

    def has_clip(self, call: Call) -> bool:
        """Say whether a clip's file is there with the size it had: not so after a power cut, or under other hands."""
        return call.status == "ok" and self._has(call.key, call.payload.get("bytes"))

    def _has(self, key: str, size: JSON) -> bool:
        try:
            return bool(os.stat(f"{self.videos}/{clip_name(key)}").st_size == size)  # noqa: PTH116 - for every clip there is
        except (OSError, ValueError):  # a key that no path can have
            return False

    def open(self, stage: Stage, track: Track, chain: Sequence[Part], places: Iterable[At]) -> Open:
        """Return what a stage has of the cell of `chain`, the components up to that stage, in the order of `places`."""
        if self.ledger is None:
            return Open(0, 0, {at: {} for at in places} if stage == "write" else {})
        cells = _cells(track, chain)
        settled = lost = gone = 0
        ready: dict[At, Mapping[str, JSON]] = {}
        for prompt, repeat, draft, *found in self.ledger.rows(cells, _LOOKED_AT[stage], places):
            at = (prompt, repeat)
            if stage == "write":
                settled += draft is not None
                if draft is None:
                    ready[at] = {}
                continue
            text, key, status, call, size, *scored = found
            own = (scored[2] if scored else key) is not None
            there = key is not None and status == call and (status != "ok" or self._has(key, size))
            if stage == "render" and there:
                settled += 1
                continue
            if (draft is not None and draft != "ok") or (there and status != "ok"):
                lost += 1
                continue
            if draft is not None and stage == "render":
                ready[at] = going_on(self._draft(cells[0], at, text))
            elif draft is not None and there:
                sha256, title, *score = scored
                value = None if _is_of(chain[2], title, sha256, score) else self._draft(cells[0], at, text)
                # SQLite takes no title beyond a NUL.
                if value is None or (value["title"] != title and _is_of(chain[2], value["title"], sha256, score)):
                    settled += 1
                    continue
                ready[at] = {"title": value["title"], "key": key, "sha256": sha256}
            gone += own
        return Open(settled, lost, ready, gone)

    def _draft(self, cell: Cell, at: At, text: str | None) -> Mapping[str, JSON]:
        """Return a settled draft, which is read now if it was not before."""
        assert self.ledger is not None
        if text is None:
            ((_, _, text),) = self.ledger.rows([cell], "d0.value", [at])
        return self.ledger.value(text, check_value, "write", "ok")

    def count(
        self,
        stage: Stage,
        track: Track,
        chain: Sequence[Part],
        prompts: Sequence[Prompt],
        repeats: int,
        known: dict[Cell, tuple[int, int]] | None = None,
    ) -> Counted:
        """Count what a stage has of a cell, of the first `repeats` of some prompts: in a fraction of the time.

        Calls between which nothing is settled can share what is `known`: cells lie before several others.
        """
        if self.ledger is None:
            return Counted(0, 0, len(prompts) * repeats if stage == "write" else 0)
        wanted = None if len(prompts) == len(track.task.prompts) else [prompt.id for prompt in prompts]
        known, cells = {} if known is None else known, _cells(track, chain)
        for cell in cells:
            if cell not in known:
                known[cell] = self.ledger.count(cell, repeats, wanted)
        *earlier, own = (known[cell] for cell in cells)
        before = earlier[-1][1] if earlier else len(prompts) * repeats
        return Counted(own[0], sum(n - ok for n, ok in earlier), max(0, before - own[0]))

    def rows(self, cell: Cell) -> set[At]:
        """Return the places of which a cell has a row, whatever it stands for."""
        return set() if self.ledger is None else self.ledger.places(cell)

    def usage(self, track: Track, llm: Part, places: Iterable[At]) -> Iterator[tuple[bool, Mapping[str, int] | None]]:
        """Say of each place whether its draft is settled, and what tokens it took, where that is known."""
        if self.ledger is None:
            yield from ((False, None) for _ in places)
            return
        columns = "d0.status, json_extract(d0.value, '$.usage')"
        for *_, status, text in self.ledger.rows([track.cell("write", llm)], columns, places):
            yield status is not None, None if text is None else self.ledger.value(text)

    def drafted(self, track: Track, llm: Part, repeats: int) -> set[str]:
        """Return the prompts of which the first `repeats` drafts are all settled."""
        return set() if self.ledger is None else self.ledger.complete(track.cell("write", llm), repeats)

    def samples(
        self, track: Track, makers: Sequence[Part], predictors: Sequence[Part], places: Iterable[At]
    ) -> Iterator[Sampled]:
        """Yield what is settled of each place, in their order; `makers` are an LLM and a generator."""
        if self.ledger is None:
            yield from (Sampled(at, None, None, [None] * len(predictors)) for at in places)
            return
        cells = [*_cells(track, makers), *(track.cell("score", *makers, predictor) for predictor in predictors)]
        columns = ", ".join(
            f"d{number}.status, d{number}.value, d{number}.key, c{number}.status, c{number}.payload"
            for number in range(len(cells))
        )
        for row in self.ledger.rows(cells, columns, places):
            draft = self._settled("write", row, 2)
            clip = self._settled("render", row, 7)
            if clip is not None and clip.status == "ok" and not self._has(clip.key, clip.payload["bytes"]):
                clip = None
            scores: list[Settled | None] = [None] * len(predictors)
            if draft is not None and clip is not None and clip.status == "ok":
                title, sha256 = draft.value["title"], str(clip.payload["sha256"])
                for number, predictor in enumerate(predictors):
                    score = self._settled("score", row, 12 + 5 * number)
                    if score is not None and score.key == score_key(predictor.digest, title, sha256):
                        scores[number] = score
            yield Sampled((row[0], row[1]), draft, clip, scores)

    def _settled(self, stage: Stage, row: Sequence[Any], at: int) -> Settled | None:
        """Read what is settled from the column `at` on; a shared clip may have come out otherwise the second time."""
        status, value, key, call, payload = row[at : at + 5]
        if status is None or payload is None or (status != call and stage != "write"):
            return None
        assert self.ledger is not None
        read = self.ledger.value
        followed = {} if value == "{}" and stage != "write" else read(value, check_value, stage, status)
        return Settled(status, followed, key, read(payload, check_payload, stage, call))


def _cells(track: Track, chain: Sequence[Part]) -> list[Cell]:
    """Name the cells of all stages up to that of a chain of components."""
    return [track.cell(stage, *chain[:number]) for number, stage in enumerate(STAGES[: len(chain)], 1)]


def _is_of(predictor: Part, title: JSON, sha256: JSON, score: Sequence[Any]) -> bool:
    """Say whether a settled score, by its key and statuses, is the one of a title and a clip."""
    key, status, call = score
    return key is not None and status == call and key == score_key(predictor.digest, title, str(sha256))


def going_on(draft: Mapping[str, JSON], clip: Call | None = None) -> dict[str, JSON]:
    """Return what a stage goes on from, of a draft and, for `score`, of its clip."""
    if clip is None:
        return {"title": draft["title"], "video_prompt": draft["video_prompt"]}
    return {"title": draft["title"], "key": clip.key, "sha256": str(clip.payload["sha256"])}
