"""`popbench.Run`: the outcome of a run, with its samples and statistics for Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popbench.records import JSON, Sample
from popbench.runs.samples import as_dict, read_jsonl

if TYPE_CHECKING:
    import datasets
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A finished (or stopped) run: where it is and what came of it.

    `n` counts its samples, `errors` those without a result, `invalid` those that score 0; `problems` says, in one
    line each, which components ended early; `costs` what the drafts of its samples took, by LLM. `removed` names
    the files of an earlier board that a run with `stop_after` took away; `logged` says whether errors.log got
    tracebacks of this run.
    """

    path: Path
    demo: bool
    n: int = 0
    errors: int = 0
    invalid: int = 0
    problems: tuple[str, ...] = ()
    costs: tuple[Mapping[str, JSON], ...] = ()
    removed: tuple[str, ...] = ()
    logged: bool = False
    reasons: tuple[tuple[str, int], ...] = ()
    """Why samples are invalid, with their number, the commonest first; of very many, not all."""
    remarks: tuple[str, ...] = ()
    """What components remarked on their answers, a line each; boards have them too."""
    unusable: Mapping[str, JSON] = field(default_factory=dict)
    """By system the number of its `answers`, and of those without a usable draft by `reasons`."""

    @property
    def complete(self) -> bool:
        """Whether every sample has a result."""
        return not self.errors and not self.problems

    @cached_property
    def results(self) -> dict[str, Any] | None:
        """All statistics (results.json); None where the run stopped before scoring, or no prompt is complete."""
        path = self.path / "results.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def samples(self) -> Iterator[Sample]:
        """Read the samples one by one."""
        return read_jsonl(self.path / "samples.jsonl")

    def to_pandas(self) -> pd.DataFrame:
        """Return the samples as a pandas DataFrame, one row each."""
        import pandas as pd

        return pd.DataFrame([as_dict(sample) for sample in self.samples()])

    def to_dataset(self) -> datasets.Dataset:
        """Return the samples as a `datasets.Dataset`, one row each; `scores` and the like stay structs."""
        import datasets

        return datasets.Dataset.from_list([as_dict(sample) for sample in self.samples()])
