"""The process that is connected with Ray. It carries out the engine's orders and reports what comes of them.

Ray's native code ends its whole process at once, with no exception and no word, when the raylet of its node or the
head is gone. So nothing that has to outlive Ray is in a process with it: the ledger, the clips and the end of the run
are in the engine's process, which starts this one, and which sees it end. `process` is the engine's side.

An order is a name, a number and arguments. Orders that begin with `ask_` are answered with the number; the number of
others is that of a session. The engine's end, however it comes, ends this process and the Ray that it started.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection as Link
from pathlib import Path
from typing import Any

import popbench
from popbench.errors import PopbenchError, one_line
from popbench_ray.connection import Connection, UnreachableError, connect, remove_all, within
from popbench_ray.driver import Driver
from popbench_ray.folders import end_session
from popbench_ray.nodes import Need, Size
from popbench_ray.probing import NODES_SECONDS, Prober
from popbench_ray.session import FarSession
from popbench_ray.state import Limits
from popbench_ray.worker import Findings, Settings

_LOOK_SECONDS = 1.0
"""How often it is looked whether the engine's process is still there."""


class Host:
    """Has the connection, the driver and the sessions. `folder` is for the files of a Ray that is started here."""

    def __init__(self, link: Link, folder: Path | None) -> None:
        self._link = link
        self._folder = folder
        self._sending = threading.Lock()
        self._connection: Connection | None = None
        self._prober: Prober | None = None
        self._driver: Driver | None = None
        self._sessions: dict[int, FarSession] = {}

    def serve(self) -> None:
        """Carry out orders until there are no more, or until the engine's process is gone."""
        engine = os.getppid()
        with suppress(EOFError, OSError):
            while os.getppid() == engine:
                if not self._link.poll(_LOOK_SECONDS):
                    continue
                name, number, arguments = self._link.recv()
                if name == "close":
                    break
                if name == "ask_connect":  # in this thread, which is the one that signals come to
                    self._answer(name, number, arguments)
                elif name.startswith("ask_"):
                    threading.Thread(target=self._answer, args=(name, number, arguments), daemon=True).start()
                else:
                    getattr(self, name)(number, *arguments)
        if self._driver is not None:
            self._driver.close()
        if self._connection is not None:
            self._connection.end()

    def send(self, name: str, number: int | None, *values: Any) -> None:
        """Report an event; nobody reads it where the engine's process is gone."""
        with suppress(OSError), self._sending:
            self._link.send((name, number, values))

    def _answer(self, name: str, number: int, arguments: tuple[Any, ...]) -> None:
        value, problem = None, None
        try:
            value = getattr(self, name)(*arguments)
        except PopbenchError as error:
            problem = str(error)
        except Exception as error:  # Ray's, or a bug here: the engine must not wait for ever
            problem = f"Ray failed: {one_line(error)}"
        self.send("reply", number, value, problem)

    # answered orders

    def ask_connect(self, address: str | None) -> None:
        """Join a cluster, or start Ray on this machine; raises UnreachableError."""
        self._connection = connect(address, self._folder)
        within(NODES_SECONDS, lambda: self._connected().node)
        self._prober = Prober(self._connection)

    def ask_sizes(self) -> dict[str, Size]:
        """Return the live nodes by id."""
        return dict(within(NODES_SECONDS, self._connected().sizes))

    def ask_probe(
        self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], settings: Settings, check: bool
    ) -> Findings | str:
        """Ask a node what a component lacks and needs there; returns one line on failure."""
        assert self._prober is not None
        return self._prober.look(spec, fingerprint, settings, check)

    def ask_drive(self, limits: Limits, settings: Settings) -> None:
        """Start the driver: from now on nothing is probed."""
        assert self._prober is not None
        self._prober.end()
        self._driver = Driver(limits, self._connected(), self.ask_sizes(), settings, self._report)

    def _connected(self) -> Connection:
        if self._connection is None:
            raise UnreachableError("Ray is not connected")
        return self._connection

    def _report(self, event: str, value: Any) -> None:
        self.send(event, None, value)

    # orders of sessions, which `ask_drive` comes before

    def open(
        self, number: int, name: str, need: Need, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any]
    ) -> None:
        """Begin a component's call."""
        session = FarSession(spec, fingerprint, lambda event, *values: self.send(event, number, *values))
        self._sessions[number] = session
        self._driving.open(name, need, session)

    def add(self, number: int, name: str, request: popbench.Request) -> None:
        """Add an item."""
        self._driving.add(name, self._sessions[number], request)

    def complete(self, number: int, name: str) -> None:
        """Note that all items were added."""
        self._driving.complete(name, self._sessions[number])

    def cancel(self, number: int, name: str) -> None:
        """Drop the items that are not answered."""
        self._driving.cancel(name, self._sessions.pop(number))

    def release(self, _: None, name: str) -> None:
        """End a component's workers."""
        self._driving.release(name)

    def interrupt(self, _: None) -> None:
        """End all sessions."""
        self._driving.interrupt("interrupted")

    @property
    def _driving(self) -> Driver:
        assert self._driver is not None
        return self._driver


def main(link: int, folder: str, program: str) -> None:
    """Serve the engine's process at the other end of a socket, and end without the exit handlers of Ray.

    `program` is what that process was called as: Ray lets workers import what lies beside it.
    """
    sys.argv = [program]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The engine decides what a signal to all processes means. (A process that Ray starts has the default again.)
        signal.signal(number, lambda *_: None)
    own = Path(folder) if folder else None
    Host(Link(link), own).serve()
    end_session(os.getpid())  # which this process leads, and in which all is that Ray started
    remove_all(own)
    os._exit(0)
