"""The rows of a board, joined from several sources. Refusals say which rows do not compare, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from popbench.cards.card import PredictorCard
from popbench.errors import UsageError
from popbench.records import JSON, MAX_POPULARITY, Scale
from popbench.scores.rows import ERROR, INVALID, Rows, ScoreRow
from popbench.text import look_alike

MAX_SYSTEMS = 500
"""Systems of a board: 500 are 124,750 pairs, which take some 25 seconds and 0.4 GB."""
_NAMED = 5
"""Missing results that a message names at most."""


@dataclass
class Scores:
    """All rows of one predictor, with what makes them comparable.

    `tasks` maps a task to its group, hash and number of prompts; `systems` maps a system to its fingerprints by task.
    Both hold None for what a bare score file leaves open. `modes` maps labels of modes to their names; `notes` maps
    labels of components to what a board says about them.
    """

    predictor: str
    predictor_digest: str | None
    unit: str
    demo: bool
    rows: Sequence[ScoreRow]
    tasks: dict[str, dict[str, JSON]]
    systems: dict[str, dict[str, str] | None] = field(default_factory=dict)
    source: str = ""
    modes: dict[str, str] = field(default_factory=dict)
    mode_fingerprints: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    references: list[dict[str, JSON]] = field(default_factory=list)
    """Corpora that references come from: `corpus`, `part`, `videos`, `embedder`."""
    remarks: list[str] = field(default_factory=list)
    scale: Scale = "positive"
    in_rounds: bool = False
    """Whether prompts were taken in rounds until something was found."""
    win_shares: bool = False
    """Whether scores are shares of the comparisons that a sample won against the other systems of one run."""
    unusable: dict[str, JSON] = field(default_factory=dict)
    """By system the number of its `answers`, and of those without a usable draft by `reasons`."""
    card: PredictorCard | None = None
    """How far the predictor's order carries to real outcomes, if that is known."""
    drafts: dict[str, str] = field(default_factory=dict)
    """By system a name of the drafts that it renders, where that is known: systems of one run may share them."""

    @property
    def table(self) -> Rows:
        """The rows by column."""
        if not isinstance(self.rows, Rows):
            self.rows = Rows(self.rows)
        return self.rows

    def only(self, system: str) -> Scores:
        """Return the scores of one system."""
        return replace(self, rows=self.table.where(self.table.of_systems([system])))


def merge(sources: Sequence[Scores]) -> list[Scores]:
    """Join the rows of several runs and files by predictor; raises UsageError if they do not compare.

    Two predictors are the same if their fingerprints are. A score file may leave the fingerprint out.
    """
    twins = look_alike(sorted({name for scores in sources for name in scores.table.system_names}))
    if twins is not None:
        raise UsageError(
            f"systems {twins[0]!a} and {twins[1]!a} look the same on a board, and differ in characters that are not "
            "seen, such as spaces: rename one"
        )
    merged: dict[str | None, Scores] = {}
    for number, scores in enumerate(sources):
        for other in sources[:number]:
            _check_tasks(other, scores)
            _check_systems(other, scores)
        first = merged.get(scores.predictor_digest)
        if first is None:
            merged[scores.predictor_digest] = replace(
                scores, rows=scores.table, tasks=dict(scores.tasks), systems=dict(scores.systems),
                modes=dict(scores.modes), notes=dict(scores.notes), references=list(scores.references),
                remarks=list(scores.remarks), unusable=dict(scores.unusable),
                drafts=dict(scores.drafts),
            )  # fmt: skip
            continue
        if first.win_shares or scores.win_shares:
            raise UsageError(
                f"scores of predictor {scores.predictor!r} are win shares among the systems of one run, and those of "
                f"{first.source} and {scores.source} do not compare: put all systems into one run (--reuse takes "
                "what is there)"
            )
        # A file that does not name its predictor may leave out that it holds demo scores.
        if first.scale != scores.scale:
            raise UsageError(
                f"scores of predictor {scores.predictor!r} are on a {scores.scale} scale in {scores.source}, and on a "
                f"{first.scale} one in {first.source}: they share no board"
            )
        if first.demo != scores.demo and not _is_bare(first if scores.demo else scores):
            raise UsageError(f"demo scores and real ones cannot share a board ({first.source} and {scores.source})")
        first.demo = first.demo or scores.demo
        first.card = first.card or scores.card
        if _is_bare(first):  # a run knows the predictor's name
            first.predictor, first.unit = scores.predictor, scores.unit
        first.rows = first.table.joined(_new_rows(first, scores))
        first.references += scores.references
        first.remarks += scores.remarks
        first.unusable |= scores.unusable
        first.drafts = {**scores.drafts, **first.drafts}
        first.source = f"{first.source} and others" if not first.source.endswith(" and others") else first.source
        for name, facts in scores.tasks.items():  # what one source does not know, another may
            given = {key: value for key, value in facts.items() if value is not None}
            first.tasks[name] = {**facts, **first.tasks.get(name, {}), **given}
        first.systems |= scores.systems
        first.modes |= scores.modes
        for label, fingerprints in scores.mode_fingerprints.items():
            first.mode_fingerprints[label] = {**first.mode_fingerprints.get(label, {}), **fingerprints}
        first.notes |= scores.notes
    all_scores = list(merged.values())
    named: dict[str, Scores] = {}
    for scores in all_scores:
        other = named.setdefault(scores.predictor, scores)
        if other is not scores:
            where = f"{other.source} and {scores.source}"
            raise UsageError(f"two predictors are called {scores.predictor!r}: their fingerprints differ ({where})")
    if len({scores.demo for scores in all_scores}) > 1:
        raise UsageError("demo scores and real ones cannot share a board")
    if len(all_scores) > 1 and None in merged:
        names = ", ".join(scores.source for scores in all_scores)
        raise UsageError(f"scores without a predictor share a board only with one another ({names})")
    return all_scores


def _new_rows(first: Scores, other: Scores) -> Rows:
    """Return the rows of `other` without those that `first` has too, such as the human baseline's.

    A system is shared if its fingerprints are equal. Raises UsageError if a shared system has two results for a sample.
    """
    shared = {name for name, fingerprints in other.systems.items() if fingerprints and first.systems.get(name)}
    ours, theirs = first.table, other.table
    if not shared or not ours.of_systems(shared).any():
        return theirs
    both = ours.where(ours.of_systems(shared)).joined(theirs)
    n = len(both) - len(theirs)
    ours_codes, their_codes = np.unique(both.sample_codes()[:n], return_index=True), both.sample_codes()[n:]
    nearest = np.minimum(np.searchsorted(ours_codes[0], their_codes), len(ours_codes[0]) - 1)
    is_shared = ours_codes[0][nearest] == their_codes
    our_row, popularity = ours_codes[1][nearest], both.popularity
    same = (popularity[our_row] == popularity[n:]) | (np.isnan(popularity[our_row]) & np.isnan(popularity[n:]))
    same &= both.status[our_row] == both.status[n:]
    if (is_shared & ~same).any():
        row = theirs[int(np.argmax(is_shared & ~same))]
        raise UsageError(
            f"system {row.system!r} has two results for prompt {row.prompt_id!r} of task {row.task!r} "
            f"({first.source} and {other.source}): leave it out of one run, or name its videos or models apart"
        )
    return theirs.where(~is_shared)


def _is_bare(scores: Scores) -> bool:
    """Return whether scores come from a file that gives no name of its predictor."""
    return scores.predictor_digest in (None, scores.predictor)


def _check_systems(first: Scores, other: Scores) -> None:
    where = f"{first.source} and {other.source}"
    for mode in set(first.mode_fingerprints) & set(other.mode_fingerprints):
        fingerprints_of_mode, others_of_mode = first.mode_fingerprints[mode], other.mode_fingerprints[mode]
        for task in set(fingerprints_of_mode) & set(others_of_mode):
            if fingerprints_of_mode[task] != others_of_mode[task]:
                raise UsageError(
                    f"mode {mode!r} has two fingerprints on task {task!r} ({where}): its template, options, corpus or "
                    "embedder differ; rename one with label= and run it again"
                )
    for system in set(first.systems) & set(other.systems):
        fingerprints, others = first.systems[system], other.systems[system]
        if fingerprints is None or others is None:
            continue
        for task in set(fingerprints) & set(others):
            if fingerprints[task] != others[task]:
                way = "rename one with label= and run it again"
                if "|" not in system:  # the human baseline has no other name
                    way = "run both with the same corpus and embedder, or leave it out of one"
                raise UsageError(f"system {system!r} has two fingerprints on task {task!r} ({where}): {way}")


def _check_tasks(first: Scores, other: Scores) -> None:
    for task, facts in other.tasks.items():
        if task in first.tasks and first.tasks[task]["hash"] != facts["hash"]:
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
    values: NDArray[np.float64]
    """(systems, prompts, repeats); an invalid sample is 0, on a real scale minus infinity."""
    scale: Scale = "positive"

    @property
    def of_prompts(self) -> NDArray[np.float64]:
        """Each system's score of each prompt in results of earlier versions: the mean, on a real scale the median.

        Minus infinity, which ranks an invalid sample, has a place among values and no mean with them.
        """
        of_prompts: NDArray[np.float64]
        of_prompts = np.median(self.values, axis=2) if self.scale == "real" else self.values.mean(axis=2)
        return of_prompts


def refuse_rounds(all_scores: Sequence[Scores], what: str) -> None:
    """Raise UsageError for prompts taken in rounds, of which other intervals than the run's own would not hold."""
    for scores in all_scores:
        if scores.in_rounds:
            raise UsageError(
                f"{scores.source}: its prompts were taken in rounds (--until), and {what} takes a number of prompts "
                "that was fixed: give the run's command without --until, which adds those that are missing"
            )


def check_systems(all_scores: Sequence[Scores]) -> None:
    """Raise UsageError for more systems than a board can compare pair by pair."""
    for scores in all_scores:
        count = len(scores.table.system_names)
        if count > MAX_SYSTEMS:
            raise UsageError(
                f"{scores.source}: {count:,} systems, of {MAX_SYSTEMS:,} at most on a board, which compares all pairs: "
                "leave some out, or rank parts of them"
            )


def check_rows(scores: Scores) -> None:
    """Raise UsageError if a row is no score, or if two rows are of one sample."""
    rows = scores.table
    value, invalid = rows.popularity, rows.has_status(INVALID)
    wrong = ~(np.isfinite(value) & (np.abs(value) <= MAX_POPULARITY))
    if scores.scale == "real":
        wrong = np.where(invalid, ~np.isnan(value), wrong)
    else:
        wrong |= (value < 0) | ((value == 0) != invalid)
    wrong &= ~rows.has_status(ERROR)
    if wrong.any():
        check_row(rows[int(np.argmax(wrong))], scores.source, scores.scale)
    codes, first_rows, counts = np.unique(rows.sample_codes(), return_index=True, return_counts=True)
    if len(codes) < len(rows):
        first = int(first_rows[counts > 1].min())
        row, count = rows[first], int(counts[first_rows == first][0])
        sample = f"system {row.system!r}, task {row.task!r}, prompt {row.prompt_id!r}, repeat {row.repeat}"
        raise UsageError(f"{scores.source}: {count} rows for {sample}")


def check_row(row: ScoreRow, source: str, scale: Scale = "positive") -> None:
    """Raise UsageError if a row is no score."""
    where = f"{source}: system {row.system!r}, task {row.task!r}, prompt {row.prompt_id!r}"
    if row.status == "error" or (scale == "real" and row.status == INVALID and row.popularity is None):
        return
    if row.popularity is None or not math.isfinite(row.popularity):
        raise UsageError(f"{where}: popularity is {row.popularity}, expected a finite number")
    if row.popularity < 0 and scale != "real":
        raise UsageError(
            f"{where}: popularity is {row.popularity:g}, expected no negative number (scores of any sign are on a real "
            "scale, which a score file says in a column: scale, with the value real)"
        )
    if abs(row.popularity) > MAX_POPULARITY:
        raise UsageError(f"{where}: popularity is {row.popularity:g}, expected at most {MAX_POPULARITY:g}")
    if scale == "real":
        if row.status == INVALID:
            raise UsageError(
                f"{where}: popularity is {row.popularity:g} with status invalid (on a real scale it has none)"
            )
        return
    if (row.popularity == 0) != (row.status == "invalid"):
        raise UsageError(f"{where}: popularity is {row.popularity:g} with status {row.status} (0 is for invalid)")


def blocks(scores: Scores, *, common: bool) -> list[Block]:
    """Arrange the rows in rectangles: one for each task, and one for each group of several tasks.

    Raises UsageError that names the prompts a system lacks. With `common`, all systems are restricted to the prompts
    they share; then it is raised if they share none.
    """
    check_rows(scores)
    single = [_block(scores, name, [name], common=common) for name in sorted(scores.tasks)]
    with_prompts = {block.name for block in single if block is not None}
    if not with_prompts:
        names = ", ".join(repr(name) for name in sorted(scores.tasks))
        raise UsageError(f"{scores.source}: the systems have no prompt of {names} in common")
    groups: dict[str, list[str]] = {}
    for name, facts in sorted(scores.tasks.items()):
        if facts["group"] and facts["group"] not in scores.tasks:
            groups.setdefault(facts["group"], []).append(name)
    # A group is pooled only if all of its tasks have a table: a part of a group under its name would mislead.
    pooled = [
        _block(scores, group, names, common=common)
        for group, names in groups.items()
        if len(names) > 1 and with_prompts.issuperset(names)
    ]
    return [block for block in (*pooled, *single) if block is not None]


def _block(scores: Scores, name: str, tasks: Sequence[str], *, common: bool) -> Block | None:
    """Arrange the rows of some tasks; returns None if, under `common`, the systems share no prompt of them."""
    systems = scores.table.system_names
    rows = scores.table.where(scores.table.of_tasks(tasks))
    category = _categories(rows, scores.source)
    repeats = np.unique(rows.repeat)  # before samples in error are left out: their repeats count as missing
    rows = rows.where(~rows.has_status(ERROR))
    if common:  # leaves out repeats that only some systems have, as it does prompts
        for system in systems:
            repeats = np.intersect1d(repeats, rows.repeat[rows.of_systems([system])])
        rows = rows.where(np.isin(rows.repeat, repeats))
    elif len(rows) < len(systems) * len(category) * len(repeats):
        raise UsageError(_lacks(scores, rows, systems, sorted(category), repeats.tolist()))
    counts = np.bincount(rows.prompt, minlength=len(rows.prompts))
    complete = len(systems) * len(repeats)
    prompts = sorted(rows.prompts.names[code] for code in np.flatnonzero(counts == complete)) if complete else []
    if not prompts:
        return None
    values = np.empty((len(systems), len(prompts), len(repeats)))
    column_of = {prompt: number for number, prompt in enumerate(prompts)}
    columns = np.array([column_of.get(prompt, -1) for prompt in rows.prompts.names])[rows.prompt]
    lines = np.array([systems.index(system) if system in systems else -1 for system in rows.systems.names])[rows.system]
    kept = columns >= 0
    popularity = rows.popularity
    if scores.scale == "real":
        popularity = np.where(rows.has_status(INVALID), -np.inf, popularity)
    values[lines[kept], columns[kept], np.searchsorted(repeats, rows.repeat[kept])] = popularity[kept]
    categories = [category[prompt] for prompt in prompts]
    return Block(name, systems, prompts, categories, repeats.tolist(), values, scores.scale)


def _categories(rows: Rows, source: str) -> dict[tuple[str, str], str]:
    """Return the category of each prompt; raises UsageError if a prompt has two."""
    codes, first, prompt = np.unique(rows.prompt, return_index=True, return_inverse=True)
    category = rows.category
    different = category != category[first][prompt]
    if different.any():
        raise UsageError(f"{source}: prompt {rows[int(np.argmax(different))].prompt_id!r} has two categories")
    return {
        rows.prompts.names[code]: rows.categories.names[number]
        for code, number in zip(codes.tolist(), category[first].tolist(), strict=True)
    }


def _lacks(
    scores: Scores, rows: Rows, systems: Sequence[str], prompts: Sequence[tuple[str, str]], repeats: Sequence[int]
) -> str:
    """Return a message that names the system with the most missing results, and the first of these results."""
    system = min(systems, key=lambda each: int(rows.of_systems([each]).sum()))
    has = {(row.task, row.prompt_id, row.repeat) for row in rows.where(rows.of_systems([system]))}
    lost = len(prompts) * len(repeats) - len(has)
    wanted = ((*prompt, repeat) for prompt in prompts for repeat in repeats)
    missing = list(islice((result for result in wanted if result not in has), _NAMED))
    names = ", ".join(f"{task}/{prompt}" + (f" repeat {repeat}" if repeat else "") for task, prompt, repeat in missing)
    more = f" and {lost - _NAMED} more" if lost > _NAMED else ""
    count = f"{lost} result{'s' * (lost > 1)}"
    return (
        f"{scores.source}: system {system!r} lacks {count} that others have: {names}{more} "
        "(--common restricts the board to the prompts all have)"
    )
