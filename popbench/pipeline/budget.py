"""What a run may cost: what is spent, what the calls under way will cost at most, and which requests may follow.

A component must not wait for budget while it has unanswered requests: it may collect requests before it answers, and
would wait for ever. So its requests end, it answers what it has, and is asked again if anything of the budget is left.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from popbench.ledger.ledger import Ledger
from popbench.ledger.sums import usage_of
from popbench.pipeline.queues import WorkQueue
from popbench.planning.plan import Plan
from popbench.planning.systems import Part

Permit = Literal["ask", "alone", "end"]
"""Ask; ask and then end the requests, to learn what one costs; end the requests."""

_TRIED = 16
"""Calls that may be under way by what few have cost, where a component does not say what its calls cost at most. More
may be after as many answers: else thousands in a batch would be reserved by what the first one cost."""
_ROUNDING = 1e-9
"""The share of the limit that sums may exceed it by: 0.1 + 0.2 is more than 0.3."""


@dataclass(slots=True)
class _Component:
    """What is known of one component's calls, in USD.

    `under_way` is the number of those without an answer, `answered` that of those whose cost this command learnt, and
    `submitted` that of jobs of earlier runs, not asked about yet.
    """

    estimate: float | None
    priced: bool
    """Whether it is known, or to be expected of a component that works elsewhere, to cost something."""
    submitted: int
    largest: float | None = None
    silent: bool = False
    """Whether an answer said no cost and none before did: it is not limited."""
    under_way: int = 0
    answered: int = 0

    @property
    def expected(self) -> float | None:
        """What its next call costs at most; None if that is to be learnt."""
        known = [usd for usd in (self.estimate, self.largest) if usd is not None]
        return max(known) if known else None


class Budget:
    """The budget of a run; this one limits nothing. Every method needs the lock held that all queues share."""

    option = "--max-cost"
    """The option that sets it, for messages."""

    def begin(self, queue: WorkQueue) -> None:
        """Expect requests of a queue."""

    def over(self, queue: WorkQueue) -> None:
        """Expect no more requests of a queue."""

    def admit(self, queue: WorkQueue, key: str, unanswered: Collection[str], *, submitted: bool) -> Permit:  # noqa: ARG002
        """Say whether a request may be made, and reserve what its call costs at most.

        One that was `submitted` always may: it is paid for, and only asked about.

        A component that has `unanswered` requests is told to end at once. Another waits here for what the calls of
        others leave, and these end if they wait for requests.
        """
        return "ask"

    def ends_waiting(self, unanswered: Collection[str]) -> bool:  # noqa: ARG002
        """Say whether a component with `unanswered` requests must not wait for more of them: others wait for it."""
        return False

    def answered(self, part: Part, key: str, usd: float | None, *, error: bool) -> str | None:  # noqa: ARG002
        """Count an answer that cost `usd`, None if that is unknown; return what to tell of the component.

        An `error` that says no cost is taken for free, any other answer for what was expected.
        """
        return None

    def release(self, part: Part, keys: Collection[str]) -> None:
        """Reserve nothing any more for calls."""


class Limit(Budget):
    """A budget in USD.

    `spent` is what this plan's components have cost so far in this run directory, in USD; `reached` says whether
    requests were held back.
    """

    def __init__(self, limit: float, plan: Plan, ledger: Ledger) -> None:
        """Add up what the ledger has. Raises RunError if a component fails to state a cost."""
        self.limit, self.reached = limit, False
        self._components: dict[str, _Component] = {}
        self._reserved: dict[str, float] = {}
        self._queues: list[WorkQueue] = []
        self._parked = 0
        self.spent = 0.0
        used, called, in_flight = ledger.used(), {row[0] for row in ledger.spent()}, ledger.in_flight()
        for part in (*plan.llms, *plan.generators, *plan.predictors):  # equal ones share what they cost
            usage = usage_of(part.resolved.spec.kind, part.digest, used)
            earlier = part.cost(usage) if usage else None
            priced = bool(earlier) or (part.digest not in called and part.remote)
            if part.digest not in self._components:
                submitted = in_flight.get(part.digest, 0)
                self._components[part.digest] = _Component(part.estimate(1), priced, submitted)
                self.spent += earlier or 0.0

    def begin(self, queue: WorkQueue) -> None:
        """Expect requests of a queue."""
        self._queues.append(queue)

    def over(self, queue: WorkQueue) -> None:
        """Expect no more requests of a queue."""
        self._queues.remove(queue)

    def admit(self, queue: WorkQueue, key: str, unanswered: Collection[str], *, submitted: bool) -> Permit:
        """Say whether a request may be made, waiting for what the calls of others leave."""
        component = self._components[queue.part.digest]
        if submitted:
            component.submitted -= 1
            self._reserve(component, key)
            return "ask"
        while (permit := self._take(component, key, unanswered)) == "end":
            if unanswered or queue.stopped:
                break
            if not self._may_wait(component):
                self.reached = True
                break
            self._parked += 1
            self._wake()
            queue.wait()
            self._parked -= 1
        return permit

    def _take(self, component: _Component, key: str, unanswered: Collection[str]) -> Permit:
        expected, taken = component.expected, self.spent + self._promised()
        most = self.limit * (1 + _ROUNDING)
        if component.silent:
            expected = 0.0
        elif expected is None:
            # What is not known to cost anything may be free, and is asked once; what was paid for before is not.
            if component.under_way or (taken >= self.limit and component.priced):
                return "end"
        elif expected:
            many = component.estimate is None and component.under_way >= max(_TRIED, component.answered)
            if taken + expected > most or (many and unanswered):
                return "end"
        self._reserve(component, key)
        return "alone" if expected is None else "ask"

    def _reserve(self, component: _Component, key: str) -> None:
        self._reserved[key] = 0.0 if component.silent else component.expected or 0.0
        component.under_way += 1

    def _promised(self) -> float:
        """Return what the calls under way and the jobs of earlier runs cost at most."""
        jobs = sum(each.submitted * (each.expected or 0.0) for each in self._components.values() if not each.silent)
        return sum(self._reserved.values()) + jobs

    def _may_wait(self, component: _Component) -> bool:
        """Say whether the calls under way may leave enough of what is reserved for them."""
        reserved = any(self._reserved.values())
        return reserved and self.spent + (component.expected or 0.0) <= self.limit * (1 + _ROUNDING)

    def ends_waiting(self, unanswered: Collection[str]) -> bool:
        """Say whether requests have to end, since others wait for budget."""
        return bool(self._parked and unanswered)

    def answered(self, part: Part, key: str, usd: float | None, *, error: bool) -> str | None:
        """Count an answer."""
        component = self._components[part.digest]
        expected = component.expected
        if usd is None and not error:
            usd = expected
        if usd is not None:
            component.largest = max(component.largest or 0.0, usd)
            component.answered += 1
            component.silent = False
            self.spent += usd
        told = usd is None and not error and not component.silent
        component.silent = component.silent or told
        self.release(part, [key])
        return f"{part.name}: says no costs, so {self.option} does not limit it" if told else None

    def release(self, part: Part, keys: Collection[str]) -> None:
        """Reserve nothing any more, and let those look again that wait for budget."""
        for key in keys:
            if self._reserved.pop(key, None) is not None:
                self._components[part.digest].under_way -= 1
        if self._parked:
            self._wake()

    def _wake(self) -> None:
        for queue in self._queues:
            queue.wake()
