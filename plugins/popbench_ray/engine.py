"""The engine that runs components in workers of a Ray cluster. Ray itself is in another process, see `host`."""

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
from popbench_ray.connection import UnreachableError, ray_problem
from popbench_ray.nodes import Need
from popbench_ray.options import RayOptions
from popbench_ray.probing import NODES_SECONDS, PROBE_SECONDS, PROBE_TRIES
from popbench_ray.process import MARGIN, RayProcess, initialized_address
from popbench_ray.resources import never_fits, worker_need
from popbench_ray.session import Session, feed, store_clip
from popbench_ray.state import Limits
from popbench_ray.worker import Findings, Settings

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
    """Runs components on many machines and GPUs: workers of a Ray cluster.

    There are as many workers as the cluster has room for. Chat APIs are called from the driver.
    """

    Options = RayOptions

    def __init__(self, options: RayOptions | None = None) -> None:
        super().__init__(options)
        self._local = LocalEngine()
        self._workspace = Path()
        self._components: dict[int, _LocalComponent] = {}
        self._reported: dict[str, int] = {}
        self._lock = threading.RLock()
        self._process: RayProcess | None = None
        self._unreachable: str | None = None
        self._driving = False

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

    def map(
        self, spec: popbench.ComponentSpec, items: Iterable[popbench.Request]
    ) -> Iterator[popbench.Answer | popbench.Submitted]:
        """Run the component in workers and yield their answers one by one."""
        local = self._local_component(spec)
        if local.remote:
            yield from self._local.map(spec, items)
            return
        process = self._ready_process(local)
        assert local.need is not None
        session = Session(spec)
        number = process.add_session(session)
        process.tell("open", number, local.name, local.need, spec, local.fingerprint)
        arguments = (session, iter(items), lambda item: process.tell("add", number, local.name, item),
                   lambda: process.tell("complete", number, local.name))  # fmt: skip
        threading.Thread(target=feed, args=arguments, daemon=True, name=f"popbench-ray-feed-{spec.label}").start()
        try:
            while (answer := self._next(process, session)) is not None:
                yield store_clip(*answer, self._workspace)
                if not isinstance(answer[0], popbench.Submitted):
                    session.stored()
        finally:
            session.stop()
            process.forget_session(number)
            process.tell("cancel", number, local.name)

    def _next(
        self, process: RayProcess, session: Session
    ) -> tuple[popbench.Answer | popbench.Submitted, bytes | None] | None:
        while True:
            try:
                return session.next(1.0)
            except queue.Empty:
                if process.crashed is not None:
                    raise popbench.ComponentError(f"{session.component_name}: {process.crashed}") from None
                if process.silence() > max(_LEAST_SILENCE, min(_MOST_SILENCE, self.options.lost_after)):
                    silence = f"{process.silence():.0f} s"
                    raise popbench.ComponentError(
                        f"{session.component_name}: the Ray cluster has not answered for {silence}: it is given up"
                    ) from None

    def overlaps(self, spec: popbench.ComponentSpec, others: Sequence[popbench.ComponentSpec]) -> bool:  # noqa: ARG002
        """Return True: the scheduler decides item by item which component works."""
        return True

    def at_work(self, spec: popbench.ComponentSpec) -> popbench.Workers:
        """Return how many workers are ready, and how many GPUs each occupies."""
        local = self._components.get(id(spec))
        if local is None or local.remote or self._process is None or local.need is None:
            return popbench.Workers(1, 0)
        return popbench.Workers(self._process.at_work.get(local.name, 0), local.need.gpus)

    def notices(self) -> list[str]:
        """Return which nodes a component does not use, and why."""
        return [] if self._process is None else self._process.notices()

    def interrupt(self) -> None:
        """End all calls of `map`."""
        self._local.interrupt()
        if self._process is not None and self._driving:
            self._process.interrupt()

    def release(self, spec: popbench.ComponentSpec) -> None:
        """End the component's workers."""
        local = self._components.get(id(spec))
        if local is not None and local.remote:
            self._local.release(spec)
        elif local is not None and self._process is not None and self._driving:
            self._process.tell("release", None, local.name)

    def close(self) -> None:
        """End all workers and the connection. It takes bounded time even if the cluster is gone."""
        self._local.close()
        with self._lock:
            if self._process is not None:
                self._process.close()
                self._process, self._driving = None, False

    # what is asked of the cluster

    def _connect(self) -> RayProcess | None:
        with self._lock:
            if self._process is None and self._unreachable is None:
                if (problem := ray_problem(self.options.address)) is not None:
                    self._unreachable = problem
                    return None
                process = RayProcess(self.options.address or initialized_address())
                try:
                    process.connect()
                except UnreachableError as error:
                    self._unreachable = str(error)
                    process.close()
                except BaseException:
                    process.close()
                    raise
                else:
                    self._process = process
            return self._process

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

    def _ready_process(self, local: _LocalComponent) -> RayProcess:
        """Return the process with a driver, and find what a worker occupies; raises ComponentError."""
        with self._lock:
            process = self._connect()
            if process is None:
                raise popbench.ComponentError(f"engine ray: {self._unreachable}")
            try:
                lacks = [] if local.need is not None else self._find_need(local, check=False)
                if lacks:
                    raise popbench.ComponentError(f"{local.spec.kind} {local.spec.label}: {lacks[0]}")
                if not self._driving:
                    limits = Limits(
                        retries=self.options.retries,
                        batch=self.options.batch,
                        workers=self.options.workers,
                        item_timeout=self.options.item_timeout,
                        lost_after=self.options.lost_after,
                    )
                    process.ask("drive", limits, Settings.here(), seconds=2 * NODES_SECONDS + MARGIN)
                    self._driving = True
            except UnreachableError as error:
                raise popbench.ComponentError(f"{local.spec.kind} {local.spec.label}: {error}") from None
            return process

    def _find_need(self, local: _LocalComponent, *, check: bool) -> list[str]:
        """Set what a worker of a component occupies; return the reasons why it cannot have workers."""
        assert self._process is not None
        try:
            findings: Findings | str = self._process.ask(
                "probe", local.spec, local.fingerprint, Settings.here(), check,
                seconds=PROBE_TRIES * (NODES_SECONDS + PROBE_SECONDS) + MARGIN,
            )  # fmt: skip
            if isinstance(findings, str):
                return [findings]
            local.need = worker_need(local.spec.kind, local.spec.label, findings, self.options)
            return list(findings.lacks) or self._never_fits(self._process, local.spec.label, local.need)
        except UnreachableError as error:
            return [str(error)]

    def _never_fits(self, process: RayProcess, label: str, need: Need) -> list[str]:
        """Return what this machine can never provide. No other node can join a Ray that was started here."""
        if process.address is not None:
            return []
        sizes = process.ask("sizes", seconds=NODES_SECONDS + MARGIN).values()
        return [line for size in sizes if (line := never_fits(label, need, size, self.options)) is not None]
