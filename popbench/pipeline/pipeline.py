"""A run's work from end to end: its queues, and the order in which they are worked off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from popbench.interfaces import Engine
from popbench.ledger.ledger import STAGES, Ledger, StageKey, StageName
from popbench.pipeline.budget import Budget
from popbench.pipeline.dispatch import Dispatcher
from popbench.pipeline.human_baseline import Match, settle_matches
from popbench.pipeline.ledger_view import LedgerView
from popbench.pipeline.other_runs import OtherRuns
from popbench.pipeline.queues import SharedState, WorkQueue
from popbench.pipeline.references import ShownReferences
from popbench.pipeline.scheduler import Scheduler
from popbench.pipeline.stages import CompareStage, RenderStage, ScoreStage, Stage, WriteStage
from popbench.planning.plan import Plan
from popbench.planning.systems import Part
from popbench.progress import Progress
from popbench.text import counted

_MANY = 100_000
"""Up to so many clips are looked at without a notice: it takes no time."""


class Pipeline:
    """Does a plan's work against a ledger. Afterwards, `dispatcher` says what is left undone, and why."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        engine: Engine,
        view: LedgerView,
        progress: Progress,
        *,
        others: OtherRuns | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._engine = engine
        self._view = view
        self._progress = progress
        self._shared = SharedState()
        self._references = ShownReferences(plan)
        others, budget = others or OtherRuns([], view.videos), budget or Budget()
        self.dispatcher = Dispatcher(ledger, engine, view, progress, self._shared, others, budget)

    def run(self, matches: Mapping[str, Match]) -> None:
        """Work off all stages. `matches` are the human videos of prompts; what ends early is left for a resume.

        A long run that is nearly done lacks rows under few stage keys: these are worked on first. Only then are all
        other clips looked at, which may take minutes, and those that are gone, or were changed, are rendered again.
        Pairs are compared at the end, when all clips are there.
        """
        if self._plan.config.stop_after is None:
            self._settle_humans(matches)
        queues, counts = self._queues(), dict[StageKey, tuple[int, int]]()
        for queue in queues:
            queue.skip_whole(counts)
            if queue.idle:
                self._progress.stage(queue.name, queue.whole, queue.whole)
        clips = sum(queue.whole for queue in queues if queue.stage.name == "render")
        lacking = [queue for queue in queues if not queue.idle]
        self._work_off(lacking)
        read = {key for queue in lacking for key in queue.sample_sets.keys() - queue.skipped.keys()}
        read -= self._changed_clips(matches)
        if clips > _MANY:
            self._progress.notice(f"looking whether {clips:,} clips are still there")
        self._work_off([queue for queue in self._other_queues(read) if not queue.idle])
        self._compare()

    def _compare(self) -> None:
        """Have pairs compared; where a clip is found changed, the next command makes it again."""
        queues = []
        for part in self._plan.comparers:
            pairs = [pair.samples for pair in self._plan.comparisons(part)]
            if not pairs:
                continue
            queue = WorkQueue(CompareStage(part, self._view.videos), pairs, self._view, self._shared)
            queue.skip_whole({})
            if queue.idle:
                self._progress.stage(queue.name, queue.whole, queue.whole)
            else:
                queues.append(queue)
        self._work_off(queues)

    def _changed_clips(self, matches: Mapping[str, Match]) -> set[StageKey]:
        """Return the stage keys of clips that were found changed; their samples are no longer in error."""
        changed = self.dispatcher.changed
        for sample_key in (*changed, *changed.values()):
            self._shared.errors.pop(sample_key, None)
        if changed and self._plan.config.stop_after is None:
            self._settle_humans(matches)
        return {clip.stage_key for clip in changed.values()}

    def _work_off(self, queues: Sequence[WorkQueue]) -> None:
        for queue in queues:
            queue.before = [other for other in queues if other.rank < queue.rank]
            queue.followers = [other for other in queues if other.rank > queue.rank]
        if queues:
            Scheduler(queues, self.dispatcher, self._engine, self._progress, self._shared).run()

    def _queues(self) -> list[WorkQueue]:
        return [
            WorkQueue(self._stage(stage, part), sample_sets, self._view, self._shared)
            for stage in self._plan.stages
            for part, sample_sets in self._plan.stage_samples(stage)
        ]

    def _stage(self, stage: StageName, part: Part) -> Stage:
        seed = self._plan.config.seed
        match stage:
            case "write":
                return WriteStage(part, seed, self._references)
            case "render":
                return RenderStage(part, seed)
            case "score":
                return ScoreStage(part, self._view.videos)

    def _other_queues(self, read: Collection[StageKey]) -> list[WorkQueue]:
        """Return queues of the stage keys that were not read yet, or that follow such ones.

        A component that ended early is not asked again.
        """
        queues, again = self._queues(), set[StageKey]()
        for queue in queues:
            queue.quiet = True
            for key, samples in queue.sample_sets.items():
                follows = queue.rank > 0 and samples.stage_key(STAGES[queue.rank - 1]) in again
                if key in self._shared.errors.pending or (key in read and not follows):
                    queue.skipped[key] = None
                else:
                    again.add(key)
        return queues

    def _settle_humans(self, matches: Mapping[str, Match]) -> None:
        """Store the human videos that were matched: that takes no component, and waits for nothing."""
        errors = settle_matches(self._plan.human_samples, self._ledger, self._view, matches)
        self._shared.errors.update(errors)
        for error, count in Counter(errors.values()).items():
            self._progress.problem(f"baseline human: {error}" + (f" ({counted(count, 'prompt')})" if count > 1 else ""))
