"""`popbench predictor audit` from Python: score a run's samples under changes, and write what came of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from popbench.audit.attribution import RESAMPLES, Attribution, Floats, Ints, Pairs, compare
from popbench.audit.clips import Variant, duration
from popbench.audit.equal_titles import equal_titles
from popbench.audit.novelty import novelty_of, warnings_of
from popbench.audit.scorer import Scored, Scorer
from popbench.errors import RunError, UsageError, one_line
from popbench.interfaces import Engine
from popbench.interfaces.models import is_real
from popbench.interfaces.uses import DEFAULT_USES, used_values
from popbench.leaderboard import audit_text
from popbench.leaderboard.audit_file import FILE, OUTDATED, content, keep_audit, prompts_of, select, with_earlier
from popbench.leaderboard.audit_text import document
from popbench.leaderboard.run_board import read_board, write_board
from popbench.planning.foreign_specs import check_named, check_recorded, typed
from popbench.planning.systems import Part, as_part
from popbench.progress import Progress
from popbench.records import JSON, Sample
from popbench.registry import Resolved, load_registry
from popbench.runs.directory import HeldDirectory, check_free
from popbench.runs.run_json import FILE as RUN_JSON
from popbench.runs.run_json import RunJson, read_finished, read_run_json
from popbench.runs.samples import prompt_of, read_jsonl
from popbench.stats.variance import pair_across
from popbench.text import counted
from popbench.video import sha256

SHUFFLES = 4
SEED = 42

_CHANGES: Mapping[str, tuple[str, Callable[[Variant], Variant]]] = {
    "black": ("video", lambda variant: replace(variant, change="black")),
    "empty_title": ("title", lambda variant: replace(variant, title="")),
    "control": ("video", lambda variant: replace(variant, change="same")),
    "reversed": ("video", lambda variant: replace(variant, change="reversed")),
    "still": ("video", lambda variant: replace(variant, change="still")),
}
"""Changes by name, with the part that a predictor must use to be asked for them."""
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
        if part.pairwise:
            raise UsageError(
                f"predictor {part.label} compares pairs, and an audit changes one sample at a time: name with "
                "--predictor those that score"
            )
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
        self.used = tuple(name for name in audit_text.SWAPPED if name in part.uses)
        self.asked = [_used(sample, path, self.used) for sample in samples]
        self.plain = [_variant(asked) for asked in self.asked]

    def run(self, scorer: Scorer) -> dict[str, JSON]:
        """Score all variants; returns the entry of audit.json."""
        unchanged = scorer.score("score unchanged samples of", self.plain)
        scores = self._levels(unchanged, self.plain)
        if unchanged.ended or not np.isfinite(scores).any():
            why = unchanged.ended or next(iter(unchanged.failures.values()))
            raise RunError(f"predictor {self.part.label} does not score the samples of the run as they are: {why}")
        pairs, swapped, failed = self._swaps(scorer, scores)
        attribution = Attribution(self.samples, scores, pairs, self.seed, real=self._real)
        parts = attribution.swaps()
        rows = [{**row, "failed": failed[row["change"]], "ended": swapped.ended} for row in parts.pop("rows")]
        before: Floats | None = None
        for name, (changed, change) in _CHANGES.items():
            if changed not in self.used:
                continue
            variants = [change(variant) for variant in self.plain]
            scored = scorer.score(f"score {audit_text.STAGES[name]} with", variants)
            after = self._levels(scored, variants)
            row = attribution.change(name, after, before if name in _RE_ENCODED else None)
            lost = sum(variant in scored.failures for variant in variants)
            rows.append({**row, "failed": lost, "ended": scored.ended})
            if name == "control":
                before = after
        at_equal_titles = self._at_equal_titles(scorer, unchanged)
        return self._entry(scores, unchanged, attribution, {**parts, "rows": rows, **at_equal_titles})

    def _at_equal_titles(self, scorer: Scorer, unchanged: Scored) -> dict[str, JSON]:
        """Return win rates at equal titles under their key; nothing for a predictor of titles or of videos alone."""
        if not {"title", "video"} <= set(self.used):
            return {}
        found = equal_titles(
            self.samples,
            self.plain,
            unchanged,
            lambda variants: scorer.score("score videos with equal titles with", variants),
            titles=self.shuffles,
            seed=self.seed,
            real=self._real,
        )
        return {} if found is None else {"equal_titles": found}

    def _levels(self, scored: Scored, variants: Sequence[Variant]) -> Floats:
        """Return the variants' scores: logarithms, so that differences are factors; on a real scale as they are."""
        values = np.asarray([scored.popularity.get(variant, np.nan) for variant in variants], dtype=np.float64)
        return values if self._real else np.log2(values)

    def _swaps(self, scorer: Scorer, scores: Floats) -> tuple[Pairs, Scored, Mapping[str, int]]:
        """Score pairs of samples with each part swapped; also returns how many of these scores failed, by part.

        Swapping one of two parts is the same as swapping the other: then each pair is scored twice, not four times.
        """
        prompts = {prompt: number for number, prompt in enumerate(prompts_of(self.samples))}
        groups = [prompts[sample.task, sample.prompt_id] for sample in self.samples]
        first, second, of = pair_across(groups, self.shuffles, self.seed)
        if len(self.used) == 1:  # swapping all there is gives the other sample
            (name,) = self.used
            return Pairs(first, second, of, {name: (scores[second], scores[first])}), Scored(), {name: 0}

        def with_part(name: str, into: Ints, source: Ints) -> list[Variant]:
            return [_variant({**self.asked[i], name: self.asked[j][name]}) for i, j in zip(into, source, strict=True)]

        swapped = {name: (with_part(name, first, second), with_part(name, second, first)) for name in self.used}
        variants = {name: [*x, *y] for name, (x, y) in swapped.items()}
        scored = scorer.score(f"score {audit_text.stage_of_swaps(self.used)} with", chain(*variants.values()))
        failed = {name: sum(variant in scored.failures for variant in of_part) for name, of_part in variants.items()}
        levels = {name: (self._levels(scored, x), self._levels(scored, y)) for name, (x, y) in swapped.items()}
        return Pairs(first, second, of, levels), scored, failed

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
        covariates = []
        if "title" in self.used:
            length = np.asarray([len(asked["title"]) for asked in self.asked], dtype=np.float64)
            covariates.append(attribution.covariate("title_length", length))
        if "video" in self.used:
            lengths = {asked["video"]: duration(asked["video"]) for asked in self.asked}
            seconds = np.asarray([lengths[asked["video"]] for asked in self.asked])
            covariates.append(attribution.covariate("duration", seconds))
        novelty = novelty_of(systems, [unchanged.extra.get(variant) for variant in self.plain])
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
            "covariates": covariates,
            "novelty": novelty,
        }
        if self.part.uses != DEFAULT_USES:
            entry["uses"] = list(self.used)
        entry["verdict"] = audit_text.verdict(entry)
        entry["warnings"] = [*audit_text.warnings(entry), *warnings_of(novelty)]
        return entry


def _used(sample: Sample, path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return what a predictor sees of a sample, by name; the video is a path."""
    prompt = prompt_of(sample, sample.extra)
    draft = {"title": sample.title or "", "video_prompt": sample.video_prompt}
    used = used_values(frozenset(names), prompt, draft, "")
    return {name: path / str(sample.video) if name == "video" else used[name] for name in names}


def _variant(asked: Mapping[str, Any]) -> Variant:
    others = {name: value for name, value in asked.items() if name not in DEFAULT_USES}
    return Variant(asked.get("title", ""), asked.get("video", Path()), None, json.dumps(others) if others else "{}")


def _board(path: Path, run_json: RunJson) -> dict[str, Any] | None:
    """Return the run's board without audits, None if it has no board; raises UsageError if it is damaged."""
    board = read_board(path, run_json["config"], "audit")
    if board is not None:
        board["remarks"] = [line for line in board["remarks"] if line != OUTDATED]
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
