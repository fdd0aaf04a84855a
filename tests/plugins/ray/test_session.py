"""One call of `map`: how many items it takes in."""

from __future__ import annotations

import itertools
import threading

import popbench
from popbench.registry import load_registry
from popbench_ray.session import FarSession, Session, feed
from ray_cluster import await_


def _spec() -> popbench.ComponentSpec:
    return load_registry().resolve("generator", "kinetic").spec


def _session() -> Session:
    return Session(_spec())


class Feeding(threading.Thread):
    """Takes in what there is room for, of items without an end."""

    def __init__(self, session: Session) -> None:
        super().__init__(daemon=True)
        self.session = session
        self.taken = 0
        self.start()

    def run(self) -> None:
        items = (popbench.VideoRequest(str(number), "lake", 0) for number in itertools.count())
        feed(self.session, items, self._add, lambda: None)

    def _add(self, item: popbench.Request) -> None:
        self.taken += 1

    def holds(self, count: int) -> bool:
        """Wait until so many are taken in; say whether none is above that."""
        await_(lambda: self.taken >= count)
        self.join(0.05)
        return self.taken == count

    def end(self) -> None:
        self.session.stop()
        self.join(60)
        assert not self.is_alive()


def test_the_room_of_a_worker_goes_with_it() -> None:
    session = _session()
    for worker in range(100):
        session.allow(worker, 4)
        session.allow(worker, 512)
        session.allow(worker, 0)
    feeding = Feeding(session)
    assert feeding.holds(512)
    session.allow(100, 4)
    assert feeding.holds(516)
    session.allow(100, 0)
    for _ in range(4):
        session.stored()
    assert feeding.holds(516), "first what was taken in for those that are gone is answered"
    session.stored()
    assert feeding.holds(517)
    feeding.end()


def test_a_call_counts_on_the_workers_that_are_there_from_the_one_before() -> None:
    session = _session()
    before = FarSession(_spec(), {}, lambda *_: None)
    before.allow(1, 512)
    before.allow(2, 4)
    before.allow(2, 0)
    far = FarSession(_spec(), {}, lambda event, *values: getattr(session, event)(*values))
    far.inherit(before)
    feeding = Feeding(session)
    assert feeding.holds(1024)
    session.allow(1, 0)
    session.stored()
    assert feeding.holds(1024)
    feeding.end()
