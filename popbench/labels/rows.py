"""Reads real outcomes from a table: which sample of the run each row is about, its count and its exposure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line, unknown
from popbench.records import MAX_POPULARITY, Sample
from popbench.runs.labels import Label, Place, place_of
from popbench.tables import FORMATS, NumberForm, PointWatch, TableFile, text_of

MAX_ROWS = 10**6
SAMPLE_ID = ("system", "task", "prompt_id")
VIDEO, REPEAT = "video", "repeat"
_PLAIN = NumberForm()


@dataclass(frozen=True)
class Columns:
    """The columns of a table by what they hold; without `exposure`, none is known."""

    count: str
    exposure: str | None = None
    form: NumberForm = _PLAIN


def read_labels(file: Path, samples: Iterable[Sample], columns: Columns) -> dict[Place, Label]:
    """Return the labels of a table by sample.

    A row names a clip by `video` (its path in the run, its name, or that without .mp4), or a sample by `system`,
    `task`, `prompt_id` and, with repeats, `repeat`. Raises UsageError that names the first row that is wrong.
    """
    if file.suffix.lower() not in FORMATS:
        raise UsageError(f"{file}: expected a table, by its ending: {', '.join(sorted(FORMATS))}")
    table = TableFile(file)
    there = table.columns()
    numbers = [columns.count, *([columns.exposure] if columns.exposure else [])]
    for name in numbers:
        if name not in there:
            raise unknown("column", name, there, f"{file}: name yours with --count and --exposure")
    by_sample = set(SAMPLE_ID) <= set(there)
    if not by_sample and VIDEO not in there:
        raise UsageError(f"{file}: it names no samples: it needs a column video, or system, task and prompt_id")
    finder = _Finder(samples)
    watches = {name: PointWatch(columns.form, counts=True) for name in numbers}
    found: dict[Place, Label] = {}
    for number, row in table.rows([*SAMPLE_ID, REPEAT, VIDEO, *numbers], most=MAX_ROWS):
        try:
            texts = {name: _text(name, row.get(name)) for name in (*SAMPLE_ID, REPEAT, VIDEO, *numbers)}
            sample = finder.by_sample(texts) if by_sample else finder.by_video(texts[VIDEO])
            label = _label(sample, row, texts, columns, watches)
        except ValueError as error:
            raise UsageError(f"{file}: row {number:,}: {error}") from None
        place = place_of(label)
        if place in found:
            raise UsageError(f"{file}: row {number:,}: {'|'.join(map(str, place))} has a row already: keep one")
        found[place] = label
    for name, watch in watches.items():
        if (problem := watch.problem()) is not None:
            raise UsageError(f"{file}: column {name}: {problem}: say how with --numbers")
    if not found:
        raise UsageError(f"{file}: it has no rows")
    return found


class _Finder:
    """Finds samples with clips by what a row says of them."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._places: dict[Place, Sample] = {}
        self._videos: dict[str, list[Sample]] = {}
        for sample in samples:
            if sample.video is None:
                continue
            self._places[sample.system, sample.task, sample.prompt_id, sample.repeat] = sample
            for name in {sample.video, Path(sample.video).name, Path(sample.video).stem}:
                self._videos.setdefault(name, []).append(sample)

    def by_sample(self, texts: Mapping[str, str]) -> Sample:
        repeat = texts[REPEAT] or "0"
        if not (repeat.isascii() and repeat.isdecimal() and len(repeat) < 10):
            raise ValueError(f"repeat is {repeat!r:.40}, expected a whole number from 0")
        system, task, prompt = (texts[name] for name in SAMPLE_ID)
        sample = self._places.get((system, task, prompt, int(repeat)))
        if sample is None:
            raise ValueError(f"the run has no clip of {system!r:.80} for prompt {prompt!r:.40} of {task!r:.40}")
        return sample

    def by_video(self, name: str) -> Sample:
        samples = self._videos.get(name, [])
        if not samples:
            raise ValueError(f"video {name!r:.80} is no clip of the run")
        if len(samples) > 1:
            raise ValueError(
                f"video {name!r:.80} is that of {len(samples):,} samples: give columns system, task and prompt_id"
            )
        return samples[0]


def _as_float(value: Any) -> float:
    """Return a number of a typed column, such as one of Parquet; NaN for what is none, such as a date."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan
    except OverflowError:
        return math.inf


def _text(name: str, value: Any) -> str:
    try:
        return text_of(value).strip()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _label(
    sample: Sample,
    row: Mapping[str, Any],
    texts: Mapping[str, str],
    columns: Columns,
    watches: Mapping[str, PointWatch],
) -> Label:
    values: dict[str, float] = {}
    for name, watch in watches.items():
        if not texts[name]:
            raise ValueError(f"{name} is empty: leave the row out if it is not known")
        if isinstance(row.get(name), str):
            watch.see(texts[name])
            try:
                values[name] = columns.form.number(texts[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        else:
            values[name] = _as_float(row[name])
        if not 0 <= values[name] <= MAX_POPULARITY:
            most = f" to {MAX_POPULARITY:g}" if values[name] > MAX_POPULARITY else " or more"
            raise ValueError(f"{name} is {one_line(texts[name], 40)!r}, expected a number of 0{most}")
    exposure = values[columns.exposure] if columns.exposure else None
    if exposure == 0:
        raise ValueError(f"{columns.exposure} is 0: nobody can have seen the clip")
    return {
        "system": sample.system,
        "task": sample.task,
        "prompt_id": sample.prompt_id,
        "category": sample.category,
        "repeat": sample.repeat,
        "video": str(sample.video),
        "video_sha256": sample.video_sha256,
        "measure": columns.count,
        "count": values[columns.count],
        "exposure": exposure,
        "exposure_in": columns.exposure,
    }
