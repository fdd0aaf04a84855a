"""Asks chats in batches: sends them as files, looks at the batches until they are over, and reads the results.

A batch is paid for when it is created. So its requests are submitted, and stored, before that by the id of their file,
which costs nothing, and after it with the batch's id. After a kill in between, the list of the account's batches tells
whether there is one of that file.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias, TypeVar

import popbench
from popbench import JSON
from popbench.engines import backoff
from popbench_openai import batch_lines
from popbench_openai.accepted import Accepted, ChatRequest
from popbench_openai.answers import NoTextError, add
from popbench_openai.batch_api import BatchApi, State, UnlistedError
from popbench_openai.batch_usage import in_batch
from popbench_openai.bodies import told
from popbench_openai.calls import Model
from popbench_openai.faults import CallError, Kind
from popbench_openai.hiding import Hider

TRIES = 3
"""The most batches in which a request is asked that passing faults leave without an answer."""

FIRST_CONTACT = 5.0
"""Seconds for which an address is tried at which nothing has ever listened."""

KEPT = 7 * 24 * 3600
"""Seconds after which a batch that the account does not have is gone. Before, another account's key is asked with."""

_BEAT = 300.0
"""A component that says nothing for long is given up: after so many seconds it says again what is submitted."""

_MOST_BYTES = 90_000_000
_MOST_REQUESTS = 50_000
"""The most that are in memory."""

_LOOKS_FOR_NEW = 3
"""How often a new batch is looked for that the server does not list yet."""

_AT_WORK = {"validating", "queued", "pending", "in_progress", "running", "finalizing", "cancelling"}
_OVER = {"completed", "expired", "cancelled", "canceled"}
_FULL = ("token_limit_exceeded", "enqueued token")

Outcome: TypeAlias = popbench.Completion | popbench.Failure | popbench.Submitted
T = TypeVar("T")
Steps: TypeAlias = Generator[Outcome, None, T]
"""What is to be yielded on the way to a result."""


@dataclass(slots=True)
class Batch:
    """A file of requests, and its batch once there is one.

    `requests` are by their custom_id; those of an earlier command that are answered already are not in it. `ours`: this
    command has made it. `full_since` is when the server first had no room for it.
    """

    file: str
    made: float
    learnt: Mapping[str, JSON]
    ours: bool
    id: str = ""
    requests: dict[str, ChatRequest] = field(default_factory=dict)
    missed: int = 0
    waits: bool = False
    full_since: float | None = None

    def submitted(self) -> Iterator[popbench.Submitted]:
        """Yield what is to be stored of its requests."""
        batch = {"batch": self.id} if self.id else {}
        for custom_id, request in self.requests.items():
            job = {"file": self.file, **batch, "line": custom_id, "at": int(self.made), **self.learnt}
            yield popbench.Submitted(request.chat.id, job)

    @property
    def young(self) -> bool:
        """Whether its account must still have it."""
        return time.time() - self.made < KEPT


class Batches:
    """All batches of one `generate`; `accepted` is what those before have learnt."""

    def __init__(self, model: Model, accepted: Accepted) -> None:
        self._options = options = model.asked
        self._variable = model.key_variable
        self._name = f"{options.model} at {model.shown_url}"
        self._hide = Hider(model.key)
        self._api = BatchApi(model.url, model.key, self._variable, options.timeout, self._hide)
        self._accepted = accepted
        self._ready: deque[popbench.Chat] = deque()
        self._batches: dict[tuple[str, str], Batch] = {}
        self._tries: Counter[str] = Counter()
        self._spent: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._heard = self._writes = False
        self._stopped = threading.Event()

    def answers(self, chats: Iterable[popbench.Chat]) -> Iterator[Outcome]:
        """Yield what is submitted, and the answers; raises ComponentError if no batch can succeed."""
        on_stop = getattr(chats, "on_stop", None)
        if on_stop is not None:
            on_stop(self._stopped.set)
        source, more = iter(chats), True
        try:
            while more or self._ready or self._batches:
                while more and self._held() < _MOST_REQUESTS:
                    chat = next(source, None)
                    more = chat is not None
                    if chat is not None:
                        yield from self._take(chat)
                yield from self._send()
                yield from self._look()
                if self._batches and not self._ready:
                    yield from self._wait(self._options.poll)
        finally:
            self._api.close()

    def _held(self) -> int:
        return len(self._ready) + sum(len(batch.requests) for batch in self._batches.values())

    def _take(self, chat: popbench.Chat) -> Iterator[Outcome]:
        """Put a chat with those that are to be sent, or with those of its batch."""
        job: JSON = chat.job
        if job is None:
            self._ready.append(chat)
            if len(self._ready) >= self._options.batch_size:
                yield from self._send()
            return
        names = ("file", "batch", "line")
        file, id_, line = (job.get(name, "") for name in names) if isinstance(job, Mapping) else ("", "", "")
        if not (all(isinstance(name, str) for name in (file, id_, line)) and file and line):
            yield popbench.Failure(chat.id, f"{self._name}: the job of an earlier run is no batch")
            return
        made, learnt = job.get("at"), {name: job[name] for name in ("level", "merged") if name in job}
        self._accepted.learn(learnt)
        new = Batch(file, float(made) if isinstance(made, int) else 0.0, learnt, ours=False, id=id_)
        batch = self._batches.setdefault((file, id_), new)
        batch.requests[line] = self._accepted.request(chat)

    def _send(self) -> Iterator[Outcome]:
        """Make batches of all that is ready."""
        options = self._options
        while self._ready:
            batch, lines = Batch("", time.time(), self._accepted.learnt(), ours=True), bytearray()
            while self._ready and len(batch.requests) < options.batch_size:
                request = self._accepted.request(self._ready[0])
                custom_id = request.chat.key or request.chat.id  # the same in every run
                line = batch_lines.written(custom_id, request, options)
                if lines and len(lines) + len(line) > _MOST_BYTES:
                    break
                lines += line
                batch.requests[custom_id] = request
                self._ready.popleft()
            batch.file = yield from self._ask(partial(self._api.upload, bytes(lines)))
            del lines
            yield from batch.submitted()
            self._batches[batch.file, ""] = batch
            yield from self._create(batch)

    def _create(self, batch: Batch) -> Iterator[Outcome]:
        """Create the batch of a file, once even where the answer to that is lost."""
        before, lost, looks = batch.id, None, 0

        def create() -> State:
            nonlocal lost, looks
            if lost is not None:
                found = self._api.find(batch.file)
                if found is not None and found["id"] != before:
                    return found
                looks += 1
                if looks < _LOOKS_FOR_NEW:
                    raise lost
                lost, looks = None, 0
            try:
                return self._api.create(batch.file)
            except CallError as fault:
                if not (fault.refused or fault.unreachable):
                    lost = fault  # it may have been created all the same, and may not be listed yet
                raise

        state = yield from self._ask(create)
        batch.id, batch.waits = state["id"], False
        yield from batch.submitted()

    def _look(self) -> Iterator[Outcome]:
        """Look at every batch, and read those that are over."""
        renewed = False
        for key, batch in list(self._batches.items()):
            if batch.waits:
                if not renewed:  # one of them: as many as are over make room
                    yield from self._create(batch)
                renewed = True
                continue
            state = yield from self._state(key, batch)
            status = str(state["status"]).lower() if state is not None else ""
            if state is None or status in _AT_WORK:
                continue
            if status in _OVER:
                yield from self._read(key, batch, state)
            elif status == "failed":
                yield from self._rejected(key, batch, state)
            else:
                raise self._ended(f"batch {batch.id} has the status {status[:40]!r}, which is none of this protocol")

    def _state(self, place: tuple[str, str], batch: Batch) -> Steps[State | None]:
        """Return the state of a batch; None if it is over, or not to be seen yet."""
        if batch.id:
            state = yield from self._ask(partial(self._api.look, batch.id))
        else:
            state = yield from self._ask(partial(self._find, batch, surely=batch.young))
            if state is None and (yield from self._ask(partial(self._api.has_file, batch.file))):
                yield from self._over(place, "its file was uploaded, and no batch created")
                return None
        if state is not None:
            batch.id = state["id"]
            return state
        batch.missed += 1
        if batch.ours and batch.missed < _LOOKS_FOR_NEW:
            return None
        what = f"batch {batch.id}" if batch.id else f"file {batch.file}"
        if batch.young:
            key = f" in {self._variable}" if self._variable else ""
            raise self._ended(f"{what} is not there: ask with the key{key} of the account and project that made it")
        yield from self._over(place, f"{what} is not there any more")
        return None

    def _find(self, batch: Batch, *, surely: bool) -> State | None:
        """Return the batch of a file, None if there is none; raises CallError if that cannot be told, but is to be."""
        try:
            return self._api.find(batch.file)
        except UnlistedError:
            if surely:
                raise
            return None

    def _over(self, key: tuple[str, str], why: str, *, keeps_job: bool = False) -> Iterator[Outcome]:
        """End the jobs of a batch without results, or with `keeps_job` leave them to the next command."""
        for request in self._batches.pop(key).requests.values():
            yield popbench.Failure(request.chat.id, self._hide(f"{self._name}: {why}"), keeps_job=keeps_job)

    def _rejected(self, key: tuple[str, str], batch: Batch, state: State) -> Iterator[Outcome]:
        """Handle a batch of which no request was answered; raises ComponentError if others would be rejected too."""
        errors = state.get("errors")
        listed = errors.get("data") if isinstance(errors, Mapping) else errors
        said = told({"errors": listed})
        line = listed[0].get("line") if isinstance(listed, list) and listed and isinstance(listed[0], Mapping) else None
        where = f" (line {line})" if isinstance(line, int) else ""
        why = f"batch {batch.id} was rejected: {said.text or 'without a reason'}{where}"
        if not batch.ours:
            newer = yield from self._ask(partial(self._find, batch, surely=False))
            if newer is not None and newer["id"] != batch.id:
                batch.id = newer["id"]  # a kill came before this was stored
                return
            yield from self._over(key, why)
            return
        if not any(sign in f"{said.words} {said.text}".lower() for sign in _FULL):
            raise self._ended(f"{why}: check model= and the options against what its batches take")
        now = time.monotonic()
        others = any(other is not batch and not other.waits for other in self._batches.values())
        batch.waits, batch.full_since = True, None if others else batch.full_since or now
        if batch.full_since is not None and now - batch.full_since > self._options.retry_seconds:
            raise self._ended(f"{why}: choose a smaller batch_size=, or wait until other batches are over")

    def _read(self, key: tuple[str, str], batch: Batch, state: State) -> Iterator[Outcome]:
        """Yield the answers of a batch that is over, and put what is to be asked again with what is to be sent."""
        lines: dict[str, Mapping[str, JSON]] = {}
        for name in ("error_file_id", "output_file_id"):
            file = state.get(name)
            if isinstance(file, str) and file and file.isprintable():
                content = yield from self._ask(partial(self._api.download, file))
                if content is None and name == "output_file_id":
                    yield from self._over(key, f"the results of batch {batch.id} are not there any more")
                    return
                lines |= {id_: line for id_, line in batch_lines.results(content or b"") if id_ in batch.requests}
        if not lines and str(state["status"]).lower() == "completed" and batch.young:
            lack = f"the results of batch {batch.id} hold no line of its requests"
            yield from self._over(key, lack, keeps_job=True)
            return
        del self._batches[key]
        seconds, fatal = batch_lines.seconds_of(state), ""
        for custom_id, request in batch.requests.items():
            try:
                line = lines.pop(custom_id, None)
                answer = batch_lines.answer(request, line, seconds, self._variable, self._hide, self._options)
            except CallError as fault:
                if fault.kind is Kind.FATAL:
                    fatal = fatal or self._message(fault)
                failed = self._failed(request, fault, batch, state)
                if failed is not None:
                    yield failed
            else:
                self._accepted.answered(request)
                self._writes = self._writes or bool(answer.text.strip())
                spent = self._spent.pop(request.chat.id, None)
                yield replace(answer, usage=add(spent, answer.usage)) if spent else answer
        if fatal and batch.ours:
            raise popbench.ComponentError(fatal)

    def _failed(
        self, request: ChatRequest, fault: CallError, batch: Batch, state: State
    ) -> popbench.Completion | popbench.Failure | None:
        """Return what a request without an answer comes to; None if it is asked again, in another batch."""
        chat = request.chat
        spent = add(self._spent[chat.id], in_batch(fault.usage) if fault.usage else None)
        if fault.kind is Kind.FORMAT:
            self._accepted.refuse_format(request)
            self._ready.append(chat)
            return None
        if fault.kind is Kind.SYSTEM and self._accepted.refuse_system():
            self._ready.append(chat)
            return None
        message = self._message(fault)
        if fault.kind is Kind.PASSING and not str(state["status"]).lower().startswith("cancel"):
            self._tries[chat.id] += 1
            if self._tries[chat.id] < min(TRIES, self._options.max_retries + 1):
                self._ready.append(chat)
                return None
            if isinstance(fault, NoTextError) and self._writes and not fault.lost:
                return replace(fault.completion, usage=spent or None)
            tries = f"{self._tries[chat.id]} {'batch' if self._tries[chat.id] == 1 else 'batches'}"
            message = self._hide(f"{self._name} gave no answer in {tries} (last, {batch.id}: {fault.what})")
        return popbench.Failure(
            chat.id, message, invalid=fault.kind is Kind.INVALID, reason=fault.reason, usage=spent or None
        )

    def _message(self, fault: CallError) -> str:
        remedy = f": {fault.remedy}" if fault.remedy else ""
        return self._hide(f"{self._name}: {fault.what}{remedy}")

    def _ended(self, what: str) -> popbench.ComponentError:
        return popbench.ComponentError(self._hide(f"{self._name}: {what}"))

    def _ask(self, call: Callable[[], T]) -> Steps[T]:
        """Return what a call does, repeated as long as that may help; raises ComponentError. All jobs are kept."""
        attempt, first = 0, 0.0
        while True:
            try:
                result = call()
            except CallError as fault:
                first = first or time.monotonic()
                self._heard = self._heard or not fault.unreachable
                wait = backoff(attempt, fault.retry_after)
                patience = self._options.retry_seconds if self._heard else FIRST_CONTACT
                if fault.kind is not Kind.PASSING or time.monotonic() + wait - first > patience:
                    raise popbench.ComponentError(self._message(fault)) from None
            else:
                self._heard = True
                return result
            attempt += 1
            yield from self._wait(wait)

    def _wait(self, seconds: float) -> Iterator[Outcome]:
        """Wait, and say now and then what is submitted; raises ComponentError if the component is to end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stopped.wait(min(left, _BEAT)):
                raise popbench.ComponentError("interrupted")
            batch = next(iter(self._batches.values()), None)
            if batch is not None:
                yield next(batch.submitted())
