"""The engine that runs components in workers of a Ray cluster."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import popbench
from popbench.engines import LocalEngine
from popbench.errors import one_line
from popbench.registry import create
from popbench_ray.connection import Connection, UnreachableError, connect, ray_problem, within
from popbench_ray.driver import Driver
from popbench_ray.nodes import Need, Size
from popbench_ray.options import RayOptions
from popbench_ray.resources import never_fits, worker_need
from popbench_ray.session import Session, feed, store_clip
from popbench_ray.state import Limits
from popbench_ray.worker import Findings, Probe, Settings
from popbench_ray.worker_errors import cause, missing_module

_NODES_SECONDS = 60.0
"""Seconds for the cluster to list its nodes."""
_PROBE_SECONDS = 600.0
"""Seconds for a component to return its fingerprint and needs on a node: it may have to hash its weights."""
_PROBE_TRIES = 3
"""Nodes that are tried at most, where earlier ones turn out to be gone."""
_INSTALL = "install the same there as here"
_LEAST_SILENCE, _MOST_SILENCE = 10.0, 30.0
"""Bounds, in seconds, of the silence after which the cluster counts as lost: `lost_after`, but within these."""


@dataclass(slots=True)
class _LocalComponent:
    """A component as it is in this process.

    `remote`: it calls an API and runs in the driver. `need` is what a worker occupies, None until a node was asked.
    """

    spec: popbench.ComponentSpec
    fingerprint: Mapping[str, Any]
    remote: bool
    need: Need | None = None

    @property
    def name(self) -> str:
        """Return the name that the scheduler knows it by: two specs may have the same label."""
        return str(id(self.spec))


class RayEngine(popbench.Engine):
    """Runs components in workers of a Ray cluster, as many as it has room for. Chat APIs are called from the driver."""

    Options = RayOptions

    def __init__(self, options: RayOptions | None = None) -> None:
        super().__init__(options)
        self._local = LocalEngine()
        self._workspace = Path()
        self._components: dict[int, _LocalComponent] = {}
        self._reported: dict[str, int] = {}
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._unreachable: str | None = None
        self._probe_problem: str | None = None
        self._probe: Any = None
        self._probed_node = ""
        self._driver: Driver | None = None

    def check(self) -> list[str]:
        """List what is missing: Ray, or an answer of the cluster. Without an address, no Ray is started to find out."""
        if self.options.address is None:
            lacks = ray_problem(None)
            return [] if lacks is None else [lacks]
        return [] if self._connect() is not None else [str(self._unreachable)]

    def lacks(self, spec: popbench.ComponentSpec, component: popbench.Component) -> list[str]:
        """List what the component lacks on a node, including a difference between its fingerprints there and here."""
        if component.needs().remote:
            return component.check()
        if self._connect() is None:
            return [] if self.options.address is not None else [str(self._unreachable)]  # else `check` says so
        lacks = self._find_need(self._local_component(spec, component), check=True)
        # if several components lack the same, the machine or the cluster lacks it: only the first reports it
        return [line for line in lacks if self._reported.setdefault(line, id(spec)) == id(spec)]

    def start(self, workspace: Path) -> None:
        """Store finished clips in `workspace`."""
        self._workspace = workspace
        self._local.start(workspace)

    def map(self, spec: popbench.ComponentSpec, items: Iterable[popbench.Request]) -> Iterator[popbench.Answer]:
        """Run the component in workers and yield their answers one by one."""
        local = self._local_component(spec)
        if local.remote:
            yield from self._local.map(spec, items)
            return
        driver = self._ready_driver(local)
        assert local.need is not None
        session = Session(spec, local.fingerprint)
        driver.open(local.name, local.need, session)
        arguments = (session, iter(items), lambda item: driver.add(local.name, session, item),
                   lambda: driver.complete(local.name, session))  # fmt: skip
        threading.Thread(target=feed, args=arguments, daemon=True, name=f"popbench-ray-feed-{spec.label}").start()
        try:
            while (answer := self._next(driver, session)) is not None:
                yield store_clip(*answer, self._workspace)
                session.stored()
        finally:
            session.stop()
            driver.cancel(local.name, session)

    def _next(self, driver: Driver, session: Session) -> tuple[popbench.Answer, bytes | None] | None:
        while True:
            try:
                return session.next(1.0)
            except queue.Empty:
                if driver.crashed is not None:
                    raise popbench.ComponentError(f"{session.component_name}: {driver.crashed}") from None
                if driver.silence() > max(_LEAST_SILENCE, min(_MOST_SILENCE, self.options.lost_after)):
                    silence = f"{driver.silence():.0f} s"
                    raise popbench.ComponentError(
                        f"{session.component_name}: the Ray cluster has not answered for {silence}: it is given up"
                    ) from None

    def overlaps(self, spec: popbench.ComponentSpec, others: Sequence[popbench.ComponentSpec]) -> bool:  # noqa: ARG002
        """Return True: the scheduler decides item by item which component works."""
        return True

    def at_work(self, spec: popbench.ComponentSpec) -> popbench.Workers:
        """Return how many workers are ready, and how many GPUs each occupies."""
        local = self._components.get(id(spec))
        if local is None or local.remote or self._driver is None or local.need is None:
            return popbench.Workers(1, 0)
        return popbench.Workers(self._driver.at_work(local.name), local.need.gpus)

    def interrupt(self) -> None:
        """End all calls of `map`."""
        self._local.interrupt()
        if self._driver is not None:
            self._driver.interrupt("interrupted")

    def release(self, spec: popbench.ComponentSpec) -> None:
        """End the component's workers."""
        local = self._components.get(id(spec))
        if local is not None and local.remote:
            self._local.release(spec)
        elif local is not None and self._driver is not None:
            self._driver.release(local.name)

    def close(self) -> None:
        """End all workers and the connection. It takes bounded time even if the cluster is gone."""
        self._local.close()
        with self._lock:
            if self._driver is not None:
                self._driver.close()
                self._driver = None
            self._probe = None
            if self._connection is not None:
                self._connection.leave()
                self._connection = None

    # what is asked of the cluster

    def _connect(self) -> Connection | None:
        with self._lock:
            if self._connection is None and self._unreachable is None:
                try:
                    self._connection = connect(self.options.address)
                except UnreachableError as error:
                    self._unreachable = str(error)
            return self._connection

    def _local_component(
        self, spec: popbench.ComponentSpec, component: popbench.Component | None = None
    ) -> _LocalComponent:
        with self._lock:
            if id(spec) not in self._components:
                try:
                    instance = component or create(spec)
                    self._components[id(spec)] = _LocalComponent(
                        spec, dict(instance.fingerprint()), instance.needs().remote
                    )
                except Exception as error:  # a plugin's code may raise anything
                    raise popbench.ComponentError(
                        f"{spec.kind} {spec.label} cannot be made: {one_line(error)}"
                    ) from error
            return self._components[id(spec)]

    def _ready_driver(self, local: _LocalComponent) -> Driver:
        """Return the driver, started if need be, and find what a worker occupies; raises ComponentError."""
        with self._lock:
            connection = self._connect()
            if connection is None:
                raise popbench.ComponentError(f"engine ray: {self._unreachable}")
            if local.need is None:
                lacks = self._find_need(local, check=False)
                if lacks:
                    raise popbench.ComponentError(f"{local.spec.kind} {local.spec.label}: {lacks[0]}")
            assert local.need is not None
            if self._driver is None:
                self._end_probe()
                limits = Limits(
                    retries=self.options.retries,
                    batch=self.options.batch,
                    workers=self.options.workers,
                    item_timeout=self.options.item_timeout,
                    lost_after=self.options.lost_after,
                )
                self._driver = Driver(limits, connection, within(_NODES_SECONDS, connection.sizes))
            return self._driver

    def _find_need(self, local: _LocalComponent, *, check: bool) -> list[str]:
        """Set what a worker of a component occupies; return the reasons why it cannot have workers."""
        findings = self._probe_component(local, check=check)
        if isinstance(findings, str):
            return [findings]
        local.need = worker_need(local.spec.kind, local.spec.label, findings, self.options)
        return list(findings.lacks) or self._never_fits(local.spec.label, local.need)

    def _never_fits(self, label: str, need: Need) -> list[str]:
        """Return what this machine can never provide. No other node can join a Ray that was started here."""
        assert self._connection is not None
        if self.options.address is not None or not self._connection.own:
            return []
        sizes = within(_NODES_SECONDS, self._connection.sizes).values()
        return [line for size in sizes if (line := never_fits(label, need, size, self.options)) is not None]

    def _probe_component(self, local: _LocalComponent, *, check: bool) -> Findings | str:
        """Make a component on a node, with GPUs if there is one, and ask what it needs; returns one line on failure."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        tried: set[str] = set()
        with self._lock:
            connection = self._connection
            assert connection is not None
            for tries_left in reversed(range(_PROBE_TRIES)):
                if self._probe_problem is not None:
                    return self._probe_problem
                sizes: Mapping[str, Size] = {}
                try:
                    if self._probe is None:
                        sizes = within(_NODES_SECONDS, connection.sizes)
                        node = max(sizes, key=lambda name: (name not in tried, sizes[name].gpus))
                        tried.add(node)
                        self._probed_node = sizes[node].name
                        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
                        self._probe = ray.remote(Probe).options(num_cpus=0, scheduling_strategy=strategy).remote()
                    reference = self._probe.look.remote(local.spec, local.fingerprint, Settings.here(), check=check)
                    findings: Findings | str = ray.get(reference, timeout=_PROBE_SECONDS)
                except Exception as error:
                    self._probe = None
                    gone = isinstance(error, ray.exceptions.RayActorError)
                    # a node that is gone counts as alive until Ray has missed it for some time
                    if tries_left and gone and not (missing_module(error) and tried >= set(sizes)):
                        continue
                    if gone and missing_module(error):
                        self._probe_problem = (
                            f"{missing_module(error)} is not installed on node {self._probed_node}: {_INSTALL}"
                        )
                        return self._probe_problem
                    return f"it cannot be looked at on node {self._probed_node}: {cause(error)}"
                if not isinstance(findings, str):
                    return findings
                if findings.startswith("unknown ") and "failed to load" not in findings:  # this process has the plugin
                    component = f"{local.spec.kind} {local.spec.name!r}"
                    return f"no plugin on node {self._probed_node} has {component}: {_INSTALL}"
                return f"on node {self._probed_node}: {findings}"
        raise AssertionError("the last try returns")

    def _end_probe(self) -> None:
        import ray

        if self._probe is not None:
            ray.kill(self._probe)
            self._probe = None
