"""Are 2, 4 and 8 workers of a Ray cluster 2, 4 and 8 times as fast as one? Do three stages overlap there?

Components sleep, so that a machine of two cores shows it: a clip takes 0.2 s, and a real mp4 is encoded by its worker
and handed over. Start-up is left out: workers are ready, and have answered, before the clock starts; each count of
workers has one worker beside it, measured right before. Then three stages of equal cost in a whole run, on separate
processors, against a bare loop over the sleeps of one; the clock starts when the first item is through all three.
Last, what the driver can do at most: clips that cost nothing.

    .venv/bin/python tests/benchmarks/throughput.py
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import popbench
import ray_cluster
from popbench.hookspecs import Register
from popbench.progress import Progress
from popbench.registry import Plugin, load_registry

SECONDS, EACH, ITEMS = 0.2, 25, 100
LINEAR, OVERLAP = 0.9, 1.15

_through = threading.Event()


class SleepingLLM(popbench.LLM):
    """Repeats the prompt after a while; after the first it waits until all stages are at work."""

    def needs(self) -> popbench.Needs:
        """It works elsewhere."""
        return popbench.Needs(remote=True)

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion]:
        """Sleep for each."""
        for number, chat in enumerate(chats):
            if number == 1:
                assert _through.wait(120)
            time.sleep(SECONDS)
            yield popbench.Completion(chat.id, json.dumps({"title": chat.prompt[:40], "video_prompt": chat.prompt}))


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register it."""
    register("sleeping", SleepingLLM)


class Clock(Progress):
    """Records when the first item is scored, and when the last one is."""

    def __init__(self) -> None:
        self.begun = self.ended = 0.0

    def advance(self, count: int = 1, stage: str | None = None) -> None:
        """Record it, and let the other items follow."""

        if stage is not None and stage.startswith("score"):
            self.ended = time.perf_counter()
            self.begun = self.begun or self.ended
            _through.set()


def rate(folder: Path, address: str, workers: int, seconds: float, count: int) -> float:
    """Return the clips per second of this many workers that have started already."""
    spec = ray_cluster.resolve("generator", f"scripted,seconds={seconds}")
    warm, go = 0, threading.Event()

    def items(made: popbench.Engine) -> Iterator[popbench.VideoRequest]:
        nonlocal warm
        while made.at_work(spec).count < workers or warm < 4 * workers:
            yield popbench.VideoRequest(f"warm{warm}", "lake", warm)
            warm += 1
            time.sleep(0.05)
        go.wait()
        for number in range(count):
            yield popbench.VideoRequest(f"clip{number}", "lake", number)

    with ray_cluster.engine(folder, address=address, workers=workers) as made:
        mapped = ray_cluster.Mapped(made, spec, items(made))
        while not (made.at_work(spec).count == workers and warm and len(mapped.answers) == warm):
            time.sleep(0.05)
            assert mapped.error is None
        started = time.perf_counter()
        go.set()
        mapped.done(600)
        return count / (time.perf_counter() - started)


def overlap(folder: Path, address: str) -> float:
    """Return the time of three stages, as a multiple of one stage's."""
    clock = Clock()
    found = popbench.evaluate(
        llm="sleeping",
        gen=f"scripted,seconds={SECONDS}",
        predictor=f"bright,seconds={SECONDS}",
        mode="basic",
        corpus="demo",
        task="popcorn_concrete",
        limit=ITEMS,
        engine=f"ray,address={address},workers=1",
        out=folder,
        progress=clock,
    )
    assert found.complete
    started = time.perf_counter()
    for _ in range(ITEMS - 1):
        time.sleep(SECONDS)
    return (clock.ended - clock.begun) / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    ray_cluster.install()
    load_registry().add(sys.modules[__name__], Plugin("sleeping", "sleeping", "1", __name__))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ray_cluster.distribute(folder / "plugins")
        with ray_cluster.surroundings(folder / "plugins"):
            nodes = ray_cluster.Nodes(folder / "plugins")
            try:
                nodes.add(10)
                for workers in (2, 4, 8):
                    one = rate(folder / f"one{workers}", nodes.address, 1, SECONDS, EACH)
                    many = rate(folder / f"many{workers}", nodes.address, workers, SECONDS, EACH * workers)
                    share = many / one / workers
                    told = "met" if share >= LINEAR else "NOT MET"
                    print(f"{workers} workers: {many:.2f} clips/s, one: {one:.2f}; {share:.3f} of linear ({told})")
                ratio = overlap(folder / "run", nodes.address)
                told = "met" if ratio <= OVERLAP else "NOT MET"
                print(f"three stages, {ITEMS} items: {ratio:.3f} times one stage ({told})")
                print(f"clips that cost nothing, 4 workers: {rate(folder / 'free', nodes.address, 4, 0.0, 2000):.0f}/s")
            finally:
                nodes.close()


if __name__ == "__main__":
    main()
