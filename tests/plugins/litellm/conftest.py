"""A server of several providers' video APIs, and runs that it renders clips for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import litellm_videos as videos
import popbench
import popbench_runs
import provider_servers
import video_api
from litellm_videos import Providers
from popbench.engines import pacing
from popbench_litellm import library
from video_api import VideoApi
from video_renders import Run


@pytest.fixture(scope="module")
def video_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VideoApi]:
    with video_api.serving(tmp_path_factory.mktemp("api"), "video_providers_server.py") as api:
        yield api


@pytest.fixture
def api(video_server: VideoApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Providers]:
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_API_SECRET", "_API_BASE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(videos.KEY_ENV, videos.KEY)
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)
    if not library.missing():  # LiteLLM fetches no clip of MiniMax from this machine otherwise
        monkeypatch.setattr(library.library(), "user_url_validation", False)
    providers = Providers(video_server)
    providers.plan()
    providers.forget()
    with provider_servers.closed_network() as sought:
        yield providers
    assert not sought, "LiteLLM asked somebody else"


@pytest.fixture
def render(api: Providers, tmp_path: Path) -> Run:
    """Make six clips with a provider, or go on with that."""

    def render(provider: str, out: str = "run", options: Mapping[str, Any] | None = None, **more: Any) -> popbench.Run:
        given = {"llm": "verbatim", "predictor": "demo", "limit": 6, **more}
        gen = [videos.spec(api, provider, **(options or {}))]
        return popbench_runs.run_fast(tmp_path / out, gen=gen, **given)

    return render
