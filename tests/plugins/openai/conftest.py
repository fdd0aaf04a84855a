"""A video server, and runs that it renders clips for; a server of batches, and runs that it writes drafts for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import batch_runs
import popbench
import popbench_runs
import video_api
from batch_runs import BatchServer
from popbench.engines import pacing
from video_api import VideoApi
from video_renders import KEY, KEY_ENV, Planned, Run, spec


@pytest.fixture(scope="module")
def video_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VideoApi]:
    with video_api.serving(tmp_path_factory.mktemp("api"), "videos_server.py") as api:
        yield api


@pytest.fixture
def api(video_server: VideoApi, monkeypatch: pytest.MonkeyPatch) -> Planned:
    monkeypatch.setenv(KEY_ENV, KEY)
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)
    planned = Planned(video_server)
    planned.plan()
    planned.forget()
    return planned


@pytest.fixture
def render(api: Planned, tmp_path: Path) -> Run:
    """Make six clips, or go on with that."""

    def render(out: str = "run", options: Mapping[str, Any] | None = None, **more: Any) -> popbench.Run:
        given = {"llm": "verbatim", "predictor": "demo", "limit": 6, **more}
        return popbench_runs.run_fast(tmp_path / out, gen=[spec(api, **(options or {}))], **given)

    return render


@pytest.fixture(scope="module")
def batch_server() -> Iterator[BatchServer]:
    with batch_runs.serving() as server:
        yield server


@pytest.fixture
def batch(batch_server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> BatchServer:
    monkeypatch.setenv(batch_runs.KEY_ENV, batch_runs.KEY)
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)
    batch_server.plan()
    batch_server.forget()
    return batch_server


@pytest.fixture
def write(batch: BatchServer, tmp_path: Path) -> Run:
    """Write six drafts, or go on with that."""

    def write(out: str = "run", options: Mapping[str, Any] | None = None, **more: Any) -> popbench.Run:
        llm = batch_runs.spec(batch, **(options or {}))
        return popbench_runs.run_fast(tmp_path / out, llm=llm, **{"limit": 6, **more})

    return write
