"""samples.jsonl: samples as lines of JSON, written whole and checked when they are read."""

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
from popbench.records import JSON, MAX_POPULARITY, Sample

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def write_jsonl(samples: Iterable[Sample], path: Path) -> None:
    """Write one sample a line; the file appears when it is complete. Raises OSError where the disk refuses."""
    with replacing(path) as part, opened_new(part) as file:
        for sample in samples:
            file.write(f"{_ENCODE(as_dict(sample))}\n".encode())


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
        if number is not None and (type(number) not in _NUMBER or not 0 <= number <= MAX_POPULARITY):
            raise ValueError(f"{number!r:.50} is no number that a sample can have")


_FIELDS = tuple(item.name for item in dataclasses.fields(Sample))
_DEFAULTS = {item.name: item.default for item in dataclasses.fields(Sample) if item.default is not dataclasses.MISSING}
_SETTERS = tuple((name, getattr(Sample, name).__set__, _DEFAULTS.get(name)) for name in _FIELDS)


def make_sample(values: Mapping[str, Any]) -> Sample:
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
                yield make_sample(values)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no sample ({damage(error)})") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
