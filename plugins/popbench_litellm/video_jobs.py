"""Creates jobs through LiteLLM's video functions, asks about them, and fetches their clips.

Each request has a client of its own: what the provider itself answers is seen, and none is sent over a connection that
the provider has closed, after which nobody could tell whether a job was created.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx

import popbench
from popbench import JSON
from popbench_litellm.faults import LimitedError, PassingError, RefusedError, RejectedError, chain, judged, words_of
from popbench_litellm.hiding import Hider
from popbench_litellm.library import library
from popbench_litellm.session import Session
from popbench_litellm.video_models import KINDS, VideoFacts
from popbench_litellm.video_options import VideoOptions
from popbench_litellm.video_states import Kind, Reply, State, seconds_of, state_of

FIRST_CONTACT = 5.0
"""Seconds for which an address is tried at which nothing has ever listened."""

REJECTED = 3
"""After so many equal rejections before the first job, an option counts as wrong."""

LOOKS_FOR_CLIP = 3
"""So often is the clip of a finished job looked for that the provider does not hand out."""

_GONE = re.compile(
    r"\b(record|operation|task|video|job|request|generation)s?\b.{0,60}\b(not (be )?found|not exist)",
    re.IGNORECASE,
)
_LONGEST_ID = 4096
_LATE = {504, 524}
"""Statuses of a gateway that has waited for an answer in vain."""
_HARMLESS = {"host", "accept", "accept-encoding", "connection", "user-agent"}
"""Headers that hold no key."""
_OPTIONS = "seconds, size, seed=false, params"

Outcome = popbench.Clip | popbench.Failure | popbench.Submitted


class VideoJobs:
    """All jobs of one `generate`; `popbench.concurrently` calls it for each request."""

    def __init__(self, options: VideoOptions, facts: VideoFacts, key: str | None, folder: Path) -> None:
        self._litellm = library()
        self._session = Session()
        self._options, self._facts, self._folder = options, facts, folder
        self._hide = Hider(key or "")
        self._heard = self._works = False
        self._rejected: Counter[str] = Counter()
        self._broken: Counter[str] = Counter()
        self._opened = time.monotonic()
        self._home = ""  # where the provider's API lies
        server = {"api_base": options.api_base, "api_key": key}
        self._server = {name: value for name, value in server.items() if value is not None}

    async def __aenter__(self) -> VideoJobs:
        """Note the time, from which on an address counts as one where nothing listens."""
        self._opened = time.monotonic()
        return self

    async def __aexit__(self, *details: object) -> None:
        """End what LiteLLM has left."""
        await self._session.close()

    async def __call__(self, request: popbench.VideoRequest) -> AsyncIterator[Outcome]:
        """Yield the job, unless the request comes with one, and its clip.

        Raises PassingError if it may be tried again, ComponentError if no call can succeed.
        """
        job = request.job
        if job is None:
            made = await self._create(request)
            if isinstance(made, popbench.Failure):
                yield made
                return
            job = made
            yield popbench.Submitted(request.id, job)
        if not isinstance(job, Mapping) or not self._is_own(job.get("id")):
            other = f"{self._options.model}: the job of an earlier run is none of {self._facts.provider}'s"
            yield popbench.Failure(request.id, other)
            return
        yield await self._outcome(request, job)

    # -- creating

    async def _create(self, request: popbench.VideoRequest) -> dict[str, JSON] | popbench.Failure:
        """Create a job, and return what another process needs to ask about it, or why there is none."""
        options = self._options
        given: dict[str, Any] = {"model": options.model, "prompt": request.prompt, "size": options.size}
        given["seconds"] = None if options.seconds is None else str(options.seconds)
        given["extra_body"] = dict(options.params) or None
        if options.seed and self._facts.takes_seed:
            given["seed"] = request.seed
        if request.key:
            given["extra_headers"] = {"Idempotency-Key": request.key}
        given = {name: value for name, value in given.items() if value is not None}
        video, replies = await self._ask(self._litellm.avideo_generation, **given)
        if isinstance(video, Exception):
            return self._uncreated(request, video, replies)
        if not _is_id(video.id):
            raise popbench.ComponentError(f"{options.model}: answered without the id of a job: check api_base=")
        self._works = True
        seconds = seconds_of((video.usage or {}).get("duration_seconds")) or self._facts.seconds
        return {"id": video.id, **({"seconds": float(seconds)} if seconds else {})}

    def _uncreated(self, request: popbench.VideoRequest, error: Exception, replies: list[Reply]) -> popbench.Failure:
        """Return the failure of a request that no job is known for.

        Raises PassingError if it is to be tried again, ComponentError if the failure is not the prompt's.
        """
        fault = self._fault(error)
        if isinstance(fault, RefusedError):
            return popbench.Failure(request.id, str(fault), invalid=True, reason="content filter")
        made = [reply for reply in replies if reply.status < 300]  # LiteLLM goes by words such as 429 in them as well
        if isinstance(fault, LimitedError) and all(map(_is_error, made)):
            raise fault
        if isinstance(fault, PassingError):
            if made:
                raise popbench.ComponentError(f"{fault}: check api_base=") from None  # each attempt might be paid for
            if _is_unreachable(error):
                raise self._lost(fault)
            if not replies or replies[-1].status in _LATE:
                return popbench.Failure(request.id, f"{fault}: a job may have been created, so no other one is now")
            self._broken[request.id] += 1
            if self._broken[request.id] <= self._options.max_retries:
                raise fault
        elif not isinstance(fault, RejectedError):
            raise fault
        self._rejected[str(fault)] += 1
        if not self._works and self._rejected[str(fault)] >= REJECTED:
            raise popbench.ComponentError(str(fault)) from None
        return popbench.Failure(request.id, str(fault))

    def _lost(self, fault: Exception) -> Exception:
        """Return the fault of an address that nothing answers at, which is final if nothing ever has."""
        if not self._heard and time.monotonic() - self._opened > FIRST_CONTACT:
            return popbench.ComponentError(f"{fault}: check the network, and api_base=")
        return fault

    # -- asking

    async def _outcome(
        self, request: popbench.VideoRequest, job: Mapping[str, JSON]
    ) -> popbench.Clip | popbench.Failure:
        """Ask about a job until it is over."""
        name, missed = self._options.model, 0
        while True:
            state = await self._look(job)
            if state is None:
                return popbench.Failure(request.id, f"{name}: the job is not there any more")
            if state.kind is Kind.UNKNOWN:
                unknown = f"{name}: the job cannot be asked about: {state.said}"
                return popbench.Failure(request.id, unknown, keeps_job=True)
            if state.kind in (Kind.FAILED, Kind.REFUSED):
                refused = state.kind is Kind.REFUSED
                said = self._hide(" ".join(state.said.split())[:300]) or "without a reason"
                what = f"{name}: {'refused' if refused else 'the job failed'}: {said}"
                return popbench.Failure(request.id, what, refused, reason="content filter" if refused else "")
            if state.kind is Kind.DONE:
                usage = self._usage(state, job)
                video = await self._fetch(job)
                if isinstance(video, bytes):
                    file = self._folder / f"{request.id}.mp4"
                    await asyncio.to_thread(file.write_bytes, video)
                    return popbench.Clip(request.id, path=file, usage=usage)
                missed += 1
                if missed == LOOKS_FOR_CLIP:
                    is_gone = _status(video) in (404, 410)
                    lack = f"{name}: the clip of a finished job is not handed out: {self._fault(video)}"
                    return popbench.Failure(request.id, lack, keeps_job=not is_gone, usage=usage if is_gone else None)
            await asyncio.sleep(self._options.poll)

    def _usage(self, state: State, job: Mapping[str, JSON]) -> dict[str, float] | None:
        """Return the seconds that the provider says it made, or else those that it was asked for."""
        for seconds in (state.seconds, job.get("seconds"), self._facts.seconds):
            if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0:
                return {"video_seconds": float(seconds)}
        return None

    async def _look(self, job: Mapping[str, JSON]) -> State | None:
        """Ask once, and return what the job has come to; None if the provider does not have it any more."""
        video, replies = await self._ask(self._litellm.avideo_status, **self._of(job))
        error = video if isinstance(video, Exception) else None
        fault = None if error is None else self._fault(error)
        if fault is None and replies and replies[-1].status in (401, 402, 403):  # of fal's result: LiteLLM says failed
            told = self._hide(str((video.error or {}).get("message", "")))
            raise popbench.ComponentError(f"{self._options.model}: {told}: check the key and the account")
        state = state_of(self._facts.provider, None if error else video, replies)
        if state is not None:
            self._works = True
            return state
        if error is None or fault is None:  # an answer without any
            raise PassingError(f"{self._options.model}: no answer", {})
        if _is_unreachable(error):
            raise self._lost(fault)
        status = replies[-1].status if replies else None
        is_told = status in (200, 400, 404, 500) and bool(_GONE.search(words_of(error)))
        if status == 410 or is_told or (status == 404 and self._works):
            return None
        if isinstance(fault, RejectedError | RefusedError):
            return State(Kind.UNKNOWN, str(fault))
        raise fault

    async def _fetch(self, job: Mapping[str, JSON]) -> bytes | Exception:
        """Return a clip, or why the provider does not hand it out; raises PassingError for the network's faults.

        LiteLLM's asynchronous function asks some providers synchronously, and would stop all other jobs meanwhile.
        """
        try:
            async with asyncio.timeout(self._options.timeout):
                content = await _in_thread(partial(self._download, job))
        except TimeoutError:
            raise self._late() from None
        except Exception as error:
            fault = self._fault(error)
            passes = _status(error) in (408, 429) or (_status(error) or 500) >= 500
            if isinstance(fault, PassingError) and passes and any(isinstance(e, httpx.HTTPError) for e in chain(error)):
                raise fault from None
            return error
        if not content:
            raise PassingError(f"{self._options.model}: sent an empty clip", {})
        return bytes(content)

    def _download(self, job: Mapping[str, JSON]) -> Any:
        """Return a clip, which may lie with another host: that one is sent no key."""

        def bare(request: httpx.Request) -> None:
            if _origin(request) != self._home:
                for name in set(request.headers) - _HARMLESS:
                    del request.headers[name]

        client = import_module("litellm.llms.custom_httpx.http_handler").HTTPHandler(timeout=self._options.timeout)
        client.client.event_hooks = {"request": [bare]}
        try:
            return self._litellm.video_content(**self._of(job), **self._server, client=client)
        finally:
            client.close()

    def _is_own(self, job: Any) -> bool:
        """Say whether a value is an id of LiteLLM's, in which the provider and its own id stand."""
        if not _is_id(job):
            return False
        decoded = import_module("litellm.types.videos.utils").decode_video_id_with_provider(job)
        return bool(decoded.get("custom_llm_provider") == self._facts.provider)

    def _of(self, job: Mapping[str, JSON]) -> dict[str, Any]:
        return {"video_id": job["id"], "custom_llm_provider": self._facts.provider}

    # -- LiteLLM

    async def _ask(self, function: Callable[..., Any], **given: Any) -> tuple[Any, list[Reply]]:
        """Call one of LiteLLM's functions, once; return what it returns or raises, and what it was answered."""
        replies: list[Reply] = []
        moved: list[str] = []
        seconds = self._options.timeout

        async def stay(request: httpx.Request) -> None:
            self._home = self._home or _origin(request)
            if _origin(request) != self._home:  # it would be sent the key
                moved.append(_origin(request))
                raise httpx.UnsupportedProtocol("moved to another host")

        async def keep(response: httpx.Response) -> None:
            if response.is_redirect:
                return
            body, self._heard = await response.aread(), True
            try:
                replies.append(Reply(response.status_code, json.loads(body)))
            except ValueError:
                replies.append(Reply(response.status_code))

        async def call() -> Any:
            handler = import_module("litellm.llms.custom_httpx.http_handler").AsyncHTTPHandler
            client = handler(timeout=seconds, event_hooks={"request": [stay], "response": [keep]})
            try:
                return await function(
                    **given, **self._server, client=client, timeout=seconds, num_retries=0, max_retries=0
                )
            finally:
                await client.close()

        try:
            return await self._session.call(call(), seconds), replies
        except TimeoutError:
            return self._late(), replies
        except Exception as error:  # LiteLLM raises its own errors, and those of each provider's code
            if moved:
                where = f"moved to {self._hide(moved[0])}: set api_base= to where it is now"
                raise popbench.ComponentError(f"{self._options.model}: {where}") from None
            return error, replies

    def _late(self) -> PassingError:
        return PassingError(f"{self._options.model}: no answer within timeout={self._options.timeout:g} s", {})

    def _fault(self, error: Exception) -> Exception:
        if isinstance(error, PassingError):
            return error
        options, facts = self._options, self._facts
        return judged(error, options.model, facts.provider, options.api_key_env, self._hide, _OPTIONS, KINDS)


def _is_id(job: Any) -> bool:
    """Say whether a value can be the id of a job."""
    return isinstance(job, str) and 0 < len(job) <= _LONGEST_ID and job.isprintable()


def _is_error(reply: Reply) -> bool:
    """Say whether an answer holds an error, whatever its status."""
    return isinstance(reply.body, Mapping) and bool(reply.body.get("error"))


def _origin(request: httpx.Request) -> str:
    """Return the scheme, host and port that a request goes to."""
    return f"{request.url.scheme}://{request.url.netloc.decode('ascii', 'replace')}"


def _is_unreachable(error: BaseException) -> bool:
    """Say whether there was no connection, so that nothing can have been created."""
    return any(isinstance(each, httpx.ConnectError | ConnectionRefusedError) for each in chain(error))


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error is about."""
    for each in reversed(list(chain(error))):
        response = getattr(each, "response", None)
        status = getattr(response, "status_code", None) or getattr(each, "status_code", None)
        if isinstance(status, int):
            return status
    return None


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Return what a function returns, from a thread that does not keep the process alive."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="popbench-download", daemon=True).start()
    return await asyncio.wrap_future(future)
