"""Turns a run's samples into scores: one set of rows for each predictor."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from popbench.prompting.originality import is_copy
from popbench.records import Sample, Scale, parts_of
from popbench.runs.run_json import RunJson, scale_of
from popbench.scores.answers import Answers
from popbench.scores.remarks import Remarks
from popbench.scores.rows import Rows, ScoreRow
from popbench.scores.scores import Scores


class RunScores:
    """Sorts the scores of a run's samples by predictor, one sample at a time."""

    def __init__(self, run_json: RunJson, source: str) -> None:
        self._run_json = run_json
        self._source = source
        self._rows = {predictor: Rows() for predictor in run_json["predictors"]}
        self._scales = {predictor: scale_of(run_json, predictor) for predictor in self._rows}
        self._remarks = Remarks()
        self._answers = Answers()

    def add(self, sample: Sample) -> None:
        """Add a sample's scores."""
        self._remarks.add(sample)
        self._answers.add(sample)
        prompt, copied = (sample.task, sample.prompt_id), is_copy(sample.originality)
        for predictor, rows in self._rows.items():
            popularity = sample.scores.get(predictor)
            rows.add(
                sample.system, prompt, sample.repeat, sample.category,
                _status(popularity, sample, self._scales[predictor]), popularity, sample.compliance, copied,
                (sample.parts or {}).get(predictor),
            )  # fmt: skip

    def scores(self, systems: Collection[str] | None = None) -> list[Scores]:
        """Return the scores by predictor, of some systems or all."""
        run_json = self._run_json
        references = {key: value for key, value in (run_json.get("references") or {}).items() if key != "remarks"}
        remarks = [*self._remarks.lines(run_json, systems), *self._answers.remarks(systems)]
        unusable = self._answers.unusable(systems)
        return [
            Scores(
                predictor=predictor,
                predictor_digest=digest,
                unit=run_json["units"][predictor],
                scale=self._scales[predictor],
                demo=run_json["demo"],
                win_shares=predictor in (run_json.get("comparisons") or {}),
                rows=rows if systems is None else rows.where(rows.of_systems(systems)),
                tasks={
                    name: {"hash": task["hash"], "group": task["group"], "prompts": task["prompts"]}
                    for name, task in run_json["tasks"].items()
                },
                systems=dict(run_json["systems"]),
                source=self._source,
                in_rounds=run_json["config"].get("until") is not None,
                modes={label: mode["name"] for label, mode in run_json["modes"].items()},
                mode_fingerprints={label: mode["fingerprints"] for label, mode in run_json["modes"].items()},
                notes=dict(run_json["notes"]),
                references=[references] if references else [],
                remarks=list(remarks),
                unusable=dict(unusable),
                card=run_json.get("cards", {}).get(predictor),
                drafts={
                    system: "|".join((self._source, *parts[:2]))
                    for system in run_json["systems"]
                    if (parts := parts_of(system)) is not None
                },
            )
            for (predictor, digest), rows in zip(run_json["predictors"].items(), self._rows.values(), strict=True)
        ]


def from_samples(samples: Iterable[Sample], run_json: RunJson, source: str) -> list[Scores]:
    """Sort a run's samples by predictor, as `RunScores` does."""
    run_scores = RunScores(run_json, source)
    for sample in samples:
        run_scores.add(sample)
    return run_scores.scores()


def _status(popularity: float | None, sample: Sample, scale: Scale) -> str:
    """Return the status of a score. On a real scale a sample without a score is invalid if it is not in error."""
    if scale == "real":
        return "ok" if popularity is not None else "error" if sample.status == "error" else "invalid"
    return "error" if popularity is None else "ok" if popularity > 0 else "invalid"


def row_of(sample: Sample, predictor: str, scale: Scale = "positive") -> ScoreRow:
    """Return a sample's score by one predictor; its status is that of this score, whatever other predictors found."""
    popularity = sample.scores.get(predictor)
    return ScoreRow(
        sample.system,
        sample.task,
        sample.prompt_id,
        sample.repeat,
        sample.category,
        _status(popularity, sample, scale),
        popularity,
        sample.compliance,
        is_copy(sample.originality),
    )
