"""Asks a node what components lack and need there, before any work starts. It is in the process of `host`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import popbench
from popbench_ray.connection import Connection, within
from popbench_ray.nodes import Size
from popbench_ray.worker import Findings, Probe, Settings
from popbench_ray.worker_errors import cause, missing_module

NODES_SECONDS = 60.0
"""Seconds for the cluster to list its nodes."""
PROBE_SECONDS = 600.0
"""Seconds for a component to return its fingerprint and needs on a node: it may have to hash its weights."""
PROBE_TRIES = 3
"""Nodes that are tried at most, where earlier ones turn out to be gone."""
_INSTALL = "install the same there as here"


class Prober:
    """An actor on one node of a cluster, with GPUs if there is one.

    Another node is asked where that one is lost, and where a component is another one there: workers leave such a node
    out, so it does not matter which is asked first.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._actor: Any = None
        self._node, self._size = "", Size()
        self._problem: str | None = None

    def look(
        self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], settings: Settings, check: bool
    ) -> Findings | str:
        """Make a component on a node, and ask what it lacks and needs; returns one line on failure."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        tried: set[str] = set()
        differing: Findings | None = None
        with self._lock:
            for tries_left in reversed(range(PROBE_TRIES)):
                if self._problem is not None:
                    return self._problem
                sizes: Mapping[str, Size] = {}
                try:
                    if self._actor is None:
                        sizes = within(NODES_SECONDS, self._connection.sizes)
                        node = max(sizes, key=lambda name: (name not in tried, sizes[name].gpus))
                        if differing is not None and (node in tried or bool(sizes[node].gpus) != bool(self._size.gpus)):
                            return differing
                        tried.add(node)
                        self._node, self._size = node, sizes[node]
                        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
                        self._actor = ray.remote(Probe).options(num_cpus=0, scheduling_strategy=strategy).remote()
                    reference = self._actor.look.remote(spec, fingerprint, settings, check=check)
                    findings: Findings | str = ray.get(reference, timeout=PROBE_SECONDS)
                except Exception as error:
                    self._actor = None
                    gone = isinstance(error, ray.exceptions.RayActorError)
                    # a node that is gone counts as alive until Ray has missed it for some time
                    if tries_left and gone and not (missing_module(error) and tried >= set(sizes)):
                        continue
                    if gone and missing_module(error):
                        self._problem = (
                            f"{missing_module(error)} is not installed on node {self._size.name}: {_INSTALL}"
                        )
                        return self._problem
                    return f"it cannot be looked at on node {self._size.name}: {cause(error)}"
                if not isinstance(findings, str) and findings.differs and tries_left:
                    differing = differing or findings
                    tried.add(self._node)
                    ray.kill(self._actor)
                    self._actor = None
                    continue
                if not isinstance(findings, str):
                    return findings
                if findings.startswith("unknown ") and "failed to load" not in findings:  # this process has the plugin
                    return f"no plugin on node {self._size.name} has {spec.kind} {spec.name!r}: {_INSTALL}"
                return f"on node {self._size.name}: {findings}"
        raise AssertionError("the last try returns")

    def end(self) -> None:
        """End the actor."""
        import ray

        with self._lock:
            if self._actor is not None:
                ray.kill(self._actor)
                self._actor = None
