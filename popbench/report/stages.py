"""What each stage took: seconds, memory, tokens and USD of a draft, a clip and a score, in the median."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from popbench.costs import dollars
from popbench.records import Sample
from popbench.report.numbers import DASH, memory, seconds

_Key = tuple[object, ...]


def stages(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return a row for each LLM and mode, each generator and the first predictor, where something is known of it.

    A draft that several generators render counts once. Of several predictors, samples hold the first one's time
    and memory.
    """
    drafts: dict[_Key, list[Sample]] = {}
    clips: dict[_Key, list[Sample]] = {}
    scores: dict[_Key, list[Sample]] = {}
    seen: set[_Key] = set()
    for sample in samples:
        place = (sample.llm, sample.mode, sample.task, sample.prompt_id, sample.repeat)
        if sample.llm is not None and place not in seen:
            seen.add(place)
            drafts.setdefault((sample.llm, sample.mode), []).append(sample)
        if sample.generator is not None:
            clips.setdefault((sample.generator,), []).append(sample)
        if sample.scores:
            scores.setdefault((next(iter(sample.scores)),), []).append(sample)
    rows = [
        *_rows("draft", "llm", drafts),
        *_rows("clip", "generate", clips),
        *_rows("score", "predict", scores),
    ]
    return [row for row in rows if row["n"]]


def _rows(stage: str, field: str, groups: Mapping[_Key, Iterable[Sample]]) -> Iterator[dict[str, Any]]:
    for key, group in sorted(groups.items(), key=lambda item: tuple(map(str, item[0]))):
        samples = list(group)
        took = _known(samples, lambda sample: sample.seconds.get(field))
        peak = _known(samples, lambda sample: sample.peak_memory_mb.get(field))
        row: dict[str, Any] = {
            "stage": stage,
            "name": " · ".join(map(str, key)),
            "n": len(took),
            "seconds": [float(part) for part in np.quantile(took, (0.25, 0.5, 0.75))] if took else None,
            "memory": memory(max(peak) if peak else None),
            "tokens": DASH,
            "cost": DASH,
        }
        if stage == "draft":
            row |= _spent(samples)
        if row["seconds"]:
            low, middle, high = row["seconds"]
            row |= {"median": seconds(middle), "quartiles": f"{seconds(low)} – {seconds(high)}"}
        else:
            row |= {"median": DASH, "quartiles": ""}
        row["n"] = row["n"] or len(peak)
        yield row


def _spent(samples: Sequence[Sample]) -> dict[str, str]:
    used = [sample.usage for sample in samples if sample.usage]
    costs = [sample.cost for sample in samples if sample.cost is not None]
    tokens = " + ".join(
        f"{np.median([usage.get(kind, 0) for usage in used]):,.0f}" for kind in ("input", "output") if used
    )
    return {"tokens": tokens or DASH, "cost": dollars(float(np.median(costs))) if costs else DASH}


def _known(samples: Sequence[Sample], get: Callable[[Sample], float | None]) -> list[float]:
    return [value for sample in samples if (value := get(sample)) is not None]
