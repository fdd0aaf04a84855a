"""Servers in processes of their own: those of the tests, which take plans, and those that others wrote."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class PlannedServer:
    """The process of a script beside this module, which prints its port, and is told under /control/ how to behave."""

    def __init__(self, script: str, *arguments: object) -> None:
        command = [sys.executable, "-E", "-s", "-S", str(Path(__file__).with_name(script)), *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def control(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Tell or ask the server something beside its protocol."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", f"/control/{path}", json.dumps(body or {}))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def plan(self, **plan: Any) -> None:
        """Behave so from now on."""
        self.control("plan", plan)

    def asked(self) -> list[str]:
        """Return what was asked for: method and path."""
        return list(self.control("log")["asked"])

    def stop(self) -> None:
        """End it at once, as a crash would, with all its connections."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def foreign_server(
    command: Callable[[int], Sequence[str]], alive: str, log: Path, patience: float, **options: Any
) -> Iterator[str]:
    """Run a server that others wrote for the time of the block; give its base URL.

    `command` makes its command line of a free port; it works once `alive` answers. What it prints goes to the file
    `log`; `options` are those of the process. Raises RuntimeError if it does not start within `patience` seconds.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = command(port)
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, **options)
    try:
        deadline = time.monotonic() + patience
        while not _answers(port, alive):
            if time.monotonic() > deadline or process.poll() is not None:
                end = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{Path(words[0]).name} did not start a server; the end of {log}:\n{end}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
