"""Writes and reads samples.jsonl, one sample a line; what is read is checked, since a stranger may have written it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any

from popbench.errors import UsageError, damage
from popbench.files import opened_new, read_lines, replacing
from popbench.planning.human import NAME as HUMAN
from popbench.records import JSON, MAX_POPULARITY, Prompt, Sample, checked_parts

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def write_jsonl(samples: Iterable[Sample], path: Path) -> None:
    """Write one sample a line; the file appears when it is complete. Raises OSError where the disk refuses."""
    with replacing(path) as part, opened_new(part) as file:
        for sample in samples:
            values = as_dict(sample)
            for name in _LATER:
                if not values[name]:
                    del values[name]
            file.write(f"{_ENCODE(values)}\n".encode())


_TEXT, _TEXT_OR_NOTHING, _FLAG = (str,), (str, NoneType), (bool, NoneType)
_NUMBER, _OBJECT = (float, int, NoneType), (dict, NoneType)
_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("system", "task", "prompt_id", "prompt", "category", "status"), _TEXT),
    **dict.fromkeys(("llm", "mode", "generator", "title", "video_prompt", "completion", "reasoning"), _TEXT_OR_NOTHING),
    **dict.fromkeys(("video", "video_sha256", "error"), _TEXT_OR_NOTHING),
    **dict.fromkeys(("popularity", "originality", "cost"), _NUMBER),
    **dict.fromkeys(("usage", "match", "parts"), _OBJECT),
    **dict.fromkeys(("scores", "seconds", "peak_memory_mb", "costs", "extra"), (dict,)),
    **dict.fromkeys(("references", "notes", "unusable", "remarks"), (list,)),
    **dict.fromkeys(("repeat", "attempts", "uncounted"), (int,)),
    "compliance": _FLAG,
}
_LISTS = ("references", "notes", "unusable", "remarks")
_LATER = ("unusable", "remarks", "uncounted", "parts", "costs", "extra")
"""Fields that are written only if they hold something, so that files of earlier releases stay as they are."""
_NEEDED = frozenset(
    {"llm", "mode", "generator", "system", "task", "prompt_id", "prompt", "category", "repeat", "status"}
    | {"scores", "seconds", "peak_memory_mb", "references", "notes"}
)


def _check_types(values: Mapping[str, JSON]) -> None:
    """Raise ValueError if a field is missing or has another type: readers compare, show and open these values."""
    for name, kinds in _KINDS.items():
        if type(values.get(name)) not in kinds and (name in values or name in _NEEDED):
            raise ValueError(f"{name} is {values.get(name)!r:.50}, which it cannot be")
    if values["system"] != HUMAN and values["system"].count("|") != 2:
        raise ValueError(f"system is {values['system']!r:.50}, and not LLM|MODE|GENERATOR")
    for name in _LISTS:
        if not all(type(item) is str for item in values.get(name, ())):
            raise ValueError(f"{name} is {values[name]!r:.50}, which it cannot be")
    measured = (values["seconds"], values["peak_memory_mb"], values.get("usage") or {}, values.get("costs") or {})
    alone = (values.get(name) for name in ("originality", "cost"))
    for number in chain(alone, *(of.values() for of in measured)):
        if number is not None and (type(number) not in _NUMBER or not 0 <= number <= MAX_POPULARITY):
            raise ValueError(f"{number!r:.50} is no number that a sample can have")
    for number in (values.get("popularity"), *values["scores"].values()):
        if number is not None and (type(number) not in _NUMBER or not abs(number) <= MAX_POPULARITY):
            raise ValueError(f"{number!r:.50} is no number that a sample can have")
    for parts in (values.get("parts") or {}).values():
        checked_parts(parts)


_FIELDS = tuple(item.name for item in dataclasses.fields(Sample))
_DEFAULTS = {
    item.name: item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
    for item in dataclasses.fields(Sample)
}
_SETTERS = tuple((name, getattr(Sample, name).__set__, _DEFAULTS.get(name)) for name in _FIELDS)


def make_sample(values: Mapping[str, Any]) -> Sample:
    """Make a sample of its fields, in a quarter of the time that its class takes, since there are millions.

    Raises TypeError for an unknown field. The caller has to give all fields that have no default.
    """
    unknown = values.keys() - Sample.__slots__
    if unknown:
        raise TypeError(f"unknown field {min(unknown)!r}")
    sample: Sample = object.__new__(Sample)
    for name, put, default in _SETTERS:
        put(sample, values.get(name, default))
    return sample


def as_dict(sample: Sample) -> dict[str, JSON]:
    """Return a sample's fields in their order (shallow: the values are JSON already)."""
    return {name: getattr(sample, name) for name in _FIELDS}


def prompt_of(sample: Sample, extra: Mapping[str, JSON]) -> Prompt:
    """Return the prompt of a sample, of whose extra fields `extra` are columns of the task's data."""
    return Prompt(sample.prompt_id, sample.prompt, sample.category, sample.task, extra)


def read_sample(line: str | bytes) -> Sample:
    """Read a line of samples.jsonl; raises ValueError that says what is wrong with it."""
    try:
        values = json.loads(line)
        _check_types(values)
        return make_sample(values | {name: tuple(values[name]) for name in _LISTS if name in values})
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(damage(error)) from error


class SamplesFile:
    """The samples of a file, which is read again each time they are iterated over."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Sample]:
        return read_jsonl(self._path)


def read_jsonl(path: Path, only: Container[int] | None = None) -> Iterator[Sample]:
    """Read samples, all or those in the lines `only`; raises UsageError that names a line that is no sample."""
    try:
        for number, line in enumerate(read_lines(path), 1):
            if only is not None and number not in only:
                continue
            try:
                yield read_sample(line)
            except ValueError as error:
                raise UsageError(f"{path}: line {number} is no sample ({damage(error)})") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
