"""Checks the rules that LLMs, generators and predictors share: requests in, answers out, matched by id.

Each situation is one call: in order, again, reversed, alone, with other ids, stopped early, after a close, and from
another instance. `Traits` says how answers of a kind are compared: by text, frames or popularity.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from popbench.errors import one_line
from popbench.records import JSON, Failure, Submitted, wrong_job
from popbench.testing.components import Subject, check_usd, check_used, fingerprint_before
from popbench.testing.rules import Book

Outcomes = dict[str, Any]
"""The answers by id, in the form in which they are compared; a `Failed` for a Failure."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A Failure for comparison: the text of its error may differ from call to call."""

    error: str
    invalid: bool


@dataclass(frozen=True)
class Traits:
    """The functions of a kind of component.

    `call` starts its iterator; `judge` checks an answer and returns it in the form in which it is compared, None if it
    is of another type; `differ` returns how two of these differ, None if they do not; `rename` returns a request that
    must get the same answer.
    """

    call: Callable[[Any, Iterable[Any]], Iterable[Any]]
    judge: Callable[[Book, Any, Any], Any]
    differ: Callable[[Any, Any], str | None]
    rename: Callable[[Any], Any]


class Asker:
    """Sends requests to components and records breaches in the way they answer."""

    def __init__(self, book: Book, traits: Traits) -> None:
        self.book = book
        self.traits = traits
        self.pulled_first = 0
        self.ended_well = True
        self.jobs: dict[str, JSON] = {}
        """What was submitted in the last call, by the ids of requests."""

    def ask(self, component: Any, requests: Sequence[Any], when: str = "") -> Outcomes:
        """Send all requests in one call; `when` names the situation in messages."""
        self.book.look("raises", "once", "ids")
        prefix = f"{when}: " if when else ""
        asked: dict[str, Any] = {}
        counts: Counter[str] = Counter()
        outcomes: Outcomes = {}
        self.pulled_first, self.ended_well, self.jobs = 0, True, {}

        def source() -> Iterator[Any]:
            for request in _with_keys(requests):
                asked[request.id] = request
                yield request

        answers: Iterator[Any] | None = None
        try:
            answers = iter(self.traits.call(component, source()))
            for position, answer in enumerate(answers):
                self.pulled_first = self.pulled_first or len(asked)
                id_ = getattr(answer, "id", None)
                if not isinstance(id_, str):
                    self.book.breach("ids", f"{prefix}yielded {type(answer).__name__}, which has no id")
                elif id_ not in asked:
                    self.book.breach("ids", f"{prefix}answered, but was not asked", repr(id_))
                elif isinstance(answer, Submitted):
                    self._submitted(asked[id_], answer, prefix, late=counts[id_] > 0)
                else:
                    counts[id_] += 1
                    if counts[id_] == 1:
                        outcomes[id_] = self._judge(component, asked[id_], answer)
                if position > 2 * len(requests) + 10:
                    self.book.breach("once", f"{prefix}no end of answers to {len(requests)} requests")
                    break
        except Exception as error:
            self.ended_well = False
            self.book.breach("raises", f"{prefix}raised {one_line(error)} after {counts.total()} answers")
        finally:
            _close(answers)
        for request in requests:
            count = counts[request.id]
            if count > 1:
                self.book.breach("once", f"{prefix}answered {count} times", request.id)
            elif not count and self.ended_well:
                self.book.breach("once", f"{prefix}not answered", request.id)
        return {id_: outcome for id_, outcome in outcomes.items() if outcome is not None}

    def _submitted(self, request: Any, submitted: Submitted, prefix: str, *, late: bool) -> None:
        self.book.expect("job", not late, f"{prefix}submitted after its answer", request.id)
        wrong = wrong_job(submitted.job)
        if not self.book.expect("job", wrong is None, f"{prefix}its job {wrong}", request.id):
            return
        job = json.loads(json.dumps(submitted.job))
        other = request.job is not None and job != request.job
        self.book.expect("job", not other, f"{prefix}submitted another job than it was given", request.id)
        self.jobs[request.id] = job

    def _judge(self, component: Any, request: Any, answer: Any) -> Any:
        book, id_ = self.book, request.id
        book.look("type", "failure", "measures", "usage", "cost")
        if isinstance(answer, Failure):
            fine = isinstance(answer.error, str) and bool(answer.error.strip())
            book.expect("failure", fine, f"error is {answer.error!r}", id_)
            book.expect("failure", isinstance(answer.reason, str), f"reason is {answer.reason!r}", id_)
            _check_measures(book, component, answer, id_)
            return Failed(str(answer.error), answer.invalid)
        value = self.traits.judge(book, request, answer)
        if value is not None:
            _check_measures(book, component, answer, id_)
        return value

    def compare(self, rule: str, first: Mapping[str, Any], other: Mapping[str, Any], when: str) -> list[str]:
        """Compare answers by id; return the ids that differ."""
        self.book.look(rule)
        differing = []
        for id_, value in other.items():
            difference = self._difference(first[id_], value) if id_ in first else None
            if difference:
                differing.append(id_)
                self.book.differs(rule, f"{when}: {difference}", id_)
        return differing

    def _difference(self, one: Any, two: Any) -> str | None:
        failed = [isinstance(value, Failed) for value in (one, two)]
        if not any(failed):
            return self.traits.differ(one, two)
        if all(failed):
            return None if one.invalid == two.invalid else f"failed with invalid={one.invalid}, then {two.invalid}"
        return f"failed, now answered: {one.error}" if failed[0] else f"answered, now failed: {two.error}"


def _with_keys(requests: Iterable[Any]) -> Iterator[Any]:
    """Yield the requests of a call with keys that no other call has, so that an API makes new jobs."""
    call = uuid4().hex
    for request in requests:
        yield replace(request, key=f"{call}-{request.id}")


def _close(answers: Iterator[Any] | None) -> None:
    close = getattr(answers, "close", None)
    if close is not None:
        close()


def _check_measures(book: Book, component: Any, answer: Any, id_: str) -> None:
    for name in ("seconds", "peak_memory_mb"):
        value = getattr(answer, name)
        number = isinstance(value, int | float) and math.isfinite(value) and value >= 0
        book.expect("measures", value is None or number, f"{name} is {value!r}", id_)
    notes = answer.notes
    fine = isinstance(notes, tuple) and all(isinstance(note, str) for note in notes)
    book.expect("measures", fine, f"notes are {notes!r}", id_)
    usage = answer.usage
    counts = isinstance(usage, Mapping) and all(
        isinstance(key, str) and isinstance(value, int | float) and 0 <= value < math.inf
        for key, value in usage.items()
    )
    if book.expect("usage", usage is None or counts, f"usage is {usage!r}", id_) and usage:
        check_usd(book, "cost", component.cost, usage)


def check_stream(book: Book, traits: Traits, subject: Subject, requests: Sequence[Any]) -> Outcomes:
    """Check a component in every situation; return its answers to the requests in order."""
    asker = Asker(book, traits)
    component = subject.component
    before = fingerprint_before(component)
    first = asker.ask(component, requests)
    went_through, pulled, jobs = asker.ended_well, asker.pulled_first, asker.jobs
    _check_empty(asker, component)
    _check_answered(book, first)
    if went_through and first:
        _note_streaming(book, pulled, len(requests))
        if jobs:
            _check_jobs(
                asker, subject, [replace(each, job=jobs[each.id]) for each in requests if each.id in jobs], first
            )
        _check_sameness(asker, subject, requests, first)
    else:
        book.note("answers were not compared: the first call did not go through")
    check_used(book, component, before)
    book.attempt("close", "close() after use", component.close)
    return first


def _check_empty(asker: Asker, component: Any) -> None:
    book = asker.book
    answers: Iterator[Any] | None = None
    book.look("empty")
    try:
        answers = iter(asker.traits.call(component, iter(())))
        for answer in answers:
            book.breach("empty", f"yielded {type(answer).__name__}")
            break
    except Exception as error:
        book.breach("empty", f"raised {one_line(error)}")
    finally:
        _close(answers)


def _check_answered(book: Book, first: Outcomes) -> None:
    failures = {id_: value for id_, value in first.items() if isinstance(value, Failed)}
    for id_, failed in failures.items():
        book.note(f"{id_} failed: {failed.error}")
    if first:
        seen = f"all {len(first)} failed, for instance: {next(iter(failures.values())).error}" if failures else ""
        book.expect("answered", len(failures) < len(first), seen)


def _note_streaming(book: Book, pulled: int, count: int) -> None:
    if count > 1 and pulled == count:
        book.note(f"it took all {count} requests before its first answer: with many, answer as you go")


def _check_jobs(asker: Asker, subject: Subject, requests: Sequence[Any], first: Outcomes) -> None:
    """Ask another instance for what was submitted, as a resume does after a kill."""
    other = asker.book.attempt("job", "making another instance", subject.fresh)
    if other is not None:
        asker.compare("job", first, asker.ask(other, requests, "given its job"), "given its job")
        asker.book.attempt("close", "close() of another instance", other.close)


def _check_sameness(asker: Asker, subject: Subject, requests: Sequence[Any], first: Outcomes) -> None:
    component, book = subject.component, asker.book
    changing = asker.compare("repetition", first, asker.ask(component, requests, "again"), "asked again")
    # An answer that changes from call to call would differ in every situation below: it is left out there.
    first = {id_: value for id_, value in first.items() if id_ not in changing}
    steady = [request for request in requests if request.id in first]
    asker.compare("order", first, asker.ask(component, steady[::-1], "in reverse"), "asked in reverse")
    alone: Outcomes = {}
    if len(requests) > 1:
        for request in steady:
            alone |= asker.ask(component, [request], "alone")
    asker.compare("company", first, alone, "asked alone")
    _check_identity(asker, component, steady, first)
    _check_stop(asker, component, requests)
    book.attempt("close", "close()", component.close)
    book.attempt("close", "the second close()", component.close)
    asker.compare("reopen", first, asker.ask(component, steady, "after close()"), "asked after close()")
    try:
        other = subject.fresh()
    except Exception as error:
        book.breach("fresh", f"making another instance raised {one_line(error)}")
        return
    # In a thread that did not make the instance, as engines run components.
    with ThreadPoolExecutor(1) as thread:
        outcomes = thread.submit(asker.ask, other, steady, "another instance, in another thread").result()
    asker.compare("fresh", first, outcomes, "asked from another instance")
    book.attempt("close", "close() of another instance", other.close)


def _check_identity(asker: Asker, component: Any, steady: Sequence[Any], first: Outcomes) -> None:
    """Send all requests with other ids, in a separate book: its other breaches have been recorded already."""
    renamed = {request.id: asker.traits.rename(request) for request in steady}
    aside = Asker(Book(asker.book.kind, asker.book.name), asker.traits)
    outcomes = aside.ask(component, list(renamed.values()))
    again = {id_: outcomes[request.id] for id_, request in renamed.items() if request.id in outcomes}
    asker.compare("identity", first, again, "asked under another id")
    if not aside.ended_well:
        asker.book.breach("identity", next(iter(aside.book.breaches.values())).seen)


def _check_stop(asker: Asker, component: Any, requests: Sequence[Any]) -> None:
    """Take one answer and close the iterator, as popbench does when a run is stopped."""

    def stop() -> None:
        answers = iter(asker.traits.call(component, _with_keys(requests)))
        next(answers, None)
        _close(answers)

    asker.book.attempt("stop", "closing the iterator after the first answer", stop)
