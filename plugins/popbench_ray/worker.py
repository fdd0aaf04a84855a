"""What runs on the nodes: a worker with one component, and a probe that looks at components there.

Both are plain classes that the driver makes actors of. A worker encodes what is rendered and hands over the finished
file; frames stay where they are. What is judged comes as a file's bytes: no file system needs to be shared.
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
from collections.abc import Iterator, Mapping
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
from popbench_ray.folders import Folder, remove_left_behind


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the driver's surroundings holds for workers too: results may depend on it."""

    plugins: str | None
    threads: int | None
    blas: int | None

    @classmethod
    def here(cls) -> Settings:
        """Return those of this process: threads of torch where it is loaded, else OMP_NUM_THREADS; those of BLAS."""
        torch = sys.modules.get("torch")
        asked = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(torch.get_num_threads()) if torch is not None else int(asked) if asked.isdigit() else None
        blas = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=None)
        return cls(os.environ.get("POPBENCH_PLUGINS"), threads, blas)

    def apply(self) -> None:
        """Take them over: for what is imported later, and what is there already, such as numpy."""
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
        """Give every BLAS that is loaded by now its threads: it looks at the environment only then."""
        if self.blas is not None:
            threadpool_limits(self.blas, "blas")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an item: an answer, a clip's file beside it; or what the component raised, which ends a worker.

    `eager`: the component would have taken more items at once. `differs`: it is another component than the driver's.
    """

    answer: popbench.Answer | None = None
    video: bytes | None = None
    eager: bool = False
    raised: str | None = None
    differs: bool = False
    trace: str = ""


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Say in which parts two fingerprints differ, options one by one."""

    def flat(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
        options = fingerprint.get("options")
        rest = {key: value for key, value in fingerprint.items() if key != "options"}
        return {**rest, **(options if isinstance(options, Mapping) else {})}

    here, there = flat(mine), flat(theirs)
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    return "; ".join(f"{name} is {there.get(name)!r} there and {here.get(name)!r} here" for name in sorted(names))


class Feed(Iterator[popbench.Request]):
    """The items of a worker, for its component. Where none is left and answers are owed, it ends: they come then."""

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
        """Add no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def answered(self, item: str) -> None:
        """Take note that the component has answered an item."""
        with self._changed:
            self._owed.discard(item)

    def wait(self) -> bool:
        """Wait for an item; False where none will come."""
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
    """One component at work on a node: computing in one thread, encoding in another."""

    def __init__(self) -> None:
        self._feed = Feed()
        self._asked: dict[str, asyncio.Future[Result]] = {}
        self._over: Result | None = None
        self._settings: Settings | None = None
        self._own: Folder | None = None
        self._label = ""
        self._component: popbench.Component | None = None
        self._found: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._encoding = threading.Semaphore(1)
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop

    async def place(self, settings: Settings) -> str:
        """Take over the driver's surroundings; return this node's name."""
        self._settings = settings
        settings.apply()
        return socket.gethostname()

    async def prepare(self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], version: str) -> Result:
        """Make the component, and get ready for items; `raised` says why it cannot, or in what it `differs`."""
        self._loop = asyncio.get_running_loop()
        return await asyncio.to_thread(self._prepare, spec, fingerprint, version)

    def _prepare(self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], version: str) -> Result:
        try:
            self._component = create(spec)
            if self._settings is not None:
                self._settings.limit()  # also libraries that came with the component
            found = dict(self._component.fingerprint())
            if version != popbench.__version__:
                return Result(raised=f"popbench is {popbench.__version__} there and {version} here", differs=True)
            if digest(found) != digest(fingerprint):
                return Result(raised=differences(fingerprint, found) or "its fingerprint differs", differs=True)
            self._label = spec.label
            remove_left_behind()
            self._own = Folder()
        except BaseException as error:  # also SystemExit: a plugin's constructor may raise anything
            return Result(raised=one_line(error), trace=_trace(error))
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._compute, self._encode)]
        for thread in self._threads:
            thread.start()
        return Result()

    async def do(self, request: popbench.Request, video: bytes | None) -> Result:
        """Answer an item, in the order of the calls or in the component's own."""
        if self._over is not None:
            return self._over
        if video is not None and isinstance(request, popbench.ScoreRequest):
            path = self._folder / f"{request.id}.mp4"
            try:
                await asyncio.to_thread(path.write_bytes, video)
            except OSError:
                if self._over is None:  # else the folder was removed meanwhile
                    raise
            if self._over is not None:  # meanwhile: nobody would answer this item any more
                return self._over
            request = replace(request, path=path)
        future: asyncio.Future[Result] = self._loop.create_future()
        self._asked[request.id] = future
        self._feed.put(request)
        return await future

    async def close(self) -> None:
        """Close the component, when it has done what it is at."""
        self._feed.close()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for thread in self._threads:
            thread.join()
        if self._own is not None:
            self._own.remove()

    @property
    def _folder(self) -> Path:
        """Where its files are: a folder that was made for it. No path is ever removed that was not."""
        assert self._own is not None
        return self._own.path

    def _compute(self) -> None:
        component = self._component
        assert component is not None
        try:
            while self._feed.wait():
                with closing(answers(component, self._feed, self._folder, self._label)) as source:
                    for found in source:
                        is_clip = isinstance(found, Rendered)
                        self._feed.answered(found.clip.id if isinstance(found, Rendered) else found.id)
                        if isinstance(found, Rendered):
                            self._encoding.acquire()  # there are never frames of three clips
                            found = found.copied()
                        self._found.put((found, is_clip))
                        del found  # its frames must not stay while the next clip is rendered
        except BaseException as error:  # whatever it is, the driver is told
            self._found.put((error, False))
        finally:
            with suppress(Exception):
                component.close()
            self._found.put(None)

    def _encode(self) -> None:
        while (taken := self._found.get()) is not None:
            found, is_clip = taken
            del taken
            try:
                if isinstance(found, BaseException):
                    raise found
                if self._over is None:
                    self._hand_over(found.encoded() if isinstance(found, Rendered) else found)
            except BaseException as error:  # a full disk, or what the component raised
                self._over = self._over or Result(raised=self._told(error), trace=_trace(error))
                assert self._own is not None
                self._own.remove()  # the driver kills this process as soon as it is told
                self._loop.call_soon_threadsafe(self._give_up)
            finally:
                del found
                if is_clip:
                    self._encoding.release()

    def _told(self, error: BaseException) -> str:
        """Say what went wrong, without the component's name, which the driver adds."""
        if isinstance(error, popbench.ComponentError) and error.__cause__ is not None:
            return f"it raised {one_line(error.__cause__)}"
        assert self._component is not None
        return one_line(error).removeprefix(f"{self._component.kind} {self._label}").lstrip(": ")

    def _hand_over(self, answer: popbench.Answer) -> None:
        """Resolve an item; of a clip, with its file."""
        own = self._folder / f"{answer.id}.mp4"
        video = None
        if isinstance(answer, popbench.Clip) and answer.path is not None:
            video = Path(answer.path).read_bytes()
            answer = replace(answer, path=None)
        own.unlink(missing_ok=True)
        eager, self._feed.eager = self._feed.eager, False
        self._loop.call_soon_threadsafe(self._resolve, answer.id, Result(answer, video, eager))

    def _resolve(self, item: str, result: Result) -> None:
        future = self._asked.pop(item, None)
        if future is not None and not future.done():
            future.set_result(result)

    def _give_up(self) -> None:
        for item in list(self._asked):
            self._resolve(item, self._over or Result(raised="ended"))


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error.__cause__ or error))


@dataclass(frozen=True, slots=True)
class Findings:
    """What a component says of itself on a node; `gpu_memory` in bytes, of one GPU there."""

    lacks: tuple[str, ...]
    needs: popbench.Needs
    gpu_memory: float


class Probe:
    """Looks at components on a node, with all of its GPUs in view, and runs none."""

    async def look(
        self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], settings: Settings, *, check: bool
    ) -> Findings | str:
        """Make a component and ask it; returns one line where that cannot be done."""
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides all GPUs from whoever occupies none
        settings.apply()
        return await asyncio.to_thread(self._look, spec, fingerprint, check)

    def _look(self, spec: popbench.ComponentSpec, fingerprint: Mapping[str, Any], check: bool) -> Findings | str:
        try:
            component = create(spec)
            lacks = list(component.check()) if check else []
            found = dict(component.fingerprint())
            if not lacks and digest(found) != digest(fingerprint):
                lacks = [f"it differs on node {socket.gethostname()}: {differences(fingerprint, found)}"]
            needs = component.needs()
            memory = 0.0
            if needs.gpus:
                import torch

                memory = float(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else 0.0
            return Findings(tuple(lacks), needs, memory)
        except BaseException as error:  # a plugin's code may raise anything
            return one_line(error)
