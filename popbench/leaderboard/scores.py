"""The rows a board is made of, and what may stand on one board: refusals say which rows differ, and how."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from popbench.errors import UsageError
from popbench.records import JSON

_LARGEST = 1e300
"""What a popularity is at most, so that sums of some are still numbers."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One sample's score under one predictor; `popularity` is None where status is error.

    `copied` says whether the draft copies one of the references it was shown, None where none were.
    """

    system: str
    task: str
    prompt_id: str
    repeat: int
    category: str
    status: str
    popularity: float | None
    compliance: bool | None = None
    copied: bool | None = None


@dataclass
class Scores:
    """All rows of one predictor, with what makes them comparable.

    `tasks` maps a task to its group, hash and number of prompts, `systems` a system to the digests of its
    fingerprint by task; both hold None where a bare score file says nothing. `modes` maps labels of modes to
    their names, `notes` labels of components to what a board has to say of them.
    """

    predictor: str
    predictor_digest: str | None
    unit: str
    demo: bool
    rows: list[ScoreRow]
    tasks: dict[str, dict[str, JSON]]
    systems: dict[str, dict[str, str] | None] = field(default_factory=dict)
    source: str = ""
    modes: dict[str, str] = field(default_factory=dict)
    mode_fingerprints: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    references: list[dict[str, JSON]] = field(default_factory=list)
    """Corpora that references come from: `corpus`, `part`, `videos`, `embedder`."""
    remarks: list[str] = field(default_factory=list)


def merge(sources: Sequence[Scores]) -> list[Scores]:
    """Join the rows of several runs and files by predictor; raises UsageError for what does not compare.

    Predictors are the same where their fingerprints are; a score file gives it, or nothing.
    """
    merged: dict[str | None, Scores] = {}
    for number, scores in enumerate(sources):
        for other in sources[:number]:
            _check_tasks(other, scores)
            _check_systems(other, scores)
        first = merged.get(scores.predictor_digest)
        if first is None:
            merged[scores.predictor_digest] = replace(
                scores, rows=list(scores.rows), tasks=dict(scores.tasks), systems=dict(scores.systems),
                modes=dict(scores.modes), notes=dict(scores.notes), references=list(scores.references),
                remarks=list(scores.remarks),
            )  # fmt: skip
            continue
        # A file that does not name its predictor says nothing of a demonstration either, unless it says that it is one.
        if first.demo != scores.demo and not _is_bare(first if scores.demo else scores):
            raise UsageError(f"demo scores and real ones cannot share a board ({first.source} and {scores.source})")
        first.demo = first.demo or scores.demo
        if _is_bare(first):  # a run knows the predictor's name
            first.predictor, first.unit = scores.predictor, scores.unit
        first.rows += _new_rows(first, scores)
        first.references += scores.references
        first.remarks += scores.remarks
        first.source = f"{first.source} and others" if not first.source.endswith(" and others") else first.source
        for name, about in scores.tasks.items():  # what one source does not know, another may
            known = {key: value for key, value in about.items() if value is not None}
            first.tasks[name] = {**about, **first.tasks.get(name, {}), **known}
        first.systems |= scores.systems
        first.modes |= scores.modes
        for label, fingerprints in scores.mode_fingerprints.items():
            first.mode_fingerprints[label] = {**first.mode_fingerprints.get(label, {}), **fingerprints}
        first.notes |= scores.notes
    found = list(merged.values())
    named: dict[str, Scores] = {}
    for scores in found:
        other = named.setdefault(scores.predictor, scores)
        if other is not scores:
            where = f"{other.source} and {scores.source}"
            raise UsageError(f"two predictors are called {scores.predictor!r}: their fingerprints differ ({where})")
    if len({scores.demo for scores in found}) > 1:
        raise UsageError("demo scores and real ones cannot share a board")
    if len(found) > 1 and None in merged:
        names = ", ".join(scores.source for scores in found)
        raise UsageError(f"scores without a predictor share a board only with one another ({names})")
    return found


def _new_rows(first: Scores, other: Scores) -> list[ScoreRow]:
    """Leave out what two runs have in common, such as the human baseline: systems of one fingerprint, equal results.

    Raises UsageError where such a system has other results.
    """
    shared = {name for name, known in other.systems.items() if known and first.systems.get(name)}
    there = {_place(row): row for row in first.rows if row.system in shared}
    new = []
    for row in other.rows:
        known = there.get(_place(row))
        if known is None:
            new.append(row)
        elif (known.status, known.popularity) != (row.status, row.popularity):
            raise UsageError(
                f"system {row.system!r} has two results for prompt {row.prompt_id!r} of task {row.task!r} "
                f"({first.source} and {other.source}): leave it out of one run, or name its videos or models apart"
            )
    return new


def _place(row: ScoreRow) -> tuple[str, str, str, int]:
    return row.system, row.task, row.prompt_id, row.repeat


def _is_bare(scores: Scores) -> bool:
    """Say whether scores come from a file that names its predictor by fingerprint, or not at all."""
    return scores.predictor_digest in (None, scores.predictor)


def _check_systems(first: Scores, other: Scores) -> None:
    where = f"{first.source} and {other.source}"
    for mode in set(first.mode_fingerprints) & set(other.mode_fingerprints):
        known_mode, other_mode = first.mode_fingerprints[mode], other.mode_fingerprints[mode]
        for task in set(known_mode) & set(other_mode):
            if known_mode[task] != other_mode[task]:
                raise UsageError(
                    f"mode {mode!r} has two fingerprints on task {task!r} ({where}): its template, options, corpus or "
                    "embedder differ; rename one with label= and run it again"
                )
    for system in set(first.systems) & set(other.systems):
        known, fingerprint = first.systems[system], other.systems[system]
        if known is None or fingerprint is None:
            continue
        for task in set(known) & set(fingerprint):
            if known[task] != fingerprint[task]:
                way = "rename one with label= and run it again"
                if "|" not in system:  # the human baseline has no other name
                    way = "run both with the same corpus and embedder, or leave it out of one"
                raise UsageError(f"system {system!r} has two fingerprints on task {task!r} ({where}): {way}")


def _check_tasks(first: Scores, other: Scores) -> None:
    for task, about in other.tasks.items():
        if task in first.tasks and first.tasks[task]["hash"] != about["hash"]:
            where = f"{first.source} and {other.source}"
            raise UsageError(f"two versions of task {task!r} cannot share a board: their hashes differ ({where})")


@dataclass(frozen=True)
class Block:
    """A rectangle of comparable scores: every system on every prompt and repeat of one task or group."""

    name: str
    systems: list[str]
    prompts: list[tuple[str, str]]
    """(task, prompt id), sorted."""
    categories: list[str]
    """Of each prompt."""
    repeats: list[int]
    values: list[list[list[float]]]
    """[system][prompt][repeat]."""


def check_rows(scores: Scores) -> None:
    """Raise UsageError for a row that is no score, and for two rows of one sample."""
    for row in scores.rows:
        check_row(row, scores.source)
    counts = Counter(map(_place, scores.rows))
    for (system, task, prompt, repeat), count in counts.items():
        if count > 1:
            sample = f"system {system!r}, task {task!r}, prompt {prompt!r}, repeat {repeat}"
            raise UsageError(f"{scores.source}: {count} rows for {sample}")


def check_row(row: ScoreRow, source: str) -> None:
    """Raise UsageError for a row that is no score."""
    where = f"{source}: system {row.system!r}, task {row.task!r}, prompt {row.prompt_id!r}"
    if row.status == "error":
        return
    if row.popularity is None or not math.isfinite(row.popularity):
        raise UsageError(f"{where}: popularity is {row.popularity}, expected a finite number")
    if row.popularity < 0:
        raise UsageError(f"{where}: popularity is {row.popularity:g}, expected no negative number")
    if row.popularity > _LARGEST:
        raise UsageError(f"{where}: popularity is {row.popularity:g}, expected at most {_LARGEST:g}")
    if (row.popularity == 0) != (row.status == "invalid"):
        raise UsageError(f"{where}: popularity is {row.popularity:g} with status {row.status} (0 is for invalid)")


def blocks(scores: Scores, *, common: bool) -> list[Block]:
    """Arrange the rows in rectangles: one for each task, and one for each group of several tasks.

    Raises UsageError that names the prompts a system lacks, unless `common` restricts all systems to the
    prompts they share (then, if they share none).
    """
    check_rows(scores)
    single = [_block(scores, name, [name], common=common) for name in sorted(scores.tasks)]
    there = {block.name for block in single if block is not None}
    if not there:
        names = ", ".join(repr(name) for name in sorted(scores.tasks))
        raise UsageError(f"{scores.source}: the systems have no prompt of {names} in common")
    groups: dict[str, list[str]] = {}
    for name, about in sorted(scores.tasks.items()):
        if about["group"] and about["group"] not in scores.tasks:
            groups.setdefault(about["group"], []).append(name)
    # A group is pooled where all of its tasks have a table: it says more than any part of it would.
    pooled = [
        _block(scores, group, names, common=common)
        for group, names in groups.items()
        if len(names) > 1 and there.issuperset(names)
    ]
    return [block for block in (*pooled, *single) if block is not None]


def _block(scores: Scores, name: str, tasks: Sequence[str], *, common: bool) -> Block | None:
    """Arrange the rows of some tasks; None where, under `common`, the systems share no prompt of them."""
    systems = sorted({row.system for row in scores.rows})
    values: dict[str, dict[tuple[str, str, int], float]] = {system: {} for system in systems}
    category: dict[tuple[str, str], str] = {}
    seen: set[int] = set()
    for row in scores.rows:
        if row.task not in tasks:
            continue
        at = (row.task, row.prompt_id)
        seen.add(row.repeat)
        if category.setdefault(at, row.category) != row.category:
            raise UsageError(f"{scores.source}: prompt {row.prompt_id!r} has two categories")
        if row.popularity is not None:
            values[row.system][(*at, row.repeat)] = row.popularity
    if common:  # repeats that only some systems have are left out like prompts
        seen = seen.intersection(*({repeat for _, _, repeat in has} for has in values.values()))
    wanted = {(*at, repeat) for at in category for repeat in seen}
    shared = wanted.intersection(*values.values())
    if shared != wanted and not common:
        raise UsageError(_lacks(scores, values, wanted))
    repeats = sorted(seen)
    prompts = sorted(at for at in category if repeats and all((*at, repeat) in shared for repeat in repeats))
    if not prompts:
        return None
    return Block(
        name,
        systems,
        prompts,
        [category[at] for at in prompts],
        repeats,
        [[[values[system][(*at, repeat)] for repeat in repeats] for at in prompts] for system in systems],
    )


def _lacks(scores: Scores, values: Mapping[str, Mapping[Any, float]], wanted: set[Any]) -> str:
    system, missing = max(
        ((system, sorted(wanted - set(has))) for system, has in values.items()), key=lambda item: len(item[1])
    )
    names = ", ".join(
        f"{task}/{prompt}" + (f" repeat {repeat}" if repeat else "") for task, prompt, repeat in missing[:5]
    )
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    count = f"{len(missing)} result{'s' * (len(missing) > 1)}"
    return (
        f"{scores.source}: system {system!r} lacks {count} that others have: {names}{more} "
        "(--common restricts the board to the prompts all have)"
    )
