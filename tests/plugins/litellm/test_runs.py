"""Whole runs with LiteLLM itself, at servers of three providers' shapes, without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import command_line
import provider_servers as providers
from command_line import Run
from popbench.engines import pacing
from popbench_litellm.library import missing
from provider_servers import INPUT, OUTPUT, Server

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PROMPTS = ("a kite", "a crowd of gulls", "the rush hour", "a wreck", "poison in a cup", "a whole novel", "tea 🐈")
PRICES = {"anthropic": (3.0, 15.0), "gemini": (0.3, 2.5), "openai": (2.5, 10.0)}
"""USD per million tokens, as the providers state them."""


@pytest.fixture
def server() -> Iterator[Server]:
    with providers.serving() as server, providers.closed_network() as sought:
        yield server
    assert not sought, "LiteLLM asked somebody else"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-provider-itself-77777")
    monkeypatch.setenv(providers.KEY_ENV, providers.KEY)
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)
    return command_line.in_process(monkeypatch, capsys, tmp_path)


def spec(server: Server, provider: str, **options: Any) -> str:
    values = {
        "model": f"{provider}/{providers.MODELS[provider]}",
        "api_base": server.base(provider),
        "api_key_env": providers.KEY_ENV,
        **options,
    }
    shown = (f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items())
    return ",".join(("litellm", *shown))


def task(*prompts: str) -> str:
    """Write a task of prompts into the working directory."""
    rows = [json.dumps({"id": f"p{n}", "prompt": text, "category": "all"}) for n, text in enumerate(prompts)]
    Path("prompts.jsonl").write_text("\n".join(rows), encoding="utf-8")
    template = "{% block system %}Be brief.{% endblock %}{% block user %}{{ prompt }}{% endblock %}"
    Path("basic.j2").write_text(template, encoding="utf-8")
    Path("own.yaml").write_text(
        "task: own\nversion: 1\ndescription: own\ndataset: {path: json, data_files: prompts.jsonl, split: train}\n"
        "fields: {id: id, prompt: prompt, category: category}\ntemplates: {basic: basic.j2}\n",
        encoding="utf-8",
    )
    return "own.yaml"


def evaluate(run: Run, *llms: str, prompts: tuple[str, ...] = PROMPTS, more: tuple[str, ...] = ()) -> command_line.Done:
    words = [word for llm in llms for word in ("--llm", llm)]
    return run(
        "eval", *words, "--gen", "faulty", "--predictor", "faulty", "--mode", "basic", "--task", task(*prompts),
        "--corpus", "demo", "--out", "run", *more,
    )  # fmt: skip


def samples() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("run/samples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_three_providers_in_one_run_give_drafts_refusals_cuts_and_costs(run: Run, server: Server) -> None:
    done = evaluate(run, *(spec(server, provider) for provider in PRICES))
    assert done.status == 0, done.err
    rows = samples()
    for provider, (price_in, price_out) in PRICES.items():
        model = f"{provider}/{providers.MODELS[provider]}"
        by_prompt = {row["prompt"]: row for row in rows if row["llm"] == model}
        assert [by_prompt[prompt]["status"] for prompt in PROMPTS] == ["ok"] * 4 + ["invalid"] * 2 + ["ok"], model
        cost = (price_in * INPUT + price_out * OUTPUT) / 1e6
        assert by_prompt["a kite"]["cost"] == pytest.approx(cost)
        assert by_prompt["a kite"]["reasoning"] == "Hm."
        assert by_prompt["poison in a cup"]["unusable"] == ["content filter" if provider == "gemini" else "refusal"]
        assert by_prompt["poison in a cup"]["cost"] > 0
        assert set(by_prompt["a whole novel"]["unusable"]) == {"cut at the limit"}
        for prompt in ("a crowd of gulls", "the rush hour", "a wreck"):
            first, second = server.times(provider, prompt)
            assert second - first >= (providers.WAIT if prompt != "a wreck" else 0)
        assert len(server.times(provider, "a kite")) == 1
    assert set(server.keys) == {providers.KEY}
    board = Path("run/leaderboard.md").read_text(encoding="utf-8")
    assert "claude-sonnet-4-5" in board
    assert "not repeatable" in board, "Anthropic takes no seed"
    assert all("seed" in body for body in server.asked["openai"])
    assert all("seed" in body["generationConfig"] for body in server.asked["gemini"])
    assert not any("seed" in body for body in server.asked["anthropic"])


def test_a_budget_is_not_passed_and_the_board_tells_the_cost(run: Run, server: Server) -> None:
    llm, price = spec(server, "anthropic"), (3 * INPUT + 15 * OUTPUT) / 1e6
    prompts = tuple(f"a kite, number {number}" for number in range(8))
    done = evaluate(run, llm, prompts=prompts, more=("--concurrency", "1", "--max-cost", str(3.5 * price)))
    assert done.status == 1
    asked = len(server.asked["anthropic"])
    assert 1 <= asked <= 3
    assert evaluate(run, llm, prompts=prompts, more=("--max-cost", "1")).status == 0
    assert len(server.asked["anthropic"]) == len(prompts)
    assert sum(row["cost"] for row in samples()) == pytest.approx(len(prompts) * price)
    board = Path("run/leaderboard.md").read_text(encoding="utf-8")
    assert "$0.0048" in board


def test_a_second_run_asks_nothing_again(run: Run, server: Server) -> None:
    llm = spec(server, "anthropic")
    assert evaluate(run, llm, prompts=("a kite",)).status == 0
    assert evaluate(run, llm, prompts=("a kite",)).status == 0
    assert len(server.asked["anthropic"]) == 1


def test_the_schema_of_drafts_is_asked_for_where_it_is_supported(run: Run, server: Server) -> None:
    assert evaluate(run, *(spec(server, provider) for provider in PRICES), prompts=("a kite",)).status == 0
    (anthropic,), (gemini,), (openai,) = server.asked.values()
    assert anthropic["output_format"]["schema"]["required"] == ["title", "video_prompt"]
    assert gemini["generationConfig"]["response_mime_type"] == "application/json"
    assert openai["response_format"]["json_schema"]["strict"] is True
    assert "minLength" not in json.dumps([anthropic, gemini, openai])


def test_options_reach_the_provider_and_structured_off_asks_for_none(run: Run, server: Server) -> None:
    llm = spec(server, "openai", structured="off", temperature=0.5, max_tokens=99, seed=False, params={"stop": ["#"]})
    done = evaluate(run, llm, prompts=("a kite",))
    assert done.status == 0, done.err
    (body,) = server.asked["openai"]
    assert (body["temperature"], body["max_tokens"], body["stop"]) == (0.5, 99, ["#"])
    assert not {"seed", "response_format", "user"} & body.keys()


def test_an_option_that_only_this_model_does_not_take_ends_it_rather_than_being_dropped(
    run: Run, server: Server
) -> None:
    done = evaluate(run, spec(server, "openai", model="openai/o3-mini", temperature=0.5))
    assert done.status == 1
    assert "openai/o3-mini does not take an option" in done.err
    assert "temperature" in done.err
    assert not server.attempts


def test_a_dry_run_tells_costs_without_prices_being_given(run: Run, server: Server) -> None:
    done = evaluate(run, spec(server, "anthropic"), more=("--dry-run",))
    assert done.status == 0, done.err
    assert "claude-sonnet-4-5: about $0.0" in done.out
    assert not server.asked["anthropic"]


@pytest.mark.parametrize("provider", PRICES)
def test_a_wrong_key_ends_the_model_with_one_line_that_names_its_variable(
    provider: str, run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "sk-wrong-and-secret-987654"
    monkeypatch.setenv(providers.KEY_ENV, wrong)
    done = evaluate(run, spec(server, provider))
    assert done.status == 1
    assert f"check the key in {providers.KEY_ENV}" in done.err
    assert "no such key" in done.err
    assert "Traceback" not in done.err
    assert wrong not in done.out + done.err + Path("run/ledger.sqlite").read_bytes().decode("latin-1")


def test_the_keys_of_providers_go_to_no_other_server(run: Run, server: Server) -> None:
    done = evaluate(run, spec(server, "anthropic", api_key_env='""'), prompts=("a kite",))
    assert done.status == 1
    assert set(server.keys) == {"none"}


def test_a_prompt_that_is_too_long_is_an_error_of_its_sample(run: Run, server: Server) -> None:
    done = evaluate(run, spec(server, "anthropic"), prompts=("a kite", "an endless scroll"))
    assert done.status == 1
    assert "choose a smaller RAG size" in done.err + done.out + json.dumps(samples())
    assert [row["status"] for row in samples()] == ["ok", "error"]


def test_what_every_prompt_is_rejected_for_ends_the_model(run: Run, server: Server) -> None:
    done = evaluate(
        run, spec(server, "openai"), prompts=("odd 1", "odd 2", "odd 3", "odd 4"), more=("--concurrency", "1")
    )
    assert done.status == 1
    assert "an odd request" in done.err
    assert "check the options" in done.err
    assert len(server.attempts) == 3


def test_a_model_that_the_server_does_not_know_is_told_with_the_closest_names(run: Run, server: Server) -> None:
    done = evaluate(run, spec(server, "anthropic", model="anthropic/claude-sonet-4-5"))
    assert done.status == 1
    assert "did you mean anthropic/claude-sonnet-4-5" in done.err


def test_a_server_that_is_not_there_ends_the_model(run: Run) -> None:
    options = "model=openai/gpt-4o,api_base=http://127.0.0.1:9/v1,max_retries=0"
    done = evaluate(run, f"litellm,{options}", more=("--concurrency", "1"))
    assert done.status == 1
    assert "connection failed (Connection refused)" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("provider", PRICES)
def test_an_answer_of_another_shape_is_tried_again_and_an_error_of_its_sample(
    provider: str, run: Run, server: Server
) -> None:
    done = evaluate(run, spec(server, provider, max_retries=1), prompts=("a kite", "a riddle"))
    assert done.status == 1
    assert [row["status"] for row in samples()] == ["ok", "error"], samples()
    assert "no answer in 2 tries" in samples()[1]["error"]
    assert "Traceback" not in samples()[1]["error"]
    assert len(server.times(provider, "a riddle")) == 2
