"""Clips from a video API with a queue: create a job, ask about it, download the file."""

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import popbench
from popbench.hookspecs import Register

Outcome = popbench.Clip | popbench.Failure | popbench.Submitted


class Reel(popbench.VideoGenerator):
    """Renders with the Reel API; needs a key in REEL_API_KEY."""

    version = "1"

    class Options(popbench.Options):
        seconds: int = 2
        url: str = popbench.runtime("https://api.reel.example/v1")
        concurrency: int = popbench.runtime(16, ge=1, description="jobs at a time")
        poll: float = popbench.runtime(5.0, gt=0, description="seconds between two looks at a job")

    def check(self) -> list[str]:
        return [] if os.environ.get("REEL_API_KEY") else ["set REEL_API_KEY to a key of reel.example"]

    def needs(self) -> popbench.Needs:
        return popbench.Needs(remote=True)

    def cost(self, usage: Mapping[str, float]) -> float:
        return 0.05 * usage.get("video_seconds", 0)

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[Outcome]:
        patient = popbench.Retry(attempts=1000, seconds=3600)  # the queue may be full for an hour
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # threads may still write
            render = partial(self._render, Path(folder))
            yield from popbench.concurrently(requests, render, limit=self.options.concurrency, retry=patient)

    def _render(self, folder: Path, request: popbench.VideoRequest) -> Iterator[Outcome]:
        videos, job = f"{self.options.url}/videos", request.job
        key = {"Authorization": f"Bearer {os.environ['REEL_API_KEY']}", "Content-Type": "application/json"}
        if job is None:
            wanted = {"prompt": request.prompt, "seed": request.seed, "seconds": self.options.seconds}
            made = _fetch(videos, key | {"Idempotency-Key": request.key}, json.dumps(wanted).encode())
            job = json.loads(made)["id"]
            yield popbench.Submitted(request.id, job)
        while state := json.loads(_fetch(f"{videos}/{job}", key, passed=410) or b"null"):
            usage = {"video_seconds": state["billed_seconds"]}
            if (refused := state["status"] == "refused") or state["status"] == "failed":
                yield popbench.Failure(request.id, state["error"], refused, reason="refusal" * refused, usage=usage)
            if state["status"] == "succeeded" and (video := _fetch(state["url"], {}, passed=403)):
                (path := folder / f"{request.id}.mp4").write_bytes(video)
                yield popbench.Clip(request.id, path=path, usage=usage)
            time.sleep(self.options.poll)  # also where the link had expired: the next look gives another
        yield popbench.Failure(request.id, f"job {job} is not there any more")


def _fetch(url: str, headers: dict[str, str], body: bytes | None = None, passed: int = 0) -> bytes:
    try:
        with urlopen(Request(url, body, headers), timeout=60) as answer:
            return bytes(answer.read())
    except HTTPError as error:  # the rest is for the policy: it waits where the queue is full
        if error.code != passed:
            raise
        return b""


@popbench.hookimpl
def register_generators(register: Register) -> None:
    register("reel", Reel)
