"""The end of a run: its samples, its statistics and its board, from what the ledger holds.

Samples pass by once and are counted on the way: nothing is kept of one but its scores, as numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from popbench.errors import RunError, UsageError
from popbench.pipeline.items import ResultErrors
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.plan import Plan
from popbench.records import Sample
from popbench.runs.collect import collect
from popbench.runs.costs import Totals
from popbench.runs.directory import RunDirectory
from popbench.runs.run import Run
from popbench.runs.run_json import describe
from popbench.runs.samples import SamplesFile, write_jsonl
from popbench.scores.run_scores import RunScores
from popbench.text import counted

REASONS = 10_000
"""Reasons that are told apart at most."""


class SampleCounts:
    """Counts samples as they go through it: `n`, `errors` and `invalid`, and `reasons` of the invalid ones.

    `systems` are in the order in which they were met, `ranked` those of them with any result; `totals` adds up costs.
    """

    def __init__(self) -> None:
        self.n = self.errors = self.invalid = 0
        self.reasons: Counter[str] = Counter()
        self.systems: dict[str, None] = {}
        self.ranked: set[str] = set()
        self.totals = Totals()

    def through(self, samples: Iterable[Sample], scores: RunScores | None = None) -> Iterator[Sample]:
        """Yield the samples, each after it was counted, and after `scores` took it."""
        for sample in samples:
            self.add(sample)
            if scores is not None:
                scores.add(sample)
            yield sample

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        self.n += 1
        self.systems[sample.system] = None
        self.totals.add(sample)
        if sample.status == "error":
            self.errors += 1
            return
        self.ranked.add(sample.system)
        if sample.status == "invalid":
            self.invalid += 1
            reason = sample.error or "no reason given"
            if reason in self.reasons or len(self.reasons) < REASONS:
                self.reasons[reason] += 1


BOARD = ("results.json", "leaderboard.md")


def finish(
    plan: Plan,
    directory: RunDirectory,
    view: LedgerView,
    errors: ResultErrors,
    problems: Sequence[str] = (),
    *,
    logged: bool = False,
) -> Run:
    """Write samples, statistics and the board from what the ledger holds now, and tell of them with `problems`."""
    counts = SampleCounts()
    scores = None if plan.config.stop_after else RunScores(describe(plan, 0), str(directory.path))
    file = directory.path / "samples.jsonl"
    try:
        write_jsonl(counts.through(collect(plan, view, errors), scores), file)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from error
    removed: tuple[str, ...] = ()
    if scores is not None:
        _write_board(plan, directory, counts, scores)
    else:
        removed = directory.remove(*BOARD)
    return Run(
        directory.path,
        plan.demo,
        counts.n,
        counts.errors,
        counts.invalid,
        problems=tuple(problems),
        costs=tuple(counts.totals.rows()),
        removed=removed,
        logged=logged,
        reasons=tuple(counts.reasons.most_common()),
    )


def _write_board(plan: Plan, directory: RunDirectory, counts: SampleCounts, scores: RunScores) -> None:
    """Write results.json and leaderboard.md; a run in which no prompt is complete, or an empty shard, has no board."""
    from popbench.leaderboard.audit_file import keep_audit
    from popbench.leaderboard.results import compute
    from popbench.leaderboard.run_board import write_board

    errors = counts.errors
    missing = sorted(set(counts.systems) - counts.ranked)
    try:
        results = compute(scores.scores(counts.ranked), common=errors > 0)
    except UsageError:
        if counts.n and not errors:
            raise
        directory.remove(*BOARD)
        return
    if errors:
        results["incomplete"] = (
            f"{errors} of {counted(counts.n, 'sample')} {'has' if errors == 1 else 'have'} no result yet, so this "
            "board holds only the prompts that all its systems have. It cannot be published; running the same command "
            "again goes on."
        )
        if missing:
            results["incomplete"] += f" Without any result, and left out: {', '.join(missing)}."
    results["costs"] = counts.totals.rows()
    keep_audit(results, SamplesFile(directory.path / "samples.jsonl"), directory.path)
    write_board(directory, results, plan.config.as_json())
