"""Helpers of the tests of LiteLLM's videos: providers' models at one server, specs, and requests."""

from __future__ import annotations

import json
from typing import Any

import popbench
from popbench.records import Clip, Failure, Submitted, VideoRequest
from popbench.registry import load_registry
from video_api import VideoApi
from video_renders import Run

KEY, KEY_ENV = "sk-video-test-QUITEsecret-171717", "POPBENCH_TEST_KEY"
MODELS = {
    "veo": "gemini/veo-3.1-generate-001",
    "fal": "fal_ai/bytedance/seedance-2.0/text-to-video",
    "runway": "runwayml/gen4.5",
    "dashscope": "dashscope/wan2.7-t2v",
    "minimax": "minimax/MiniMax-H3",
}
PRICES = {"veo": 0.4, "fal": 0.3034, "runway": 0.12, "dashscope": 0.086012, "minimax": 0.08}
"""USD per second at 1280x720, in LiteLLM's map."""
SECONDS = 4


class Providers:
    """A `video_providers_server`, whose plans all take the key."""

    def __init__(self, server: VideoApi) -> None:
        self.root = server.url.removesuffix("/v1")
        self.server = server
        self.jobs, self.asked, self.forget, self.finish = server.jobs, server.asked, server.forget, server.finish

    def plan(self, **plan: Any) -> None:
        """Behave so from now on."""
        self.server.plan(**{"key": KEY, **plan})

    def base(self, provider: str) -> str:
        """Return the address under which a provider's API lies."""
        return self.root + ("/v1" if provider == "runway" else "")


def spec(api: Providers, provider: str, **options: Any) -> str:
    """Return the spec of a generator at a provider; None leaves an option out."""
    given = {
        "model": MODELS[provider], "api_base": api.base(provider), "api_key_env": KEY_ENV, "seconds": SECONDS,
        "size": "1280x720", "poll": 0.02, **options,
    }  # fmt: skip
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    return ",".join(["litellm", *(f"{name}={value}" for name, value in shown.items() if given[name] is not None)])


def make(api: Providers, provider: str, **options: Any) -> popbench.VideoGenerator:
    """Make the generator of a spec."""
    component = load_registry().resolve("generator", spec(api, provider, **options)).component
    assert isinstance(component, popbench.VideoGenerator)
    return component


def answers(api: Providers, provider: str, *requests: VideoRequest, **options: Any) -> list[Clip | Failure | Submitted]:
    """Return what the generator yields for requests."""
    return list(make(api, provider, **options).generate(requests))


def failure(api: Providers, provider: str, asked: VideoRequest, **options: Any) -> Failure:
    """Return the failure that a request comes to."""
    failed = answers(api, provider, asked, **options)[-1]
    assert isinstance(failed, Failure), failed
    return failed


def request(id_: str = "one", prompt: str = "A cat", **more: Any) -> VideoRequest:
    """Make a request with a key of its own."""
    return VideoRequest(id_, prompt, 7, **{"key": f"key-{id_}", **more})


def first_word(render: Run) -> str:
    """Return the first word of the first prompt that a run renders."""
    return next(iter(render("veo", stop_after="write").samples())).prompt.split()[0]
