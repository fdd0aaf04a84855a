"""Makes the submission of a run that `run_checks` checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from popbench.errors import UsageError, damage
from popbench.files import read_json
from popbench.keys import digest
from popbench.planning.human import NAME as HUMAN
from popbench.publishing.run_checks import PublishedRun, predictor_of, tasks_of
from popbench.records import Sample, parts_of
from popbench.runs.costs import totals
from popbench.runs.made_by import makers
from popbench.runs.redaction import public, public_machine, public_spec, public_text
from popbench.runs.run_json import RunJson
from popbench.scores.board_rules import Rules
from popbench.scores.run_scores import from_samples
from popbench.scores.scores import Scores
from popbench.scores.submission import (
    SCHEMA,
    Component,
    Costs,
    Machine,
    Mode,
    ReferencesOf,
    Submission,
    SubmittedScore,
    Tried,
    Unusable,
)


def submission_of(run: PublishedRun, rules: Rules, tried: Tried) -> Submission:
    """Make a submission of the samples that the board's predictor scored; `tried` says how it was chosen."""
    run_json = run.run_json
    label = next(
        name for name, predictor_digest in run_json["predictors"].items() if predictor_digest == rules.predictor.digest
    )
    scores = next(
        of_predictor
        for of_predictor in from_samples(run.samples, run_json, str(run.path))
        if of_predictor.predictor == label
    )
    systems = run.systems
    tasks = sorted({sample.task for sample in run.samples})
    parts, modes = _parts(run_json, systems, label), _modes(run_json, systems, tasks)
    return Submission(
        schema=SCHEMA,
        popbench=run_json["versions"]["popbench"],
        demo=run_json["demo"],
        predictor=predictor_of(run_json, label, rules.predictor.name),
        tasks={name: task for name, task in tasks_of(run_json).items() if name in tasks},
        repeats=run_json["config"]["repeats"],
        seed=run_json["config"]["seed"],
        systems={system: {task: run_json["systems"][system][task] for task in tasks} for system in systems},
        modes=modes,
        components=parts,
        notes=_notes(run_json, [name.partition(" ")[2] for name in parts] + list(modes)),
        references=[ReferencesOf(**public(of)) for of in scores.references],
        remarks=public(scores.remarks),
        costs=[*(Costs(**row) for row in totals(run.samples)), *_other_costs(run, label)],
        versions=run_json["versions"],
        machine=Machine(**public_machine(run_json["machine"])),
        unusable={
            system: Unusable(answers=of["answers"], reasons=_public_reasons(of["reasons"]))
            for system, of in scores.unusable.items()
        },
        tried=tried,
        rows=_rows(run.samples, scores),
    )


def _other_costs(run: PublishedRun, predictor: str) -> Iterator[Costs]:
    """Yield what clips and the predictor's scores cost, of results.json; samples do not say what each call took.

    Of a part of the samples this is unknown.
    """
    if not run.whole:
        return
    try:
        rows = read_json(run.path / "results.json").get("costs") or []
        for row in rows:
            if "generator" in row or row.get("predictor") == predictor:
                yield Costs(**{name: value for name, value in row.items() if name != "failed"})
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{run.path}: results.json cannot be read ({damage(error)})") from error


def _modes(run_json: RunJson, systems: Sequence[str], tasks: Sequence[str]) -> dict[str, Mode]:
    labels = sorted({system.split("|")[1] for system in systems if system != HUMAN})
    return {
        label: Mode(
            name=run_json["modes"][label]["name"],
            options=public(run_json["modes"][label]["options"]),
            fingerprints={task: run_json["modes"][label]["fingerprints"][task] for task in tasks},
        )
        for label in labels
    }


def _parts(run_json: RunJson, systems: Sequence[str], predictor: str) -> dict[str, Component]:
    """Return the components behind the systems' results."""
    used = {f"predictor {predictor}"}
    for system in systems:
        used.update(makers(system))
        if (parts := parts_of(system)) is not None:
            used.add(f"mode {parts[1]}")  # of a mode that a plugin brings
    return {
        name: Component(
            spec=public_spec(part["spec"]), digest=digest(part["fingerprint"]), fingerprint=public(part["fingerprint"])
        )
        for name, part in sorted(run_json["components"].items())
        if name in used or name.partition(" ")[0] in ("corpus", "embedder")
    }


def _notes(run_json: RunJson, labels: Sequence[str]) -> dict[str, str]:
    return {label: str(public(note)) for label, note in sorted(run_json["notes"].items()) if label in labels}


def _public_reasons(reasons: Mapping[str, int]) -> dict[str, int]:
    return {public_text(reason): number for reason, number in reasons.items()}


def _rows(samples: Sequence[Sample], scores: Scores) -> list[SubmittedScore]:
    rows = [
        SubmittedScore(
            system=row.system,
            task=row.task,
            prompt_id=row.prompt_id,
            repeat=row.repeat,
            category=row.category,
            status="ok" if row.status == "ok" else "invalid",
            popularity=row.popularity,
            compliance=row.compliance,
            originality=sample.originality,
            video_sha256=sample.video_sha256,
        )
        for sample, row in zip(samples, scores.rows, strict=True)
        if row.status != "error"
    ]
    return sorted(rows, key=lambda row: (row.system, row.task, row.prompt_id, row.repeat))
