"""The server of `popbench view` in a thread of this process, and requests as they are sent, unmended by any client."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from popbench.view.app import make_app
from popbench.view.runs import Runs
from popbench.view.serve import runner_of

TOKEN = "a-token-of-tests"


@dataclass(frozen=True)
class Reply:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A server at work, with what it knows of the folder."""

    port: int
    runs: Runs

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{TOKEN}/"

    def send(self, target: str, method: str = "GET", **headers: str) -> Reply:
        """Send a request for exactly this target; `host` and the like are headers, with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, target, skip_host=True)
            given = {"host": f"127.0.0.1:{self.port}", **headers}
            for name, value in given.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **values: Any) -> Reply:
        """Ask as the page does."""
        return self.send(f"/{TOKEN}/{path}?{urlencode(values)}")


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Serve a folder."""
    loop = asyncio.new_event_loop()
    runs = Runs(folder.resolve())
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    over = asyncio.Event()
    up = threading.Event()

    async def work() -> None:
        runner = runner_of(make_app(runs, TOKEN))
        await runner.setup()
        await web.SockSite(runner, listening).start()
        up.set()
        await over.wait()
        await runner.cleanup()
        await loop.shutdown_default_executor()

    thread = threading.Thread(target=loop.run_until_complete, args=[work()])
    thread.start()
    assert up.wait(10)
    try:
        yield Served(listening.getsockname()[1], runs)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        listening.close()
        loop.close()
        assert not thread.is_alive()


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return everything of the files in a folder that writing would change.

    It is without the time of change: SQLite, where root runs it, sets the owner of its files, to the same one.
    """
    return {
        str(path.relative_to(folder)): (
            about.st_mode, about.st_size, about.st_mtime_ns, about.st_ino,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted([folder, *folder.rglob("*")])
        for about in [path.lstat()]
    }  # fmt: skip
