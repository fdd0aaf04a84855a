"""Computes win rates over people: the rows of `people` in results.json, for the pairs that people said something of.

A rate is about the prompts of a table on which both systems have a clip with a score: people cannot be asked of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popbench import stats
from popbench.leaderboard.families import PRIMARY
from popbench.leaderboard.pairs import FEWEST_FOR_VERDICTS, LEVEL, OTHER_SIDE, VERDICTS, rounded
from popbench.leaderboard.people_data import Said, Source, codes, read_people
from popbench.leaderboard.shown import tables
from popbench.records import JSON, Sample
from popbench.scores.rows import Rows
from popbench.scores.scores import Scores

KEY = "people"


def keep_people(results: dict[str, Any], scores: Sequence[Scores], samples: Iterable[Sample], folder: Path) -> None:
    """Add what people said of a run's clips to its results.json; nothing if there are no votes and no real outcomes.

    `scores` are those of the run, by predictor. `samples` are read only if there is something.
    """
    results.pop(KEY, None)
    sources = read_people(folder, samples)
    if not sources:
        return
    of = {item.predictor: item for item in scores}
    family = {(row["predictor"], row["task"]): row["family"] for row in results.get("families", [])}
    wanted = [(of[predictor], task, family.get((predictor, task), PRIMARY)) for predictor, task in tables(results)]
    results[KEY] = people_of(sources, wanted)


def without_scores(samples: Iterable[Sample], tasks: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, Any]:
    """Return the same of a run without a board: its rates are from labels only, and its predictor is null.

    `samples` are read twice, `tasks` are those of run.json.
    """
    rows = Rows()
    for sample in samples:
        if sample.video is not None:
            prompt = (sample.task, sample.prompt_id)
            rows.add(sample.system, prompt, sample.repeat, sample.category, "ok", 1.0, None, None)
    facts = {name: {"group": task["group"]} for name, task in tasks.items()}
    scores = Scores(predictor="", predictor_digest=None, unit="", demo=False, rows=rows, tasks=facts)
    groups = [task["group"] for task in facts.values()]
    names = dict.fromkeys(
        facts_of["group"] if facts_of["group"] and groups.count(facts_of["group"]) > 1 else name
        for name, facts_of in facts.items()
    )
    return people_of(read_people(folder, samples), [(scores, name, PRIMARY) for name in names])


def people_of(sources: Sequence[Source], wanted: Sequence[tuple[Scores, str, str]]) -> dict[str, Any]:
    """Compute what results.json says of people, given the tables of a board: scores, name and family of each."""
    systems = {system for source in sources for pair in source.pairs for system in pair}
    systems |= {system for source in sources for system in source.counts}
    made = [(_Table(scores, name, systems), family) for scores, name, family in wanted] if systems else []
    pairs = [row for source in sources for row in _rows(source, made)]
    about = [{"source": source.name, **source.about} for source in sources]
    medians = [row for source in sources for table, _ in made for row in table.medians(source)]
    content: dict[str, Any] = rounded(
        {"level": LEVEL, "sources": about, "pairs": pairs, **({"medians": medians} if medians else {})}
    )
    return content


def _rows(source: Source, made: Sequence[tuple[_Table, str]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a source; its pairs of all primary tables are judged together, those of others by table."""
    found = []
    for table, family in made:
        of_pairs = {pair: _Compared.of(table, *pair, said) for pair, said in source.pairs.items()}
        found.append((table, family, {pair: of for pair, of in of_pairs.items() if of is not None}))
    together = sum(len(compared) for _, family, compared in found if family == PRIMARY)
    for table, family, compared in found:
        judged = together if family == PRIMARY else len(compared)
        for (a, b), of in sorted(compared.items()):
            row = {"source": source.name, "task": table.name, "predictor": table.predictor, "a": a, "b": b}
            yield {**row, **of.row(judged)}


class _Table:
    """The scores of a table: of some systems, by prompt and repeat."""

    def __init__(self, scores: Scores, name: str, systems: Iterable[str]) -> None:
        tasks = [task for task, facts in scores.tasks.items() if name in (task, facts["group"])]
        tasks = [name] if name in scores.tasks else tasks
        rows = scores.table
        rows = rows.where(rows.of_tasks(tasks) & rows.of_systems(systems) & rows.has_status("ok"))
        self.name, self.predictor = name, scores.predictor or None
        self.systems = {system: number for number, system in enumerate(rows.system_names)}
        self.prompts = {prompt: number for number, prompt in enumerate(sorted(rows.prompt_names))}
        repeats, repeat = np.unique(rows.repeat, return_inverse=True)
        line = np.array([self.systems.get(system, -1) for system in rows.systems.names], np.int64)[rows.system]
        column = np.array([self.prompts.get(prompt, -1) for prompt in rows.prompts.names], np.int64)[rows.prompt]
        self.values = np.full((len(self.systems), len(self.prompts), len(repeats)), np.nan)
        self.values[line, column, repeat] = rows.popularity
        stratum = np.zeros(len(self.prompts), np.int64)
        task_of = np.unique([task for task, _ in self.prompts], return_inverse=True)[1] if self.prompts else stratum
        stratum[column] = rows.category
        self.strata = np.unique(task_of * (len(rows.categories) + 1) + stratum, return_inverse=True)[1]

    def outcomes(self, a: str, b: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
        """Return the outcome of a over b on every prompt, and which prompts have one; None if one has no score."""
        if a not in self.systems or b not in self.systems:
            return None
        ours, theirs = self.values[self.systems[a]], self.values[self.systems[b]]
        both = ~np.isnan(ours) & ~np.isnan(theirs)
        wins = np.where(both, (1.0 + (ours > theirs) - (ours < theirs)) / 2, 0).sum(axis=1)
        return wins / np.maximum(both.sum(axis=1), 1), both.any(axis=1)

    def medians(self, source: Source) -> Iterator[dict[str, Any]]:
        """Yield the rows of the medians of real outcomes, by system."""
        for system in sorted(source.counts.keys() & self.systems.keys()):
            values = self.values[self.systems[system]]
            has = ~np.isnan(values).all(axis=1)
            place = np.cumsum(has) - 1
            numbers = ((self.prompts.get(prompt), count) for prompt, count in source.counts[system])
            here = [(int(place[at]), count) for at, count in numbers if at is not None and has[at]]
            if not here:
                continue
            prompts, counts = zip(*here, strict=True)
            scores = np.nanmedian(values[has], axis=1)
            found = stats.corrected_median(scores, np.array(prompts), counts, self.strata[has], LEVEL)
            yield {
                "source": source.name,
                "task": self.name,
                "predictor": self.predictor,
                "system": system,
                "n": int(has.sum()),
                "labelled": len(set(prompts)),
                "count": len(counts),
                **{name: vars(of) for name, of in zip(("labels", "corrected"), found, strict=True)},
            }


class _Compared:
    """What a predictor and people say of a pair of systems on a table."""

    def __init__(self, table: _Table, outcomes: NDArray[np.float64], has: NDArray[np.bool_], said: list[Said]) -> None:
        place = np.cumsum(has) - 1
        self._predicted, self._strata = outcomes[has], table.strata[has]
        self._said = said
        self._prompt = [int(place[table.prompts[of.prompt]]) for of in said]
        self._by_predictor = table.predictor is not None
        self._voters = len({of.voter for of in said}) if said[0].voter else None

    @classmethod
    def of(cls, table: _Table, a: str, b: str, said: Sequence[Said]) -> _Compared | None:
        """Return the comparison; None if nothing was said of a prompt of the table on which both have a score."""
        found = table.outcomes(a, b)
        if found is None:
            return None
        outcomes, has = found
        here = [of for of in said if of.prompt in table.prompts and has[table.prompts[of.prompt]]]
        return cls(table, outcomes, has, here) if here else None

    def row(self, judged: int) -> dict[str, JSON]:
        """Return the fields of results.json; `judged` pairs are judged together."""
        labels = np.array([of.label for of in self._said])
        row: dict[str, JSON] = {
            "n": len(self._predicted),
            "labelled": len(set(self._prompt)),
            "count": len(labels),
            **({} if self._voters is None else {"voters": self._voters}),
            "wins": int((labels > 0.5).sum()),
            "ties": int((labels == 0.5).sum()),
            "losses": int((labels < 0.5).sum()),
            "predicted": self._rate() if self._by_predictor else None,
        }
        if self._voters == 1:  # what others would say cannot be told from one
            alone = {"value": float(labels.mean()), "low": None, "high": None}
            return {**row, "labels": alone, "corrected": None, "weight": None, "verdict": None}
        found, joint = self._estimate(LEVEL), self._estimate(1 - (1 - LEVEL) / judged)
        predictions_help = found.weight > 0 and joint.weight > 0
        best, widened = (of.corrected if predictions_help else of.labels for of in (found, joint))
        ends = rounded([widened.low, widened.high])
        verdict = VERDICTS[int(ends[0] > 0.5) - int(ends[1] < 0.5)]
        return {
            **row,
            "labels": _shown(found.labels),
            "corrected": {**_shown(best), "simultaneous": ends},
            "weight": found.weight if predictions_help else 0.0,
            **({} if self._voters is None else {"position_effect": found.position_effect}),
            "verdict": verdict if row["labelled"] >= FEWEST_FOR_VERDICTS else None,
        }

    def _rate(self) -> dict[str, JSON]:
        low, high = stats.korn_graubard(self._predicted[np.newaxis], self._strata, LEVEL)
        return {"value": float(self._predicted.mean()), "low": float(low[0]), "high": float(high[0])}

    def _estimate(self, level: float) -> stats.CorrectedWinRate:
        of_votes = self._voters is not None
        return stats.corrected_win_rate(
            self._predicted,
            self._prompt,
            [of.label for of in self._said],
            self._strata,
            sides=[of.side for of in self._said] if of_votes else None,
            voters=codes([of.voter for of in self._said]) if of_votes else None,
            level=level,
        )


def _shown(rate: stats.HumanWinRate) -> dict[str, JSON]:
    return {"value": rate.value, "low": rate.low, "high": rate.high, "effective": rate.effective_labels}


def flipped_people(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of people seen from the pair's other side."""
    turned = {**row, "a": row["b"], "b": row["a"], "wins": row["losses"], "losses": row["wins"]}
    for name in ("predicted", "labels", "corrected"):
        turned[name] = None if row[name] is None else rounded(_other_side(row[name]))
    return {**turned, "verdict": OTHER_SIDE[row["verdict"]]}


def _other_side(rate: Mapping[str, Any]) -> dict[str, Any]:
    low, high = (None if rate[end] is None else 1 - rate[end] for end in ("high", "low"))
    turned = {**rate, "value": 1 - rate["value"], "low": low, "high": high}
    if "simultaneous" in rate:
        turned["simultaneous"] = [1 - end for end in reversed(rate["simultaneous"])]
    return turned
