"""LiteLLM's own proxy as a real server: chats in Anthropic's protocol behind it, and the jobs of its video routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import litellm_proxy
import provider_servers
import video_api
from command_line import Done, Run, in_process
from popbench.engines import pacing
from video_renders import KEY, Planned

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(litellm_proxy.lacks()), reason=litellm_proxy.lacks()),
]
KEY_ENV = "POPBENCH_TEST_PROXY_KEY"


@dataclass(frozen=True)
class Proxy:
    """The proxy, and the servers behind it."""

    url: str
    chats: provider_servers.Server
    videos: Planned

    def llm(self, **options: str) -> str:
        return self._spec("openai", {"model": "claude", "seed": "false", **options})

    def gen(self, **options: str) -> str:
        given = {"model": "clips", "seed": "false", "seconds": "4", "size": "64x48", "poll": "0.1"}
        return self._spec("videos", given | options)

    def _spec(self, name: str, options: dict[str, str]) -> str:
        given = {"base_url": self.url, "api_key_env": KEY_ENV, **options}
        return ",".join([name, *(f"{option}={value}" for option, value in given.items())])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    with provider_servers.serving() as chats, video_api.serving(folder, "videos_server.py") as videos:
        claude = {"model": "anthropic/claude-sonnet-4-5", "api_base": chats.url, "api_key": provider_servers.KEY}
        clips = {"model": "openai/tiny-wan", "api_base": videos.url, "api_key": KEY}
        with litellm_proxy.serving({"claude": claude, "clips": clips}, folder) as url:
            yield Proxy(url, chats, Planned(videos))


@pytest.fixture
def proxy(started: Proxy) -> Proxy:
    started.videos.plan()
    started.videos.forget()
    started.chats.asked["anthropic"].clear()
    return started


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setenv(KEY_ENV, litellm_proxy.KEY)
    monkeypatch.setattr(pacing, "BACKOFF", 0.05)
    return in_process(monkeypatch, capsys, tmp_path)


def evaluate(run: Run, llm: str, gen: str, *more: str) -> Done:
    return run(
        "eval", "--llm", llm, "--gen", gen, "--predictor", "demo", "--corpus", "demo", "--mode", "basic",
        "--task", "popcorn_concrete", "--limit", 3, "--out", "run", *more,
    )  # fmt: skip


def samples() -> list[dict[str, object]]:
    return [json.loads(line) for line in Path("run/samples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_run_whose_models_both_stand_behind_the_proxy_comes_to_a_board(proxy: Proxy, run: Run) -> None:
    proxy.videos.plan(render=0.3, spread=3)
    llm, gen = proxy.llm(price_in="3", price_out="15"), proxy.gen(price_per_second="0.1")
    done = evaluate(run, llm, gen)
    assert done.status == 0, done.err
    assert [row["status"] for row in samples()] == ["ok"] * 3
    asked = proxy.chats.asked["anthropic"]
    assert len(asked) == 3
    assert {body["model"] for body in asked} == {"claude-sonnet-4-5"}
    jobs = proxy.videos.jobs()
    assert len(jobs) == 3
    assert {job["fields"]["seconds"] for job in jobs} == {"4"}
    assert len(list(Path("run/videos").glob("*.mp4"))) == 3
    costs = [row["cost"] for row in json.loads(Path("run/results.json").read_text())["costs"]]
    assert sorted(cost for cost in costs if cost) == pytest.approx([3 * (100 * 3 + 20 * 15) / 1e6, 3 * 4 * 0.1])
    assert evaluate(run, llm, gen).status == 0
    assert (len(asked), len(proxy.videos.jobs())) == (3, 3), "nothing is asked or paid again"


def test_refused_clips_are_invalid_and_failed_ones_are_errors(proxy: Proxy, run: Run) -> None:
    proxy.videos.plan(refuse="calm")  # a word of all drafts
    done = evaluate(run, proxy.llm(), proxy.gen())
    assert done.status == 0, done.err
    assert [row["status"] for row in samples()] == ["invalid"] * 3
    proxy.videos.plan(fail="calm")
    assert evaluate(run, proxy.llm(), proxy.gen(), "--out", "failed").status == 1
    assert "the worker ran out of memory" in Path("failed/samples.jsonl").read_text()


def test_what_the_proxy_does_not_take_is_told_with_the_option_that_leaves_it_out(proxy: Proxy, run: Run) -> None:
    done = evaluate(run, proxy.llm(seed="true"), "kinetic")
    assert done.status == 1
    assert "anthropic does not support parameters: ['seed']" in done.err
    assert "try seed=false" in done.err


def test_a_wrong_key_and_an_unknown_model_end_with_one_line_each(
    proxy: Proxy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = evaluate(run, proxy.llm(model="nobody"), "kinetic")
    assert done.status == 1
    assert "llm nobody[seed=false]: " in done.err
    assert "Invalid model name" in done.err
    monkeypatch.setenv(KEY_ENV, "sk-wrong-and-secret-987654")
    for kind, llm, gen in (("llm", proxy.llm(), "kinetic"), ("generator", "verbatim", proxy.gen())):
        done = evaluate(run, llm, gen, "--out", kind)
        assert done.status == 1
        assert "No connected db" in done.err, "it has none in which other keys could stand"
        assert "Traceback" not in done.err
        assert "wrong-and-secret" not in done.err
    assert not proxy.videos.jobs()
