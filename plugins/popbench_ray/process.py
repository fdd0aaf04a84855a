"""The engine's side of the process that is connected with Ray (see `host`): starts it, asks it, and sees it end."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection as Link
from pathlib import Path
from typing import Any

from popbench.errors import PopbenchError, one_line
from popbench_ray.connection import BEGIN_SECONDS, INNER, UnreachableError, remove_all
from popbench_ray.folders import end_session
from popbench_ray.session import Session

_MAIN = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from popbench_ray.host import main
main(int(sys.argv[2]), *sys.argv[3:])
"""
MARGIN = 10.0
"""Seconds for an order and its answer to be passed on."""
_CLOSE, _CLOSE_LOST, _SILENT = 30.0, 2.0, 6.0
"""Seconds for it to close all workers and leave the cluster; where the cluster is lost, or silent for so long."""
_LONGEST_PATH = 107 - len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
"""Bytes that are left for a folder in which Ray makes its sockets."""


class RayProcess:
    """The process that is connected with Ray. `close` ends it.

    `lost` is why it ended by itself, None while it has not; `crashed` is an error of its driver. `at_work` has the
    numbers of ready workers by component.
    """

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.connected = False
        self.lost: str | None = None
        self.crashed: str | None = None
        self.at_work: dict[str, int] = {}
        self._notices: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._told: set[str] = set()
        self._alive_at = time.monotonic()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._replies: dict[int, queue.SimpleQueue[tuple[Any, str | None]]] = {}
        self._sessions: dict[int, Session] = {}
        self._orders: queue.SimpleQueue[tuple[str, int | None, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._folder = closed_folder() if address is None else None
        ours, theirs = socket.socketpair()
        with theirs:
            words = [
                json.dumps([str(path) for path in sys.path]),
                str(theirs.fileno()),
                str(self._folder or ""),
                sys.argv[0],
            ]
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, *words],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # where results of this process are
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # signals of a terminal are for this process
            )
        self._link = Link(ours.detach())
        self._threads = [
            threading.Thread(target=run, daemon=True, name="popbench-ray") for run in (self._read, self._write)
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, name: str, *arguments: Any, seconds: float) -> Any:
        """Give an order and return its answer; raises UnreachableError with one line where there is none."""
        reply: queue.SimpleQueue[tuple[Any, str | None]] = queue.SimpleQueue()
        number = next(self._numbers)
        with self._lock:
            if self.lost is not None:
                raise UnreachableError(self.lost)
            self._replies[number] = reply
        self._orders.put((f"ask_{name}", number, arguments))
        try:
            value, problem = reply.get(timeout=seconds)
        except queue.Empty:
            raise UnreachableError(f"the Ray cluster has not answered for {seconds:g} s") from None
        if problem is not None:
            raise UnreachableError(problem)
        return value

    def connect(self) -> None:
        """Join the cluster, or start Ray on this machine; raises UnreachableError."""
        self.ask("connect", self.address, seconds=BEGIN_SECONDS + MARGIN)
        self.connected = True

    def tell(self, name: str, session: int | None, *arguments: Any) -> None:
        """Give an order that has no answer."""
        self._orders.put((name, session, arguments))

    def add_session(self, session: Session) -> int:
        """Take a session whose answers come from there; return its number for orders."""
        number = next(self._numbers)
        with self._lock:
            self._sessions[number] = session
            lost = self.lost
        if lost is not None:
            session.end(lost)
        return number

    def forget_session(self, number: int) -> None:
        """Pass nothing on to a session any more."""
        with self._lock:
            self._sessions.pop(number, None)

    def interrupt(self) -> None:
        """End all sessions, even where the other process hangs."""
        with self._lock:
            sessions = list(self._sessions.values())
        for session in sessions:
            session.end("interrupted")
        self.tell("interrupt", None)

    def silence(self) -> float:
        """Return for how many seconds the cluster has not answered its driver."""
        return time.monotonic() - self._alive_at

    def notices(self) -> list[str]:
        """Return lines for the user that have come since the last call."""
        lines = []
        with suppress(queue.Empty):
            while True:
                line = self._notices.get_nowait()
                if line not in self._told:
                    self._told.add(line)
                    lines.append(line)
        return lines

    def close(self) -> None:
        """End the process, and with it the Ray that it started, in bounded time."""
        self._orders.put(("close", None, ()))
        healthy = self.connected and self.crashed is None and self.silence() < _SILENT
        try:
            self._ended.wait(_CLOSE if healthy else _CLOSE_LOST)
        finally:  # also where waiting is interrupted
            self._process.kill()
            end_session(self._process.pid)  # the Ray that it started
            self._process.wait()
            self._orders.put(None)
            for thread in self._threads:
                thread.join(5)
            self._link.close()
            remove_all(self._folder)

    def _write(self) -> None:
        try:
            while (order := self._orders.get()) is not None:
                self._link.send(order)
        except OSError:
            pass  # it has ended: `_read` sees that too
        except Exception as error:  # a plugin's item that cannot be pickled
            self.crashed = f"the Ray engine failed: {one_line(error)}"

    def _read(self) -> None:
        try:
            while True:
                self._take(*self._link.recv())
        except (EOFError, OSError):
            pass  # it has ended
        except Exception as error:  # a plugin's answer that cannot be unpickled here
            self.crashed = f"the Ray engine failed: {one_line(error)}"
        why = self._why()
        self._ended.set()
        with self._lock:
            self.lost = why
            sessions, replies = list(self._sessions.values()), list(self._replies.values())
        for session in sessions:
            session.end(self.lost)
        for reply in replies:
            reply.put((None, self.lost))

    def _take(self, event: str, number: int, values: tuple[Any, ...]) -> None:
        match event:
            case "reply":
                with self._lock:
                    reply = self._replies.pop(number)
                self._alive_at = time.monotonic()
                reply.put(values)
            case "alive":
                self._alive_at = time.monotonic()
            case "at_work":
                (self.at_work,) = values
            case "notice":
                self._notices.put(*values)
            case "crashed":
                (self.crashed,) = values
            case _:
                with self._lock:
                    session = self._sessions.get(number)
                if session is not None:
                    getattr(session, event)(*values)

    def _why(self) -> str:
        """Say in a line how it ended."""
        how = ""
        with suppress(ChildProcessError, ValueError):  # its end is left for `close`, which needs its id until then
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            if ended is not None and ended.si_code != os.CLD_EXITED:
                how = f" by {signal.Signals(ended.si_status).name}"
        where = "the Ray of this run" if self.address is None else "the Ray node that popbench runs on"
        return f"{where} has ended{how}: one of its processes was killed, failed, or ran out of memory"


def closed_folder() -> Path:
    """Make a folder for Ray's files that no other user can enter, with a path that is short enough for sockets."""
    parent = tempfile.gettempdir()
    room = _LONGEST_PATH - len(f"/popbench-ray-12345678/{INNER}")
    return Path(tempfile.mkdtemp(prefix="popbench-ray-", dir=parent if len(os.fsencode(parent)) <= room else "/tmp"))


def initialized_address() -> str | None:
    """Return the address of the cluster that the program is connected with by itself; None if with none."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    try:
        return str(ray.get_runtime_context().gcs_address)
    except Exception as error:
        raise PopbenchError(f"the cluster that this program is connected with has no address: {error}") from error
