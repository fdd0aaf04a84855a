"""A Ray cluster of real nodes on this machine, whose workers find the plugin of `ray_components`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import popbench
import ray_components
from popbench.registry import Plugin, load_registry
from popbench_ray.engine import RayEngine

FAST_DEATH = {
    "health_check_initial_delay_ms": 2000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
"""Ray notices within seconds that a node is gone, and not after 15."""


def install() -> None:
    """Register the components in this process, once."""
    registry = load_registry()
    if not any(plugin.name == "raytest" for plugin in registry.plugins):
        registry.add(ray_components, Plugin("raytest", "popbench-raytest", "1", "ray_components"))


def distribute(folder: Path) -> None:
    """Install the plugin's metadata into a folder; its module is in the folder of tests."""
    info = folder / "popbench_raytest-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: popbench-raytest\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[popbench]\nraytest = ray_components\n", encoding="utf-8")


class Nodes:
    """A cluster that starts with its first use, in the working directory: a temporary one, whatever workers do."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cluster: Any = None

    @property
    def address(self) -> str:
        """Where the cluster is; it is started if it is not there."""
        if self._cluster is None:
            from ray.cluster_utils import Cluster

            assert Path.cwd() == self._folder, "workers start in the working directory"
            _listen_everywhere(False)
            paths = os.pathsep.join([str(Path(__file__).parent), str(self._folder)])
            os.environ |= {"PYTHONPATH": paths, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
            head = {"num_cpus": 1, "include_dashboard": False, "_system_config": FAST_DEATH}
            self._cluster = Cluster(initialize_head=True, head_node_args=head)
            self.add()
        return str(self._cluster.address)

    def add(self, cpus: int = 1) -> Any:
        """Start another node; returns what `kill` takes."""
        return self._cluster.add_node(num_cpus=cpus, wait=True)

    def kill(self, node: Any) -> None:
        """End a node's processes as a power cut does."""
        self._cluster.remove_node(node, allow_graceful=False)

    def kill_all(self) -> None:
        """End everything."""
        if self._cluster is not None:
            for node in list(self._cluster.worker_nodes):
                self.kill(node)
            self._cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
            self._cluster = None
            _listen_everywhere(True)


def _listen_everywhere(everywhere: bool) -> None:
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = everywhere


@contextmanager
def surroundings(folder: Path) -> Iterator[None]:
    """Work in a temporary folder; take back what a cluster's start changes."""
    before, here = dict(os.environ), Path.cwd()
    sys.path.append(str(folder))
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        with suppress(ValueError):
            sys.path.remove(str(folder))
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def requests(prompts: Sequence[str]) -> list[popbench.VideoRequest]:
    """Return a request for each prompt, called by prompt and number."""
    return [popbench.VideoRequest(f"{prompt}-{number}", prompt, number) for number, prompt in enumerate(prompts)]


def resolve(kind: str, text: str) -> popbench.ComponentSpec:
    """Make a spec."""
    return load_registry().resolve(kind, text).spec


@contextmanager
def engine(workspace: Path, **options: Any) -> Iterator[RayEngine]:
    """Have an engine at work, and end it."""
    made = RayEngine(RayEngine.Options(**options))
    workspace.mkdir(exist_ok=True)
    made.start(workspace)
    try:
        yield made
    finally:
        made.close()


class Mapped(threading.Thread):
    """A call of `map` in a thread of its own: its answers so far, and what it raised."""

    def __init__(self, made: popbench.Engine, spec: popbench.ComponentSpec, items: Any) -> None:
        super().__init__(daemon=True)
        self.answers: list[popbench.Answer] = []
        self.error: BaseException | None = None
        self._call = (made, spec, items)
        self.start()

    def run(self) -> None:
        made, spec, items = self._call
        try:
            self.answers.extend(made.map(spec, items))
        except BaseException as error:
            self.error = error

    def done(self, timeout: float = 60.0) -> list[popbench.Answer]:
        """Wait for the end, and return all answers; raises what the call raised."""
        self.join(timeout)
        assert not self.is_alive(), "the call does not end"
        if self.error is not None:
            raise self.error
        return self.answers


def await_(happened: Callable[[], Any], timeout: float = 60.0) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + timeout
    while not (found := happened()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found
