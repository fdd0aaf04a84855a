"""A Ray cluster of real nodes on this machine. Its workers find the plugin of `ray_components`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import popbench
import ray_components
from popbench.registry import Plugin, load_registry
from popbench_ray.engine import RayEngine


def install() -> None:
    """Register the components in this process, once."""
    registry = load_registry()
    if not any(plugin.name == "raytest" for plugin in registry.plugins):
        registry.add(ray_components, Plugin("raytest", "popbench-raytest", "1", "ray_components"))


def distribute(folder: Path) -> None:
    """Install the plugin's metadata into a folder; its module is in `tests/support`."""
    info = folder / "popbench_raytest-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: popbench-raytest\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[popbench]\nraytest = ray_components\n", encoding="utf-8")


class Nodes:
    """A cluster of two nodes with one processor each, in its own process and folder. `close` removes everything."""

    def __init__(self, plugins: Path) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="raytest-", dir="/tmp", ignore_cleanup_errors=True)
        self.path = os.pathsep.join(filter(None, [str(Path(__file__).parent), str(plugins), *sys.path]))
        surroundings = {"PYTHONPATH": self.path, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ray_nodes.py")), self._temporary.name],
            cwd=self._temporary.name,
            env={**os.environ, **surroundings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._hear()
        self.add()

    def add(self, cpus: int = 1, **environment: str) -> str:
        """Start another node, with more variables in its environment; returns what `kill` takes."""
        return self._tell(" ".join(["add", str(cpus), *(f"{name}={value}" for name, value in environment.items())]))

    def kill(self, node: str) -> None:
        """End a node's processes as a power cut does."""
        self._tell(f"kill {node}")

    def programs(self, name: str, word: bytes) -> list[int]:
        """Return the ids of this cluster's processes whose program has such a name and such a word on its line."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                if (
                    str((entry / "exe").readlink()).endswith(name)
                    and word in line
                    and self._temporary.name.encode() in line
                ):
                    found.append(int(entry.name))
        return found

    def kill_all(self) -> None:
        """End everything as a power cut does: whatever runs in this cluster's own folder."""
        self._process.kill()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str((entry / "cwd").readlink()).startswith(self._temporary.name):
                    os.kill(int(entry.name), signal.SIGKILL)
        self._process.wait(10)

    def close(self) -> None:
        """End everything, also what is left of it after a failure."""
        self.kill_all()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._temporary.cleanup()

    def _tell(self, order: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        assert answer, "the cluster ended"
        return answer


@contextmanager
def surroundings(plugins: Path) -> Iterator[None]:
    """Set the environment so that child processes find the plugin and Ray needs no token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(plugins)])
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


def requests(prompts: Sequence[str]) -> list[popbench.VideoRequest]:
    """Return a request for each prompt; its id has the prompt and a number."""
    return [popbench.VideoRequest(f"{prompt}-{number}", prompt, number) for number, prompt in enumerate(prompts)]


def resolve(kind: str, text: str) -> popbench.ComponentSpec:
    """Make a spec."""
    return load_registry().resolve(kind, text).spec


@contextmanager
def engine(workspace: Path, **options: Any) -> Iterator[RayEngine]:
    """Start an engine, and close it at the end of the block."""
    made = RayEngine(RayEngine.Options(**options))
    workspace.mkdir(exist_ok=True)
    made.start(workspace)
    try:
        yield made
    finally:
        made.close()


class Mapped(threading.Thread):
    """A call of `map` in a thread, with its answers so far and its exception."""

    def __init__(self, made: popbench.Engine, spec: popbench.ComponentSpec, items: Any) -> None:
        super().__init__(daemon=True)
        self.answers: list[popbench.Answer | popbench.Submitted] = []
        self.error: BaseException | None = None
        self._call = (made, spec, items)
        self.start()

    def run(self) -> None:
        made, spec, items = self._call
        try:
            self.answers.extend(made.map(spec, items))
        except BaseException as error:
            self.error = error

    def done(self, timeout: float = 60.0) -> list[popbench.Answer | popbench.Submitted]:
        """Wait for the end, and return all answers; raises what the call raised."""
        self.join(timeout)
        assert not self.is_alive(), "the call does not end"
        if self.error is not None:
            raise self.error
        return self.answers


def await_(happened: Callable[[], Any], timeout: float = 60.0) -> Any:
    """Wait until a function returns something true, and return that."""
    end = time.monotonic() + timeout
    while not (found := happened()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found
