"""One call of `map`: a queue of its answers, and a limit on the items that are taken in; and its other end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import popbench
from popbench.errors import one_line

_FIRST_ROOM = 512
_Outcome: TypeAlias = popbench.Answer | popbench.Submitted


class Session:
    """Connects the thread that takes answers with the process of `host`, which knows the call by its number."""

    def __init__(self, spec: popbench.ComponentSpec) -> None:
        self.component_name = f"{spec.kind} {spec.label}"
        self.stopped = False
        self._changed = threading.Condition()
        self._room = _FIRST_ROOM
        self._shares: dict[int, int] = {}
        self._answers: queue.SimpleQueue[tuple[_Outcome, bytes | None] | BaseException | None] = queue.SimpleQueue()

    def allow(self, worker: int, count: int) -> None:
        """Set how many unanswered items may be taken in for a worker; 0 when the worker is gone."""
        with self._changed:
            self._room += count - self._shares.pop(worker, 0)
            if count:
                self._shares[worker] = count
            self._changed.notify_all()

    def wait_for_room(self) -> bool:
        """Wait until another item may be taken in; False if the call has stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._room > 0 or self.stopped)
            self._room -= 1
            return not self.stopped

    def answer(self, answer: _Outcome, video: bytes | None = None) -> None:
        """Queue an answer, or what was submitted."""
        self._answers.put((answer, video))

    def end(self, error: str | BaseException | None, trace: str = "") -> None:
        """Queue the end, or the error that ends the call; `trace` is a traceback of the component on a node."""
        if isinstance(error, str):
            ended = popbench.ComponentError(f"{self.component_name}: {error}")
            if trace:
                ended.__cause__ = RemoteError(trace)
            error = ended
        self._answers.put(error)

    def stop(self) -> None:
        """Take in no more items."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def next(self, timeout: float) -> tuple[_Outcome, bytes | None] | None:
        """Return the next answer, or what was submitted, None at the end.

        Raises the error that ended the call, or queue.Empty after `timeout` seconds.
        """
        outcome = self._answers.get(timeout=timeout)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def stored(self) -> None:
        """Record that an answer is stored, so that another item may be taken in."""
        with self._changed:
            self._room += 1
            self._changed.notify_all()


class FarSession:
    """A session as the process of `host` has it: `send` passes on what the driver does with it."""

    def __init__(self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], send: Callable[..., None]) -> None:
        self.spec = spec
        self.fingerprint = fingerprint
        self.component_name = f"{spec.kind} {spec.label}"
        self.requests: dict[str, popbench.Request] = {}
        self.trace = ""
        self._shares: dict[int, int] = {}
        self._send = send

    def allow(self, worker: int, count: int) -> None:
        """Set how many unanswered items may be taken in for a worker; 0 when the worker is gone."""
        self._shares[worker] = count
        self._send("allow", worker, count)

    def inherit(self, before: FarSession) -> None:
        """Take over the workers of the component's previous call."""
        for worker, count in before._shares.items():
            if count:
                self.allow(worker, count)

    def answer(self, answer: _Outcome, video: bytes | None = None) -> None:
        """Pass on an answer, or what was submitted."""
        self._send("answer", answer, video)

    def end(self, error: str | None) -> None:
        """Pass on the end, or the error that ends the call."""
        self._send("end", error, self.trace)


class RemoteError(Exception):
    """An exception that a component raised on a node, as the text of its traceback."""

    def __str__(self) -> str:
        return "\n" + "".join(str(part) for part in self.args)


def store_clip(answer: _Outcome, video: bytes | None, workspace: Path) -> _Outcome:
    """Write the file of a clip, whole or not at all; return other answers unchanged. Raises RunError on a full disk."""
    if video is None or not isinstance(answer, popbench.Clip):
        return answer
    path = workspace / f"{answer.id}.mp4"
    partial = workspace / f".{answer.id}.part"
    try:
        partial.write_bytes(video)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise popbench.RunError(
            f"clip {path} cannot be written: {one_line(error)}: make room and run the same command again"
        ) from error
    return replace(answer, path=path)


def feed(
    session: Session,
    items: Iterator[popbench.Request],
    add: Callable[[popbench.Request], None],
    complete: Callable[[], None],
) -> None:
    """Pass items on while there is room. It runs in its own thread, because the next item may take long to come."""
    try:
        while session.wait_for_room():
            item = next(items, None)
            if item is None:
                complete()
                return
            add(item)
    except BaseException as error:  # an error of the caller's iterator is raised where the caller takes answers
        session.end(error)
