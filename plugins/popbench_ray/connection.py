"""The connection with Ray, in the process of `host`. It is made and ended in bounded time, and prints nothing.

A Ray that is started here listens on this machine only, and its files are in a folder that no other user can enter.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from popbench.errors import PopbenchError, one_line
from popbench_ray.folders import remove_stale_folders
from popbench_ray.nodes import Size
from popbench_ray.tokens import token_problem

BEGIN_SECONDS = 120.0
"""Seconds for making a connection."""
_REACH, _END, _DYING = 5.0, 5.0, 3.0
"""Seconds for reaching an address, ending a connection, and the end of Ray's processes after that."""

_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Makes Ray listen on 127.0.0.1 only. It has no option for that, but this switch of other systems works on any."""

_PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "600", "RAY_USAGE_STATS_ENABLED": "0"}
"""Keeps Ray from ending the whole process when its head is silent for 60 s: samples have to be written first."""


_NEEDED = ("raylet", "gcs_server")
INNER = "r"
"""Ray's own folder in the closed one."""


class UnreachableError(PopbenchError):
    """There is no cluster to work on. The message says what to do."""


class Connection:
    """A connection with Ray; `own` is a Ray that was started here."""

    def __init__(self, *, own: bool) -> None:
        self.ended = threading.Event()
        self.own = own

    def sizes(self) -> Mapping[str, Size]:
        """Return the live nodes by id. It blocks while the cluster does not answer."""
        return {
            node["NodeID"]: Size(
                cpus=node["Resources"].get("CPU", 0.0),
                gpus=int(node["Resources"].get("GPU", 0)),
                memory=node["Resources"].get("memory", 0.0),
                name=f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
            )
            for node in _ray().nodes()
            if node["Alive"]
        }

    @cached_property
    def node(self) -> str:
        """The id of the node that this process is on: nothing can be started without it."""
        return str(_ray().get_runtime_context().get_node_id())

    def dead_process(self) -> str | None:
        """Return the name of a process without which a Ray that was started here is lost; None if they all live."""
        if self.own:
            with suppress(Exception):  # Ray's own records: without them, the cluster's silence is noticed later
                from ray._private import worker

                node: Any = worker._global_node
                dead = [name for name, _ in node.dead_processes()]
                return next((name for name in dead if name in _NEEDED), None)
        return None

    def end(self) -> None:
        """Leave a cluster. It takes bounded time, whatever state that is in. An own Ray ends with this process."""
        if not self.own:
            with suppress(Exception):
                within(_END, _ray().shutdown)
        self.ended.set()


def remove_all(folder: Path | None) -> None:
    """Remove the folder of a Ray that is ending, and those of its workers on this machine, in bounded time."""
    until = time.monotonic() + _DYING
    while folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() > until:
            break
        time.sleep(0.1)  # ending processes may still write there
    remove_stale_folders()


def within(seconds: float, call: Callable[[], Any], lasts: threading.Event | None = None) -> Any:
    """Call in a thread and return the result; raises TimeoutError after `seconds`, and exceptions of the call.

    The thread stays alive until the event `lasts`: Linux ends Ray's processes with the thread that started them.
    """
    outcome: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except BaseException as error:  # raised in the thread that waits
            outcome.put((None, error))
        if lasts is not None:
            lasts.wait()

    threading.Thread(target=run, daemon=True, name="popbench-ray-call").start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer for {seconds:g} s") from None
    if error is not None:
        raise error
    return result


def ray_problem(address: str | None) -> str | None:
    """Return one line if Ray is not installed or too old; None if all is well. Ray is not imported.

    A Ray from before tokens ignores the setting and admits every client, so its age is found from its files.
    """
    ray = find_spec("ray")
    if ray is None:
        return 'Ray is not installed: pip install "popbench[ray]" (in a clone: pip install -e ".[ray]")'
    folders = ray.submodule_search_locations or ()
    auth_mode = os.environ.get("RAY_AUTH_MODE", "token" if address is None else "disabled")
    if auth_mode != "disabled" and not any(Path(place, "_private", "authentication").is_dir() for place in folders):
        return 'this Ray is too old to ask for a token: pip install "popbench[ray]", or set RAY_AUTH_MODE=disabled'
    return None


def connect(address: str | None, folder: Path | None) -> Connection:
    """Join a cluster, or start Ray on this machine if `address` is None; raises UnreachableError.

    `folder` is for the files of a Ray that is started here: nobody but this user may be able to enter it.
    """
    if address is not None:
        connection = _join(address)
    else:
        assert folder is not None
        connection = _start(folder)
    _keep_signals()
    return connection


def _start(folder: Path) -> Connection:
    """Start Ray for this process alone, on 127.0.0.1, with a token that only its own processes know."""
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    connection = Connection(own=True)
    try:
        with _environment(_PATIENCE | _LOOPBACK):
            # Ray lets every user write to the folder that it is given: it gets one inside of a closed one.
            options = {"address": "local", "include_dashboard": False, "_temp_dir": str(folder / INNER)}
            within(BEGIN_SECONDS, lambda: _init(**options), lasts=connection.ended)
            listens_on = str(_ray().nodes()[0]["NodeManagerAddress"])
    except Exception as error:
        connection.end()
        raise UnreachableError(f"Ray does not start on this machine: {one_line(error)}") from error
    if listens_on != "127.0.0.1":
        connection.end()
        raise UnreachableError(
            f"Ray listens on {listens_on} and not on 127.0.0.1: start a cluster and give its address="
        )
    return connection


def _join(address: str) -> Connection:
    hint = "start one with `ray start --head`, or leave out address= to start Ray on this machine"
    if "://" in address:
        raise UnreachableError(
            f"address={address}: popbench has to run on a node of the cluster, with HOST:PORT or auto"
        )
    target = _resolve(address)
    if target is None:
        raise UnreachableError(f"address={address}: no Ray cluster runs here: {hint}")
    host, _, port = target.rpartition(":")
    if not (host and port.isdigit()):
        raise UnreachableError(f"address={address}: expected auto or HOST:PORT")
    connect_error = _connect_problem(host, port)
    if connect_error is not None:
        raise UnreachableError(f"address={address}: nothing answers at {target} ({connect_error}): {hint}")
    token_error = token_problem(target)
    if token_error is not None:
        raise UnreachableError(f"address={address}: {token_error}")
    connection = Connection(own=False)
    with suppress(OSError):  # Ray notes the address here, and fails where a cluster was started with another --temp-dir
        Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp", "ray").mkdir(exist_ok=True)
    try:
        # Ray replaces 127.0.0.1 by the machine's own address, on which a loopback cluster does not listen
        loopback = (
            host in ("127.0.0.1", "localhost") and _connect_problem(_ray().util.get_node_ip_address(), port) is not None
        )
        with _environment(_PATIENCE | (_LOOPBACK if loopback else {})):
            within(BEGIN_SECONDS, lambda: _init(address=target))
    except Exception as error:
        connection.end()
        raise UnreachableError(
            f"address={address}: the cluster at {target} cannot be joined: {one_line(error)}"
        ) from error
    return connection


def _connect_problem(host: str, port: str) -> str | None:
    """Return in a few words why nothing answers at an address; None if something does."""
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH).close()
    except (OSError, OverflowError) as error:
        return one_line(error)
    return None


def _resolve(address: str) -> str | None:
    if address != "auto":
        return address
    from ray._private import services

    with suppress(Exception):  # RAY_ADDRESS, or what `ray start` left on this machine
        resolved = services.canonicalize_bootstrap_address("auto", None)
        return None if resolved is None else str(resolved)
    return None


def _init(**options: Any) -> None:
    from ray._private import ray_constants, worker

    ray = _ray()
    logging.getLogger("ray").setLevel(logging.ERROR)
    worker._worker_logs_enabled = False  # else Ray writes warnings to stdout, where results are
    with suppress(Exception):  # else Ray uses the environment as it was when it was imported
        ray._raylet.Config.initialize("")
    enabled = ray_constants.ENABLE_RAY_CLUSTER
    try:
        ray_constants.ENABLE_RAY_CLUSTER = enabled and not all(name in os.environ for name in _LOOPBACK)
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled


def _keep_signals() -> None:
    """Restore the signal handlers: Ray's own would end the process before samples are written."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        handler = signal.getsignal(number)
        if handler is not None:
            signal.signal(number, handler)


def _ray() -> Any:
    import ray

    return ray


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that are not set, and remove them afterwards."""
    own = {name: value for name, value in values.items() if name not in os.environ}
    os.environ |= own
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)
