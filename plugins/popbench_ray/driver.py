"""Drives the scheduler in a thread: Ray's results become its events, and its actions become calls of Ray.

The thread waits for one queue that Ray's callbacks put into, so that no worker is polled. Another thread reports every
few seconds that the cluster answers: if Ray hangs, and these threads with it, the engine's process misses the reports.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import popbench
from popbench.errors import one_line
from popbench_ray.clips import clips_of
from popbench_ray.connection import Connection
from popbench_ray.nodes import Need, Size
from popbench_ray.scheduling import Scheduler
from popbench_ray.session import FarSession
from popbench_ray.state import Action, End, Fail, Leave, Limits, Send, Start, Stop
from popbench_ray.worker import Result, Settings, Worker
from popbench_ray.worker_errors import explain

POLL_SECONDS = 2.0
_QUIET_SECONDS = 15.0
"""Seconds after which a quiet worker gets a call of its own. After a break of the network its connection may be dead at
the other end only, which shows when something is sent. (More frequent pings of gRPC make its servers hang up.)"""
_CLOSE_SECONDS = 10.0
"""Seconds for a worker to close its component."""
KILLED = "it was killed, failed, or ran out of memory"
_EVENTS_PER_ROUND = 256
"""Events that are handled before the scheduler's actions are carried out."""


class Driver:
    """Drives workers with Ray until `close`. `sizes` are the nodes at the start.

    `settings` are for all workers. `report` gets the name of an event and its value: `alive` when the cluster has
    answered, `at_work` the number of ready workers by component, `notice` a line for the user, `crashed` an error.
    """

    def __init__(
        self,
        limits: Limits,
        connection: Connection,
        sizes: Mapping[str, Size],
        settings: Settings,
        report: Callable[[str, Any], None],
    ) -> None:
        import ray

        self._ray = ray
        self._limits = limits
        self._connection = connection
        self._settings = settings
        self._report = report
        self._reported: dict[str, int] = {}
        self._scheduler = Scheduler(limits)
        self._sessions: dict[str, FarSession] = {}
        self._needs: dict[str, Need] = {}
        self._handles: dict[int, Any] = {}
        self._components: dict[int, str] = {}
        self._heard: dict[int, float] = {}
        """When a worker answered last; infinity while a call that tries its connection is out."""
        self._closing_workers: deque[tuple[float, int]] = deque()
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._senders = ThreadPoolExecutor(2, "popbench-ray-send")
        self._closed = threading.Event()
        self._no_workers = threading.Event()
        self._closing = False
        self._last_answer = time.monotonic()
        self._remote = ray.remote(Worker)
        self._scheduler.capacity(sizes, time.monotonic())
        self._threads = [
            threading.Thread(target=run, daemon=True, name="popbench-ray") for run in (self._run, self._poll)
        ]
        for thread in self._threads:
            thread.start()

    # for engines, from any thread

    def open(self, name: str, need: Need, session: FarSession) -> None:
        """Begin a component's call. Its answers go to the session."""
        self._post(self._open, name, need, session)

    def add(self, name: str, session: FarSession, request: popbench.Request) -> None:
        """Add an item of a component."""
        self._post(self._add, name, session, request)

    def complete(self, name: str, session: FarSession) -> None:
        """Report that all items of a component were added."""

        self._post(self._complete, name, session)

    def cancel(self, name: str, session: FarSession) -> None:
        """Drop a component's items."""
        self._post(self._cancel, name, session)

    def release(self, name: str) -> None:
        """End a component's workers."""
        self._post(self._scheduler.release, name)

    def interrupt(self, error: str) -> None:
        """End all components with an error, even where this thread hangs in Ray."""
        for session in list(self._sessions.values()):
            session.end(error)
        self._post(self._scheduler.interrupt, error)

    def close(self) -> None:
        """End all workers in bounded time. If the cluster answers, they may close their components first."""
        for name in list(self._needs):
            self.release(name)
        self._post(self._begin_closing)
        if time.monotonic() - self._last_answer < 3 * POLL_SECONDS:
            self._no_workers.wait(_CLOSE_SECONDS + 2)
        self._closed.set()
        for thread in self._threads:
            thread.join(POLL_SECONDS)
        self._senders.shutdown(wait=False, cancel_futures=True)

    # the driver's thread

    def _post(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._events.put(lambda: call(*arguments))

    def _run(self) -> None:
        try:
            ticked = 0.0
            while not self._closed.is_set():
                with suppress(queue.Empty):
                    self._events.get(timeout=0.5)()
                    for _ in range(_EVENTS_PER_ROUND):
                        self._events.get_nowait()()
                now = time.monotonic()
                if now - ticked >= 1.0:
                    ticked = now
                    self._scheduler.tick(now)
                    self._kill_overdue(now)
                    self._try_quiet(now)
                    if (dead := self._connection.dead_process()) is not None:
                        self._report("crashed", f"Ray's process {dead} on this machine has ended: {KILLED}")
                        return
                for action in self._scheduler.take(now):
                    self._carry_out(action)
                at_work = {name: self._scheduler.at_work(name) for name in self._needs}
                if at_work != self._reported:
                    self._reported = at_work
                    self._report("at_work", at_work)
        except Exception as error:  # a bug here or in Ray: callers must not wait for ever
            self._report("crashed", f"the Ray engine failed: {one_line(error)}")

    def _poll(self) -> None:
        """List the nodes every few seconds. It hangs while the cluster does not answer, so it has its own thread."""
        while not self._closed.wait(POLL_SECONDS):
            with suppress(Exception):
                sizes = self._connection.sizes()
                self._last_answer = time.monotonic()
                self._report("alive", None)
                if self._connection.node not in sizes:
                    self._report("crashed", f"the node that popbench runs on has left the Ray cluster: {KILLED}")
                    return
                self._post(lambda sizes=sizes: self._scheduler.capacity(sizes, time.monotonic()))

    def _open(self, name: str, need: Need, session: FarSession) -> None:
        if name in self._sessions:
            session.inherit(self._sessions[name])
        self._sessions[name] = session
        self._needs[name] = need
        self._scheduler.open(name, need)

    def _add(self, name: str, session: FarSession, request: popbench.Request) -> None:
        if self._sessions.get(name) is session:
            session.requests[request.id] = request
            self._scheduler.add(name, request.id, time.monotonic())

    def _complete(self, name: str, session: FarSession) -> None:
        if self._sessions.get(name) is session:
            self._scheduler.complete(name)

    def _cancel(self, name: str, session: FarSession) -> None:
        if self._sessions.get(name) is session:
            self._scheduler.cancel(name)

    def _kill_overdue(self, now: float) -> None:
        """Kill workers that take too long to close."""
        while self._closing_workers and self._closing_workers[0][0] <= now:
            self._end_worker(self._closing_workers.popleft()[1], "it did not close")

    def _try_quiet(self, now: float) -> None:
        """Call the workers that have been quiet for long: the call fails where the connection is dead."""
        for number in [number for number, at in self._heard.items() if at + _QUIET_SECONDS < now]:
            self._heard[number] = math.inf
            self._call(self._handles[number].alive.remote(), self._tried, number)

    def _tried(self, number: int, _: None, error: BaseException | None) -> None:
        if error is not None:
            self._lost(number, error)
        elif number in self._handles:
            self._heard[number] = time.monotonic()

    def _begin_closing(self) -> None:
        self._closing = True
        if not self._handles:
            self._no_workers.set()

    # actions

    def _carry_out(self, action: Action) -> None:
        match action:
            case Start():
                self._start(action)
            case Send():
                session = self._sessions[action.component]
                for item in action.items:
                    self._send(action.worker, session, session.requests[str(item)])
            case Stop():
                self._stop(action)
            case Fail():
                session = self._sessions[action.component]
                session.requests.pop(str(action.item), None)
                error = f"{session.component_name}: {action.error}"
                session.answer(popbench.Failure(str(action.item), error, keeps_job=True))
            case Leave():
                name = self._sessions[action.component].component_name
                self._report("notice", f"{name}: {action.why}: that node is left out")
            case End():
                self._sessions[action.component].end(action.error)

    def _start(self, action: Start) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        need, number = self._needs[action.component], action.worker
        handle: Any = self._remote.options(
            num_cpus=need.cpus,
            num_gpus=need.gpus,
            memory=need.memory or None,
            scheduling_strategy=NodeAffinitySchedulingStrategy(action.node, soft=False),
            max_restarts=0,
            max_task_retries=0,
        ).remote()
        self._handles[number] = handle
        self._heard[number] = time.monotonic()
        self._components[number] = action.component
        self._sessions[action.component].allow(number, 2 * self._limits.batch)
        self._call(handle.place.remote(self._settings), self._placed, number)

    def _call(self, reference: Any, then: Callable[..., None], *arguments: Any) -> None:
        """When a call of Ray ends, run `then(*arguments, result, error)` in the driver's thread."""

        def tell(future: Any) -> None:
            error = future.exception()
            self._post(then, *arguments, None if error is not None else future.result(), error)

        reference.future().add_done_callback(tell)

    def _placed(self, number: int, host: str | None, error: BaseException | None) -> None:
        handle = self._handles.get(number)
        if error is not None or handle is None:
            self._lost(number, error)
            return
        self._scheduler.placed(number, time.monotonic())
        session = self._sessions[self._components[number]]
        call = handle.prepare.remote(session.spec, session.fingerprint, popbench.__version__)
        self._call(call, self._prepared, number, host)

    def _prepared(self, number: int, host: str, result: Result | None, error: BaseException | None) -> None:
        if result is None:
            self._lost(number, error)
        elif result.raised is None:
            self._scheduler.ready(number, time.monotonic())
        elif result.differs:
            self._kill(number)
            self._scheduler.differs(number, f"it differs on node {host}: {result.raised}", time.monotonic())
        else:
            self._raised(number, result)

    def _send(self, number: int, session: FarSession, request: popbench.Request) -> None:
        if clips := clips_of(request):
            # Reading files takes a while: in another thread.
            self._senders.submit(self._send_videos, number, session, request, clips)
        else:
            self._request(number, request, ())

    def _send_videos(self, number: int, session: FarSession, request: popbench.Request, clips: list[Path]) -> None:
        try:
            self._request(number, request, [clip.read_bytes() for clip in clips])
        except Exception as error:
            told = f"{session.component_name}: {' or '.join(map(str, clips))} cannot be sent: {one_line(error)}"
            failure = popbench.Failure(request.id, told, keeps_job=True)
            self._post(self._answered, number, request.id, Result(failure), None)

    def _request(self, number: int, request: popbench.Request, videos: Sequence[bytes]) -> None:
        handle = self._handles.get(number)
        if handle is not None:
            self._call(handle.do.remote(request, videos), self._answered, number, request.id)

    def _answered(self, number: int, item: str, result: Result | None, error: BaseException | None) -> None:
        if result is None:
            self._lost(number, error)
        elif result.answer is None:
            self._raised(number, result)
        elif isinstance(result.answer, popbench.Submitted):
            self._submitted(number, result.answer)
        elif self._scheduler.answered(number, item, time.monotonic(), eager=result.eager):
            if number in self._heard and self._heard[number] < math.inf:
                self._heard[number] = time.monotonic()
            session = self._sessions[self._components[number]]
            if result.eager:
                session.allow(number, 2 * self._limits.most)
            session.requests.pop(item, None)
            session.answer(result.answer, result.video)

    def _submitted(self, number: int, submitted: popbench.Submitted) -> None:
        """Pass on what was submitted, and wait for the answer. If this worker is lost, another one gets the job."""
        if (handle := self._handles.get(number)) is None:
            return
        session = self._sessions[self._components[number]]
        if (request := session.requests.get(submitted.id)) is not None:
            session.requests[submitted.id] = replace(request, job=submitted.job)
            session.answer(submitted)
        self._call(handle.rest.remote(submitted.id), self._answered, number, submitted.id)

    def _raised(self, number: int, result: Result) -> None:
        """End the worker of a component that raised: the state of its process is unknown."""
        if number in self._handles:
            self._sessions[self._components[number]].trace = result.trace
            self._end_worker(number, str(result.raised), blame=True)

    def _lost(self, number: int, error: BaseException | None) -> None:
        if number in self._handles:
            why, blame = explain(error)
            self._end_worker(number, why, blame=blame)

    def _stop(self, action: Stop) -> None:
        handle = self._handles.get(action.worker)
        if handle is None:
            return
        if action.hard:
            self._kill(action.worker)
            return
        self._closing_workers.append((time.monotonic() + _CLOSE_SECONDS, action.worker))
        self._call(handle.close.remote(), lambda *_: self._end_worker(action.worker, "it was asked to"))

    def _end_worker(self, number: int, why: str, *, blame: bool = False) -> None:
        """End a worker's process if it still runs, and report the worker as lost."""
        self._kill(number)
        self._scheduler.lost(number, why, time.monotonic(), blame=blame)

    def _kill(self, number: int) -> None:
        handle = self._handles.pop(number, None)
        self._heard.pop(number, None)
        if handle is not None:
            self._sessions[self._components.pop(number)].allow(number, 0)
            with suppress(Exception):  # it is dead already
                self._ray.kill(handle)
            if self._closing and not self._handles:
                self._no_workers.set()
