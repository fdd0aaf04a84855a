"""Asking components and committing their answers: each is stored, with what it settles, before the next is taken."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from popbench.errors import ComponentError, RunError, UsageError, one_line
from popbench.files import copy_whole, sha256
from popbench.interfaces import Engine
from popbench.keys import clip_name
from popbench.ledger.ledger import Call, Done, Ledger
from popbench.pipeline.ledger_view import View
from popbench.pipeline.queues import Common, Lane, Undone, Unit
from popbench.planning.systems import Part
from popbench.progress import Progress
from popbench.records import JSON, Answer, Clip, Completion, Failure, Request, Score, Workers
from popbench.text import counted

LOG = "errors.log"
"""The file in a run's directory that holds the tracebacks of plugins."""


Ask = Callable[[Unit], tuple[str, Request]]
"""What to ask for a unit, under which key."""

Result = tuple[str, str, Mapping[str, JSON]]
"""What a call came to for a unit: its key, `ok` or `invalid`, and what is kept of it."""

Settle = Callable[[Call, Unit], Result | None]
"""What follows from a finished call for a unit; None where it has to be asked again."""

After = Callable[[Unit, Call, Result], None]
"""Hands on what was settled; called with the lanes' lock held."""


@dataclass(slots=True)
class _Batch:
    """The units of one exchange: those that wait for an answer, by key, and the calls that failed."""

    lane: Lane
    settle: Settle
    waiting: dict[str, list[Unit]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)


class Exchange:
    """Feeds units to components, in as many threads as there are lanes at work.

    `errors` holds what failed, by place, and why the rest is pending; `ended` the components that ended early;
    `logged` says whether the log got any of their tracebacks.
    """

    def __init__(
        self, ledger: Ledger, engine: Engine, view: View, progress: Progress, common: Common, after: After
    ) -> None:
        self._ledger = ledger
        self._engine = engine
        self._view = view
        self._progress = progress
        self._lock, self._stopping = common.lock, common.stopping
        self.errors: Undone = common.errors
        self.ended: list[str] = []
        self.logged = False
        self.lanes: list[Lane] = []
        self._after = after
        self._workers: dict[str, int] = {}

    def run(self, lane: Lane, units: Iterator[Unit], ask: Ask, settle: Settle) -> bool:
        """Ask a lane's component for all units; return whether it went through to the end.

        Units that need the same call share it, and calls the ledger has are not made. Raises RunError where the
        run cannot go on.
        """
        batch = _Batch(lane, settle)
        source = self._requests(batch, units, ask)
        ended: str | None = None
        try:
            first = next(source, None)
            if first is not None:
                with _closing(self._engine.map(lane.part.resolved.spec, chain([first], source)), lane) as answers:
                    for answer in answers:
                        self._store(batch, answer)
        except ComponentError as error:
            ended = str(error)
            self._log(error)
        except UsageError as error:  # a template or a corpus that fails on this prompt
            raise RunError(str(error)) from error
        with self._lock:
            for told, count in batch.told.items():
                if count > 1:
                    self._progress.problem(f"{lane.part.label}: {count} items failed so: {told}")
            if ended is not None and not self._stopping.is_set():  # then it was ended from here
                self._end(batch, ended)
        return ended is None

    def _end(self, batch: _Batch, ended: str) -> None:
        """Leave for a resume what a component that ended early has not done."""
        lane = batch.lane
        pending = lane.left()  # also those to be asked again
        self.errors.pending.update(dict.fromkeys(lane.lines, f"pending: {ended}"))
        waiting = next((shared[0].name for shared in batch.waiting.values()), "none")
        stay = f"{counted(pending, 'item')} stay{'s' * (pending == 1)} pending"
        self.ended.append(f"{ended}; {stay} (unanswered: {waiting})")
        self._progress.problem(self.ended[-1])

    def release(self, part: Part) -> None:
        """Close a component that has done its share; what goes wrong in that is told and ends nothing."""
        try:
            self._engine.release(part.resolved.spec)
        except Exception as error:  # a plugin's close may raise anything
            with self._lock:
                self._progress.problem(f"{part.resolved.spec.kind} {part.label}: closing failed: {one_line(error)}")

    def _log(self, error: ComponentError) -> None:
        """Keep a plugin's traceback for its author."""
        if error.__cause__ is not None:
            with suppress(OSError), (self._view.videos.parent / LOG).open("a", encoding="utf-8") as log:
                log.write("".join(traceback.format_exception(error.__cause__)) + "\n")
                self.logged = True

    def _requests(self, batch: _Batch, units: Iterator[Unit], ask: Ask) -> Iterator[Request]:
        """Make requests as the component pulls them, in its thread, so that a long run holds few of them."""
        for unit in units:
            key, request = ask(unit)
            with self._lock:
                if batch.lane.quiet:
                    batch.lane.quiet = batch.lane.grown = False
                    self._progress.stage(batch.lane.name, batch.lane.total, batch.lane.done)
                if batch.lane.grown:
                    batch.lane.grown = False
                    self._progress.resize(batch.lane.total, batch.lane.name)
                if key in batch.waiting:
                    batch.waiting[key].append(unit)
                    continue
                if (failed := batch.failed.get(key)) is not None:
                    self._fail(batch, [unit], failed)
                    continue
                if (known := self._usable(self._ledger.get(key))) is not None:
                    self._commit(batch, known, [unit], new=False)
                    continue
                batch.waiting[key] = [unit]
            yield request

    def _usable(self, call: Call | None) -> Call | None:
        """A clip's call counts only while its file is there."""
        if call is not None and call.stage == "render" and call.status == "ok" and not self._view.has_clip(call):
            return None
        return call

    def _store(self, batch: _Batch, answer: Answer) -> None:
        """Commit one answer with all that it settles; an error is noted and left for a resume."""
        lane = batch.lane
        workers = self._engine.at_work(lane.part.resolved.spec)
        if isinstance(answer, Failure) and not answer.invalid:
            with self._lock:
                batch.failed[answer.id] = answer.error
                self._fail(batch, batch.waiting.pop(answer.id), answer.error)
                self._spend(lane, answer, workers)
            return
        payload = {**self._payload(answer), "gpus": workers.gpus}
        call = Call(answer.id, lane.stage, "invalid" if isinstance(answer, Failure) else "ok", payload)
        with self._lock:
            self._commit(batch, call, batch.waiting.pop(answer.id), new=True)
            self._spend(lane, answer, workers)

    def _spend(self, lane: Lane, answer: Answer, workers: Workers) -> None:
        """Tell what an answer took, and how many work for the lane where that has changed."""
        usd = 0.0
        if isinstance(answer, Completion) and answer.usage:
            usd = lane.part.cost(answer.usage) or 0.0
        gpu_seconds = workers.gpus * (answer.seconds or 0.0)
        if usd or gpu_seconds:
            self._progress.spend(lane.name, gpu_seconds=gpu_seconds, usd=usd)
        if self._workers.get(lane.name) != workers.count:
            self._workers[lane.name] = workers.count
            self._progress.workers(workers.count, lane.name)

    def _fail(self, batch: _Batch, units: list[Unit], error: str) -> None:
        """Note an error of units; of equal ones the first is told now and the number at the end."""
        for unit in units:
            self.errors[unit.place] = error
            batch.lane.settle(unit.place)
            self._lose(unit)
        if not batch.told[error]:
            self._progress.problem(f"{units[0].name}: {batch.lane.stage} failed: {error}")
        batch.told[error] += len(units)
        self._progress.advance(len(units), batch.lane.name)

    def _commit(self, batch: _Batch, call: Call, units: list[Unit], *, new: bool) -> None:
        """Commit a call, if it is new, with all that it settles, and hand that on."""
        results = [(unit, result) for unit in units if (result := batch.settle(call, unit)) is not None]
        if new or results:
            done = [Done(*unit.place, *result) for unit, result in results]
            self._ledger.commit(call if new else None, done, batch.lane.part.digest)
        for unit, result in results:
            batch.lane.settle(unit.place)
            if result[1] == "ok":
                self._after(unit, call, result)
            else:
                self._lose(unit)
        self._progress.advance(len(results), batch.lane.name)

    def _lose(self, unit: Unit) -> None:
        """Tell later lanes that this never gets to them."""
        for lane in self.lanes:
            if lane.lose(unit.cell):
                self._progress.resize(lane.total, lane.name)

    def _payload(self, answer: Answer) -> dict[str, JSON]:
        payload: dict[str, JSON] = {
            "seconds": answer.seconds,
            "peak_memory_mb": answer.peak_memory_mb,
            "notes": list(answer.notes),
        }
        match answer:
            case Failure():
                payload["error"] = answer.error
            case Completion():
                usage = dict(answer.usage) if answer.usage is not None else None
                payload |= {"text": answer.text, "reasoning": answer.reasoning, "usage": usage}
            case Clip():
                payload |= self._keep(answer)
            case Score():
                payload |= {"popularity": answer.popularity, "extra": dict(answer.extra)}
        return payload

    def _keep(self, clip: Clip) -> dict[str, JSON]:
        """Put a finished clip into place under its key, whole or not at all; return its hash and size."""
        assert clip.path is not None
        source = Path(clip.path)
        target = self._view.videos / clip_name(clip.id)
        try:
            # They are the same where the engine's workspace is the folder of clips.
            digest = sha256(target) if source == target else copy_whole(source, target)
            size = target.stat().st_size
        except OSError as error:
            raise RunError(f"clip {target} cannot be kept: {one_line(error)}") from error
        return {"sha256": digest, "bytes": size}


@contextmanager
def _closing(answers: Iterator[Answer], lane: Lane) -> Iterator[Iterator[Answer]]:
    """End an engine's iterator at once when the driver stops, and before it what waits for more to do."""
    try:
        yield answers
    except BaseException:
        lane.stop()
        raise
    finally:
        close = getattr(answers, "close", None)
        if close is not None:
            close()
