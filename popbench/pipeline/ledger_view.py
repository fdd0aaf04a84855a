"""What counts as done: the one place that decides it, for the stages, for checks and for samples.

The ledger's rows alone do not decide. A clip's row counts only while its file is there, since somebody may have deleted
the file, or a power cut may have lost it though its row was committed. A score's row counts only if it is the score of
this title and of the bytes that the clip has now: a clip that was rendered again may have other bytes.

Samples are read in their order, a few hundred at a time, so that a run of a million is never in memory as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from popbench.interfaces.uses import DEFAULT_USES
from popbench.keys import clip_name
from popbench.ledger.guard import check_payload, check_value
from popbench.ledger.ledger import Call, Ledger, StageKey, StageName
from popbench.planning.pairs import PairSet
from popbench.planning.systems import Part, SampleSet
from popbench.records import JSON, Prompt

_ALL = slice(None)

_LOOKED_AT: Mapping[StageName, str] = {
    "write": "d0.status",
    "render": "d0.status, CASE WHEN d1.key IS NULL THEN d0.value END, d1.key, d1.status, c1.status,"
    " json_extract(c1.payload, '$.bytes')",
    "score": "d0.status, CASE WHEN d2.key IS NULL THEN d0.value END, d1.key, d1.status, c1.status,"
    " json_extract(c1.payload, '$.bytes'), json_extract(c1.payload, '$.sha256'), json_extract(d0.value, '$.title'),"
    " d2.key, d2.status, c2.status",
}
"""SQL columns that tell whether a stage is done. Drafts are long: only those to go on from are read whole."""
_LOOKED_AT_WHOLE = (
    _LOOKED_AT["score"]
    .replace("CASE WHEN d2.key IS NULL THEN d0.value END", "d0.value")
    .replace("json_extract(d0.value, '$.title')", "NULL")
)
"""The same for a predictor that uses others than title and video: of these, the draft may hold any."""
_OF_SIDE = (
    "d{0}.status, d{0}.value, d{1}.key, d{1}.status, c{1}.status, json_extract(c{1}.payload, '$.bytes'),"
    " json_extract(c{1}.payload, '$.sha256')"
)
_OF_PAIR = f"{_OF_SIDE.format(0, 1)}, {_OF_SIDE.format(2, 3)}, d4.status, d4.value, d4.key, c4.status, c4.payload"
"""SQL columns of a comparison: of both drafts and clips, and of the comparison itself."""
_SIDE = 7
"""The columns of one side."""


class StageResult(NamedTuple):
    """A sample's result of one stage: its status, the `value` stored with it, and the key and payload of its call."""

    status: str
    value: Mapping[str, JSON]
    key: str
    payload: Mapping[str, JSON]

    @property
    def ok(self) -> bool:
        """Whether the next stage can go on from it."""
        return self.status == "ok"


class SampleResults(NamedTuple):
    """The results of one sample: its draft, its clip and a score by each predictor; None for what is not done."""

    prompt: Prompt
    repeat: int
    draft: StageResult | None
    clip: StageResult | None
    scores: Sequence[StageResult | None]


class PairResult(NamedTuple):
    """A comparison of two samples: what each side is shown by, and the result; None for what is not done.

    `lost` says which side is invalid, so that there is nothing to compare.
    """

    number: int
    prompt: Prompt
    repeat: int
    sides: tuple[Mapping[str, JSON] | None, Mapping[str, JSON] | None]
    lost: tuple[bool, bool]
    result: StageResult | None


class ReadyItem(NamedTuple):
    """A sample that a stage can work on now.

    `number` is its number in its sample set. `inputs` are what the stage needs: nothing for `write`, `title` and
    `video_prompt` for `render`, and these with the `key` and `sha256` of a clip for `score`; for a comparison, these of
    both sides, `first` and `second`.
    """

    number: int
    prompt: Prompt
    repeat: int
    inputs: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class ReadyItems:
    """How far a stage is with some samples, and those it can work on now.

    `done` counts the samples that the stage is done with, and `lost` those that an earlier stage found invalid. `gone`
    counts those of the rest that have a row for this stage, which does not count because a clip is missing.
    """

    done: int
    lost: int
    ready: Sequence[ReadyItem]
    gone: int = 0


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The numbers of `ReadyItems` by the ledger's rows alone: no file is looked at, no score compared with its clip."""

    done: int
    lost: int
    ready: int


@dataclass(frozen=True, slots=True)
class LedgerView:
    """Reads results from a ledger and a folder of clips; without a ledger, nothing is done yet."""

    ledger: Ledger | None
    videos: Path

    def has_clip(self, call: Call) -> bool:
        """Return whether a clip's file is there and has the size it was written with."""
        return call.status == "ok" and self._has(call.key, call.payload.get("bytes"))

    def _has(self, key: str, size: JSON) -> bool:
        try:
            path = f"{self.videos}/{clip_name(key)}"
            return bool(os.stat(path).st_size == size)  # noqa: PTH116 - for every clip there is
        except (OSError, ValueError):  # ValueError: a damaged ledger's key that no path can have
            return False

    def ready(self, stage: StageName, samples: SampleSet, part: slice = _ALL) -> ReadyItems:
        """Return how far the last stage of `samples` is, and what it can work on, in order.

        `part` restricts this to the samples with the numbers of a slice.
        """
        if self.ledger is None:
            every = [ReadyItem(*sample, {}) for sample in samples.numbered(part)] if stage == "write" else []
            return ReadyItems(0, 0, every)
        if isinstance(samples, PairSet):
            return self._ready_pairs(samples, part)
        keys, looked_at = samples.stage_keys, _LOOKED_AT[stage]
        if stage == "score" and samples.parts[2].uses != DEFAULT_USES:
            looked_at = _LOOKED_AT_WHOLE
        done = lost = gone = 0
        ready: list[ReadyItem] = []
        for sample, (draft, *columns) in self._rows(keys, looked_at, samples, part):
            if stage == "write":
                done += draft is not None
                if draft is None:
                    ready.append(ReadyItem(*sample, {}))
                continue
            text, key, status, call, size, *scored = columns
            own = (scored[2] if scored else key) is not None
            rendered = key is not None and status == call and (status != "ok" or self._has(key, size))
            if stage == "render" and rendered:
                done += 1
                continue
            if (draft is not None and draft != "ok") or (rendered and status != "ok"):
                lost += 1
                continue
            if draft is not None and stage == "render":
                ready.append(ReadyItem(*sample, next_inputs(self._draft(keys[0], sample, text))))
            elif draft is not None and rendered:
                sha256, title, *score = scored
                predictor = samples.parts[2]
                if title is not None and _is_of(predictor, sample[1], {"title": title}, sha256, score):
                    done += 1
                    continue
                value = self._draft(keys[0], sample, text)
                # SQLite takes no title beyond a NUL.
                if value["title"] != title and _is_of(predictor, sample[1], value, sha256, score):
                    done += 1
                    continue
                ready.append(ReadyItem(*sample, {**next_inputs(value), "key": key, "sha256": sha256}))
            gone += own
        return ReadyItems(done, lost, ready, gone)

    def _ready_pairs(self, samples: PairSet, part: slice) -> ReadyItems:
        done = lost = 0
        ready: list[ReadyItem] = []
        for pair in self.pairs(samples, part):
            first, second = pair.sides
            if any(pair.lost):
                lost += 1
            elif pair.result is not None:
                done += 1
            elif first is not None and second is not None:
                inputs = {"first": first, "second": second}
                ready.append(ReadyItem(pair.number, pair.prompt, pair.repeat, inputs))
        return ReadyItems(done, lost, ready)

    def pairs(self, samples: PairSet, part: slice = _ALL) -> Iterator[PairResult]:
        """Yield the comparisons of two systems in all samples, in order, or in those with the numbers of a slice."""
        if self.ledger is None:
            for sample in samples.numbered(part):
                yield PairResult(*sample, (None, None), (False, False), None)
            return
        *of_first, own = samples.stage_keys
        keys, predictor = [*of_first, *samples.second.stage_keys, own], samples.parts[-1]
        for sample, row in self._rows(keys, _OF_PAIR, samples, part):
            (first, lost), (second, lost_too) = self._side(row[:_SIDE]), self._side(row[_SIDE : 2 * _SIDE])
            result = None
            if first is not None and second is not None:
                result = self._result("score", row[2 * _SIDE :])
                of_sides = ((side, str(side["sha256"])) for side in (first, second))
                if result is not None and result.key != predictor.pair_key(sample[1], *of_sides):
                    result = None  # of other clips or titles than these
            yield PairResult(*sample, (first, second), (lost, lost_too), result)

    def _side(self, columns: Sequence[Any]) -> tuple[Mapping[str, JSON] | None, bool]:
        """Return what a side of a comparison is shown by, None if it is not there, and whether it is invalid."""
        assert self.ledger is not None
        draft, text, key, status, call, size, sha256 = columns
        rendered = key is not None and status == call and (status != "ok" or self._has(key, size))
        if draft is None or draft != "ok" or not rendered or status != "ok":
            return None, (draft is not None and draft != "ok") or (rendered and status != "ok")
        return {**next_inputs(self.ledger.value(text, check_value, "write", "ok")), "key": key, "sha256": sha256}, False

    def _rows(
        self, keys: Sequence[StageKey], columns: str, samples: SampleSet, part: slice = _ALL
    ) -> Iterator[tuple[tuple[int, Prompt, int], list[Any]]]:
        """Yield every sample (number, prompt, repeat) with the SQL columns of its rows under some stage keys."""
        assert self.ledger is not None
        ids = ((prompt.id, repeat) for _, prompt, repeat in samples.numbered(part))
        rows = self.ledger.rows(keys, columns, ids)
        for sample, (_, _, *row) in zip(samples.numbered(part), rows, strict=True):
            yield sample, row

    def _draft(self, key: StageKey, sample: tuple[int, Prompt, int], text: str | None) -> Mapping[str, JSON]:
        """Return a draft's value; `text` is its JSON if it was read already."""
        assert self.ledger is not None
        if text is None:
            _, prompt, repeat = sample
            ((_, _, text),) = self.ledger.rows([key], "d0.value", [(prompt.id, repeat)])
        return self.ledger.value(text, check_value, "write", "ok")

    def row_counts(self, samples: SampleSet, counted: dict[StageKey, tuple[int, int]] | None = None) -> RowCounts:
        """Return how far the last stage of `samples` is, by rows alone: in a fraction of the time that `ready` takes.

        Comparisons of pairs are looked at as in `ready`.

        `counted` keeps counts by stage key for further calls: several sample sets share the keys of earlier stages. It
        may be shared only between calls during which nothing is committed.
        """
        if self.ledger is None:
            return RowCounts(0, 0, len(samples) if len(samples.parts) == 1 else 0)
        if isinstance(samples, PairSet):  # by rows alone it would not be known which lack a side
            items = self.ready("score", samples)
            return RowCounts(items.done, items.lost, len(items.ready))
        whole = len(samples.prompts) == len(samples.method.task.prompts)
        wanted = None if whole else [prompt.id for prompt in samples.prompts]
        counted = {} if counted is None else counted
        keys = samples.stage_keys
        for key in keys:
            if key not in counted:
                counted[key] = self.ledger.count(key, samples.repeats, wanted)
        *earlier, own = (counted[key] for key in keys)
        before = earlier[-1][1] if earlier else len(samples)
        return RowCounts(own[0], sum(n - ok for n, ok in earlier), max(0, before - own[0]))

    def has_rows(self, samples: SampleSet) -> set[tuple[str, int]]:
        """Return prompt id and repeat of the samples that have a row for the last stage, whether it counts or not."""
        return set() if self.ledger is None else self.ledger.places(samples.stage_keys[-1])

    def usage(self, drafts: SampleSet) -> Iterator[tuple[bool, Mapping[str, float] | None]]:
        """Yield for every sample whether its draft is done, and the tokens it took, if they are known."""
        if self.ledger is None:
            yield from ((False, None) for _ in range(len(drafts)))
            return
        columns = "d0.status, json_extract(d0.value, '$.usage')"
        for _, (status, text) in self._rows(drafts.stage_keys, columns, drafts):
            yield status is not None, None if text is None else self.ledger.value(text)

    def drafted(self, drafts: SampleSet) -> set[str]:
        """Return the ids of the prompts of which all drafts are done."""
        return set() if self.ledger is None else self.ledger.complete(drafts.stage_keys[0], drafts.repeats)

    def results(self, samples: SampleSet, predictors: Sequence[Part] = ()) -> Iterator[SampleResults]:
        """Yield the results of every sample, in order; `samples` goes up to the generator."""
        if self.ledger is None:
            nothing = [None] * len(predictors)
            yield from (SampleResults(prompt, repeat, None, None, nothing) for _, prompt, repeat in samples.numbered())
            return
        keys = [*samples.stage_keys, *(samples.extended(predictor).stage_key("score") for predictor in predictors)]
        columns = ", ".join(RESULT_COLUMNS.format(n=n) for n in range(len(keys)))
        for (_, prompt, repeat), row in self._rows(keys, columns, samples):
            draft = self._result("write", row[:5])
            clip = self._result("render", row[5:10])
            if clip is not None and clip.status == "ok" and not self._has(clip.key, clip.payload["bytes"]):
                clip = None
            scores: list[StageResult | None] = [None] * len(predictors)
            if draft is not None and clip is not None and clip.status == "ok":
                sha256 = str(clip.payload["sha256"])
                for number, predictor in enumerate(predictors):
                    score = self._result("score", row[10 + 5 * number : 15 + 5 * number])
                    if score is not None and score.key == predictor.score_key(prompt, draft.value, sha256):
                        scores[number] = score
            yield SampleResults(prompt, repeat, draft, clip, scores)

    def _result(self, stage: StageName, columns: Sequence[Any]) -> StageResult | None:
        assert self.ledger is not None
        return read_result(self.ledger, stage, columns)


RESULT_COLUMNS = "d{n}.status, d{n}.value, d{n}.key, c{n}.status, c{n}.payload"
"""SQL columns of the result under the n-th stage key, in the order of `read_result`."""


def read_result(ledger: Ledger, stage: StageName, columns: Sequence[Any]) -> StageResult | None:
    """Read a result; None if there is none, or the call's status is another now: a clip made again may be invalid.

    Raises RunError for a damaged row.
    """
    status, value, key, call, payload = columns
    if status is not None and payload is None:  # both are committed at once: no work would mend it
        raise ledger.damaged(f"a result of stage {stage} is of a call that is not there")
    if status is None or (status != call and stage != "write"):
        return None
    stored = {} if value == "{}" and stage != "write" else ledger.value(value, check_value, stage, status)
    return StageResult(status, stored, key, ledger.value(payload, check_payload, stage, call))


def _is_of(predictor: Part, prompt: Prompt, draft: Mapping[str, JSON], sha256: JSON, score: Sequence[Any]) -> bool:
    """Return whether a score, given as its key and statuses, is the score of this draft and clip."""
    key, status, call = score
    return key is not None and status == call and key == predictor.score_key(prompt, draft, str(sha256))


def next_inputs(draft: Mapping[str, JSON], clip: Call | None = None) -> dict[str, JSON]:
    """Return the inputs of `render`, made of a draft, or with a clip's call those of `score`."""
    inputs = {"title": draft["title"], "video_prompt": draft.get("video_prompt")}  # a human-made video has none
    if draft.get("extra"):
        inputs["extra"] = draft["extra"]
    return inputs if clip is None else {**inputs, "key": clip.key, "sha256": str(clip.payload["sha256"])}
