"""An audit on later boards: kept as long as it is of the same predictor and the same samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from popbench.files import read_json
from popbench.records import Sample

FILE = "audit.json"
OUTDATED = (
    "The audit in audit.json is of other samples or of another predictor than this board, and left out: "
    "popbench predictor audit makes a new one."
)


def keep_audit(results: dict[str, Any], samples: Iterable[Sample], folder: Path) -> None:
    """Put what audit.json says into results.json, or a remark that it is out of date; nothing where there is none.

    Audits of predictors that are not the run's stay in their own file. `samples` are read as often as it takes.
    """
    file = folder / FILE
    if not file.exists():
        return
    from popbench.audit.report import section

    try:
        audits = [entry for entry in read_json(file)["audits"] if entry["of_run"]]
        kept = list(_current(audits, results, samples))
        section({"audit": kept})  # whoever wrote the file: a board must not fail over it
    except Exception:  # whatever stands there, it is no audit of this run
        audits, kept = [{}], []
    if kept:
        results["audit"] = kept
    if len(kept) < len(audits):
        results["remarks"].append(OUTDATED)


def with_earlier(found: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Add to what was found the audits of other predictors that audit.json holds; what is no audit is dropped."""
    from popbench.audit.report import document

    whole = dict(found)
    try:
        known = read_json(folder / FILE)
        here = {entry["predictor"] for entry in found["audits"]}
        audits = [*found["audits"], *(entry for entry in known["audits"] if entry["predictor"] not in here)]
        whole |= {"demo": any(entry["demo"] for entry in audits), "notes": {**known["notes"], **found["notes"]}}
        whole["audits"] = audits
        document(whole)
    except Exception:  # not there, or whatever stands there: it is no audit
        return dict(found)
    return whole


def _current(
    audits: Sequence[dict[str, Any]], results: Mapping[str, Any], samples: Iterable[Sample]
) -> Iterator[dict[str, Any]]:
    from popbench.audit.samples import content, select

    digests = {predictor["name"]: predictor["digest"] for predictor in results["predictors"]}
    for entry in audits:
        name = entry["predictor"]
        if digests.get(name) == entry["digest"]:
            chosen = select(samples, entry["limit"])
            if content(chosen, name) == entry["samples"]["digest"]:
                yield entry
