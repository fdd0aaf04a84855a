"""Reading what is ranked: run directories, with what their run.json says, and files of scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from popbench.errors import UsageError, damage
from popbench.files import read_json
from popbench.leaderboard import eee
from popbench.leaderboard.about import About
from popbench.leaderboard.remarks import Remarks
from popbench.leaderboard.rows import Rows, ScoreRow
from popbench.leaderboard.score_files import read_scores
from popbench.leaderboard.scores import Scores
from popbench.originality import is_copy
from popbench.records import JSON, Sample
from popbench.samples import read_jsonl


class Gathering:
    """Sorts a run's samples by predictor as they pass by; `about` is the content of its run.json."""

    def __init__(self, about: Mapping[str, JSON], source: str) -> None:
        self._about = about
        self._source = source
        self._rows = {predictor: Rows() for predictor in about["predictors"]}
        self._remarks = Remarks()

    def add(self, sample: Sample) -> None:
        """Take a sample's scores."""
        self._remarks.add(sample)
        prompt, copied = (sample.task, sample.prompt_id), is_copy(sample.originality)
        for predictor, rows in self._rows.items():
            popularity = sample.scores.get(predictor)
            rows.add(
                sample.system, prompt, sample.repeat, sample.category, _status(popularity), popularity,
                sample.compliance, copied,
            )  # fmt: skip

    def scores(self, systems: Collection[str] | None = None) -> list[Scores]:
        """Return the scores by predictor, of some systems or all."""
        about = self._about
        references = {key: value for key, value in (about.get("references") or {}).items() if key != "remarks"}
        remarks = list(self._remarks.told(about, systems))
        return [
            Scores(
                predictor=predictor,
                predictor_digest=digest,
                unit=about["units"][predictor],
                demo=about["demo"],
                rows=rows if systems is None else rows.where(rows.of_systems(systems)),
                tasks={
                    name: {"hash": task["hash"], "group": task["group"], "prompts": task.get("prompts")}
                    for name, task in about["tasks"].items()
                },
                systems=dict(about["systems"]),
                source=self._source,
                modes={label: mode["name"] for label, mode in about["modes"].items()},
                mode_fingerprints={label: mode["fingerprints"] for label, mode in about["modes"].items()},
                notes=dict(about["notes"]),
                references=[references] if references else [],
                remarks=remarks,
            )
            for (predictor, digest), rows in zip(about["predictors"].items(), self._rows.values(), strict=True)
        ]


def from_samples(samples: Iterable[Sample], about: Mapping[str, JSON], source: str) -> list[Scores]:
    """Sort a run's samples by predictor, as `Gathering` does."""
    found = Gathering(about, source)
    for sample in samples:
        found.add(sample)
    return found.scores()


def _status(popularity: float | None) -> str:
    return "error" if popularity is None else "ok" if popularity > 0 else "invalid"


def row_of(sample: Sample, predictor: str) -> ScoreRow:
    """One predictor's view of a sample: what another predictor made of it is not its business."""
    popularity = sample.scores.get(predictor)
    return ScoreRow(
        sample.system,
        sample.task,
        sample.prompt_id,
        sample.repeat,
        sample.category,
        _status(popularity),
        popularity,
        sample.compliance,
        is_copy(sample.originality),
    )


def read_source(path: Path) -> list[Scores]:
    """Read a run directory, a board or one of its submissions, a file of bare scores, or Every Eval Ever files.

    Raises UsageError for what is none of these.
    """
    from popbench.publishing.board import is_board, read_board
    from popbench.publishing.submission import is_submission, read_submission

    if is_board(path):
        return read_board(path).scores()
    if is_submission(path):
        return [read_submission(path, named=False).scores(str(path))]
    if not path.is_dir() or eee.is_folder(path):
        return read_scores(path)
    about = read_about(path)
    try:
        scores = from_samples(read_jsonl(path / "samples.jsonl"), about, str(path))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    return scores


def read_about(run: Path) -> dict[str, JSON]:
    """Read the run.json of a finished run; raises UsageError for a run without scores, and for one that is damaged."""
    missing = [name for name in ("run.json", "samples.jsonl") if not (run / name).exists()]
    if len(missing) == 1:
        raise UsageError(f"{run}: no finished run here ({missing[0]} is missing): give its command again")
    if missing:
        raise UsageError(
            f"{run}: no finished run here (run.json and samples.jsonl are missing), and no exported scores"
        )
    try:
        about: dict[str, JSON] = read_json(run / "run.json")
        if not about["finished"]:
            raise UsageError(f"{run}: the run was stopped before it was done: give its command again first")
        if about["config"].get("stop_after"):
            raise UsageError(f"{run}: the run stopped after {about['config']['stop_after']}: it has no scores")
        if not about["predictors"]:
            raise UsageError(f"{run}: run.json names no predictor")
        About.model_validate(about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(run, error) from error
    return about


def _unreadable(run: Path, error: BaseException) -> UsageError:
    return UsageError(f"{run}: run.json cannot be read ({damage(error)})")
