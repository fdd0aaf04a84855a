"""One call of `map`: where its answers wait, and how many items it may take in."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import popbench
from popbench.errors import one_line

_AT_FIRST = 512


class Session:
    """What goes between the driver's thread and the one that takes answers."""

    def __init__(self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any]) -> None:
        self.spec = spec
        self.fingerprint = fingerprint
        self.requests: dict[str, popbench.Request] = {}
        self.trace = ""
        self.over = False
        self._changed = threading.Condition()
        self._room = _AT_FIRST
        self._shares: dict[int, int] = {}
        self._found: queue.SimpleQueue[tuple[popbench.Answer, bytes | None] | BaseException | None] = (
            queue.SimpleQueue()
        )

    @property
    def who(self) -> str:
        """What messages call the component."""
        return f"{self.spec.kind} {self.spec.label}"

    def allow(self, worker: int, count: int) -> None:
        """Let so many items be taken in on a worker's account before others are answered; none when it is gone."""
        with self._changed:
            self._room += count - self._shares.pop(worker, 0)
            if count:
                self._shares[worker] = count
            self._changed.notify_all()

    def inherit(self, before: Session) -> None:
        """Count on the workers of the component's call before this one."""
        for worker, count in before._shares.items():
            self.allow(worker, count)

    def wait_for_room(self) -> bool:
        """Wait until another item may be taken in; False where none is wanted any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._room > 0 or self.over)
            self._room -= 1
            return not self.over

    def answer(self, answer: popbench.Answer, video: bytes | None = None) -> None:
        """Hand over an answer."""
        self._found.put((answer, video))

    def end(self, error: str | BaseException | None) -> None:
        """Hand over the end, or what ends it."""
        if isinstance(error, str):
            told = popbench.ComponentError(f"{self.who}: {error}")
            if self.trace:
                told.__cause__ = RemoteError(self.trace)
            error = told
        self._found.put(error)

    def stop(self) -> None:
        """Take in no more items."""
        with self._changed:
            self.over = True
            self._changed.notify_all()

    def next(self, timeout: float) -> tuple[popbench.Answer, bytes | None] | None:
        """Return the next answer, None at the end; raises what ended it, or queue.Empty after a while."""
        found = self._found.get(timeout=timeout)
        if isinstance(found, BaseException):
            raise found
        return found

    def taken(self) -> None:
        """Take note that an answer is stored."""
        with self._changed:
            self._room += 1
            self._changed.notify_all()


class RemoteError(Exception):
    """What a component raised on a node: its traceback as text."""

    def __str__(self) -> str:
        return "\n" + "".join(str(part) for part in self.args)


def kept(answer: popbench.Answer, video: bytes | None, workspace: Path) -> popbench.Answer:
    """Write a clip's file, whole or not at all; raises RunError where the disk refuses."""
    if video is None or not isinstance(answer, popbench.Clip):
        return answer
    path = workspace / f"{answer.id}.mp4"
    part = workspace / f".{answer.id}.part"
    try:
        part.write_bytes(video)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
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
    """Take items in as there is room for them, in a thread of their own: they may keep it waiting."""
    try:
        while session.wait_for_room():
            item = next(items, None)
            if item is None:
                complete()
                return
            add(item)
    except BaseException as error:  # whose it is, the taker knows
        session.end(error)
