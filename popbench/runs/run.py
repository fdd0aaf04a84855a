"""`popbench.Run`: the outcome of a run, with its samples and statistics for Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popbench.records import JSON, Sample
from popbench.runs.notebook import run_html
from popbench.runs.run_json import read_run_json
from popbench.runs.samples import as_dict, read_jsonl
from popbench.text import counted

if TYPE_CHECKING:
    import datasets
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A finished (or stopped) run: where it is and what came of it.

    `n` counts its samples, `errors` those without a result, `invalid` those that score 0; `problems` says, in one
    line each, which components ended early; `costs` what the calls behind its samples took, by component. `removed`
    names the files of an earlier board that a run with `stop_after` took away; `logged` says whether errors.log got
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
    finished: bool = True
    """Whether the command came to its end; False for a run that `popbench.load` found at work, or killed."""

    over_budget: str = ""
    """What `max_cost` left undone, in one line; empty if it stopped nothing."""

    @property
    def complete(self) -> bool:
        """Whether every sample has a result."""
        return self.finished and not self.errors and not self.problems

    @cached_property
    def results(self) -> dict[str, Any] | None:
        """All statistics (results.json); None where the run stopped before scoring, or no prompt is complete."""
        path = self.path / "results.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def samples(self) -> Iterator[Sample]:
        """Read the samples one by one."""
        return read_jsonl(self.path / "samples.jsonl")

    def to_pandas(self) -> pd.DataFrame:
        """Return the samples as a pandas DataFrame, one row each, with a column for each option of what made them.

        These are called `llm_temperature`, `generator_frames` or `mode_k`; options that are not set have none. Parts
        of scores have a column each, called by the predictor and the part: `judge/motion`; costs of clips and scores
        are `cost_generate` and `cost_predict`, and further fields that the tasks name `extra_lang` and the like.
        """
        import pandas as pd

        options = _options(self.path)
        rows = []
        for sample in self.samples():
            made_with = (options[kind].get(getattr(sample, kind), {}) for kind in options)
            row = as_dict(sample) | {name: value for of in made_with for name, value in of.items()}
            parts, costs, extra = row.pop("parts") or {}, row.pop("costs"), row.pop("extra")
            row |= {f"cost_{stage}": usd for stage, usd in costs.items() if stage != "llm"}
            row |= {f"extra_{name}": value for name, value in extra.items()}
            rows.append(row | {f"{by}/{name}": value for by, of in parts.items() for name, value in of.items()})
        return pd.DataFrame(rows)

    def to_dataset(self) -> datasets.Dataset:
        """Return the samples as a `datasets.Dataset`, one row each; `scores` and the like stay structs.

        `extra` is JSON text, since tasks may have fields of one name and other types; null where there is nothing.
        """
        import datasets

        rows = [as_dict(sample) for sample in self.samples()]
        for row in rows:
            row["extra"] = json.dumps(row["extra"], ensure_ascii=False) if row["extra"] else None
        for name in ("costs", "parts", "extra"):  # a column of nothing has no type
            if not any(row[name] for row in rows):
                for row in rows:
                    del row[name]
        return datasets.Dataset.from_list(rows)

    def _repr_html_(self) -> str:
        """Show the run in a notebook: its state, its systems, and clips of one prompt side by side."""
        state = "complete" if self.complete else "not finished" if not self.finished else "not complete"
        invalid = f", {self.invalid} invalid" if self.invalid else ""
        errors = f", {self.errors} without a result" if self.errors else ""
        summary = f"{state}, {counted(self.n, 'sample')}{invalid}{errors}" + ("; demo scores" if self.demo else "")
        samples = self.samples() if (self.path / "samples.jsonl").exists() else iter(())
        return run_html(self.path, summary, self.results, samples)


def _options(path: Path) -> dict[str, dict[str | None, dict[str, JSON]]]:
    """Return the options that are set, by kind and label, as run.json has them, named as columns."""
    run_json = read_run_json(path)
    options: dict[str, dict[str | None, dict[str, JSON]]] = {"llm": {}, "mode": {}, "generator": {}}
    for name, entry in run_json["components"].items():
        kind, _, label = name.partition(" ")
        if kind in options:
            options[kind][label] = entry["fingerprint"].get("options") or {}
    options["mode"] = {label: mode["options"] for label, mode in run_json["modes"].items()}
    return {
        kind: {
            label: {f"{kind}_{name}": value for name, value in given.items() if value is not None}
            for label, given in labels.items()
        }
        for kind, labels in options.items()
    }
