"""Creates jobs of video servers through the `openai` SDK, asks about them, and fetches their clips.

The SDK opens connections, writes requests and classifies errors of its transport. Answers are read from their JSON:
servers send shapes that the SDK's types do not have, and its own methods for videos are marked as ending, with the
service that they were made for.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import openai

import popbench
from popbench import JSON
from popbench.engines import retry_after
from popbench_openai.bodies import told
from popbench_openai.clients import open_client, read_body
from popbench_openai.faults import CallError, Kind, of_body, of_connection, of_status
from popbench_openai.hiding import Hider
from popbench_openai.servers import shown_url
from popbench_openai.video_options import VideoOptions

FIRST_CONTACT = 5.0
"""Seconds for which an address is tried at which nothing has ever listened."""

REJECTED = 3
"""After so many equal rejections before the first job, an option counts as wrong."""

LOOKS_FOR_CLIP = 3
"""So often is the clip of a finished job looked for that the server does not have (yet)."""

_DONE = {"completed", "succeeded"}
_OVER = {"failed", "cancelled", "canceled", "expired", "deleted", "error"}
_AT_WORK = {"queued", "in_progress", "pending", "processing", "running"}
_GONE = re.compile(r"\b(video|job|task|generation)s?\b|expired", re.IGNORECASE)
_LONGEST_ID = 4096
_LONGEST_CLIP = 24 * 3600
"""Seconds."""
_REMEDIES = (
    (re.compile(r"\bseed\b", re.IGNORECASE), "try seed=false"),
    (re.compile(r"input_reference|multipart|form.?data|\bjson\b|request body", re.IGNORECASE), "try body="),
    (re.compile(r"\bsize\b|width|height|resolution", re.IGNORECASE), "try another size="),
    (re.compile(r"second|duration|num_frames", re.IGNORECASE), "try another seconds="),
    (re.compile(r"\bmodel\b", re.IGNORECASE), "check model="),
)

Outcome = popbench.Clip | popbench.Failure | popbench.Submitted


class Fault(popbench.ComponentError):
    """A request that came to nothing, with what its server said, and without the key.

    `popbench.Retry` reads `status_code` and `headers`.
    """

    def __init__(self, error: CallError, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.kind = error.kind
        self.unreachable = error.unreachable
        self.status_code = status
        self.headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}


def is_full(error: Exception) -> bool:
    """Say whether a server has no room for another job at present."""
    if not isinstance(error, Fault) or error.kind is not Kind.PASSING:
        return False
    return error.status_code == 429 or (error.status_code == 503 and bool(error.headers))


def is_passing(error: Exception) -> bool:
    """Say whether the same request may succeed later."""
    return isinstance(error, Fault) and error.kind is Kind.PASSING


def is_fatal(error: Exception) -> bool:
    """Say whether no request can succeed."""
    return isinstance(error, Fault) and error.kind is Kind.FATAL


class VideoJobs:
    """All jobs of one `generate`; `popbench.concurrently` calls it for each request."""

    def __init__(self, options: VideoOptions, url: str, key: str, folder: Path) -> None:
        self._options, self._url, self._key, self._folder = options, url, key, folder
        self._name = f"{options.model} at {shown_url(url)}"
        self._hide = Hider(key)
        self._heard = self._works = False
        self._rejected: Counter[str] = Counter()
        self._broken: Counter[str] = Counter()
        self._client: openai.AsyncOpenAI

    async def __aenter__(self) -> VideoJobs:
        """Make the client."""
        self._client, self._opened = open_client(self._url, self._key), time.monotonic()
        return self

    async def __aexit__(self, *details: object) -> None:
        """Close all connections."""
        await self._client.close()

    async def __call__(self, request: popbench.VideoRequest) -> AsyncIterator[Outcome]:
        """Yield the job, unless the request comes with one, and its clip; raises Fault."""
        job, state = request.job, None
        if job is None:
            try:
                state = await self._create(request)
            except Fault as fault:
                yield self._uncreated(request, fault)
                return
            job = state["id"]
            yield popbench.Submitted(request.id, job)
        if not isinstance(job, str) or not _is_id(job):
            yield popbench.Failure(request.id, f"{self._name}: the job of an earlier run is no id of this protocol")
            return
        yield await self._outcome(request, job, state)

    def _uncreated(self, request: popbench.VideoRequest, fault: Fault) -> popbench.Failure:
        """Return the failure of a request that no job was created for; raises Fault if it is to be tried again.

        Raises ComponentError if the failure is not the prompt's.
        """
        message = str(fault)
        if fault.kind is Kind.INVALID:
            return popbench.Failure(request.id, message, invalid=True, reason="refusal")
        if fault.kind is Kind.PASSING and not is_full(fault) and not fault.unreachable:
            self._broken[request.id] += 1  # the answer may have been lost: without its key, each makes another job
        if fault.kind is not Kind.ITEM and self._broken[request.id] <= self._options.max_retries:
            raise fault
        self._rejected[message] += 1
        if not self._works and self._rejected[message] >= REJECTED:
            raise popbench.ComponentError(message) from None
        return popbench.Failure(request.id, message)

    async def _create(self, request: popbench.VideoRequest) -> Mapping[str, Any]:
        """Create a job, and return the server's description of it."""
        options = self._options
        wanted = {"model": options.model, "prompt": request.prompt, "size": options.size}
        wanted["seconds"] = None if options.seconds is None else str(options.seconds)  # a text in this protocol
        fields: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        if options.seed:
            fields["seed"] = request.seed
        fields |= options.extra_body
        headers = {"Content-Type": "application/json"}
        if options.body == "form":
            headers = {"Content-Type": "multipart/form-data"}
            fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
        if request.key:
            headers["Idempotency-Key"] = request.key
        state = self._state(await self._ask("POST", "/videos", body=fields, headers=headers))
        if not isinstance(state.get("id"), str) or not _is_id(state["id"]):
            lacks = CallError(Kind.FATAL, "answered without the id of a job", "check base_url=: is it a video server?")
            raise self._fault(lacks)
        self._works = True
        return state

    async def _outcome(
        self, request: popbench.VideoRequest, job: str, state: Mapping[str, Any] | None
    ) -> popbench.Clip | popbench.Failure:
        """Ask about a job until it is over; `state` is what is known of it already."""
        path = f"/videos/{quote(job, safe='')}"
        missed = 0
        while True:
            if state is None:
                body = await self._ask("GET", path, job=job)
                if body is None:
                    return popbench.Failure(request.id, f"{self._name}: job {_short(job)} is not there any more")
                state = self._state(body)
            status = str(state.get("status", "")).lower()
            if status in _OVER:
                return self._ended(request, job, state, status)
            if status in _DONE:
                video = await self._ask("GET", f"{path}/content", job=job, content=True)
                if video is not None:
                    file = self._folder / f"{request.id}.mp4"
                    await asyncio.to_thread(file.write_bytes, video)
                    return popbench.Clip(request.id, path=file, usage=self._usage(state))
                missed += 1
                if missed == LOOKS_FOR_CLIP:
                    gone = f"{self._name}: the clip of job {_short(job)} is not there any more"
                    return popbench.Failure(request.id, gone, usage=self._usage(state))
            elif status not in _AT_WORK:
                unknown = (
                    f"{self._name}: job {_short(job)} has the status {status[:40]!r}, which is none of this protocol"
                )
                return popbench.Failure(request.id, unknown, keeps_job=True)
            state = None
            await asyncio.sleep(self._options.poll)

    def _ended(
        self, request: popbench.VideoRequest, job: str, state: Mapping[str, Any], status: str
    ) -> popbench.Failure:
        """Return the failure of a job without a clip: a refusal, if the server says that it is one."""
        error = {"error": state["error"]} if state.get("error") else None
        said = told(error).text
        what = f"{self._name}: job {_short(job)} {status}" + (f": {said}" if said else "")
        refused = error is not None and of_status(400, error, None, "", formatted=False).kind is Kind.INVALID
        return popbench.Failure(request.id, what, invalid=refused, reason="refusal" if refused else "")

    def _usage(self, state: Mapping[str, Any]) -> dict[str, float] | None:
        """Return the seconds of video that the server says it made, or else those that it was asked for."""
        for given in (state.get("seconds"), self._options.seconds):
            try:
                seconds = float(given)  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError):
                continue
            if 0 < seconds <= _LONGEST_CLIP:
                return {"video_seconds": seconds}
        return None

    def _state(self, body: JSON) -> Mapping[str, Any]:
        """Return a job's description; raises Fault for what is none."""
        if not isinstance(body, dict):
            raise self._fault(CallError(Kind.PASSING, "answered with no description of a job"))
        error = None if {"id", "status"} <= body.keys() else of_body(body, self._variable, formatted=False)
        if error is not None:
            raise self._fault(error)
        return body

    @property
    def _variable(self) -> str:
        return self._options.api_key_env or ""

    async def _ask(self, method: str, path: str, *, job: str = "", content: bool = False, **given: Any) -> Any:
        """Return the JSON of an answer, or its bytes if `content`; None if the server does not have `job` any more."""
        try:
            async with asyncio.timeout(self._options.timeout):
                answer = await self._send(method, path, content=content, **given)
        except TimeoutError:
            late = f"no answer within timeout={self._options.timeout:g} s"
            raise self._fault(CallError(Kind.PASSING, late)) from None
            self._heard = True
        except openai.APIStatusError as error:
            self._heard, raised = True, error
        except (openai.OpenAIError, aiohttp.ClientError, OSError) as error:  # the SDK wraps most errors, but not all
            raise self._lost(of_connection(error)) from None
        except Exception as error:  # the SDK and its transport fail on malformed charsets and headers
            unreadable = f"unreadable answer ({type(error).__name__}: {error})"
            raise self._fault(CallError(Kind.PASSING, unreadable)) from None
        else:
            if not content:
                return read_body(answer, self._hide) or ""  # null is no job that is gone
            body = read_body(answer, self._hide) if answer[:1] in (b"{", b"[") else None
            if (refused := body and of_body(body, self._variable, formatted=False)) or not answer:
                raise self._fault(refused or CallError(Kind.PASSING, "sent an empty clip"))
            return answer
        status, body = raised.status_code, read_body(raised.response.content, self._hide)
        if job and (status == 410 or (status == 404 and (content or await self._is_right(body)))):
            return None
        raise self._refusal(status, body, raised, job, content=content)

    async def _is_right(self, body: JSON) -> bool:
        """Say whether 404 speaks of a job, as an address that is wrong does not: the jobs are not over then."""
        if self._works or (isinstance(body, dict) and _GONE.search(told(body).words)):
            return True
        try:
            await self._send("GET", "/videos", content=False)  # all jobs: not every server has that
        except Exception:
            return False
        return True

    async def _send(
        self, method: str, path: str, *, content: bool, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Send one request, and return the answer's bytes."""
        # Descriptions of another host would be recorded under this one; a clip may lie with another, which is sent no
        # key.
        options: Any = {"follow_redirects": content, "headers": dict(headers or {})}
        cast_to = openai.HttpxBinaryResponseContent
        if method == "GET":
            return (await self._client.get(path, cast_to=cast_to, options=options)).content
        return (await self._client.post(path, cast_to=cast_to, body=body, options=options)).content

    def _refusal(self, status: int, body: JSON, raised: openai.APIStatusError, job: str, *, content: bool) -> Fault:
        """Return the fault of an error answer."""
        headers = raised.response.headers
        if 300 <= status < 400:
            moved = f"{status} moved to {headers.get('location', 'an unknown place')}"
            return self._fault(CallError(Kind.FATAL, moved, "set base_url= to where it is now"))
        error = of_status(status, body, retry_after(headers), self._variable, formatted=False)
        if content and status == 403:  # the storage's, which has another key
            error = CallError(Kind.ITEM, error.what, "the same command fetches the clip again")
        elif error.kind not in (Kind.PASSING, Kind.FATAL, Kind.INVALID) or (job and error.kind is Kind.INVALID):
            words = told(body).words
            remedy = next((hint for pattern, hint in _REMEDIES if pattern.search(words)), "")
            if remedy == "try body=":
                remedy += "json" if self._options.body == "form" else "form"
            error = CallError(Kind.ITEM, error.what, remedy or "check seconds=, size= and extra_body= against its API")
        return self._fault(error, status)

    def _lost(self, error: CallError) -> Fault:
        """Return the fault of a lost connection, which is final if nothing has ever listened there."""
        if error.unreachable and not self._heard and time.monotonic() - self._opened > FIRST_CONTACT:
            error = CallError(Kind.FATAL, error.what, "check that it runs, and base_url=")
        return self._fault(error)

    def _fault(self, error: CallError, status: int | None = None) -> Fault:
        if status is None and error.kind not in (Kind.FATAL, Kind.PASSING):
            status = 400  # in a body of status 200: of this request alone
        remedy = f": {error.remedy}" if error.remedy and error.kind is not Kind.PASSING else ""
        return Fault(error, self._hide(f"{self._name}: {error.what}{remedy}"), status)


def _is_id(job: str) -> bool:
    """Say whether a text can stand for a job in a path."""
    return 0 < len(job) <= _LONGEST_ID and job.strip(".") != "" and job.isprintable()


def _short(job: str) -> str:
    """Return a job's id for messages: those of proxies are long."""
    return job if len(job) <= 60 else f"{job[:30]}…{job[-12:]}"
