"""The end of a run: samples, statistics and board, made from the ledger.

Samples are written, counted and scored in one pass, and only their scores are kept: a run may have a million samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from popbench.errors import RunError, UsageError
from popbench.evaluation.rounds import Looked
from popbench.pipeline.items import ResultErrors
from popbench.pipeline.ledger_view import LedgerView
from popbench.pipeline.stages import UNUSABLE
from popbench.planning.plan import Plan
from popbench.planning.systems import Part
from popbench.records import JSON, Sample
from popbench.runs.collect import collect
from popbench.runs.costs import CallTotals, Kind, Totals, add_failed
from popbench.runs.directory import RunDirectory
from popbench.runs.run import Run
from popbench.runs.run_json import describe
from popbench.runs.samples import SamplesFile, write_jsonl
from popbench.scores.answers import Answers
from popbench.scores.run_scores import RunScores
from popbench.text import counted

REASONS = 10_000
"""The number of different reasons that are counted at most."""


class SampleCounts:
    """Counts a run's samples in one pass, without keeping them.

    `n`, `errors` and `invalid` are numbers of samples, `reasons` counts the reasons of invalid ones. `systems` are in
    the order of their first samples, `ranked` those with any result; `totals` adds up costs, `answers` counts answers.
    """

    def __init__(self, priced: Collection[str] = ()) -> None:
        """`priced` are the LLMs with prices."""
        self.n = self.errors = self.invalid = 0
        self.reasons: Counter[str] = Counter()
        self.systems: dict[str, None] = {}
        self.ranked: set[str] = set()
        self.totals = Totals(priced)
        self.answers = Answers()

    def through(self, samples: Iterable[Sample], scores: RunScores | None = None) -> Iterator[Sample]:
        """Yield the samples, after counting each and adding it to `scores`."""
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
        self.answers.add(sample)
        if sample.status == "error":
            self.errors += 1
            return
        self.ranked.add(sample.system)
        if sample.status == "invalid":
            self.invalid += 1
            reason = sample.error or "no reason given"
            if reason.startswith(UNUSABLE):  # why is counted by answer
                reason = reason.partition(": ")[0]
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
    looked: Looked | None = None,
    luck: Sequence[Mapping[str, JSON]] | None = None,
) -> Run:
    """Write samples, statistics and the board from what the ledger holds now; return the run with its `problems`.

    With `looked`, prompts were taken in rounds, and the board is that of the last look. `luck` are rows of results.json
    of repeats on a part of the prompts.
    """
    counts = SampleCounts([llm.label for llm in plan.llms if llm.cost({"input": 1, "output": 1}) is not None])
    calls = CallTotals()
    samples = collect(plan, view, errors, calls)
    scores = None if plan.config.stop_after else RunScores(describe(plan, 0), str(directory.path))
    file = directory.path / "samples.jsonl"
    try:
        write_jsonl(counts.through(samples, scores), file)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from error
    costs = [*counts.totals.rows(), *calls.rows()]
    kinds: list[tuple[Kind, list[Part]]]
    kinds = [("llm", plan.llms), ("generator", plan.generators), ("predictor", plan.predictors)]
    add_failed(costs, ((kind, part) for kind, parts in kinds for part in parts), directory.ledger.failed())
    removed: tuple[str, ...] = ()
    if scores is not None:
        _write_board(directory, counts, scores, costs, plan, looked, luck)
    else:
        removed = directory.remove(*BOARD)
    return Run(
        directory.path,
        plan.demo,
        counts.n,
        counts.errors,
        counts.invalid,
        problems=tuple(problems),
        costs=tuple(costs),
        removed=removed,
        logged=logged,
        reasons=tuple(counts.reasons.most_common()),
        remarks=tuple(counts.answers.remarks()),
        unusable=counts.answers.unusable(),
    )


def _write_board(
    directory: RunDirectory,
    counts: SampleCounts,
    scores: RunScores,
    costs: Sequence[Mapping[str, JSON]],
    plan: Plan,
    looked: Looked | None,
    luck: Sequence[Mapping[str, JSON]] | None,
) -> None:
    """Write results.json and leaderboard.md. A run without a complete prompt has no board, nor has an empty shard."""
    from popbench.leaderboard.audit_file import keep_audit
    from popbench.leaderboard.people import keep_people
    from popbench.leaderboard.results import compute
    from popbench.leaderboard.run_board import write_board
    from popbench.leaderboard.sequential import compute_sequential

    errors, of_predictors = counts.errors, scores.scores(counts.ranked)
    missing = sorted(set(counts.systems) - counts.ranked)
    if looked is not None and not looked.state.look:  # no round is complete
        directory.remove(*BOARD)
        return
    try:
        if looked is None:
            reference = plan.config.reference if plan.config.reference in counts.ranked else None
            results = compute(of_predictors, common=errors > 0, reference=reference)
        else:
            (of_first, *_), told = of_predictors, plan.rounds or {}
            results = compute_sequential(of_first, looked.systems, looked.values, looked.state, told)
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
    if luck:
        results["luck"] = luck
    results["costs"] = costs
    samples = SamplesFile(directory.path / "samples.jsonl")
    keep_audit(results, samples, directory.path)
    keep_people(results, of_predictors, samples, directory.path)
    write_board(directory, results, plan.config.as_json())
