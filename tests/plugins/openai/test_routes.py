"""A preset asks the provider that is named, or the first whose key is set."""

from __future__ import annotations

from pathlib import Path

import pytest

import openai_servers as support
import popbench
from command_line import Run, in_process
from openai_servers import ask, chat, done
from popbench_openai import routes
from provider_keys import keys, made, on
from usage_errors import refusal

KEYS = ("OPENROUTER", "TOGETHER", "FIREWORKS", "DEEPINFRA")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def lacks(spec: str) -> str:
    (line,) = made(spec).component.check()
    assert isinstance(line, str)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("set_", "preset", "provider", "model"),
    [
        (["OPENROUTER_API_KEY"], "deepseek-r1", "openrouter", "deepseek/deepseek-r1"),
        (["TOGETHER_API_KEY"], "deepseek-r1", "together", "deepseek-ai/DeepSeek-R1-0528"),
        (["FIREWORKS_API_KEY"], "deepseek-v3", "fireworks", "accounts/fireworks/models/deepseek-v3"),
        (["DEEPINFRA_API_KEY", "HF_TOKEN"], "deepseek-r1", "deepinfra", "deepseek-ai/DeepSeek-R1"),
        (["HF_TOKEN"], "deepseek-v3", "huggingface", "deepseek-ai/DeepSeek-V3"),
        (["HF_TOKEN", "FIREWORKS_API_KEY", "OPENROUTER_API_KEY"], "deepseek-r1", "openrouter", "deepseek/deepseek-r1"),
        (["DEEPSEEK_API_KEY", "DEEPINFRA_API_KEY"], "deepseek-r1", "deepinfra", "deepseek-ai/DeepSeek-R1"),
        (["DEEPSEEK_API_KEY"], "deepseek-v4-pro", "deepseek", "deepseek-v4-pro"),
        (["DEEPSEEK_API_KEY"], "deepseek-v4-flash-thinking", "deepseek", "deepseek-v4-flash"),
        (["OPENROUTER_API_KEY"], "gpt-4o", "openrouter", "openai/gpt-4o"),
        (["OPENAI_API_KEY", "OPENROUTER_API_KEY"], "gpt-4o", "openai", "gpt-4o"),
        (["ANTHROPIC_API_KEY"], "claude-opus-5-5", "anthropic", "claude-opus-5-5"),
        (["GEMINI_API_KEY"], "gemini-3.8-flash", "gemini", "gemini-3.8-flash"),
        (["DASHSCOPE_API_KEY"], "qwen3.8-max", "alibaba", "qwen3.8-max"),
        (["DEEPINFRA_API_KEY"], "llama-3.3-70b-instruct", "deepinfra", "meta-llama/Llama-3.3-70B-Instruct"),
    ],
)
def test_the_first_provider_whose_key_is_set_is_asked(
    set_: list[str], preset: str, provider: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys(monkeypatch, *set_)
    on(monkeypatch, "2026-11-30")
    llm = made(preset).component
    assert (llm.home.id, llm.asked.model, llm.check()) == (provider, model, [])
    assert llm.url == routes.models_file().providers[provider].url
    named = made(f"{preset},provider={provider}").component
    assert named.fingerprint() == llm.fingerprint()
    assert llm.fingerprint()["options"]["model"] == model
    assert routes.models_file().providers[provider].name in llm.fingerprint()["name"]
    assert model in llm.note


def test_the_provider_named_is_asked_whatever_keys_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch, "OPENROUTER_API_KEY", "DEEPINFRA_API_KEY")
    llm = made("deepseek-r1,provider=deepinfra")
    assert llm.component.home.id == "deepinfra"
    assert llm.spec.label == "deepseek-r1[provider=deepinfra]"
    assert "the key FIREWORKS_API_KEY is not set" in lacks("deepseek-r1,provider=fireworks")
    for written in ("DeepInfra", "DEEPINFRA"):
        assert made(f"deepseek-r1,provider={written}").spec.label == llm.spec.label
    assert made("gemini-4-argon,provider=Google").component.home.id == "gemini"


def test_an_unknown_provider_is_answered_with_those_that_serve_the_model() -> None:
    line = refusal(lambda: made("deepseek-r1,provider=groq"))
    assert line == (
        "llm deepseek-r1: 'groq' does not serve it: choose provider=openrouter, fireworks, deepinfra, together "
        "or huggingface, or give the server's base_url=URL"
    )
    assert "choose provider=openai or openrouter" in refusal(lambda: made("gpt-4o,provider=together"))


def test_a_provider_that_fails_for_good_is_told_with_the_others_that_serve_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys(monkeypatch, "OPENROUTER_API_KEY")
    with support.serving(every="404") as server:
        monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
        with pytest.raises(popbench.ComponentError, match="others that serve it") as ended:
            ask(made("llama-3.3-70b-instruct").component, [chat("a")])
        assert "provider=fireworks (FIREWORKS_API_KEY), deepinfra (DEEPINFRA_API_KEY) or hugg" in str(ended.value)
        assert "together" not in str(ended.value)  # retired there
        with pytest.raises(popbench.ComponentError) as ended:
            ask(made(f"llama-3.3-70b-instruct,base_url={server.url}").component, [chat("a")])
        assert "provider=" not in str(ended.value)


def test_without_a_key_one_line_names_all_that_would_do_and_the_local_way(monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch)
    line = lacks("deepseek-r1")
    for name in (*(f"{key}_API_KEY" for key in KEYS), "HF_TOKEN", "https://openrouter.ai/settings/keys"):
        assert name in line
    assert "--llm transformers,model=deepseek-ai/DeepSeek-R1" in line
    assert "deepseek-r1,base_url=URL" in line
    assert "DEEPSEEK_API_KEY" not in line
    assert "transformers" not in lacks("gpt-4o")


def test_a_key_for_a_retired_name_alone_is_told_what_became_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch, "DEEPSEEK_API_KEY")
    for preset, id_ in (("deepseek-r1", "deepseek-reasoner"), ("deepseek-v3", "deepseek-chat")):
        line = lacks(preset)
        assert line.startswith(f"DeepSeek retired {id_} on 2026-07-24 and serves deepseek-v4-flash, ")
        assert "the key OPENROUTER_API_KEY is not set" in line
        assert "TOGETHER_API_KEY or HF_TOKEN" in line
    keys(monkeypatch, "DEEPSEEK_API_KEY", "TOGETHER_API_KEY")
    assert made("deepseek-r1").component.check() == []


@pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-reasoner"])
@pytest.mark.parametrize("url", ["https://api.deepseek.com", "https://api.deepseek.com/v1"])
def test_a_retired_name_at_its_server_is_told_too(model: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", support.KEY)
    preset = {"deepseek-chat": "deepseek-v3", "deepseek-reasoner": "deepseek-r1"}[model]
    line = lacks(f"openai,model={model},base_url={url},api_key_env=DEEPSEEK_API_KEY")
    assert line.startswith(f"DeepSeek retired {model} on 2026-07-24: use {preset}, which other providers serve")
    assert "deepseek-v4-pro" in line
    assert made(f"openai,model={model},base_url=http://127.0.0.1:9/v1").component.check() == []
    assert "choose provider=openrouter (OPENROUTER_API_KEY)" in lacks(f"{preset},provider=deepseek")


def test_a_date_that_lies_ahead_is_told_and_from_that_day_on_the_routes_that_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys(monkeypatch, "OPENAI_API_KEY")
    on(monkeypatch, "2027-01-13")
    for spec in ("gpt-4o", "gpt-4o,temperature=0", "openai,model=gpt-4o", "openai,model=gpt-4o-2024-08-06"):
        llm = made(spec).component
        assert (llm.check(), llm.notices()) == ([], ["ends at OpenAI on 2027-01-14"])
    assert made("gpt-6.1-sol").component.notices() == []
    on(monkeypatch, "2027-01-14")
    line = lacks("gpt-4o")
    assert line.startswith("OpenAI retired gpt-4o on 2027-01-14 and serves gpt-6-astra, gpt-6.1-sol now; for gpt-4o, ")
    assert "the key OPENROUTER_API_KEY is not set" in line
    assert "use gpt-4o, which other providers serve" in lacks("openai,model=gpt-4o")
    assert lacks("openai,model=gpt-4o-2024-08-06").startswith("OpenAI retired gpt-4o-2024-08-06 on 2027-01-14: choose")


def test_a_route_that_serves_another_model_says_so_on_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch, "DEEPSEEK_API_KEY")
    assert made("deepseek-v4-flash").component.note == (
        "served by DeepSeek as deepseek-v4-flash, which is DeepSeek-V4.1-Flash since 2026-09-10 there"
    )
    assert made("deepseek-v4-flash,provider=deepinfra").component.note == (
        "served by DeepInfra as deepseek-ai/DeepSeek-V4-Flash"
    )


@pytest.mark.parametrize(
    ("provider", "on_", "off"),
    [
        ("deepseek", {"thinking": {"type": "enabled"}}, {"thinking": {"type": "disabled"}}),
        ("openrouter", {"reasoning": {"enabled": True}}, {"reasoning": {"enabled": False}}),
        ("deepinfra", {"reasoning": {"enabled": True}}, {"reasoning": {"enabled": False}}),
    ],
)
def test_thinking_is_switched_as_the_provider_has_it(
    provider: str, on_: object, off: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = routes.models_file().providers[provider].key
    monkeypatch.setenv(key, support.KEY)
    with support.serving() as server:
        monkeypatch.setenv(routes.models_file().providers[provider].base_url, server.url)
        for name, fields in (("deepseek-v4-flash-thinking", on_), ("deepseek-v4-flash", off)):
            llm = made(f"{name},provider={provider}").component
            asked = chat(name)
            done(ask(llm, [asked])[asked.id])
            (row,) = server.log(support.identity(asked))
            assert isinstance(fields, dict)
            assert {key: row["sent"].get(key) for key in fields} == fields
            assert llm.fingerprint()["options"]["extra_body"] == fields
            own = made(f'{name},provider={provider},extra_body={{"top_k":5}}').component
            assert own.asked.extra_body == {**fields, "top_k": 5}


def test_a_preset_at_a_server_of_one_s_own_has_the_name_of_its_weights_unless_model_is_given() -> None:
    at = "base_url=http://127.0.0.1:8000/v1"
    llm = made(f"deepseek-r1,{at}").component
    assert (llm.asked.model, llm.url, llm.key_variable) == ("deepseek-ai/DeepSeek-R1", "http://127.0.0.1:8000/v1", "")
    assert llm.check() == []
    own = made(f"deepseek-r1,{at},model=my-r1,provider=lab").component
    assert own.asked.model == "my-r1"
    assert own.fingerprint()["server"] == "lab"
    assert own.note == "served as my-r1 by lab"
    moved = made("deepseek-r1,base_url=http://127.0.0.1:9000/v1,model=my-r1,provider=lab").component
    assert moved.fingerprint() == own.fingerprint()
    assert made(f"gpt-4o,{at}").component.asked.model == "gpt-4o"
    assert "say how that server switches thinking off" in refusal(lambda: made(f"deepseek-v4-pro,{at}"))
    switched = made(f'deepseek-v4-pro,{at},extra_body={{"chat_template_kwargs":{{"thinking":false}}}}').component
    assert switched.asked.extra_body == {"chat_template_kwargs": {"thinking": False}}


def test_a_key_of_one_s_own_variable_goes_to_no_provider_that_nobody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch)
    assert "say whose key api_key_env= is: provider=openrouter, " in refusal(
        lambda: made("deepseek-r1,api_key_env=MINE")
    )
    assert made("deepseek-r1,api_key_env=MINE,provider=together").component.key_variable == "MINE"
    assert made("gpt-4o,api_key_env=MINE").component.home.id == "openai"  # a closed model is its maker's


@pytest.mark.parametrize("url", ["127.0.0.1:9", "http://[x", "http://host:port/v1", "ftp://host"])
def test_an_address_in_the_environment_that_is_none_is_told_in_one_line(
    url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys(monkeypatch, "OPENROUTER_API_KEY")
    monkeypatch.setenv("OPENROUTER_BASE_URL", url)
    refused = run("eval", "--llm", "deepseek-r1", "--corpus", "demo", "--mode", "basic", "--limit", 1)
    assert refused.status == 2
    assert "llm deepseek-r1" in refused.line
    assert "URL" in refused.line
