"""`popbench predictor audit` from Python: score a run's samples under changes, and write what came of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from popbench.audit.attribution import RESAMPLES, Attribution, Floats, Pairs, compare
from popbench.audit.clips import Variant, duration
from popbench.audit.novelty import novelty_of, warnings_of
from popbench.audit.scorer import Scored, Scorer
from popbench.errors import RunError, UsageError, damage, one_line
from popbench.files import read_json
from popbench.interfaces import Engine, is_real
from popbench.leaderboard import audit_text
from popbench.leaderboard.audit_file import FILE, OUTDATED, content, keep_audit, prompts_of, select, with_earlier
from popbench.leaderboard.audit_text import document
from popbench.leaderboard.run_board import render, write_board
from popbench.planning.foreign_specs import check_named, check_recorded, typed
from popbench.planning.systems import Part, as_part
from popbench.progress import Progress
from popbench.records import JSON, Sample
from popbench.registry import Resolved, load_registry
from popbench.runs.directory import HeldDirectory, check_free
from popbench.runs.run_json import FILE as RUN_JSON
from popbench.runs.run_json import RunJson, read_finished, read_run_json
from popbench.runs.samples import read_jsonl
from popbench.stats.variance import pair_across
from popbench.text import counted
from popbench.video import sha256

SHUFFLES = 4
SEED = 42

_CHANGES: Mapping[str, Callable[[str, Path], Variant]] = {
    "black": lambda title, video: Variant(title, video, "black"),
    "empty_title": lambda _, video: Variant("", video),
    "control": lambda title, video: Variant(title, video, "same"),
    "reversed": lambda title, video: Variant(title, video, "reversed"),
    "still": lambda title, video: Variant(title, video, "still"),
}
_RE_ENCODED = ("reversed", "still")


def audit(
    path: Path,
    predictors: Sequence[str] = (),
    *,
    limit: int | None = None,
    shuffles: int = SHUFFLES,
    seed: int = SEED,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Audit a run's predictors, or those of the specs `predictors`; writes audit.json, audit.md and the run's board.

    Returns the new audits; audit.json also keeps the latest audits of other predictors. The run is locked meanwhile;
    its ledger is not changed.

    Raises:
        UsageError: the run cannot be audited so; nothing was done.
        RunError: a predictor did not score the unchanged samples, or the disk refused; nothing was written.
    """
    progress = progress or Progress()
    read_run_json(path)  # first, since locking a folder that is no run would leave files in it
    check_free(path)
    with HeldDirectory(path) as directory:
        run_json = read_finished(path)
        board = _board(path, run_json)  # a damaged board is refused before hours of work
        all_samples = list(read_jsonl(path / "samples.jsonl"))
        samples = select(all_samples, limit)
        _check_samples(path, samples)
        parts = _predictors(path, run_json, predictors)
        # Not the run's own engine: a stranger's run.json may name other machines.
        engine = load_registry().resolve("engine", "local", _runtime(run_json))
        _check(parts, engine)
        with _working(engine.component, progress) as folder:
            audits = [
                _Audit(part, samples, run_json, path, limit, shuffles, seed).run(
                    Scorer(engine.component, part, folder, progress)
                )
                for part in parts
            ]
        content = {
            "schema": 1,
            "demo": any(entry["demo"] for entry in audits),
            "notes": {part.label: note for part in parts if (note := part.resolved.component.note)},
            "audits": audits,
        }
        _write(directory, content, run_json, all_samples, board)
    return content


@contextmanager
def _working(engine: Engine, progress: Progress) -> Iterator[Path]:
    """Start an engine in a temporary folder; afterwards the engine is closed and the folder removed."""
    with tempfile.TemporaryDirectory(prefix="popbench-audit-", ignore_cleanup_errors=True) as folder:
        engine.start(Path(folder))
        try:
            yield Path(folder)
        finally:
            engine.close()
            progress.close()


def _runtime(run_json: RunJson) -> dict[str, JSON]:
    """Return the run's runtime options, for the components that have them."""
    concurrency = run_json["config"].get("concurrency")
    return {} if concurrency is None else {"concurrency": concurrency}


def _check_samples(path: Path, samples: Sequence[Sample]) -> None:
    if not samples:
        raise UsageError(f"{path}: no sample is ok, so there is nothing to audit")
    if len(prompts_of(samples)) < 2:
        raise UsageError(f"{path}: titles and videos are swapped between prompts, and there is only one")
    videos = {str(sample.video) for sample in samples}
    outside = sorted(video for video in videos if not (path / video).resolve().is_relative_to(path.resolve()))
    if outside:
        raise UsageError(
            f"{path}: samples.jsonl names a video outside the run ({outside[0]}): give the run's command again"
        )
    gone = sorted(video for video in videos if not (path / video).is_file())
    if gone:
        raise UsageError(
            f"{path}: {len(gone)} of {counted(len(videos), 'video')} {'is' if len(gone) == 1 else 'are'} missing "
            f"({gone[0]}): give the run's command again, which renders them"
        )
    hashes = {video: sha256(path / video) for video in videos}
    other = sorted(str(sample.video) for sample in samples if hashes[str(sample.video)] != sample.video_sha256)
    if other:
        raise UsageError(
            f"{path}: {other[0]} is not the clip that was scored, its SHA-256 differs: restore it, or remove it and "
            "give the run's command again"
        )


def _predictors(path: Path, run_json: RunJson, specs: Sequence[str]) -> list[Part]:
    """Resolve the predictors; raises UsageError if one has a label of the run's and another fingerprint."""
    registry = load_registry()
    recorded = run_json["config"].get("predictor", [])
    if not specs:
        source = str(path / RUN_JSON)
        check_recorded(recorded, source)
        for spec in recorded:
            check_named({"predictor": spec}, source, f"give the one that you mean, {typed('--predictor', spec)}")
    parts: dict[str, Part] = {}
    for spec in specs or recorded:
        part = as_part(registry.resolve("predictor", spec, _runtime(run_json)))
        if run_json["predictors"].get(part.label, part.digest) != part.digest:
            raise UsageError(
                f"{path}: predictor {part.label} is not the one that scored the run, their fingerprints differ: score "
                "the run with it first (popbench eval), or name it apart with label="
            )
        parts.setdefault(part.label, part)
        if parts[part.label].digest != part.digest:
            raise UsageError(f"two predictors are labelled {part.label!r}: give one another name with label=NAME")
    return list(parts.values())


def _check(parts: Sequence[Part], engine: Resolved) -> None:
    lacks = []
    for resolved in (*(part.resolved for part in parts), engine):
        try:
            lines = resolved.component.check()
        except Exception as error:  # a plugin's check may raise anything
            lines = [f"its check failed: {one_line(error)}"]
        lacks += [f"{resolved.spec.kind} {resolved.spec.label}: {line}" for line in lines]
    if lacks:
        raise UsageError("\n".join(lacks))


class _Audit:
    """The audit of one predictor."""

    def __init__(
        self,
        part: Part,
        samples: Sequence[Sample],
        run_json: RunJson,
        path: Path,
        limit: int | None,
        shuffles: int,
        seed: int,
    ) -> None:
        self.part, self.samples, self.run_json = part, samples, run_json
        self.limit, self.shuffles, self.seed = limit, shuffles, seed
        self._real = is_real(part.resolved.component)
        self.asked = [(sample.title or "", path / str(sample.video)) for sample in samples]

    def run(self, scorer: Scorer) -> dict[str, JSON]:
        """Score all variants; returns the entry of audit.json."""
        plain = [Variant(*asked) for asked in self.asked]
        unchanged = scorer.score("score unchanged samples of", plain)
        scores = self._levels(unchanged, plain)
        if unchanged.ended or not np.isfinite(scores).any():
            why = unchanged.ended or next(iter(unchanged.failures.values()))
            raise RunError(f"predictor {self.part.label} does not score the samples of the run as they are: {why}")
        pairs, swapped, failed = self._swaps(scorer)
        attribution = Attribution(self.samples, scores, pairs, self.seed, real=self._real)
        parts = attribution.swaps()
        rows = [{**row, "failed": failed, "ended": swapped.ended} for row in parts.pop("rows")]
        before: Floats | None = None
        for name, change in _CHANGES.items():
            variants = [change(*asked) for asked in self.asked]
            scored = scorer.score(f"score {audit_text.STAGES[name]} with", variants)
            after = self._levels(scored, variants)
            row = attribution.change(name, after, before if name in _RE_ENCODED else None)
            lost = sum(variant in scored.failures for variant in variants)
            rows.append({**row, "failed": lost, "ended": scored.ended})
            if name == "control":
                before = after
        return self._entry(scores, unchanged, attribution, {**parts, "rows": rows})

    def _levels(self, scored: Scored, variants: Sequence[Variant]) -> Floats:
        """Return the variants' scores: logarithms, so that differences are factors; on a real scale as they are."""
        values = np.asarray([scored.popularity.get(variant, np.nan) for variant in variants], dtype=np.float64)
        return values if self._real else np.log2(values)

    def _swaps(self, scorer: Scorer) -> tuple[Pairs, Scored, int]:
        """Score pairs of samples with their titles swapped, which is the same as with their videos swapped."""
        prompts = {prompt: number for number, prompt in enumerate(prompts_of(self.samples))}
        groups = [prompts[sample.task, sample.prompt_id] for sample in self.samples]
        first, second, of = pair_across(groups, self.shuffles, self.seed)
        x = [Variant(self.asked[j][0], self.asked[i][1]) for i, j in zip(first, second, strict=True)]
        y = [Variant(self.asked[i][0], self.asked[j][1]) for i, j in zip(first, second, strict=True)]
        scored = scorer.score(f"score {audit_text.STAGES['title']} with", [*x, *y])
        failed = sum(variant in scored.failures for variant in (*x, *y))
        return Pairs(first, second, of, self._levels(scored, x), self._levels(scored, y)), scored, failed

    def _entry(
        self, scores: Floats, unchanged: Scored, attribution: Attribution, statistics: Mapping[str, JSON]
    ) -> dict[str, JSON]:
        label = self.part.label
        of_run = label in self.run_json["predictors"]
        stored = {
            number: popularity
            for number, sample in enumerate(self.samples)
            if (popularity := sample.scores.get(label)) is not None and (self._real or popularity > 0)
        }
        systems = [sample.system for sample in self.samples]
        length = np.asarray([len(title) for title, _ in self.asked], dtype=np.float64)
        lengths = {video: duration(video) for _, video in self.asked}
        seconds = np.asarray([lengths[video] for _, video in self.asked])
        novelty = novelty_of(systems, [unchanged.extra.get(Variant(*asked)) for asked in self.asked])
        component = self.part.resolved.component
        entry: dict[str, JSON] = {
            "predictor": label,
            "digest": self.part.digest,
            "unit": component.unit,
            **({"scale": "real"} if self._real else {}),
            "demo": bool(component.demo or self.run_json["demo"]),
            "of_run": of_run,
            "limit": self.limit,
            "shuffles": self.shuffles,
            "seed": self.seed,
            "resamples": RESAMPLES,
            "level": 0.95,
            "samples": {
                "n": len(self.samples),
                "failed": int((~np.isfinite(scores)).sum()),
                "prompts": len(prompts_of(self.samples)),
                "systems": sorted(set(systems)),
                "digest": content(self.samples, label),
            },
            "stored": compare(stored, scores, real=self._real) if of_run else None,
            **statistics,
            "covariates": [
                attribution.covariate("title_length", length),
                attribution.covariate("duration", seconds),
            ],
            "novelty": novelty,
        }
        entry["verdict"] = audit_text.verdict(entry)
        entry["warnings"] = [*audit_text.warnings(entry), *warnings_of(novelty)]
        return entry


def _board(path: Path, run_json: RunJson) -> dict[str, Any] | None:
    """Return the run's board without audits, None if it has no board; raises UsageError if it is damaged."""
    if not (path / "results.json").exists():
        return None
    try:
        board: dict[str, Any] = read_json(path / "results.json")
        board["remarks"] = [line for line in board["remarks"] if line != OUTDATED]
        board.pop("audit", None)
        render(board, run_json["config"])
    except Exception as error:  # a stranger's file may hold anything
        raise UsageError(
            f"{path / 'results.json'} cannot be read as a board ({damage(error)}): run popbench eval again"
        ) from error
    return board


def _write(
    directory: HeldDirectory,
    content: Mapping[str, Any],
    run_json: RunJson,
    samples: Sequence[Sample],
    board: dict[str, Any] | None,
) -> None:
    """Write the audit's files, then the run's board with the audit; each file whole or not at all."""
    content = with_earlier(content, directory.path)
    directory.write_json(FILE, content)
    directory.write_text("audit.md", document(content))
    if board is not None:
        keep_audit(board, samples, directory.path)
        write_board(directory, board, run_json["config"])
