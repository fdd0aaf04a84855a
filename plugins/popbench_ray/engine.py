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
from popbench_ray.connection import Connection, UnreachableError, connect, lacking, within
from popbench_ray.driver import Driver
from popbench_ray.lanes import Limits
from popbench_ray.nodes import Need, Size
from popbench_ray.options import RayOptions
from popbench_ray.resources import beyond, need_of
from popbench_ray.session import Session, feed, kept
from popbench_ray.trouble import cause, missing
from popbench_ray.worker import Findings, Probe, Settings

_ASK = 60.0
"""Seconds that the cluster has to say which nodes there are."""
_LOOK = 600.0
"""Seconds that a component has to say what it is and needs: it may have to hash its weights."""
_PROBES = 3
"""Nodes that are asked at most, of those that turn out to be gone."""
_SAME = "install the same there as here"
_LEAST, _SILENCE = 10.0, 30.0
"""Seconds without a word of the cluster after which it counts as lost: `lost_after`, but within these."""


@dataclass(slots=True)
class _Known:
    """What is known of a component: what it is in this process, whether it works here, and what a worker occupies."""

    spec: popbench.ComponentSpec
    fingerprint: Mapping[str, Any]
    remote: bool
    need: Need | None = None

    @property
    def name(self) -> str:
        """What its lane is called."""
        return str(id(self.spec))


class RayEngine(popbench.Engine):
    """Runs components in workers of a Ray cluster, as many as it has room for; chat APIs are called from here."""

    Options = RayOptions

    def __init__(self, options: RayOptions | None = None) -> None:
        super().__init__(options)
        self._local = LocalEngine()
        self._workspace = Path()
        self._known: dict[int, _Known] = {}
        self._told: dict[str, int] = {}
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._unreachable: str | None = None
        self._unfit: str | None = None
        self._probe: Any = None
        self._where = ""
        self._driver: Driver | None = None

    def check(self) -> list[str]:
        """Say whether Ray is there, and the cluster answers; where none is named, nothing is started to find out."""
        if self.options.address is None:
            lacks = lacking(None)
            return [] if lacks is None else [lacks]
        return [] if self._connect() is not None else [str(self._unreachable)]

    def lacks(self, spec: popbench.ComponentSpec, component: popbench.Component) -> list[str]:
        """Ask the component on a node, where it is to run, what it lacks, and whether it is the same there."""
        if component.needs().remote:
            return component.check()
        if self._connect() is None:
            return [] if self.options.address is not None else [str(self._unreachable)]  # else `check` says so
        lacks = self._settle(self._about(spec, component), check=True)
        # what several of them lack alike, the machine or the cluster lacks: the first one says so
        return [line for line in lacks if self._told.setdefault(line, id(spec)) == id(spec)]

    def start(self, workspace: Path) -> None:
        """Remember where finished clips go."""
        self._workspace = workspace
        self._local.start(workspace)

    def map(self, spec: popbench.ComponentSpec, items: Iterable[popbench.Request]) -> Iterator[popbench.Answer]:
        """Run the component in workers and hand their answers over one by one."""
        known = self._about(spec)
        if known.remote:
            yield from self._local.map(spec, items)
            return
        driver = self._drive(known)
        assert known.need is not None
        session = Session(spec, known.fingerprint)
        driver.open(known.name, known.need, session)
        feeding = (session, iter(items), lambda item: driver.add(known.name, session, item),
                   lambda: driver.complete(known.name, session))  # fmt: skip
        threading.Thread(target=feed, args=feeding, daemon=True, name=f"popbench-ray-feed-{spec.label}").start()
        try:
            while (found := self._next(driver, session)) is not None:
                yield kept(*found, self._workspace)
                session.taken()
        finally:
            session.stop()
            driver.cancel(known.name, session)

    def _next(self, driver: Driver, session: Session) -> tuple[popbench.Answer, bytes | None] | None:
        while True:
            try:
                return session.next(1.0)
            except queue.Empty:
                if driver.crashed is not None:
                    raise popbench.ComponentError(f"{session.who}: {driver.crashed}") from None
                if driver.silence() > max(_LEAST, min(_SILENCE, self.options.lost_after)):
                    raise popbench.ComponentError(
                        f"{session.who}: the Ray cluster has not answered for {driver.silence():.0f} s: it is given up"
                    ) from None

    def overlaps(self, spec: popbench.ComponentSpec, others: Sequence[popbench.ComponentSpec]) -> bool:  # noqa: ARG002
        """Always: who works when is decided item by item."""
        return True

    def at_work(self, spec: popbench.ComponentSpec) -> popbench.Workers:
        """Say how many workers are ready, and what GPUs each occupies."""
        known = self._known.get(id(spec))
        if known is None or known.remote or self._driver is None or known.need is None:
            return popbench.Workers(1, 0)
        return popbench.Workers(self._driver.at_work(known.name), known.need.gpus)

    def interrupt(self) -> None:
        """End all calls of `map`."""
        self._local.interrupt()
        if self._driver is not None:
            self._driver.interrupt("interrupted")

    def release(self, spec: popbench.ComponentSpec) -> None:
        """End the component's workers."""
        known = self._known.get(id(spec))
        if known is not None and known.remote:
            self._local.release(spec)
        elif known is not None and self._driver is not None:
            self._driver.release(known.name)

    def close(self) -> None:
        """End all workers and the connection: in bounded time, also where the cluster is gone."""
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

    def _about(self, spec: popbench.ComponentSpec, component: popbench.Component | None = None) -> _Known:
        with self._lock:
            if id(spec) not in self._known:
                try:
                    found = component or create(spec)
                    self._known[id(spec)] = _Known(spec, dict(found.fingerprint()), found.needs().remote)
                except Exception as error:  # a plugin's code may raise anything
                    raise popbench.ComponentError(
                        f"{spec.kind} {spec.label} cannot be made: {one_line(error)}"
                    ) from error
            return self._known[id(spec)]

    def _drive(self, known: _Known) -> Driver:
        """Have a driver, and know what a worker of the component occupies; raises ComponentError."""
        with self._lock:
            connection = self._connect()
            if connection is None:
                raise popbench.ComponentError(f"engine ray: {self._unreachable}")
            if known.need is None:
                lacks = self._settle(known, check=False)
                if lacks:
                    raise popbench.ComponentError(f"{known.spec.kind} {known.spec.label}: {lacks[0]}")
            assert known.need is not None
            if self._driver is None:
                self._end_probe()
                limits = Limits(
                    retries=self.options.retries,
                    batch=self.options.batch,
                    workers=self.options.workers,
                    item_timeout=self.options.item_timeout,
                    lost_after=self.options.lost_after,
                )
                self._driver = Driver(limits, connection, within(_ASK, connection.sizes))
            return self._driver

    def _settle(self, known: _Known, *, check: bool) -> list[str]:
        """Find out what a worker of a component occupies; returns what is in the way of having any."""
        found = self._look(known, check=check)
        if isinstance(found, str):
            return [found]
        known.need = need_of(known.spec.kind, known.spec.label, found, self.options)
        return list(found.lacks) or self._beyond(known.spec.label, known.need)

    def _beyond(self, label: str, need: Need) -> list[str]:
        """Say what is not there and never will be: no node joins the Ray that is started here."""
        assert self._connection is not None
        if self.options.address is not None or not self._connection.own:
            return []
        here = within(_ASK, self._connection.sizes).values()
        return [line for size in here if (line := beyond(label, need, size, self.options)) is not None]

    def _look(self, known: _Known, *, check: bool) -> Findings | str:
        """Have a component looked at on a node, one with GPUs if there is any; returns one line where that fails."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        tried: set[str] = set()
        with self._lock:
            connection = self._connection
            assert connection is not None
            for left in reversed(range(_PROBES)):
                if self._unfit is not None:
                    return self._unfit
                sizes: Mapping[str, Size] = {}
                try:
                    if self._probe is None:
                        sizes = within(_ASK, connection.sizes)
                        node = max(sizes, key=lambda name: (name not in tried, sizes[name].gpus))
                        tried.add(node)
                        self._where = sizes[node].name
                        where = NodeAffinitySchedulingStrategy(node, soft=False)
                        self._probe = ray.remote(Probe).options(num_cpus=0, scheduling_strategy=where).remote()
                    looking = self._probe.look.remote(known.spec, known.fingerprint, Settings.here(), check=check)
                    found: Findings | str = ray.get(looking, timeout=_LOOK)
                except Exception as error:
                    self._probe = None
                    gone = isinstance(error, ray.exceptions.RayActorError)
                    # a node that is gone counts as alive until Ray has missed it for some time
                    if left and gone and not (missing(error) and tried >= set(sizes)):
                        continue
                    if gone and missing(error):
                        self._unfit = f"{missing(error)} is not installed on node {self._where}: {_SAME}"
                        return self._unfit
                    return f"it cannot be looked at on node {self._where}: {cause(error)}"
                if not isinstance(found, str):
                    return found
                if found.startswith("unknown ") and "failed to load" not in found:  # it is known here
                    which = f"{known.spec.kind} {known.spec.name!r}"
                    return f"no plugin on node {self._where} has {which}: {_SAME}"
                return f"on node {self._where}: {found}"
        raise AssertionError("the last try returns")

    def _end_probe(self) -> None:
        import ray

        if self._probe is not None:
            ray.kill(self._probe)
            self._probe = None
