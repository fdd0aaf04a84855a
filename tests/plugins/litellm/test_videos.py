"""Video generators that are asked through LiteLLM itself: `litellm,model=PROVIDER/ID`."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

import command_line
import litellm_videos as videos
import openai_servers
import popbench
import video_api
from audited_commands import audited_command
from litellm_videos import KEY, KEY_ENV, MODELS, PRICES, SECONDS, Providers, answers, first_word, make, request
from popbench import testing
from popbench.records import Clip, Submitted
from popbench.registry import load_registry
from popbench_litellm import library
from popbench_litellm.video_options import VideoOptions
from popbench_litellm.videos import LiteLLMVideos
from video_renders import KEY as SERVER_KEY
from video_renders import Run, errors_of

pytestmark = pytest.mark.skipif(bool(library.missing()), reason=library.missing())
BODIES: dict[str, Any] = {
    "veo": {
        "instances": [{"prompt": "A cat"}],
        "parameters": {"durationSeconds": 4, "aspectRatio": "16:9", "resolution": "720p"},
    },
    "fal": {"prompt": "A cat", "duration": "4", "aspect_ratio": "16:9", "resolution": "720p", "seed": 7},
    "runway": {"model": "gen4.5", "promptText": "A cat", "ratio": "1280:720", "duration": 4, "seed": 7},
    "dashscope": {
        "model": "wan2.7-t2v",
        "input": {"prompt": "A cat"},
        "parameters": {"duration": 4, "ratio": "16:9", "resolution": "720P", "seed": 7},
    },
    "minimax": {
        "model": "MiniMax-H3",
        "content": [{"type": "text", "text": "A cat"}],
        "duration": 4,
        "ratio": "16:9",
        "resolution": "768P",
    },
}


def model(name: str, **options: Any) -> LiteLLMVideos:
    return LiteLLMVideos(VideoOptions(model=name, **options))


# -- a whole run


@pytest.mark.parametrize("provider", MODELS)
def test_a_run_goes_from_prompts_to_a_board_and_states_what_it_cost(provider: str, render: Run, api: Providers) -> None:
    api.plan(render=0.1, spread=3)
    made = render(provider)
    assert made.complete, errors_of(made)
    assert len(api.jobs()) == len({job["key"] for job in api.jobs()}) == 6
    costs = json.loads((made.path / "results.json").read_text())["costs"]
    label = f"{MODELS[provider]}[seconds=4,size=1280x720]"
    assert {row.get("generator"): row["cost"] for row in costs}[label] == pytest.approx(6 * SECONDS * PRICES[provider])
    board = (made.path / "leaderboard.md").read_text().replace("\\", "")
    assert MODELS[provider] in board
    assert ("not repeatable" in board) == (provider in ("veo", "minimax"))
    assert render(provider).complete
    assert len(api.jobs()) == 6


@pytest.mark.parametrize("provider", MODELS)
def test_a_request_has_the_provider_s_own_form(provider: str, api: Providers) -> None:
    found = answers(api, provider, request())
    assert [type(answer) for answer in found] == [Submitted, Clip]
    (job,) = api.jobs()
    assert job["body"] == BODIES[provider]
    assert job["key"] == "key-one"


def test_further_fields_are_sent_and_a_portrait_is_a_portrait(api: Providers) -> None:
    more = {"size": "720x1280", "params": {"negativePrompt": "text"}, "seconds": None}
    assert isinstance(answers(api, "veo", request(), **more)[-1], Clip)
    (job,) = api.jobs()
    assert job["body"]["parameters"] == {"aspectRatio": "9:16", "resolution": "720p", "negativePrompt": "text"}


def test_a_server_of_the_openai_protocol_is_asked_through_litellm_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, SERVER_KEY)
    with video_api.serving(tmp_path, "videos_server.py") as server:
        server.plan(key=SERVER_KEY, render=0.1)
        spec = f"litellm,model=hosted_vllm/wan,api_base={server.url},api_key_env={KEY_ENV},seconds=2,poll=0.02"
        component = load_registry().resolve("generator", spec).component
        assert isinstance(component, popbench.VideoGenerator)
        clip = list(component.generate([request()]))[-1]
        assert isinstance(clip, Clip)
        assert clip.usage == {"video_seconds": 2}
        assert server.jobs()[0]["seed"] == "7"


@pytest.mark.slow
def test_it_asks_nobody_but_the_provider(api: Providers, tmp_path: Path) -> None:
    common = ("--llm", "verbatim", "--predictor", "demo", "--corpus", "demo", "--mode", "basic", "--limit", "1")
    spec = videos.spec(api, "veo")
    said = audited_command(tmp_path, "eval", "--gen", spec, *common, "--task", "popcorn_concrete", "--out", "run")
    assert "IMPORTED True SOUGHT []" in said
    assert len(api.jobs()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["veo", "runway"])
def test_it_keeps_the_rules_of_the_kit(provider: str, api: Providers) -> None:
    report = testing.check_generator(videos.spec(api, provider, poll=0.01), other_options={"size": "1920x1080"})
    assert "job" in report.rules


# -- what is known before any request


def test_prices_are_those_of_the_map_at_the_size_that_is_asked_for() -> None:
    prices = {
        ("gemini/veo-3.1-fast-generate-001", None): 0.1,
        ("gemini/veo-3.1-fast-generate-001", "1920x1080"): 0.12,
        ("fal_ai/bytedance/seedance-2.0/text-to-video", "854x480"): None,
        ("fal_ai/bytedance/seedance-2.0/text-to-video", "1920x1080"): 0.682,
        ("runwayml/seedance2", "1280x720"): 0.36,
        ("runwayml/seedance2", "960x960"): 0.36,
        ("runwayml/seedance2", "1920x1080"): 0.4,
        ("runwayml/gen4_turbo", "1280x720"): 0.05,
        ("dashscope/wan2.7-t2v", None): 0.143353,
        ("minimax/MiniMax-H3", "1280x720"): 0.08,
    }
    for (name, size), price in prices.items():
        assert model(name, size=size).cost({"video_seconds": 1}) == price, (name, size)
    assert model("minimax/MiniMax-H3", params={"resolution": "2K"}).cost({"video_seconds": 1}) == 0.13
    assert model("runwayml/gen4_turbo").cost({"requests": 1}) is None
    assert model("runwayml/gen4_turbo", price_per_second=1).cost({"video_seconds": 2}) == 2


def test_an_estimate_needs_price_and_seconds() -> None:
    assert model("runwayml/gen4.5", seconds=5).estimate(3) == pytest.approx(3 * 5 * 0.12)
    assert model("runwayml/gen4.5").estimate(3) is None
    assert model("runwayml/new", seconds=5).estimate(3) is None
    assert model("minimax/MiniMax-H3").estimate(1) == pytest.approx(5 * 0.08)


def test_a_dry_run_states_the_cost_and_creates_no_job(
    api: Providers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = command_line.in_process(monkeypatch, capsys, tmp_path)
    done = run(
        "eval", "--llm", "verbatim", "--gen", videos.spec(api, "veo"), "--mode", "basic", "--task", "popcorn_concrete",
        "--predictor", "demo", "--corpus", "demo", "--limit", "6", "--out", "run", "--dry-run",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "$9.6" in done.out
    assert api.asked() == []


def test_a_budget_is_never_passed(render: Run, api: Providers) -> None:
    api.plan(render=0.05)
    ended = render("runway", max_cost=3.5 * SECONDS * PRICES["runway"])
    assert len(api.jobs()) == 3
    assert not ended.complete
    assert render("runway", max_cost=10).complete
    assert len(api.jobs()) == 6


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("gemini/gemini-2.5-flash", {}, "makes no videos: it is of the kind chat"),
        ("xai/grok-imagine-video", {}, "LiteLLM cannot ask xai for videos"),
        ("geminy/veo-3.1-generate-001", {}, "no provider 'geminy': did you mean gemini/veo-3.1-generate-001?"),
        ("veo-3.1-generatte", {}, "knows no model 'veo-3.1-generatte': did you mean "),
        ("gemini/veo-3.1-generate-001", {"size": "64x64"}, "size=64x64 is none that gemini/veo-3.1-generate-001 has"),
        ("fal_ai/minimax/h3/text-to-video", {"size": "1001x500"}, "LiteLLM does not send it: choose another shape"),
        ("gemini/veo-3.1-generate-001", {"params": {"fps": 8}}, "params cannot hold fps: LiteLLM does not send that"),
        ("minimax/MiniMax-H3", {"params": {"fps": 8}}, "cannot be asked so: MiniMax video generation does not support"),
        ("hosted_vllm/wan", {}, "is a server of your own: give api_base="),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    name: str, options: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (problem,) = model(name, **options).check()
    assert told in problem
    assert "\n" not in problem
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("api")
def test_missing_keys_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider, names in {
        "veo": "GOOGLE_API_KEY or GEMINI_API_KEY", "fal": "FAL_AI_API_KEY",
        "runway": "RUNWAYML_API_KEY or RUNWAYML_API_SECRET", "dashscope": "DASHSCOPE_API_KEY",
    }.items():  # fmt: skip
        (line,) = model(MODELS[provider]).check()
        assert f"{MODELS[provider]} needs {names} in the environment" in line
        monkeypatch.setenv(names.rpartition(" ")[2], "sk-1234567890")
        assert model(MODELS[provider]).check() == []
    assert model(MODELS["fal"], api_key_env="OTHER_KEY").check() == [
        "the key OTHER_KEY is not set: export OTHER_KEY=..."
    ]


def test_what_is_uncertain_is_told() -> None:
    unlisted = model("runwayml/gen4.55").notices()
    assert "does not list runwayml/gen4.55: did you mean runwayml/gen4.5" in unlisted[0]
    assert "no costs without price_per_second=" in unlisted[0]
    assert "gemini is sent no seed" in model(MODELS["veo"]).notices()[0]
    assert "openai/sora-2 ends on 2026-09-24, by LiteLLM's map" in model("openai/sora-2").notices()
    assert model(MODELS["runway"]).repeatable
    assert not model(MODELS["runway"], seed=False).repeatable
    assert not model(MODELS["veo"]).repeatable


def test_the_server_and_all_that_is_asked_are_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = model(MODELS["dashscope"])
    print_ = plain.fingerprint()
    assert model(MODELS["dashscope"], poll=9, price_per_second=1, concurrency=2).fingerprint() == print_
    assert model(MODELS["dashscope"], seconds=5).fingerprint() != print_
    monkeypatch.setenv("DASHSCOPE_API_BASE_VIDEO", "http://127.0.0.1:1/")
    assert plain.fingerprint()["server"] == "http://127.0.0.1:1"
    assert plain.label() == MODELS["dashscope"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"api_base": "http://me:secret@127.0.0.1/v1"}, "api_base"),
        ({"api_key_env": "sk-no-variable"}, "api_key_env"),
        ({"params": {"sampleCount": 2}}, "params cannot hold sampleCount"),
        ({"params": {"token": KEY}}, "looks like a credential"),
    ],
)
def test_an_option_of_no_use_is_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(popbench.UsageError) as raised:
        model(MODELS["veo"], **options)
    assert told in str(raised.value)
    assert "secret@" not in str(raised.value)
    assert KEY not in str(raised.value)


def test_without_litellm_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(library, "version", absent)
    component = model(MODELS["veo"], seconds=4)
    assert component.check()[0].startswith("LiteLLM is not installed")
    assert component.notices() == []
    assert component.cost({"video_seconds": 1}) is component.estimate(1) is None


def test_a_key_that_a_provider_repeats_is_in_no_file(render: Run, api: Providers, tmp_path: Path) -> None:
    api.plan(echo=True, fail=first_word(render))
    assert "the worker ran out of memory ([key])" in errors_of(render("fal"))
    api.plan(echo=True, key="another")
    assert "check the key in POPBENCH_TEST_KEY" in errors_of(render("fal", out="denied"))
    api.plan(echo=True, down=["POST"])
    render("runway", out="other", options={"max_retries": 0})
    assert not openai_servers.holders(KEY[:12], tmp_path)
    assert make(api, "veo").check() == []
