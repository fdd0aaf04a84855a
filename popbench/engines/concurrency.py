"""Makes many calls at once, for components whose work is done elsewhere: `concurrently`.

Three kinds of threads work together. The component's own yields answers. Another pulls requests, so that a finished
answer is not held back while the stage before has no further request yet. An event loop in a third makes the calls;
calls of plain functions have a thread each.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, aclosing, closing, suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, overload

from popbench.engines.retry import Attempts, Retry, take_body
from popbench.errors import ComponentError
from popbench.records import Answer, Failure, Request, Submitted

R = TypeVar("R", bound=Request)
A = TypeVar("A", bound=Answer)
S = TypeVar("S", bound=Answer | Submitted)

_END_SECONDS = 2.0
"""Seconds for calls to be cancelled and connections to close. What lasts longer does not keep the process alive."""


@overload
def concurrently(
    requests: Iterable[R],
    work: Callable[[R], A | Failure | Awaitable[A | Failure]],
    *,
    limit: int,
    retry: Retry | None = None,
    per_minute: float | None = None,
) -> Iterator[A | Failure]: ...


@overload
def concurrently(
    requests: Iterable[R],
    work: Callable[[R], Iterator[S] | AsyncIterator[S]],
    *,
    limit: int,
    retry: Retry | None = None,
    per_minute: float | None = None,
) -> Iterator[S]: ...


def concurrently(
    requests: Iterable[R],
    work: Callable[[R], Any],
    *,
    limit: int,
    retry: Retry | None = None,
    per_minute: float | None = None,
) -> Iterator[Any]:
    """Yield `work(request)` for every request, as they finish, with at most `limit` of them unfinished or not stored.

    `work` is a coroutine function or a plain function, or a generator of either kind: it yields `Submitted` as often as
    it likes, and then its answer, which ends it. If it is an asynchronous context manager as well, it is entered before
    the first call and left after the last: the place to open and close a client. At most `per_minute` attempts start
    in a minute.

    What `work` raises ends all calls and is raised here, except for what `retry` tries again or takes for the failure
    of one request. Once something was submitted, an attempt gets the request with that `job`, and what is raised keeps
    it. An answer without `seconds` gets those of its last attempt. Closing the iterator cancels calls; the
    thread of a plain function goes on until that returns, and its answer is dropped.

    >>> import popbench
    >>> class Capitals(popbench.LLM):
    ...     "Writes what it was asked in capitals."
    ...
    ...     version = "1"
    ...
    ...     def generate(self, chats):
    ...         yield from popbench.concurrently(chats, self._ask, limit=8, retry=popbench.Retry())
    ...
    ...     async def _ask(self, chat):
    ...         return popbench.Completion(chat.id, chat.prompt.upper())
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}, expected at least 1")
    if not isinstance(retry, Retry | None):
        raise TypeError(f"retry is {retry!r}, expected popbench.Retry(...) or None")
    calls: _Calls[R] = _Calls(requests, work, limit, Attempts(retry, per_minute))
    try:
        yield from calls.answers()
    finally:
        calls.stop()


@dataclass(frozen=True, slots=True)
class _Pulled:
    """The number of requests, when there are no more."""

    count: int


class _Calls(Generic[R]):
    """The calls of one `concurrently`: the threads, and the queue of what is finished."""

    def __init__(
        self,
        requests: Iterable[R],
        work: Callable[[R], Any],
        limit: int,
        attempts: Attempts,
    ) -> None:
        self._requests = requests
        self._work = work
        called = (work, type(work).__call__)
        self._is_async = any(map(inspect.iscoroutinefunction, called)) or any(map(inspect.isasyncgenfunction, called))
        self._attempts = attempts
        self._slots = threading.Semaphore(limit)
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stopping = self._ended = False
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._entered, self._left = asyncio.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="popbench-calls", daemon=True)

    def answers(self) -> Iterator[Any]:
        """Start the threads and yield answers; raises what ended the calls."""
        on_stop = getattr(self._requests, "on_stop", None)
        if on_stop is not None:  # popbench's own iterables of requests tell when the component is to end
            on_stop(lambda: self._finished.put(ComponentError("interrupted")))
        self._thread.start()
        threading.Thread(target=self._pull, name="popbench-requests", daemon=True).start()
        given, pulled = 0, None
        while pulled is None or given < pulled:
            match self._finished.get():
                case _Pulled(count):
                    pulled = count
                case BaseException() as error:
                    yield from self._paid()
                    raise error
                case Submitted() as submitted:
                    yield submitted
                case answer:
                    given += 1
                    yield answer
                    self._slots.release()  # only now is the answer stored

    def _paid(self) -> Iterator[Any]:
        """Yield what is finished or submitted already: it was paid for, whatever ends the other calls."""
        with suppress(queue.Empty):
            while True:
                ready = self._finished.get_nowait()
                if isinstance(ready, Answer | Submitted):
                    yield ready

    def stop(self) -> None:
        """Cancel what is at work, and close the client."""
        self._stopping = True
        self._slots.release()
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._left.set)
        self._thread.join(_END_SECONDS)

    def _pull(self) -> None:
        """Pull a request whenever there is a slot for it."""
        count = 0
        try:
            source = iter(self._requests)
            while self._slots.acquire() and not self._stopping:
                try:
                    request = next(source)
                except StopIteration:
                    break
                count += 1
                with suppress(RuntimeError):  # the loop has ended, and told why
                    self._loop.call_soon_threadsafe(self._start, request)
        except BaseException as error:
            self._finished.put(error)
            return
        self._finished.put(_Pulled(count))

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # raised in the thread that takes answers
            self._finished.put(error)
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                if hasattr(self._work, "__aenter__"):
                    await stack.enter_async_context(self._work)  # type: ignore[arg-type]
                self._entered.set()
                await self._left.wait()
                await self._cancel()
        finally:
            await self._cancel()  # also where the client could not be opened
            await asyncio.sleep(0)  # closed connections end in the loop's next turn

    async def _cancel(self) -> None:
        self._ended = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, request: R) -> None:
        if self._ended:
            return
        task = self._loop.create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: R) -> None:
        await self._entered.wait()
        call = _Call(request, self._work, self._finished.put, is_async=self._is_async)
        try:
            self._finished.put(await self._attempts.run(request, call))
        except Exception as error:
            self._finished.put(error)
        except asyncio.CancelledError:
            if not self._left.is_set():  # cancelled by `work` itself
                self._finished.put(ComponentError(f"the call of {request.id} was cancelled"))
            raise


class _Call(Generic[R]):
    """The attempts of one request. Once a job was submitted, the next attempt is to ask about it."""

    def __init__(
        self, request: R, work: Callable[[R], Any], submit: Callable[[Submitted], None], *, is_async: bool
    ) -> None:
        self._request = request
        self._work, self._is_async = work, is_async
        self._submit = submit
        self.has_job = request.job is not None

    async def attempt(self) -> Any:
        """Return the answer that `work` comes to."""
        started = time.monotonic()
        answer: Any = self._work(self._request) if self._is_async else await _in_thread(self._plain, self._request)
        if inspect.isasyncgen(answer):
            answer = await self._steps(answer)
        elif inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, Submitted):
            raise ComponentError(f"the call of {answer.id} returned Submitted: it has to yield it, and then its answer")
        if isinstance(answer, Answer) and answer.seconds is None:
            answer = replace(answer, seconds=time.monotonic() - started)
        return answer

    def _plain(self, request: R) -> Any:
        result = self._work(request)
        if not inspect.isgenerator(result):
            return result
        with closing(result):
            for step in result:
                if not self._is_submitted(step):
                    return step
        raise self._unanswered()

    async def _steps(self, steps: Any) -> Any:
        async with aclosing(steps):
            async for step in steps:
                if not self._is_submitted(step):
                    return step
        raise self._unanswered()

    def _is_submitted(self, step: Any) -> bool:
        if isinstance(step, Submitted):
            self._request, self.has_job = replace(self._request, job=step.job), True
            self._submit(step)
        return isinstance(step, Submitted)

    def _unanswered(self) -> ComponentError:
        return ComponentError(f"the call of {self._request.id} ended without an answer")


async def _in_thread(work: Callable[[Any], Any], request: Request) -> Any:
    """Return `work(request)`, from a thread that does not keep the process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():  # cancelled
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = work(request)
        except StopIteration as raised:  # which no future takes
            error = RuntimeError(f"raised {raised!r}")
        except BaseException as raised:
            take_body(raised)
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="popbench-call", daemon=True).start()
    return await future
