"""What the world has accepted of a component's requests, and has not finished: nothing is paid for twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from popbench.ledger.ledger import Ledger
from popbench.records import Failure, Request, Submitted

R = TypeVar("R", bound=Request)


class Jobs:
    """A component's jobs during one call of its `generate` or `score`.

    A request that has a job comes with it. When the job is over without an answer, the next request has another key:
    under the same one, a provider would give the old job again.
    """

    def __init__(self, ledger: Ledger, part: str) -> None:
        self._ledger, self._part = ledger, part
        self._rows = ledger.jobs(part)
        self._in_flight = {key for key, row in self._rows.items() if row.job is not None}
        self.lost: set[str] = set()
        """Keys of requests that came with a job which is over: they are to be asked anew."""

    def has(self, key: str) -> bool:
        """Return whether a request has a job that is not over."""
        return key in self._in_flight

    def knows(self, key: str) -> bool:
        """Return whether anything was ever submitted for a request that has no answer."""
        return key in self._rows or key in self._in_flight

    def prepare(self, request: R) -> R:
        """Add the job to a request, and another key where its first job is over."""
        row = self._rows.get(request.id)
        if row is None:
            return request
        return replace(request, job=row.job, key=request.id if row.tries == 1 else f"{request.id}-{row.tries}")

    def submit(self, submitted: Submitted) -> None:
        """Store a job. Raises RunError if the disk refuses."""
        self._ledger.submit(submitted.id, submitted.job, self._part)
        self._in_flight.add(submitted.id)

    def fail(self, failure: Failure) -> str:
        """Return the error for the sample, after storing that the job, if there is one, is over.

        `lost` has the request then if it came with the job. One that was submitted in this call is not asked anew
        before the next run: a provider that fails them all would be paid without end.
        """
        key = failure.id
        if key not in self._in_flight:
            return failure.error
        if failure.keeps_job:
            return f"{failure.error} (its job is kept: the same command asks for it again)"
        self._ledger.end_job(key)
        self._in_flight.discard(key)
        if (row := self._rows.get(key)) is not None and row.job is not None:
            self.lost.add(key)
        return failure.error
