"""What a page needs of a run's samples, in one pass over them; of very many, the gallery holds a part."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from popbench.records import Sample
from popbench.report.stage_costs import Stages
from popbench.runs.run_json import RunJson
from popbench.runs.samples import read_jsonl
from popbench.scores.rows import Rows
from popbench.scores.run_scores import RunScores
from popbench.scores.scores import Scores

SHOWN = 20_000
"""Samples that a page holds at most: more make it slow to open."""


class Survey:
    """A run's samples as numbers, and those of the gallery whole.

    `scores` are by predictor, `took` is what `Stages` says, `n` counts the samples and `samples` are those that are
    shown: all of them, or those of some prompts and repeats, and then `told` says which. The same run gives the same.
    """

    def __init__(self, path: Path, run_json: RunJson, shown: int = SHOWN) -> None:
        """Read samples.jsonl at `path`; raises UsageError where it is damaged."""
        run_scores, stages = RunScores(run_json, str(path.parent)), Stages()
        self.n = 0
        self.categories: set[str] = set()
        self.samples: list[Sample] = []
        for sample in read_jsonl(path):
            self.n += 1
            run_scores.add(sample)
            stages.add(sample)
            self.categories.add(sample.category)
            if self.n <= shown:
                self.samples.append(sample)
        self.scores: list[Scores] = run_scores.scores()
        self.took = stages.rows()
        self.told = ""
        if self.n > shown:
            self.samples = []
            self.samples = list(self._chosen(path, self.scores[0].table, shown))

    def _chosen(self, path: Path, rows: Rows, shown: int) -> Iterator[Sample]:
        """Read the first repeats of all prompts; where one of each is too many, some prompts of every category."""
        prompts, repeats = list(_spread(rows)), np.unique(rows.repeat)
        systems = len(rows.system_names)
        some = prompts[: max(1, shown // systems)]
        first = repeats[: max(1, shown // (systems * len(some)))]
        lines = np.flatnonzero(rows.of_prompts(some) & np.isin(rows.repeat, first)) + 1
        parts = [f"{len(some):,} of {len(prompts):,} prompts"] if len(some) < len(prompts) else []
        parts += [f"{len(first):,} of {len(repeats):,} repeats"] if len(first) < len(repeats) else []
        self.told = f"{len(lines):,} of the {self.n:,} samples are on this page ({', '.join(parts)})"
        yield from read_jsonl(path, only=set(lines.tolist()))


def _spread(rows: Rows) -> Iterator[tuple[str, str]]:
    """Yield the prompts so that any beginning of them covers tasks and categories."""
    codes, first = np.unique(rows.prompt, return_index=True)
    strata: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for code, category in zip(codes.tolist(), rows.category[first].tolist(), strict=True):
        prompt = rows.prompts.names[code]
        strata.setdefault((prompt[0], rows.categories.names[category]), []).append(prompt)
    for turn in zip_longest(*(sorted(strata[stratum]) for stratum in sorted(strata))):
        yield from (prompt for prompt in turn if prompt is not None)
