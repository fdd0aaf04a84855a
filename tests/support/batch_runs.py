"""Helpers of the tests of batches: the server with a key, specs, and what runs of them left."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import openai_servers
import popbench
from server_processes import PlannedServer

KEY, KEY_ENV = openai_servers.KEY, openai_servers.KEY_ENV


class BatchServer(PlannedServer):
    """A `batch_server` process. That module describes plans; all of them take the key."""

    def __init__(self) -> None:
        super().__init__("batch_server.py")

    def plan(self, **plan: Any) -> None:
        """Behave so from now on."""
        self.control("plan", {"key": KEY, **plan})

    def batches(self) -> list[dict[str, Any]]:
        """Return the batches that were created, in their order: each of them was paid for, if it did not fail."""
        batches: list[dict[str, Any]] = self.control("log")["batches"]
        return batches

    def sizes(self) -> list[int]:
        """Return the numbers of requests of the batches."""
        return [len(batch["ids"]) for batch in self.batches()]

    def paid(self) -> Counter[str]:
        """Return how often each request was answered, by its custom_id."""
        return Counter(self.control("log")["answered"])

    def requests(self) -> list[str]:
        """Return the custom_ids of all batches that did not fail."""
        return [id_ for batch in self.batches() if not batch["errors"] for id_ in batch["ids"]]

    def forget(self) -> None:
        """Forget all files and batches."""
        self.control("forget")


@contextmanager
def serving() -> Iterator[BatchServer]:
    """Run a server for the time of the block."""
    server = BatchServer()
    try:
        yield server
    finally:
        server.stop()


def spec(server: BatchServer | str, **options: Any) -> str:
    """Return the spec of a model at a server that is asked in batches."""
    url = server if isinstance(server, str) else server.url
    return openai_servers.spec(url, **{"api_key_env": KEY_ENV, "batch": True, "poll": 0.02, **options})


def make(server: BatchServer | str, **options: Any) -> popbench.LLM:
    """Make the model of a server."""
    from popbench.registry import load_registry

    component = load_registry().resolve("llm", spec(server, **options)).component
    assert isinstance(component, popbench.LLM)
    return component


def at_work(run: Path) -> int:
    """Return how many jobs a run has at work."""
    with closing(sqlite3.connect(f"file:{run / 'ledger.sqlite'}?mode=ro", uri=True, timeout=5)) as ledger:
        try:
            return int(ledger.execute("SELECT count(*) FROM jobs WHERE job IS NOT NULL").fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


def jobs(run: Path) -> list[dict[str, Any]]:
    """Return the jobs that a run has at work."""
    with closing(sqlite3.connect(f"file:{run / 'ledger.sqlite'}?mode=ro", uri=True, timeout=5)) as ledger:
        return [json.loads(job) for (job,) in ledger.execute("SELECT job FROM jobs WHERE job IS NOT NULL")]


def errors_of(run: popbench.Run) -> str:
    """Return the errors of a run's samples, and what ended a component."""
    return "\n".join(sorted({str(sample.error) for sample in run.samples() if sample.error}))
