"""The driver's connection with Ray: made and ended in bounded time, quiet, and by itself only on this machine.

A process has one connection with Ray. Engines with the same address share it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from popbench.errors import PopbenchError, one_line
from popbench_ray.nodes import Size

_REACH = 5.0
_END = 15.0
"""Seconds that reaching an address, and ending the connection, may take."""

_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray has no option to listen on 127.0.0.1 only, but does so on these systems; the switch works on any."""

_PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "600", "RAY_USAGE_STATS_ENABLED": "0"}
"""Ray ends the whole process when its head has been silent for 60 s; samples have to be written first."""


class UnreachableError(PopbenchError):
    """There is no cluster to work on; the message says what to do."""


class Connection:
    """A connection with Ray, which was made here or found. `folder` and `environment` go with it."""

    def __init__(
        self, address: str | None, *, own: bool, folder: Path | None = None, environment: tuple[str, ...] = ()
    ) -> None:
        self.address = address
        self.users = 0
        self._own = own
        self._folder = folder
        self._environment = environment

    def sizes(self) -> Mapping[str, Size]:
        """Ask which nodes there are; blocks where the cluster does not answer."""
        return {
            node["NodeID"]: Size(
                cpus=node["Resources"].get("CPU", 0.0),
                gpus=int(node["Resources"].get("GPU", 0)),
                memory=node["Resources"].get("memory", 0.0),
            )
            for node in _ray().nodes()
            if node["Alive"]
        }

    def leave(self) -> None:
        """End the connection when nobody else uses it: in bounded time, whatever state Ray is in."""
        global _current
        with _lock:
            self.users -= 1
            if self.users > 0 or not self._own or _current is not self:
                return
            _current = None
            self.end()

    def end(self) -> None:
        """End the connection at once."""
        with suppress(Exception):
            within(_END, _ray().shutdown)
        for name in self._environment:
            os.environ.pop(name, None)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


_lock = threading.RLock()
_current: Connection | None = None
_token = secrets.token_hex(32)
"""Whoever may use the Ray that is started here; Ray reads it once per process."""


def within(seconds: float, call: Any) -> Any:
    """Call in a thread; raises TimeoutError where it takes longer, and whatever the call raises."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:  # raised in the thread that waits
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True, name="popbench-ray-call")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer for {seconds:g} s")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


def connect(address: str | None) -> Connection:
    """Join a cluster, or start Ray on this machine where there is no address; raises UnreachableError."""
    global _current
    if find_spec("ray") is None:
        raise UnreachableError('Ray is not installed: pip install "popbench[ray]"')
    with _lock:
        if _current is None:
            if _ray().is_initialized():
                _current = Connection(address, own=False)
            else:
                _current = _start() if address is None else _join(address)
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
    folder = Path(tempfile.mkdtemp(prefix="popbench-ray-", dir=parent if len(parent) < 30 else "/tmp"))  # of sockets
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token} if "RAY_AUTH_MODE" not in os.environ else {}
    os.environ |= access
    connection = Connection(None, own=True, folder=folder, environment=tuple(access))
    try:
        with _environment(_PATIENCE | _LOOPBACK):
            _init(address="local", include_dashboard=False, _temp_dir=str(folder))
            heard = _listening()
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
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH).close()
    except (OSError, OverflowError) as error:
        raise UnreachableError(f"address={address}: nobody answers at {found} ({one_line(error)}): {hint}") from error
    try:
        with _environment(_PATIENCE):
            _init(address=found)
    except Exception as error:
        raise UnreachableError(
            f"address={address}: the cluster at {found} cannot be joined: {one_line(error)}"
        ) from error
    return Connection(address, own=True)


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
    worker._worker_logs_enabled = False  # or Ray writes warnings to stdout, where results are
    with suppress(Exception):  # Ray keeps what it made of the environment when it was imported, maybe long ago
        ray._raylet.Config.initialize("")
    usual = ray_constants.ENABLE_RAY_CLUSTER
    try:
        ray_constants.ENABLE_RAY_CLUSTER = usual and options["address"] != "local"
        ray.init(logging_level="ERROR", log_to_driver=False, **options)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = usual


def _listening() -> str:
    return str(_ray().nodes()[0]["NodeManagerAddress"])


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
