"""Helpers of the tests of video servers: the server with a key, specs, and what runs of them left."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import openai_servers
import popbench
from popbench.records import Clip, Failure, Submitted, VideoRequest
from popbench.registry import load_registry
from video_api import VideoApi

KEY, KEY_ENV = openai_servers.KEY, openai_servers.KEY_ENV
Run: TypeAlias = Callable[..., popbench.Run]


class Planned:
    """A `videos_server`, whose plans all take the key."""

    def __init__(self, server: VideoApi) -> None:
        self.server, self.url = server, server.url
        self.jobs, self.asked, self.forget, self.finish = server.jobs, server.asked, server.forget, server.finish

    def plan(self, **plan: Any) -> None:
        """Behave so from now on."""
        self.server.plan(**{"key": KEY, **plan})


def spec(api: Planned | str, **options: Any) -> str:
    """Return the spec of a generator at a server; None leaves an option out."""
    url = api if isinstance(api, str) else api.url
    given = {"model": "tiny/wan", "base_url": url, "api_key_env": KEY_ENV, "seconds": 2, "poll": 0.02, **options}
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    return ",".join(["videos", *(f"{name}={value}" for name, value in shown.items() if given[name] is not None)])


def make(api: Planned | str, **options: Any) -> popbench.VideoGenerator:
    """Make the generator of a spec."""
    component = load_registry().resolve("generator", spec(api, **options)).component
    assert isinstance(component, popbench.VideoGenerator)
    return component


def answers(api: Planned, *requests: VideoRequest, **options: Any) -> list[Clip | Failure | Submitted]:
    """Return what the generator yields for requests."""
    return list(make(api, **options).generate(requests))


def request(id_: str = "one", prompt: str = "A cat", **more: Any) -> VideoRequest:
    """Make a request with a key of its own."""
    return VideoRequest(id_, prompt, 7, **{"key": f"key-{id_}", **more})


def at_work(out: Path) -> int:
    """Return how many jobs of a run are unfinished."""
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        count = ledger.execute("SELECT count(*) FROM jobs WHERE job IS NOT NULL").fetchone()[0]
    ledger.close()
    return int(count)


def first_word(render: Run) -> str:
    """Return the first word of the first prompt that a run renders."""
    return next(iter(render(stop_after="write").samples())).prompt.split()[0]


def errors_of(run: popbench.Run) -> str:
    """Return all errors of a run."""
    return " ".join(sample.error or "" for sample in run.samples())
