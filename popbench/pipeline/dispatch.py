"""Asking components and committing their answers.

An answer is committed, together with the results that follow from it, before the next answer is taken from the
component. So a run that is killed at any moment loses at most the answers that were being computed.
"""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from popbench.errors import ComponentError, RunError, UsageError, one_line
from popbench.interfaces import Engine
from popbench.keys import clip_name
from popbench.ledger.ledger import Call, Done, Ledger
from popbench.pipeline.budget import Budget
from popbench.pipeline.items import ResultErrors, SampleKey, WorkItem
from popbench.pipeline.jobs import Jobs
from popbench.pipeline.ledger_view import LedgerView
from popbench.pipeline.other_runs import OtherRuns
from popbench.pipeline.payloads import payload_of
from popbench.pipeline.queues import SharedState, WorkQueue
from popbench.pipeline.stages import ClipChangedError, Outcome
from popbench.planning.systems import Part
from popbench.progress import Progress
from popbench.prompting.conversations import ModeError
from popbench.records import Answer, Failure, Request, Submitted, Workers
from popbench.text import counted

T = TypeVar("T")
LOG = "errors.log"
"""The file in a run's directory that holds the tracebacks of plugins."""

_ELSEWHERE = "jobs are submitted: after an interrupt (Ctrl-C), the same command goes on with them"


@dataclass(slots=True)
class _Batch:
    """The items of a queue that calls of the engine's `map` are fed with, one call after the other.

    `jobs` are those that requests of the call at work have.

    `waiting` are those without an answer, by key of their call; `failed` the errors of calls, by key; `again` the items
    to be asked once more in a later call; `turns` those whose next turn is due; `errors` counts the items that failed
    with each error. `paused` says that the requests of a call ended before the queue's items did, `spent` that the
    budget leaves none, and `told` that it was said what becomes of what was submitted.
    """

    queue: WorkQueue
    jobs: Jobs
    waiting: dict[str, list[WorkItem]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    again: list[WorkItem] = field(default_factory=list)
    turns: deque[WorkItem] = field(default_factory=deque)
    errors: Counter[str] = field(default_factory=Counter)
    paused: bool = False
    spent: bool = False
    told: bool = False

    def take_again(self) -> list[WorkItem]:
        """Return the items to be asked again, which are then no longer kept."""
        again, self.again = self.again, []
        return again


class Dispatcher:
    """Sends the items of queues to components, one thread per queue at work, and commits the answers.

    `errors` says why samples have no result; `ended` names the components that ended early, one line each; `changed`
    maps scores that were not made, since their clip was not the one that was rendered, to these clips; `logged` says
    whether a traceback was written to the log.
    """

    def __init__(
        self,
        ledger: Ledger,
        engine: Engine,
        view: LedgerView,
        progress: Progress,
        shared: SharedState,
        others: OtherRuns,
        budget: Budget,
    ) -> None:
        self._ledger = ledger
        self._others = others
        self._engine = engine
        self._view = view
        self._progress = progress
        self._budget = budget
        self._lock, self._stopping = shared.lock, shared.stopping
        self.errors: ResultErrors = shared.errors
        self.ended: list[str] = []
        self.changed: dict[SampleKey, SampleKey] = {}
        self.logged = False
        self._workers: dict[str, int] = {}

    def run(self, queue: WorkQueue) -> None:
        """Work a queue off and close its component. Raises RunError if the run cannot go on.

        Items that need the same call share it, and a call that the ledger, or a run to be reused, has is not made.
        """
        batch, budget = _Batch(queue, Jobs(self._ledger, queue.part.digest)), self._budget
        with self._lock:
            budget.begin(queue)
        try:
            while self._run_batch(batch, chain(batch.take_again(), queue.items(self._ends(batch)))):
                batch.jobs = Jobs(self._ledger, queue.part.digest)
        finally:
            with self._lock:
                budget.over(queue)
        with self._lock:
            for error, count in batch.errors.items():
                if count > 1:
                    self._progress.problem(f"{queue.part.label}: {count} items: {error}")
            for notice in (*queue.stage.notices(), *self._engine.notices()):
                self._progress.notice(notice)
        self._release(queue.part)

    def _ends(self, batch: _Batch) -> Callable[[], bool]:
        return lambda: self._budget.ends_waiting(batch.waiting)

    def _run_batch(self, batch: _Batch, items: Iterator[WorkItem]) -> bool:
        """Ask a component for all items; return whether there is more to ask."""
        queue, batch.paused = batch.queue, False
        source = self._requests(batch, items)
        ended: str | None = None
        try:
            first = next(source, None)
            if first is not None:
                with _closing(self._engine.map(queue.part.resolved.spec, chain([first], source)), queue) as answers:
                    for answer in answers:
                        if isinstance(answer, Submitted):
                            batch.jobs.submit(answer)
                            if not batch.told:
                                batch.told = True
                                self._progress.notice(f"{queue.name}: {_ELSEWHERE}")
                        else:
                            self._store(batch, answer)
        except ComponentError as error:
            ended = str(error).encode("utf-8", "replace").decode("utf-8")  # lone surrogates are in no file
            self._log(error.__cause__)
        except UsageError as error:  # a mode, a template or a corpus that fails on this prompt
            if isinstance(error, ModeError):
                self._log(error.reason)
            raise RunError(str(error)) from error
        finally:
            with self._lock:
                self._budget.release(queue.part, batch.waiting.keys())
        if ended is None and batch.waiting:  # the engine takes what was submitted for the answer, perhaps
            spec = queue.part.resolved.spec
            ended = f"{spec.kind} {spec.label}: the engine gave no answer to {counted(len(batch.waiting), 'item')}"
        with self._lock:
            if ended is not None and not self._stopping.is_set():  # otherwise the run ended the component
                self._end(batch, ended)
            elif batch.spent:
                self._progress.notice(f"{queue.name}: no further requests, since {self._budget.option} is reached")
                self.errors.pending.update(
                    dict.fromkeys(queue.sample_sets, f"pending: {self._budget.option} is reached")
                )
        more = batch.paused or (bool(batch.again or batch.turns) and not queue.stopped)
        return more and ended is None and not batch.spent

    def _end(self, batch: _Batch, ended: str) -> None:
        """Note what a component that ended early has not done: a resume goes on with it."""
        queue = batch.queue
        pending = queue.left()  # also those to be asked again
        self.errors.pending.update(dict.fromkeys(queue.sample_sets, f"pending: {ended}"))
        waiting = next((shared[0].name for shared in batch.waiting.values()), "none")
        stay = f"{counted(pending, 'item')} stay{'s' * (pending == 1)} pending"
        self.ended.append(f"{ended}; {stay} (unanswered: {waiting})")
        self._progress.problem(self.ended[-1])

    def _release(self, part: Part) -> None:
        """Close a component that has done its share. An error of its `close` is told and ends nothing."""
        try:
            self._engine.release(part.resolved.spec)
        except Exception as error:  # a plugin's close may raise anything
            with self._lock:
                self._progress.problem(f"{part.resolved.spec.kind} {part.label}: closing failed: {one_line(error)}")

    def _log(self, error: BaseException | None) -> None:
        """Write a plugin's traceback to the log, for its author."""
        if error is not None:
            with suppress(OSError), (self._view.videos.parent / LOG).open("a", encoding="utf-8") as log:
                log.write("".join(traceback.format_exception(error)) + "\n")
                self.logged = True

    def _requests(self, batch: _Batch, items: Iterator[WorkItem]) -> Iterator[Request]:
        """Make requests when the component pulls them, in its thread, so that a long run holds few of them."""
        queue = batch.queue
        for item in self._due(batch, items):
            try:
                key, request = queue.stage.ask(item)
            except ClipChangedError as changed:
                self._drop_clip(batch, item, changed)
                continue
            with self._lock:
                self._show(queue)
                if key in batch.waiting:
                    batch.waiting[key].append(item)
                    continue
                if key in batch.jobs.lost:
                    batch.again.append(item)
                    continue
                if (error := batch.failed.get(key)) is not None:
                    self._fail(batch, [item], error)
                    continue
                if (call := self._usable(self._ledger.get(key, queue.stage.name))) is not None:
                    self._commit(batch, call, [item], new=False)
                    continue
                if (call := self._others.get(key, queue.stage.name, self._view.videos)) is not None:
                    self._ledger.commit(call)  # of no component: this run has not paid for it
                    self._commit(batch, call, [item], new=False)
                    continue
                permit = self._budget.admit(queue, key, batch.waiting, submitted=batch.jobs.has(key))
                if permit == "end":
                    batch.again.append(item)
                    batch.paused = not queue.stopped
                    batch.spent = batch.paused and not batch.waiting
                    return
                batch.waiting[key] = [item]
            yield batch.jobs.prepare(request)
            if permit == "alone":
                batch.paused = True
                return
        with self._lock:
            batch.paused = not queue.finished

    def _due(self, batch: _Batch, items: Iterator[WorkItem]) -> Iterator[WorkItem]:
        """Yield items, first those whose next turn is due: drafts are finished before others are begun.

        No turn is waited for: a component may hold back its answers until it has seen the end of its requests. What
        comes due after the last item is asked in a later call.
        """
        while not batch.queue.stopped:
            with self._lock:
                item = batch.turns.popleft() if batch.turns else None
            item = item or next(items, None)
            if item is not None:
                yield item
            elif not batch.turns:
                return

    def _drop_clip(self, batch: _Batch, item: WorkItem, error: ClipChangedError) -> None:
        """Remove a clip that is not the one that was rendered: it then counts as not done."""
        clip = self._view.videos / clip_name(error.clip)
        try:
            clip.unlink(missing_ok=True)
        except OSError as refusal:
            raise RunError(f"{clip} was changed, and cannot be removed: {one_line(refusal)}") from refusal
        with self._lock:
            samples = batch.queue.sample_sets[item.stage_key]
            of_clip = SampleKey(samples.clip_key(second=error.second), item.prompt.id, item.repeat)
            self._fail(batch, [item], f"{error}: it is made again")
            self.errors[of_clip] = self.errors[item.sample_key]
            self.changed[item.sample_key] = of_clip

    def _show(self, queue: WorkQueue) -> None:
        """Show a quiet queue, which has something to do now, and a total that has grown."""
        if queue.quiet:
            queue.quiet = queue.grown = False
            self._progress.stage(queue.name, queue.total, queue.done)
        if queue.grown:
            queue.grown = False
            self._progress.resize(queue.total, queue.name)
        if queue.gone and not queue.part.resolved.component.repeatable:
            again = f"{counted(queue.gone, 'result')} of it {'is' if queue.gone == 1 else 'are'} made again"
            self._progress.notice(f"{queue.part.label}: {again}, and may be other ones: it is not repeatable")
            queue.gone = 0

    def _usable(self, call: Call | None) -> Call | None:
        """Return a call of the ledger; None for a clip whose file is gone."""
        if call is not None and call.stage == "render" and call.status == "ok" and not self._view.has_clip(call):
            return None
        return call

    def _store(self, batch: _Batch, answer: Answer) -> None:
        """Commit an answer with all results that follow from it; errors are not stored, so a resume tries again."""
        queue = batch.queue
        workers = self._engine.at_work(queue.part.resolved.spec)
        if isinstance(answer, Failure) and not answer.invalid:
            with self._lock:
                error, items = batch.jobs.fail(answer), batch.waiting.pop(answer.id)
                if answer.usage:
                    self._ledger.pay(answer.id, queue.part.digest, answer.usage)
                if answer.id in batch.jobs.lost:
                    batch.again += items
                    self._tell(batch, items, f"its job of an earlier run is over, and it is asked anew: {error}")
                else:
                    batch.failed[answer.id] = error
                    self._fail(batch, items, error)
                self._spend(queue, answer, workers)
            return
        payload = {**payload_of(answer, self._view.videos), "gpus": workers.gpus}
        call = Call(answer.id, queue.stage.name, "invalid" if isinstance(answer, Failure) else "ok", payload)
        with self._lock:
            self._commit(batch, call, batch.waiting.pop(answer.id), new=True)
            self._spend(queue, answer, workers)

    def _spend(self, queue: WorkQueue, answer: Answer, workers: Workers) -> None:
        """Report the cost of an answer, and the number of a queue's workers if it has changed."""
        for notice in self._engine.notices():
            self._progress.notice(notice)
        usd = queue.part.cost(answer.usage) if answer.usage else None
        error = isinstance(answer, Failure) and not answer.invalid
        if (told := self._budget.answered(queue.part, answer.id, usd, error=error)) is not None:
            self._progress.notice(told)
        gpu_seconds = workers.gpus * (answer.seconds or 0.0)
        if usd or gpu_seconds:
            self._progress.spend(queue.name, gpu_seconds=gpu_seconds, usd=usd or 0.0)
        if self._workers.get(queue.name) != workers.count:
            self._workers[queue.name] = workers.count
            self._progress.workers(workers.count, queue.name)

    def _fail(self, batch: _Batch, items: list[WorkItem], error: str) -> None:
        """Note an error of items."""
        queue = batch.queue
        for item in items:
            self.errors[item.sample_key] = error
            queue.settle(item.sample_key)
            self._lose(queue, item)
        self._tell(batch, items, f"{queue.stage.name} failed: {error}")
        self._progress.advance(len(items), queue.name)

    def _tell(self, batch: _Batch, items: list[WorkItem], problem: str) -> None:
        """Tell the first of equal problems now; the number of them is told at the end."""
        if not batch.errors[problem]:
            self._progress.problem(f"{items[0].name}: {problem}")
        batch.errors[problem] += len(items)

    def _commit(self, batch: _Batch, call: Call, items: list[WorkItem], *, new: bool) -> None:
        """Commit a call, if it is new, with the results of items, and offer these to the queues that follow."""
        queue = batch.queue
        settled: list[tuple[WorkItem, Outcome]] = []
        for item in items:
            outcome = queue.stage.settle(item, call)
            if outcome is None:
                (batch.turns if item.conversation is not None else batch.again).append(item)
            else:
                settled.append((item, outcome))
        if new or settled:
            done = [
                Done(*item.sample_key, outcome.key or call.key, outcome.status, outcome.value)
                for item, outcome in settled
            ]
            submitted = batch.jobs.knows(call.key)
            self._ledger.commit(call if new else None, done, queue.part.digest, submitted=submitted)
        for item, outcome in settled:
            queue.settle(item.sample_key)
            if outcome.status != "ok":
                self._lose(queue, item)
                continue
            for follower in queue.followers:
                follower.offer(item, outcome.inputs)
        self._progress.advance(len(settled), queue.name)

    def _lose(self, queue: WorkQueue, item: WorkItem) -> None:
        """Tell the queues that follow that this item never reaches them."""
        for follower in queue.followers:
            if follower.lose(item.stage_key):
                self._progress.resize(follower.total, follower.name)


@contextmanager
def _closing(answers: Iterator[T], queue: WorkQueue) -> Iterator[Iterator[T]]:
    """Close an engine's iterator at the end. If taking answers raised, the queue is stopped first.

    The component may be waiting for the queue's next item, and its iterator closes only when it no longer does.
    """
    try:
        yield answers
    except BaseException:
        queue.stop()
        raise
    finally:
        close = getattr(answers, "close", None)
        if close is not None:
            close()
