"""The actors that run on nodes: a worker with one component, and a probe that checks components.

Both are plain classes; the driver makes Ray actors of them. A worker encodes rendered frames and returns the bytes of
the mp4, and it gets clips to score as bytes, so that nodes need no shared file system.
"""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info, threadpool_limits

import popbench
from popbench.engines import Rendered, answers
from popbench.errors import one_line
from popbench.keys import digest
from popbench.registry import create
from popbench_ray.clips import ENDS, with_clips
from popbench_ray.folders import WorkerFolder, remove_stale_folders


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the driver's process that workers take over, because results may depend on them."""

    plugins: str | None
    threads: int | None
    blas: int | None

    @classmethod
    def here(cls) -> Settings:
        """Return the settings of this process. `threads` are torch's if it is loaded, else OMP_NUM_THREADS."""
        torch = sys.modules.get("torch")
        omp_threads = os.environ.get("OMP_NUM_THREADS", "")
        threads = (
            int(torch.get_num_threads()) if torch is not None else int(omp_threads) if omp_threads.isdigit() else None
        )
        blas = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=None)
        return cls(os.environ.get("POPBENCH_PLUGINS"), threads, blas)

    def apply(self) -> None:
        """Apply them to libraries that are imported later, and to those already loaded, such as numpy."""
        for name, value in (("POPBENCH_PLUGINS", self.plugins), ("OMP_NUM_THREADS", self.threads)):
            if value is None:
                os.environ.pop(name, None)  # Ray sets the latter
            else:
                os.environ[name] = str(value)
        torch = sys.modules.get("torch")
        if torch is not None and self.threads is not None:
            torch.set_num_threads(self.threads)
        self.limit()

    def limit(self) -> None:
        """Set the threads of every loaded BLAS, which reads the environment only while it is loaded."""
        if self.blas is not None:
            threadpool_limits(self.blas, "blas")


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of an item: an answer, with the bytes of a clip's file; or an exception, which ends the worker.

    What was submitted of an item is an outcome before its answer, for which `rest` is to be called.
    `eager`: the component would have taken more items at once. `differs`: its fingerprint is not the driver's.
    """

    answer: popbench.Answer | popbench.Submitted | None = None
    video: bytes | None = None
    eager: bool = False
    raised: str | None = None
    differs: bool = False
    trace: str = ""


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """List the parts in which two fingerprints differ, options one by one, in one line."""

    def flat(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
        options = fingerprint.get("options")
        rest = {key: value for key, value in fingerprint.items() if key != "options"}
        return {**rest, **(options if isinstance(options, Mapping) else {})}

    flat_mine, flat_theirs = flat(mine), flat(theirs)
    names = [name for name in {**flat_mine, **flat_theirs} if flat_mine.get(name) != flat_theirs.get(name)]
    return "; ".join(
        f"{name} is {flat_theirs.get(name)!r} there and {flat_mine.get(name)!r} here" for name in sorted(names)
    )


class Feed(Iterator[popbench.Request]):
    """The items of a worker, as its component's input.

    Without an item left, it ends while answers are owed, so that a component that collects a batch answers now. The
    component is then called again for later items.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: deque[popbench.Request] = deque()
        self._owed: set[str] = set()
        self._closed = False
        self.eager = False

    def put(self, item: popbench.Request) -> None:
        """Add an item."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def close(self) -> None:
        """End the input: no item is added any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def answered(self, item: str) -> None:
        """Record that the component has answered an item."""
        with self._changed:
            self._owed.discard(item)

    def wait(self) -> bool:
        """Wait for an item; False if none will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed)
            return not self._closed

    def __next__(self) -> popbench.Request:
        with self._changed:
            if not self._items and self._owed:
                self.eager = True
                raise StopIteration
            self._changed.wait_for(lambda: self._items or self._closed)
            if self._closed:
                raise StopIteration
            item = self._items.popleft()
            self._owed.add(item.id)
            return item


class Worker:
    """Runs one component on a node: it computes in one thread and encodes clips in another."""

    def __init__(self) -> None:
        self._feed = Feed()
        self._futures: dict[str, asyncio.Future[Result]] = {}
        self._early: dict[str, deque[Result]] = {}
        """Outcomes that came after something was submitted, and before `rest` was called."""
        self._outcome: Result | None = None
        self._settings: Settings | None = None
        self._owned_folder: WorkerFolder | None = None
        self._label = ""
        self._component: popbench.Component | None = None
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._encoding = threading.Semaphore(1)
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop

    async def place(self, settings: Settings) -> str:
        """Apply the driver's settings; return this node's name."""
        self._settings = settings
        settings.apply()
        return socket.gethostname()

    async def prepare(self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], version: str) -> Result:
        """Make the component and get ready for items. `raised` says why it cannot, or how it `differs`."""
        self._loop = asyncio.get_running_loop()
        return await asyncio.to_thread(self._prepare, spec, fingerprint, version)

    def _prepare(self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], version: str) -> Result:
        try:
            if version != popbench.__version__:  # before anything that another version may do otherwise
                return Result(raised=f"popbench is {popbench.__version__} there and {version} here", differs=True)
            self._component = create(spec)
            if self._settings is not None:
                self._settings.limit()  # also of libraries that the component has just imported
            own_fingerprint = dict(self._component.fingerprint())
            if digest(own_fingerprint) != digest(fingerprint):
                return Result(
                    raised=differences(fingerprint, own_fingerprint) or "its fingerprint differs", differs=True
                )
            self._label = spec.label
            remove_stale_folders()
            self._owned_folder = WorkerFolder()
        except BaseException as error:  # also SystemExit: a plugin's constructor may raise anything
            return Result(raised=one_line(error), trace=_trace(error))
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._compute, self._encode)]
        for thread in self._threads:
            thread.start()
        return Result()

    async def do(self, request: popbench.Request, videos: Sequence[bytes]) -> Result:
        """Return the outcome of an item with its clips. Items may be answered in another order than that of calls."""
        if self._outcome is not None:
            return self._outcome
        if videos:
            try:
                request = await asyncio.to_thread(with_clips, request, videos, self._folder)
            except OSError:
                if self._outcome is None:  # else the folder was removed meanwhile
                    raise
            if self._outcome is not None:  # it ended meanwhile: this item would never be answered
                return self._outcome
        future = self._future(request.id)
        self._feed.put(request)
        return await future

    async def rest(self, item: str) -> Result:
        """Return the next outcome of an item of which something was submitted."""
        if early := self._early.get(item):
            return early.popleft()
        return self._outcome or await self._future(item)

    def _future(self, item: str) -> asyncio.Future[Result]:
        self._early.pop(item, None)
        self._futures[item] = self._loop.create_future()
        return self._futures[item]

    async def alive(self) -> None:
        """Do nothing: an answer shows that the connection works."""

    async def close(self) -> None:
        """Close the component when it has finished its items."""
        self._feed.close()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for thread in self._threads:
            thread.join()
        if self._owned_folder is not None:
            self._owned_folder.remove()

    @property
    def _folder(self) -> Path:
        """Return the folder of its files, which was made for it alone: only this one may be removed."""
        assert self._owned_folder is not None
        return self._owned_folder.path

    def _compute(self) -> None:
        component = self._component
        assert component is not None
        try:
            while self._feed.wait():
                with closing(answers(component, self._feed, self._folder, self._label)) as source:
                    for answer in source:
                        is_clip = isinstance(answer, Rendered)
                        if not isinstance(answer, popbench.Submitted):
                            self._feed.answered(answer.clip.id if isinstance(answer, Rendered) else answer.id)
                        if isinstance(answer, Rendered):
                            self._encoding.acquire()  # at most two clips' frames are in memory
                            answer = answer.copied()
                        self._answers.put((answer, is_clip))
                        del answer  # frees its frames while the next clip is rendered
        except BaseException as error:  # any exception is reported to the driver
            self._answers.put((error, False))
        finally:
            with suppress(Exception):
                component.close()
            self._answers.put(None)

    def _encode(self) -> None:
        while (entry := self._answers.get()) is not None:
            answer, is_clip = entry
            del entry
            try:
                if isinstance(answer, BaseException):
                    raise answer
                if self._outcome is None:
                    self._hand_over(answer.encoded() if isinstance(answer, Rendered) else answer)
            except BaseException as error:  # a full disk, or what the component raised
                self._outcome = self._outcome or Result(raised=self._message(error), trace=_trace(error))
                assert self._owned_folder is not None
                self._owned_folder.remove()  # removed now, because the driver kills this process at the report
                self._loop.call_soon_threadsafe(self._give_up)
            finally:
                del answer
                if is_clip:
                    self._encoding.release()

    def _message(self, error: BaseException) -> str:
        """Return an error as one line, without the component's name, which the driver adds."""
        if isinstance(error, popbench.ComponentError) and error.__cause__ is not None:
            return f"it raised {one_line(error.__cause__)}"
        assert self._component is not None
        return one_line(error).removeprefix(f"{self._component.kind} {self._label}").lstrip(": ")

    def _hand_over(self, answer: popbench.Answer | popbench.Submitted) -> None:
        """Resolve an item with its answer and, for a clip, the bytes of its file; or with what was submitted of it."""
        if isinstance(answer, popbench.Submitted):
            self._loop.call_soon_threadsafe(self._resolve, answer.id, Result(answer))
            return
        video = None
        if isinstance(answer, popbench.Clip) and answer.path is not None:
            video = Path(answer.path).read_bytes()
            answer = replace(answer, path=None)
        for end in ENDS:
            (self._folder / f"{answer.id}{end}").unlink(missing_ok=True)
        eager, self._feed.eager = self._feed.eager, False
        self._loop.call_soon_threadsafe(self._resolve, answer.id, Result(answer, video, eager))

    def _resolve(self, item: str, result: Result) -> None:
        future = self._futures.pop(item, None)
        if future is None:
            self._early.setdefault(item, deque()).append(result)
        elif not future.done():
            future.set_result(result)

    def _give_up(self) -> None:
        for item in list(self._futures):
            self._resolve(item, self._outcome or Result(raised="ended"))


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error.__cause__ or error))


@dataclass(frozen=True, slots=True)
class Findings:
    """What a component lacks and needs on a node. `gpu_memory` is in bytes, of one of its GPUs.

    `differs`: it lacks nothing, and is another one there.
    """

    lacks: tuple[str, ...]
    needs: popbench.Needs
    gpu_memory: float
    differs: bool = False


class Probe:
    """Makes components on a node to ask what they lack and need, and runs none. It sees all GPUs of the node."""

    async def look(
        self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], settings: Settings, *, check: bool
    ) -> Findings | str:
        """Make a component and ask what it lacks and needs; returns one line if that fails."""
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides all GPUs from an actor that occupies none
        settings.apply()
        return await asyncio.to_thread(self._look, spec, fingerprint, check)

    def _look(self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], check: bool) -> Findings | str:
        try:
            component = create(spec)
            lacks = list(component.check()) if check else []
            own_fingerprint = dict(component.fingerprint())
            differs = not lacks and digest(own_fingerprint) != digest(fingerprint)
            if differs:
                lacks = [f"it differs on node {socket.gethostname()}: {differences(fingerprint, own_fingerprint)}"]
            needs = component.needs()
            memory = 0.0
            if needs.gpus:
                import torch

                memory = float(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else 0.0
            return Findings(tuple(lacks), needs, memory, differs)
        except BaseException as error:  # a plugin's code may raise anything
            return one_line(error)
