"""Asking components and committing their answers: each is stored, with what it settles, before the next is taken."""

from __future__ import annotations

import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from popbench.errors import ComponentError, RunError, UsageError, counted, one_line
from popbench.interfaces import Engine
from popbench.ledger import Call, Cell, Done, Ledger, Stage
from popbench.progress import Progress
from popbench.records import JSON, Answer, Clip, Completion, Failure, Prompt, Reference, Request, Score
from popbench.settled import View
from popbench.systems import Part, Track
from popbench.video import copy, sha256

LOG = "errors.log"
"""The file in a run's directory that holds the tracebacks of plugins."""


Place = tuple[Cell, str, int]
"""Where a result belongs: cell, prompt id, repeat."""


@dataclass(slots=True)
class Unit:
    """One sample's share of a stage: where its result belongs, and what the stage before settled."""

    cell: Cell
    track: Track
    prompt: Prompt
    repeat: int
    before: Mapping[str, JSON] = field(default_factory=dict)
    attempt: int = 0
    costs: dict[str, JSON] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()

    def done(self, key: str, status: str, value: Mapping[str, JSON]) -> Done:
        """Settle this unit."""
        return Done(self.cell, self.prompt.id, self.repeat, key, status, value)

    @property
    def place(self) -> Place:
        """Where its result belongs."""
        return self.cell, self.prompt.id, self.repeat

    @property
    def name(self) -> str:
        """What messages call it."""
        repeat = f" repeat {self.repeat}" if self.repeat else ""
        return f"{self.prompt.task}/{self.prompt.id}{repeat} ({self.track.label})"


Ask = Callable[[Unit], tuple[str, Request]]
"""What to ask for a unit, under which key."""

Settle = Callable[[Call, Unit], list[Done]]
"""What follows from a finished call for a unit; nothing where it has to be asked again."""


@dataclass(slots=True)
class _Batch:
    """The units of one exchange: those that wait for an answer, and those whose call is there or has failed.

    `over` holds the places that are settled or in error; all others are still to do.
    """

    waiting: dict[str, list[Unit]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    found: deque[tuple[Call | str, Unit]] = field(default_factory=deque)
    told: Counter[str] = field(default_factory=Counter)
    over: set[Place] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Exchange:
    """Feeds units to components.

    `errors` holds what failed, by place, and why the rest is pending; `ended` the components that ended early;
    `logged` says whether the log got any of their tracebacks.
    """

    def __init__(self, ledger: Ledger, engine: Engine, view: View, progress: Progress) -> None:
        self._ledger = ledger
        self._engine = engine
        self._view = view
        self._progress = progress
        self.errors: dict[Place, str] = {}
        self.ended: list[str] = []
        self.logged = False

    def run(self, part: Part, stage: Stage, units: Sequence[Unit], ask: Ask, settle: Settle) -> bool:
        """Ask a component for all units; return whether it went through to the end.

        Units that need the same call share it, and calls the ledger has are not made. Raises RunError where the
        run cannot go on.
        """
        batch = _Batch()
        source = self._requests(batch, units, ask)
        ended: str | None = None
        try:
            first = next(source, None)
            if first is not None:
                with _closing(self._engine.map(part.resolved.spec, chain([first], source))) as answers:
                    for answer in answers:
                        with batch.lock:
                            self._store(batch, stage, answer, settle)
                        self._settle_found(batch, stage, settle)
        except ComponentError as error:
            ended = str(error)
            self._log(error)
        except UsageError as error:  # a template or a corpus that fails on this prompt
            raise RunError(str(error)) from error
        self._settle_found(batch, stage, settle)
        for told, count in batch.told.items():
            if count > 1:
                self._progress.problem(f"{part.label}: {count} items failed so: {told}")
        if ended is not None:
            pending = [unit for unit in units if unit.place not in batch.over]  # also those to be asked again
            self.errors.update((unit.place, f"pending: {ended}") for unit in pending)
            waiting = next((shared[0].name for shared in batch.waiting.values()), "none taken")
            stay = f"{counted(len(pending), 'item')} stay{'s' * (len(pending) == 1)} pending"
            self.ended.append(f"{ended}; {stay} (at work: {waiting})")
            self._progress.problem(self.ended[-1])
        return ended is None

    def release(self, part: Part) -> None:
        """Close a component that has done its share; what goes wrong in that is told and ends nothing."""
        try:
            self._engine.release(part.resolved.spec)
        except Exception as error:  # a plugin's close may raise anything
            self._progress.problem(f"{part.resolved.spec.kind} {part.label}: closing failed: {one_line(error)}")

    def _log(self, error: ComponentError) -> None:
        """Keep a plugin's traceback for its author."""
        if error.__cause__ is not None:
            with suppress(OSError), (self._view.videos.parent / LOG).open("a", encoding="utf-8") as log:
                log.write("".join(traceback.format_exception(error.__cause__)) + "\n")
                self.logged = True

    def _requests(self, batch: _Batch, units: Sequence[Unit], ask: Ask) -> Iterator[Request]:
        """Make requests as the component pulls them, in its thread, so that a long run holds few of them."""
        for unit in units:
            key, request = ask(unit)
            with batch.lock:
                if key in batch.waiting:
                    batch.waiting[key].append(unit)
                    continue
                known = batch.failed.get(key) or self._usable(self._ledger.get(key))
                if known is not None:
                    batch.found.append((known, unit))
                    continue
                batch.waiting[key] = [unit]
            yield request

    def _usable(self, call: Call | None) -> Call | None:
        """A clip's call counts only while its file is there."""
        if call is not None and call.stage == "render" and call.status == "ok" and not self._view.has_clip(call):
            return None
        return call

    def _settle_found(self, batch: _Batch, stage: Stage, settle: Settle) -> None:
        while batch.found:
            known, unit = batch.found.popleft()
            if isinstance(known, str):
                self._fail(batch, [unit], stage, known)
            else:
                self._commit(batch, None, settle(known, unit))

    def _store(self, batch: _Batch, stage: Stage, answer: Answer, settle: Settle) -> None:
        """Commit one answer with all that it settles; an error is noted and left for a resume."""
        units = batch.waiting.pop(answer.id)
        if isinstance(answer, Failure) and not answer.invalid:
            batch.failed[answer.id] = answer.error
            self._fail(batch, units, stage, answer.error)
            return
        call = Call(answer.id, stage, "invalid" if isinstance(answer, Failure) else "ok", self._payload(answer))
        self._commit(batch, call, [done for unit in units for done in settle(call, unit)])

    def _fail(self, batch: _Batch, units: Sequence[Unit], stage: Stage, error: str) -> None:
        """Note an error of units; of equal ones the first is told now and the number at the end."""
        for unit in units:
            self.errors[unit.place] = error
            batch.over.add(unit.place)
        if not batch.told[error]:
            self._progress.problem(f"{units[0].name}: {stage} failed: {error}")
        batch.told[error] += len(units)
        self._progress.advance(len(units))

    def _commit(self, batch: _Batch, call: Call | None, done: list[Done]) -> None:
        if call is not None or done:
            self._ledger.commit(call, done)
        batch.over.update((item.cell, item.prompt, item.repeat) for item in done)
        self._progress.advance(len(done))

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
        target = self._view.videos / f"{clip.id}.mp4"
        try:
            if source == target:  # the engine's workspace is the folder of clips
                digest = sha256(target)
            else:
                incoming = self._view.videos / f".{clip.id}.part"
                digest = copy(source, incoming)
                incoming.replace(target)
            size = target.stat().st_size
        except OSError as error:
            raise RunError(f"clip {target} cannot be kept: {one_line(error)}") from error
        return {"sha256": digest, "bytes": size}


@contextmanager
def _closing(answers: Iterator[Answer]) -> Iterator[Iterator[Answer]]:
    """End an engine's iterator at once when the driver stops, also on an interrupt."""
    try:
        yield answers
    finally:
        close = getattr(answers, "close", None)
        if close is not None:
            close()
