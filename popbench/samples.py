"""From the ledger to samples: one row per system, task, prompt and repeat, and the files that hold them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from popbench.errors import UsageError, damage
from popbench.files import read_lines
from popbench.records import JSON, LARGEST, Sample

if TYPE_CHECKING:  # boards read samples, and would import for nothing what runs are made with
    from popbench.lanes import Undone
    from popbench.plan import Plan
    from popbench.settled import At, Settled, View
    from popbench.systems import Part, System, Track

PENDING = "pending: not done yet"


def collect(plan: Plan, view: View, errors: Undone) -> Iterator[Sample]:
    """Yield the samples of a plan's systems, by system, task, prompt and repeat; none is left out.

    `errors` says what went wrong for items of (cell, prompt id, repeat) that are not settled.
    """
    for system in plan.systems:
        for task in plan.tasks:
            yield from _of_system(plan, view, errors, system, plan.of_system(task, system))
    for track in plan.human_tracks:
        if plan.human is not None and plan.config.stop_after is None:
            yield from _of_human(plan, view, errors, plan.human, track)


def _of_system(plan: Plan, view: View, errors: Undone, system: System, track: Track) -> Iterator[Sample]:
    llm, generator = system.llm, system.generator
    about = {"system": system.id, "llm": llm.label, "mode": system.mode.label, "generator": generator.label}

    def add_draft(values: dict[str, Any], found: Settled | str) -> None:
        _add_draft(values, llm, found)

    return _of_track(plan, view, errors, track, (llm, generator), about, add_draft)


def _of_human(plan: Plan, view: View, errors: Undone, human: Part, track: Track) -> Iterator[Sample]:
    about = {"system": human.label, "llm": None, "mode": None, "generator": None}
    return _of_track(plan, view, errors, track, (human, human), about, _add_match)


def _of_track(
    plan: Plan,
    view: View,
    errors: Undone,
    track: Track,
    makers: Sequence[Part],
    about: Mapping[str, JSON],
    add_draft: Callable[[dict[str, Any], Settled | str], None],
) -> Iterator[Sample]:
    cells = [track.cell("write", makers[0]), track.cell("render", *makers)]
    cells += [track.cell("score", *makers, predictor) for predictor in plan.predictors]
    labels = [predictor.label for predictor in plan.predictors]
    stop = plan.config.stop_after

    def why(number: int, at: At) -> str:
        return errors.why(cells[number], *at) or PENDING

    places = ((prompt.id, repeat) for prompt, repeat in plan.places(track))
    settled = view.samples(track, makers, plan.predictors, places)
    for (prompt, repeat), (at, draft, clip, scores) in zip(plan.places(track), settled, strict=True):
        values: dict[str, Any] = {
            **about,
            "task": prompt.task,
            "prompt_id": prompt.id,
            "prompt": prompt.text,
            "category": prompt.category,
            "repeat": repeat,
            "seconds": {"llm": None, "generate": None, "predict": None},
            "peak_memory_mb": {"llm": None, "generate": None, "predict": None},
            "scores": dict.fromkeys(labels),
            "notes": [],
        }
        add_draft(values, draft or why(0, at))
        if values["status"] == "ok" and stop != "write":
            _add_clip(values, clip or why(1, at))
        if values["status"] == "invalid":  # no predictor has anything to score
            values["popularity"] = 0.0
            values["scores"] = dict.fromkeys(labels, 0.0)
        elif values["status"] == "ok" and stop is None:
            _add_scores(values, {label: scores[n] or why(2 + n, at) for n, label in enumerate(labels)})
        values["notes"] = tuple(values["notes"])
        yield _made(values)


def _add_match(values: dict[str, Any], found: Settled | str) -> None:
    """Add a human-made video: it has a title and no prompt."""
    if isinstance(found, str):
        values |= {"status": "error", "error": found}
        return
    values |= {"status": found.status, "title": found.value["title"], "match": found.value["match"]}


def _add_draft(values: dict[str, Any], llm: Part, found: Settled | str) -> None:
    if isinstance(found, str):
        values |= {"status": "error", "error": found}
        return
    value, payload = found.value, found.payload
    values |= {
        "status": found.status,
        "error": value.get("error"),
        "completion": payload.get("text"),
        "reasoning": value.get("reasoning", payload.get("reasoning")),
        "attempts": value["attempts"],
        "references": tuple(value["references"]),
        "usage": value.get("usage"),
        "cost": llm.cost(value["usage"]) if value.get("usage") else None,
    }
    _add_costs(values, "llm", value)
    if found.ok:
        breaches = value["breaches"]
        values |= {
            "title": value["title"],
            "video_prompt": value["video_prompt"],
            "compliance": not breaches,
            "originality": value.get("originality"),
        }
        values["notes"] += breaches


def _add_clip(values: dict[str, Any], found: Settled | str) -> None:
    if isinstance(found, str):
        values |= {"status": "error", "error": found}
        return
    values |= {"status": found.status, "error": found.value.get("error")}
    if found.ok:
        values |= {"video": f"videos/{found.key}.mp4", "video_sha256": str(found.payload["sha256"])}
    _add_costs(values, "generate", found.payload)


def _add_scores(values: dict[str, Any], found: Mapping[str, Settled | str]) -> None:
    """Add every predictor's score: its own 0 where it finds the sample invalid, None where it is missing.

    While one is missing the sample is in error; otherwise its status and popularity are the first predictor's.
    """
    for label, settled in found.items():
        if not isinstance(settled, str):
            values["scores"][label] = settled.payload["popularity"] if settled.ok else 0.0
            _add_costs(values, "predict", settled.payload)
    missing = [settled for settled in found.values() if isinstance(settled, str)]
    first = next(iter(found.values()))
    if missing:
        values |= {"status": "error", "error": missing[0]}
    elif not isinstance(first, str):
        values |= {"status": first.status, "error": first.value.get("error")}
        values["popularity"] = next(iter(values["scores"].values()))


def _add_costs(values: dict[str, Any], stage: str, costs: Mapping[str, JSON]) -> None:
    """Add what a stage took; of several predictors, the first one's time and memory, and all notes."""
    seconds, memory, notes = values["seconds"], values["peak_memory_mb"], costs.get("notes")
    if seconds[stage] is None:
        seconds[stage] = costs.get("seconds")
    if memory[stage] is None:
        memory[stage] = costs.get("peak_memory_mb")
    if notes:
        values["notes"] += notes


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def write_jsonl(samples: Iterable[Sample], path: Path) -> None:
    """Write one sample a line; the file appears when it is complete. Raises OSError where the disk refuses."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8") as file:
        for sample in samples:
            file.write(_ENCODE(as_dict(sample)) + "\n")
    partial.replace(path)


_TEXT, _TEXT_OR_NOTHING, _FLAG = (str,), (str, NoneType), (bool, NoneType)
_NUMBER, _OBJECT = (float, int, NoneType), (dict, NoneType)
_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("system", "task", "prompt_id", "prompt", "category", "status"), _TEXT),
    **dict.fromkeys(("llm", "mode", "generator", "title", "video_prompt", "completion", "reasoning"), _TEXT_OR_NOTHING),
    **dict.fromkeys(("video", "video_sha256", "error"), _TEXT_OR_NOTHING),
    **dict.fromkeys(("popularity", "originality", "cost"), _NUMBER),
    **dict.fromkeys(("usage", "match"), _OBJECT),
    **dict.fromkeys(("scores", "seconds", "peak_memory_mb"), (dict,)),
    **dict.fromkeys(("references", "notes"), (list,)),
    "repeat": (int,),
    "attempts": (int,),
    "compliance": _FLAG,
}
_NEEDED = frozenset(
    {"llm", "mode", "generator", "system", "task", "prompt_id", "prompt", "category", "repeat", "status"}
    | {"scores", "seconds", "peak_memory_mb", "references", "notes"}
)


def _check_types(values: Mapping[str, JSON]) -> None:
    """Raise ValueError for a line that was edited into no sample: what is read here is compared, shown and opened."""
    for name, kinds in _KINDS.items():
        if type(values.get(name)) not in kinds and (name in values or name in _NEEDED):
            raise ValueError(f"{name} is {values.get(name)!r:.50}, which it cannot be")
    for name in ("references", "notes"):
        if not all(type(item) is str for item in values[name]):
            raise ValueError(f"{name} is {values[name]!r:.50}, which it cannot be")
    measured = (values["scores"], values["seconds"], values["peak_memory_mb"], values.get("usage") or {})
    alone = (values.get(name) for name in ("popularity", "originality", "cost"))
    for number in chain(alone, *(of.values() for of in measured)):
        if number is not None and (type(number) not in _NUMBER or not 0 <= number <= LARGEST):
            raise ValueError(f"{number!r:.50} is no number that a sample can have")


_FIELDS = tuple(item.name for item in dataclasses.fields(Sample))
_DEFAULTS = {item.name: item.default for item in dataclasses.fields(Sample) if item.default is not dataclasses.MISSING}
_SETTERS = tuple((name, getattr(Sample, name).__set__, _DEFAULTS.get(name)) for name in _FIELDS)


def _made(values: Mapping[str, Any]) -> Sample:
    """Make a sample of its fields, as its class would in four times the time: there are millions.

    Raises TypeError for a field that it does not have; those without a default have to be there.
    """
    unknown = values.keys() - Sample.__slots__
    if unknown:
        raise TypeError(f"unknown field {min(unknown)!r}")
    found: Sample = object.__new__(Sample)
    for name, put, default in _SETTERS:
        put(found, values.get(name, default))
    return found


def as_dict(sample: Sample) -> dict[str, JSON]:
    """Return a sample's fields in their order (shallow: the values are JSON already)."""
    return {name: getattr(sample, name) for name in _FIELDS}


class SamplesFile:
    """The samples of a file, read anew by everyone who iterates over them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Sample]:
        return read_jsonl(self._path)


def read_jsonl(path: Path, only: Container[int] | None = None) -> Iterator[Sample]:
    """Read samples back, all or those of `only` some lines; raises UsageError that names the line that is no sample."""
    try:
        for number, line in enumerate(read_lines(path), 1):
            if only is not None and number not in only:
                continue
            try:
                values = json.loads(line)
                _check_types(values)
                values["references"], values["notes"] = tuple(values["references"]), tuple(values["notes"])
                yield _made(values)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no sample ({damage(error)})") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
