"""What surrounds the command line as a process: its standard streams, the signals that end it, and its memory."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any

_PAUSE = 5.0
"""Seconds after an interruption in which no other one is taken: what is finished is being written."""
_OUT_OF_MEMORY = ("can't start new thread", "cannot allocate memory", "failed to map segment")
"""What libraries and threads say where no memory is left."""


class _Unread(io.TextIOWrapper):
    """Standard error that may have no reader left: progress that nobody sees must not end the work."""

    def write(self, text: str) -> int:
        """Write a text, or nothing if that fails."""
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, as far as there is a reader."""
        with suppress(OSError):
            super().flush()


def open_streams() -> None:
    """Make the standard streams fit to be written to: what they cannot show is replaced, what is closed is opened.

    A file that is opened while one of the first three descriptors is closed would get its number, and what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        encoding, plain = sys.stderr.encoding, sys.stderr.line_buffering
        sys.stderr = _Unread(
            sys.stderr.detach(), encoding, "backslashreplace", line_buffering=plain, write_through=True
        )


def discard(stream: Any) -> None:
    """Send to nowhere what a stream still holds: else Python would report at exit that it cannot be written."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the process may have no more memory."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


class Interruptions:
    """Turns the signals by which others end a process, such as Slurm at a time limit, into that of the keyboard.

    `first` is the number of the first signal. Those that follow within seconds are part of it: each would interrupt the
    writing of what is finished.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self._last = 0.0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # `nohup` ignores SIGHUP
                signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of handlers
        now = time.monotonic()
        if self.first is not None and now - self._last < _PAUSE:
            return
        self.first, self._last = self.first or number, now
        raise KeyboardInterrupt

    def end(self) -> int:
        """Take no further signal, and return the exit status of an interrupted process, by the first one."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == self._end:
                signal.signal(number, signal.SIG_IGN)
        return 128 + (self.first or signal.SIGINT)
