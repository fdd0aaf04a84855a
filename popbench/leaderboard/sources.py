"""Reading what is ranked: run directories, with what their run.json says, and files of scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from popbench.errors import UsageError, one_line
from popbench.leaderboard import eee
from popbench.leaderboard.remarks import remarks_of
from popbench.leaderboard.score_files import read_scores
from popbench.leaderboard.scores import ScoreRow, Scores
from popbench.originality import is_copy
from popbench.records import JSON, Sample
from popbench.samples import read_jsonl


def from_samples(samples: Iterable[Sample], about: Mapping[str, JSON], source: str) -> list[Scores]:
    """Sort a run's samples by predictor; `about` is the content of its run.json."""
    samples = list(samples)
    tasks = {
        name: {"hash": task["hash"], "group": task["group"], "prompts": task.get("prompts")}
        for name, task in about["tasks"].items()
    }
    modes = {label: mode["name"] for label, mode in about["modes"].items()}
    remarks = list(remarks_of(samples, about))
    references = {key: value for key, value in (about.get("references") or {}).items() if key != "remarks"}
    return [
        Scores(
            predictor=predictor,
            predictor_digest=digest,
            unit=about["units"][predictor],
            demo=about["demo"],
            rows=[row_of(sample, predictor) for sample in samples],
            tasks=tasks,
            systems=dict(about["systems"]),
            source=source,
            modes=modes,
            mode_fingerprints={label: mode["fingerprints"] for label, mode in about["modes"].items()},
            notes=dict(about["notes"]),
            references=[references] if references else [],
            remarks=remarks,
        )
        for predictor, digest in about["predictors"].items()
    ]


def row_of(sample: Sample, predictor: str) -> ScoreRow:
    """One predictor's view of a sample: what another predictor made of it is not its business."""
    popularity = sample.scores.get(predictor)
    status = "error" if popularity is None else "ok" if popularity > 0 else "invalid"
    return ScoreRow(
        sample.system,
        sample.task,
        sample.prompt_id,
        sample.repeat,
        sample.category,
        status,
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
    if not (run / "run.json").exists() or not (run / "samples.jsonl").exists():
        raise UsageError(
            f"{run}: no finished run here (run.json and samples.jsonl are missing), and no exported scores"
        )
    try:
        about: dict[str, JSON] = json.loads((run / "run.json").read_text(encoding="utf-8"))
        if not about["finished"]:
            raise UsageError(f"{run}: the run was stopped before it was done: give its command again first")
        if about["config"].get("stop_after"):
            raise UsageError(f"{run}: the run stopped after {about['config']['stop_after']}: it has no scores")
        if not about["predictors"]:
            raise UsageError(f"{run}: run.json names no predictor")
        _check_about(about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(run, error) from error
    return about


def _unreadable(run: Path, error: BaseException) -> UsageError:
    return UsageError(f"{run}: run.json cannot be read ({one_line(error)})")


def _check_about(about: Mapping[str, JSON]) -> None:
    """Raise ValueError for values of a run.json that boards would trip over: anybody may have written it."""
    if not isinstance(about["demo"], bool):
        raise ValueError("demo is neither true nor false")
    for name, unit in about["units"].items():
        if not isinstance(unit, str):
            raise ValueError(f"the unit of predictor {name!r} is no text")
    for name, task in about["tasks"].items():
        if not isinstance(task.get("prompts"), int | None):
            raise ValueError(f"prompts of task {name!r} is no number")
