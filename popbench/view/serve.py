"""The server process: bound to this machine only, until it is interrupted."""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from popbench.errors import UsageError, one_line
from popbench.progress.console import tell as tell_line
from popbench.view.app import make_app
from popbench.view.runs import Runs

ADDRESS = "127.0.0.1"
PORT = 8497
_PATIENCE = 2.0
"""Seconds that requests at work have when the server ends."""


def serve(folder: Path, port: int, tell: Callable[[str], object]) -> None:
    """Serve the page of a folder until the process is interrupted; `tell` is called with its address, once it is up.

    Raises UsageError if the folder is missing or the port is taken. With port 0, any free one is used.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder: give one that runs are in, or will be")
    listening = _listening(port)
    with listening:
        asyncio.run(_serve(folder.resolve(), listening, tell))


def _listening(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ADDRESS, port))
    except OSError as error:
        listening.close()
        why = "is taken, perhaps by another popbench view" if error.errno == errno.EADDRINUSE else one_line(error)
        raise UsageError(f"port {port} {why}: give another --port, or 0 for any that is free") from error
    return listening


async def _serve(folder: Path, listening: socket.socket, tell: Callable[[str], object]) -> None:
    token = secrets.token_urlsafe(24)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            loop.add_signal_handler(number, over.set)
    runner = runner_of(make_app(Runs(folder), token))
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        tell(f"http://{ADDRESS}:{listening.getsockname()[1]}/{token}/")
        await over.wait()
    finally:
        await runner.cleanup()


class _Lines(logging.Handler):
    """Tells of a request that failed in one line, and nothing of one that is no HTTP: that is answered, and all."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            tell_line(f"popbench: a request failed ({one_line(error or record.getMessage())})", err=True)


def runner_of(app: web.Application) -> web.AppRunner:
    """Return what runs the application, and keeps tracebacks off the terminal."""
    logger = logging.Logger("popbench.view", logging.WARNING)
    logger.addHandler(_Lines())
    return web.AppRunner(app, access_log=None, shutdown_timeout=_PATIENCE, logger=logger)
