"""Finds what compares in two runs: the tasks and predictors that both have, and the pairs of systems."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from popbench.errors import UsageError, unknown
from popbench.records import JSON
from popbench.scores.rows import ERROR, ScoreRow
from popbench.scores.scores import MAX_SYSTEMS, Block, Scores, blocks, check_rows, refuse_rounds
from popbench.scores.sources import read_source

SIDES = ("before", "after")
Pairs = Sequence[tuple[str, str]]
"""Systems that are compared: (before, after)."""
_SHOWN = 5


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    name: str
    scores: list[Scores]

    @property
    def systems(self) -> list[str]:
        """Its systems, sorted."""
        return sorted({system for scores in self.scores for system in scores.table.system_names})

    @property
    def tasks(self) -> set[str]:
        """Its tasks."""
        return {task for scores in self.scores for task in scores.tasks}

    @property
    def predictors(self) -> dict[str | None, str]:
        """Its predictors' names by their fingerprints."""
        return {scores.predictor_digest: scores.predictor for scores in self.scores}


@dataclass(frozen=True)
class Matched:
    """The rows of one predictor on both sides, restricted to the prompts and repeats that all compared systems have."""

    before: Scores
    after: Scores
    both: Scores
    """The rows of both sides, with systems named by `label`."""


def read_side(path: Path) -> Side:
    """Read a run, or exported scores; raises UsageError if it is neither, or if a row is no score."""
    scores = read_source(path)
    refuse_rounds(scores, "a comparison")
    for item in scores:
        check_rows(item)
    return Side(str(path), scores)


def label(side: str, system: str) -> str:
    """Return a system's name in the joined rows of both sides."""
    return f"{system} {side}"


def pair_systems(before: Side, after: Side, wanted: Sequence[str]) -> Pairs:
    """Return the pairs of systems to compare: those with the same id, or those in `wanted`, each `ID` or `ID=ID`.

    Two runs of one system each need no names. Raises UsageError for an unknown system, and if there is no pair.
    """
    ours, theirs = before.systems, after.systems
    if wanted:
        pairs = [_named(text, before, after) for text in wanted]
        for pair in pairs:
            if pairs.count(pair) > 1:
                raise UsageError(f"--system {_shown(pair)} is given twice")
        return sorted(pairs)
    shared = sorted(set(ours) & set(theirs))
    if len(shared) > MAX_SYSTEMS:
        raise UsageError(f"{len(shared):,} systems to compare, of {MAX_SYSTEMS:,} at most: name some with --system ID")
    if shared:
        return [(system, system) for system in shared]
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]
    raise UsageError(
        f"{before.name} and {after.name} share no system: name those to compare with --system BEFORE=AFTER "
        f"(before: {_few(ours)}; after: {_few(theirs)})"
    )


def _named(text: str, before: Side, after: Side) -> tuple[str, str]:
    """Read `ID` or `ID=ID`; an id may contain `=`."""
    ours, theirs = set(before.systems), set(after.systems)
    splits = [(text, text)] + [(text[:index], text[index + 1 :]) for index, char in enumerate(text) if char == "="]
    fits = [(one, other) for one, other in splits if one in ours and other in theirs]
    if len(fits) == 1:
        return fits[0]
    if fits:
        pairings = " or ".join(f"{one!r} with {other!r}" for one, other in fits)
        raise UsageError(f"--system {text!r} may mean {pairings}: rename a system with label=")
    starts = [split for split in splits if split[0] in ours]
    if starts:
        raise unknown("system", starts[-1][1], theirs, f"{after.name} has no such system")
    raise unknown("system", text, ours, f"{before.name} has no such system")


def _shown(pair: tuple[str, str]) -> str:
    return repr("=".join(pair) if pair[0] != pair[1] else pair[0])


def shared_predictors(before: Side, after: Side) -> list[tuple[Scores, Scores]]:
    """Pair the predictors by their fingerprints; raises UsageError that names them if none is shared.

    Win shares among the systems of a run compare with none of another run: their predictors are left out.
    """
    theirs = {scores.predictor_digest: scores for scores in after.scores}
    shared = [
        (scores, theirs[scores.predictor_digest]) for scores in before.scores if scores.predictor_digest in theirs
    ]
    compare = [(one, other) for one, other in shared if before.name == after.name or not one.win_shares]
    if compare:
        return compare
    if shared:
        raise UsageError(
            f"scores of predictor {shared[0][0].predictor!r} are win shares among the systems of one run, and those of "
            f"{before.name} and {after.name} do not compare: put all systems into one run (--reuse takes what is there)"
        )
    predictors = [f"{_predictors(side)} in {side.name}" for side in (before, after)]
    raise UsageError(
        f"the scores are of two predictors ({' and '.join(predictors)}): score both runs with the same one, "
        "--predictor scores the clips that are there"
    )


def _predictors(side: Side) -> str:
    return ", ".join(f"{scores.predictor} {(scores.predictor_digest or 'unknown')[:8]}" for scores in side.scores)


def match(before: Scores, after: Scores, pairs: Pairs, *, common: bool) -> Matched:
    """Restrict the scores of one predictor to the tasks that both sides have, and to the systems that are compared.

    Raises UsageError for two versions of a task, for demo scores against real ones, if no task is shared, and, unless
    `common` leaves their prompts out, if only some of the systems have a result.
    """
    where = f"{before.source} and {after.source}"
    if before.scale != after.scale:
        raise UsageError(f"scores on a {before.scale} scale and on a {after.scale} one do not compare ({where})")
    if before.demo != after.demo:
        raise UsageError(f"demo scores and real ones do not compare ({where})")
    tasks: dict[str, dict[str, JSON]] = {}
    for name in sorted(set(before.tasks) & set(after.tasks)):
        ours, theirs = before.tasks[name], after.tasks[name]
        if ours["hash"] != theirs["hash"]:
            raise UsageError(f"two versions of task {name!r} do not compare: their hashes differ ({where})")
        tasks[name] = {**ours, "group": ours["group"] or theirs["group"]}
    if not tasks:
        tasks_of = f"{_few(sorted(before.tasks))} and {_few(sorted(after.tasks))}"
        raise UsageError(f"{before.source} and {after.source} share no task: they are of {tasks_of}")
    sides = (
        _only(before, {one for one, _ in pairs}, tasks),
        _only(after, {other for _, other in pairs}, tasks),
    )
    named = [scores.table.renamed(partial(label, side)) for side, scores in zip(SIDES, sides, strict=True)]
    both = replace(before, rows=named[0].joined(named[1]), tasks=tasks, source=where)
    if not common:
        _check_complete(both, pairs, before, after)
    kept = {block.name: block for block in blocks(both, common=True) if block.name in tasks}
    return Matched(*(_within(scores, kept) for scores in (*sides, both)))


def _only(scores: Scores, systems: Collection[str], tasks: Mapping[str, dict[str, JSON]]) -> Scores:
    rows = scores.table
    return replace(scores, rows=rows.where(rows.of_systems(systems) & rows.of_tasks(tasks)), tasks=dict(tasks))


def _within(scores: Scores, kept: Mapping[str, Block]) -> Scores:
    """Return the scores without the prompts and repeats that a task's block lacks."""
    rows = scores.table
    chosen = np.zeros(len(rows), bool)
    for name, block in kept.items():
        chosen |= rows.of_tasks([name]) & rows.of_prompts(block.prompts) & np.isin(rows.repeat, block.repeats)
    tasks = {name: task for name, task in scores.tasks.items() if name in kept}
    return replace(scores, rows=rows.where(chosen), tasks=tasks)


def _check_complete(both: Scores, pairs: Pairs, before: Scores, after: Scores) -> None:
    """Raise UsageError if results are missing; it names those of the system that lacks most."""
    rows, done = both.table, ~both.table.has_status(ERROR)
    has = {
        name: rows.where(rows.of_systems([name]) & done)
        for pair in pairs
        for name in (label(side, system) for side, system in zip(SIDES, pair, strict=True))
    }
    system, held = min(has.items(), key=lambda item: (len(item[1]), item[0]))
    if len(held) == len(np.unique(rows.repeat_codes())):
        return
    missing = sorted({_sample_key(row) for row in rows} - {_sample_key(row) for row in held})
    source = before.source if system.endswith(" before") else after.source
    names = [f"{task}/{prompt}" + (f" repeat {repeat}" if repeat else "") for task, prompt, repeat in missing]
    count = f"{len(missing)} result{'s' * (len(missing) > 1)}"
    raise UsageError(
        f"{source}: system {system.rpartition(' ')[0]!r} lacks {count} to compare: {_few(names)} "
        "(--common restricts the comparison to the prompts all have)"
    )


def _sample_key(row: ScoreRow) -> tuple[str, str, int]:
    return row.task, row.prompt_id, row.repeat


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
