"""Reads a run's audit.json, for boards that are written after the audit.

They show an audit as long as it is of the same predictor and the same samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from popbench.files import read_json
from popbench.keys import digest
from popbench.leaderboard.audit_text import document, section
from popbench.records import Prompt, Sample
from popbench.tasks.task import spread

FILE = "audit.json"
OUTDATED = (
    "The audit in audit.json is of other samples or of another predictor than this board, and left out: "
    "popbench predictor audit makes a new one."
)


def keep_audit(results: dict[str, Any], samples: Iterable[Sample], folder: Path) -> None:
    """Add the audits of audit.json, if there is one, to results.json, or a remark that they are out of date.

    Only audits of the run's predictors are added. `samples` may be read several times.
    """
    file = folder / FILE
    if not file.exists():
        return
    try:
        audits = [entry for entry in read_json(file)["audits"] if entry["of_run"]]
        kept = list(_current(audits, results, samples))
        section({"audit": kept})  # a damaged audit fails here rather than while the board is written
    except Exception:  # a stranger's file may hold anything
        audits, kept = [{}], []
    if kept:
        results["audit"] = kept
    if len(kept) < len(audits):
        results["remarks"].append(OUTDATED)


def with_earlier(latest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the latest audits with those of other predictors in audit.json; a damaged audit.json is ignored."""
    whole = dict(latest)
    try:
        earlier = read_json(folder / FILE)
        here = {entry["predictor"] for entry in latest["audits"]}
        audits = [*latest["audits"], *(entry for entry in earlier["audits"] if entry["predictor"] not in here)]
        whole |= {"demo": any(entry["demo"] for entry in audits), "notes": {**earlier["notes"], **latest["notes"]}}
        whole["audits"] = audits
        document(whole)
    except Exception:  # the file may be missing, or hold anything
        return dict(latest)
    return whole


def _current(
    audits: Sequence[dict[str, Any]], results: Mapping[str, Any], samples: Iterable[Sample]
) -> Iterator[dict[str, Any]]:
    digests = {predictor["name"]: predictor["digest"] for predictor in results["predictors"]}
    for entry in audits:
        name = entry["predictor"]
        if digests.get(name) == entry["digest"]:
            chosen = select(samples, entry["limit"])
            if content(chosen, name) == entry["samples"]["digest"]:
                yield entry


def select(samples: Iterable[Sample], limit: int | None) -> list[Sample]:
    """Return the samples that are ok, of `limit` prompts per task, chosen among the run's as `eval --limit` does.

    Iterators are read into memory; what can be iterated over again, such as a file, is read twice instead.
    """
    samples = list(samples) if isinstance(samples, Iterator) else samples
    prompts: dict[str, dict[str, Prompt]] = {}
    for sample in samples:
        of_task = prompts.setdefault(sample.task, {})
        of_task.setdefault(sample.prompt_id, Prompt(sample.prompt_id, sample.prompt, sample.category, sample.task))
    chosen = {
        (prompt.task, prompt.id) for of_task in prompts.values() for prompt in spread(list(of_task.values()), limit)
    }
    return [
        sample
        for sample in samples
        if sample.status == "ok" and sample.video is not None and (sample.task, sample.prompt_id) in chosen
    ]


def content(samples: Sequence[Sample], predictor: str) -> str:
    """Return a digest of what an audit of a predictor depends on: the samples, their titles, videos and scores."""
    rows = [
        [
            sample.system, sample.task, sample.prompt_id, sample.repeat, sample.title, sample.video_sha256,
            sample.scores.get(predictor),
        ]
        for sample in samples
    ]  # fmt: skip
    return digest("audit", sorted(rows, key=lambda row: row[:4]))


def prompts_of(samples: Iterable[Sample]) -> list[tuple[str, str]]:
    """Return the prompts of samples as (task, prompt id), each once."""
    return list(dict.fromkeys((sample.task, sample.prompt_id) for sample in samples))
