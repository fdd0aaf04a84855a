"""The driver's connection with Ray: made and ended in bounded time, quiet, and by itself only on this machine.

A process has one connection with Ray. Engines with the same address share it.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from popbench.errors import PopbenchError, one_line
from popbench_ray.access import refused
from popbench_ray.folders import remove_left_behind
from popbench_ray.nodes import Size

_REACH, _BEGIN, _END, _DYING = 5.0, 120.0, 15.0, 3.0
"""Seconds that reaching an address, making a connection, ending it, and the processes of its end, may take."""

_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray has no option to listen on 127.0.0.1 only, but does so on these systems; the switch works on any."""

_PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "600", "RAY_USAGE_STATS_ENABLED": "0"}
"""Ray ends the whole process when its head has been silent for 60 s; samples have to be written first."""


class UnreachableError(PopbenchError):
    """There is no cluster to work on; the message says what to do."""


class Connection:
    """A connection with Ray, which was made here (`own`) or found. `folder` and `environment` go with it."""

    def __init__(
        self,
        address: str | None,
        *,
        own: bool,
        folder: tempfile.TemporaryDirectory[str] | None = None,
        environment: tuple[str, ...] = (),
    ) -> None:
        self.address = address
        self.users = 0
        self.ended = threading.Event()
        self.own = own
        self._folder = folder
        self._environment = environment

    def sizes(self) -> Mapping[str, Size]:
        """Ask which nodes there are; blocks where the cluster does not answer."""
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

    def leave(self) -> None:
        """End the connection when nobody else uses it: in bounded time, whatever state Ray is in."""
        global _current
        with _lock:
            self.users -= 1
            if self.users > 0 or not self.own or _current is not self:
                return
            _current = None
            self.end()

    def end(self) -> None:
        """End the connection at once."""
        with suppress(Exception):
            within(_END, _ray().shutdown)
        self.ended.set()
        for name in self._environment:
            os.environ.pop(name, None)
        until = time.monotonic() + _DYING
        while self._folder is not None:
            self._folder.cleanup()
            if not Path(self._folder.name).exists() or time.monotonic() > until:
                break
            time.sleep(0.1)  # processes that are about to end still write there
        remove_left_behind()  # of workers that were ended on this machine


_lock = threading.RLock()
_current: Connection | None = None
_token = secrets.token_hex(32)
"""Whoever may use the Ray that is started here; Ray reads it once per process."""


def within(seconds: float, call: Callable[[], Any], lasts: threading.Event | None = None) -> Any:
    """Call in a thread; raises TimeoutError where it takes longer, and whatever the call raises.

    The thread `lasts` until an event: Linux ends Ray's processes together with the thread that started them.
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


def lacking(address: str | None) -> str | None:
    """Say in one line what is not installed, without a look into Ray; None where all is there.

    A Ray that knows no tokens does not say so when it is asked for one: it lets everybody in.
    """
    ray = find_spec("ray")
    if ray is None:
        return 'Ray is not installed: pip install "popbench[ray]" (in a clone: pip install -e ".[ray]")'
    places = ray.submodule_search_locations or ()
    asked = os.environ.get("RAY_AUTH_MODE", "token" if address is None else "disabled")
    if asked != "disabled" and not any(Path(place, "_private", "authentication").is_dir() for place in places):
        return 'this Ray is too old to ask for a token: pip install "popbench[ray]", or set RAY_AUTH_MODE=disabled'
    return None


def connect(address: str | None) -> Connection:
    """Join a cluster, or start Ray on this machine where there is no address; raises UnreachableError."""
    global _current
    lacks = lacking(address)
    if lacks is not None:
        raise UnreachableError(lacks)
    with _lock:
        if _current is None:
            if _ray().is_initialized():
                _current = Connection(address, own=False)
            else:
                _current = _start() if address is None else _join(address)
                _keep_signals()
        elif _current.address != address:
            raise UnreachableError(
                f"this process is connected with Ray at {_current.address or 'this machine'} already, not at "
                f"{address or 'this machine'}: use one address"
            )
        _current.users += 1
        return _current


def _start() -> Connection:
    """Start Ray here, for this process alone: on 127.0.0.1, with a token that only its own processes know."""
    parent = tempfile.gettempdir()
    folder = tempfile.TemporaryDirectory(
        prefix="popbench-ray-",
        dir=parent if len(parent) < 30 else "/tmp",  # paths of sockets are short
        ignore_cleanup_errors=True,
    )
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token} if "RAY_AUTH_MODE" not in os.environ else {}
    os.environ |= access
    connection = Connection(None, own=True, folder=folder, environment=tuple(access))
    try:
        with _environment(_PATIENCE | _LOOPBACK):
            options = {"address": "local", "include_dashboard": False, "_temp_dir": folder.name}
            within(_BEGIN, lambda: _init(**options), lasts=connection.ended)
            heard = str(_ray().nodes()[0]["NodeManagerAddress"])
    except Exception as error:
        connection.end()
        raise UnreachableError(f"Ray does not start on this machine: {one_line(error)}") from error
    if heard != "127.0.0.1":
        connection.end()
        raise UnreachableError(f"Ray listens on {heard} and not on 127.0.0.1: start a cluster and give its address=")
    return connection


def _join(address: str) -> Connection:
    hint = "start one with `ray start --head`, or leave out address= to start Ray on this machine"
    if "://" in address:
        raise UnreachableError(
            f"address={address}: popbench has to run on a node of the cluster, with HOST:PORT or auto"
        )
    found = _resolve(address)
    if found is None:
        raise UnreachableError(f"address={address}: no Ray cluster runs here: {hint}")
    host, _, port = found.rpartition(":")
    if not (host and port.isdigit()):
        raise UnreachableError(f"address={address}: expected auto or HOST:PORT")
    wrong = _silent(host, port)
    if wrong is not None:
        raise UnreachableError(f"address={address}: nobody answers at {found} ({wrong}): {hint}")
    wants = refused(found)
    if wants is not None:
        raise UnreachableError(f"address={address}: {wants}")
    connection = Connection(address, own=True)
    with suppress(OSError):  # Ray notes the address here, and fails where a cluster was started with another --temp-dir
        Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp", "ray").mkdir(exist_ok=True)
    try:
        # Ray turns 127.0.0.1 into the machine's own address, where such a cluster may not listen
        loopback = host in ("127.0.0.1", "localhost") and _silent(_ray().util.get_node_ip_address(), port) is not None
        with _environment(_PATIENCE | (_LOOPBACK if loopback else {})):
            within(_BEGIN, lambda: _init(address=found))
    except Exception as error:
        connection.end()
        raise UnreachableError(
            f"address={address}: the cluster at {found} cannot be joined: {one_line(error)}"
        ) from error
    return connection


def _silent(host: str, port: str) -> str | None:
    """Say in a few words why nobody answers there; None where somebody does."""
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
        found = services.canonicalize_bootstrap_address("auto", None)
        return None if found is None else str(found)
    return None


def _init(**options: Any) -> None:
    from ray._private import ray_constants, worker

    ray = _ray()
    logging.getLogger("ray").setLevel(logging.ERROR)
    worker._worker_logs_enabled = False  # or Ray writes warnings to stdout, where results are
    with suppress(Exception):  # Ray keeps what it made of the environment when it was imported, maybe long ago
        ray._raylet.Config.initialize("")
    usual = ray_constants.ENABLE_RAY_CLUSTER
    try:
        ray_constants.ENABLE_RAY_CLUSTER = usual and not all(name in os.environ for name in _LOOPBACK)
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = usual


def _keep_signals() -> None:
    """Have signals do what they did: Ray's own handlers end the process without a word of ours."""
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
    """Set what is not set, and take it back afterwards."""
    own = {name: value for name, value in values.items() if name not in os.environ}
    os.environ |= own
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)
