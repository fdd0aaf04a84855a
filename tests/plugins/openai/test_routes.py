"""A preset asks the provider that is named, or the first whose key is set, and says so wherever results are shown."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest

import openai_servers as support
import popbench
from command_line import Run, in_process
from openai_servers import ChatServer, ask, chat, done
from popbench.registry import Resolved, create, load_registry
from popbench_openai import routes
from usage_errors import refusal

KEYS = ("OPENROUTER", "TOGETHER", "FIREWORKS", "DEEPINFRA")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def made(spec: str) -> Resolved:
    return load_registry().resolve("llm", spec)


def lacks(spec: str) -> str:
    (line,) = made(spec).component.check()
    assert isinstance(line, str)
    assert "\n" not in line
    return line


def on(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    monkeypatch.setattr(routes, "today", lambda: datetime.date.fromisoformat(day))


def keys(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Set these keys and no others."""
    for name in [name for name in os.environ if name.endswith("_API_KEY") or name == "HF_TOKEN"]:
        monkeypatch.delenv(name)
    for name in names:
        monkeypatch.setenv(name, f"key-of-{name}-0123456789")


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


# -- fingerprints and runs


def test_what_was_run_by_earlier_versions_keeps_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts of gpt-4o at OpenAI are gone on with; those of DeepSeek's retired names are, where it is named."""
    keys(monkeypatch, "OPENAI_API_KEY")
    options: dict[str, Any] = {
        "temperature": None, "top_p": None, "max_tokens": None, "seed": True, "structured": "off", "extra_body": {},
    }  # fmt: skip
    assert made("gpt-4o").component.fingerprint() == {
        "name": "popbench_openai.OpenAI", "version": "1", "server": "https://api.openai.com/v1",
        "options": {"model": "gpt-4o", "context": 128000, **options},
    }  # fmt: skip
    assert made("deepseek-r1,provider=deepseek,label=deepseek-r1").component.fingerprint() == {
        "name": "popbench_openai.DeepSeek", "version": "1", "server": "https://api.deepseek.com",
        "options": {"model": "deepseek-reasoner", "context": 64000, **options},
    }  # fmt: skip


def test_workers_ask_the_provider_that_was_chosen_whatever_keys_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch, "DEEPINFRA_API_KEY")
    spec = made("deepseek-r1").spec
    keys(monkeypatch, "OPENROUTER_API_KEY", "TOGETHER_API_KEY")
    llm: Any = create(spec)
    assert (llm.home.id, llm.asked.model) == ("deepinfra", "deepseek-ai/DeepSeek-R1")


WRITE = ("--gen", "kinetic", "--corpus", "demo", "--mode", "basic", "--limit", 2, "--stop-after", "write", "--out", "r")


def routed(monkeypatch: pytest.MonkeyPatch, server: ChatServer, *providers: str) -> None:
    """Set the keys of these providers only; all providers' addresses are the server's."""
    found = routes.models_file().providers
    keys(monkeypatch, *(found[name].key for name in providers))
    for provider in found.values():
        monkeypatch.setenv(provider.base_url, server.url)


def test_a_run_records_the_provider_that_was_chosen_and_is_repeated_with_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with support.serving() as server:
        routed(monkeypatch, server, "deepinfra")
        assert run("eval", "--llm", "deepseek-r1", *WRITE).status == 0
        recorded = json.loads(Path("r/run.json").read_text())
        assert recorded["notes"]["deepseek-r1"] == "served by DeepInfra as deepseek-ai/DeepSeek-R1"
        (spec,) = recorded["config"]["llm"]
        assert recorded["components"]["llm deepseek-r1"]["spec"] == spec
        routed(monkeypatch, server, "openrouter", "deepinfra")
        again = run("eval", "--config", "r/run.json", "--out", "r")
        assert again.status == 0, again.err
        assert run("eval", "--config", "r/run.json", "--out", "other").status == 0
        assert run("eval", "--llm", spec, *WRITE).status == 0
        assert {row["sent"]["model"] for row in server.log()} == {"deepseek-ai/DeepSeek-R1"}
        assert len(server.log()) == 8  # four drafts in each folder: what was written was not written again
        assert run("status", "r").status == 0
    named = json.loads(Path("other/run.json").read_text())
    assert named["components"] == recorded["components"]


def test_another_key_changes_no_run_without_a_word(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with support.serving() as server:
        routed(monkeypatch, server, "deepinfra")
        assert run("eval", "--llm", "deepseek-r1", *WRITE).status == 0
        routed(monkeypatch, server, "openrouter", "deepinfra")
        for more in ((), ("--dry-run",)):
            refused = run("eval", "--llm", "deepseek-r1", *WRITE, *more)
            assert refused.status == 2
            assert "model deepseek-ai/DeepSeek-R1 → deepseek/deepseek-r1" in refused.line
            assert "since the keys that are set choose provider=openrouter" in refused.line
            assert "(deepseek-r1,provider=deepinfra,label=deepseek-r1), or choose another --out" in refused.line
        asked = len(server.log())
        assert run("eval", "--llm", "deepseek-r1,provider=deepinfra,label=deepseek-r1", *WRITE).status == 0
        assert len(server.log()) == asked
        routed(monkeypatch, server, "deepinfra")
        assert run("eval", "--llm", "deepseek-r1", *WRITE).status == 0
        assert len(server.log()) == asked
        keys(monkeypatch)  # a finished run needs no key, but the default route is another one
        assert run("eval", "--llm", "deepseek-r1", *WRITE).status == 2


def test_another_address_of_the_same_provider_is_not_put_down_to_keys(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with support.serving() as server:
        routed(monkeypatch, server, "openrouter")
        assert run("eval", "--llm", "deepseek-r1", *WRITE).status == 0
        monkeypatch.delenv("OPENROUTER_BASE_URL")
        refused = run("eval", "--llm", "deepseek-r1", *WRITE)
        assert refused.status == 2
        assert f"server {server.url} → https://openrouter.ai/api/v1" in refused.line
        assert "since the environment or popbench's version is another: put it back" in refused.line
        assert "keys" not in refused.line


def test_a_run_of_the_retired_route_is_told_apart_and_can_be_gone_on_with(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with support.serving() as server:
        routed(monkeypatch, server, "deepseek")
        on(monkeypatch, "2026-07-23")
        assert run("eval", "--llm", "deepseek-r1", *WRITE).status == 0
        on(monkeypatch, "2026-11-30")
        routed(monkeypatch, server, "openrouter")
        refused = run("eval", "--llm", "deepseek-r1", *WRITE)
        assert refused.status == 2
        assert "name popbench_openai.DeepSeek → popbench_openai.OpenRouter" in refused.line
        assert "model deepseek-reasoner → deepseek/deepseek-r1" in refused.line
        asked = len(server.log())
        again = run("eval", "--llm", "deepseek-r1,provider=deepseek,label=deepseek-r1", *WRITE)
        assert again.status == 0, again.err
        assert len(server.log()) == asked


def test_a_run_in_which_nothing_was_written_may_change_its_provider(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with support.serving(every="401") as server:
        routed(monkeypatch, server, "deepinfra")
        assert run("eval", "--llm", "deepseek-r1", *WRITE).status == 1
        server.reset()
        routed(monkeypatch, server, "openrouter")
        changed = run("eval", "--llm", "deepseek-r1", *WRITE)
    assert changed.status == 0, changed.err


def test_two_providers_of_a_model_are_two_systems(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with support.serving() as server:
        routed(monkeypatch, server, "together", "deepinfra")
        both = ("--llm", "deepseek-r1,provider=together", "--llm", "deepseek-r1,provider=deepinfra")
        finished = run("eval", *both, *WRITE)
        assert finished.status == 0, finished.err
        clash = run("eval", "--llm", "deepseek-r1", "--llm", "deepseek-r1,provider=together,label=deepseek-r1", *WRITE)
    assert clash.status == 2
    assert "two llms are labelled 'deepseek-r1'" in clash.line
    found = json.loads(Path("r/run.json").read_text())
    assert found["notes"] == {
        "deepseek-r1[provider=together]": "served by Together as deepseek-ai/DeepSeek-R1-0528, which is R1's revision "
        "of 2025-05-28 there",
        "deepseek-r1[provider=deepinfra]": "served by DeepInfra as deepseek-ai/DeepSeek-R1",
    }


# -- doctor, plugins and the README's command


def told(text: str) -> dict[str, str]:
    """Return the rows of doctor's table of components, joined where cells are wrapped."""
    rows: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if line.startswith("│") and len(cells := [cell.strip() for cell in line.strip("│").split("│")]) == 2:
            last = cells[0] or last
            rows[last] = f"{rows.get(last, '')} {cells[1]}".strip()
    return rows


def test_the_doctor_lists_retirement_dates_of_what_is_configured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch, "OPENAI_API_KEY", "DEEPSEEK_API_KEY")
    monkeypatch.setenv("COLUMNS", "220")
    on(monkeypatch, "2026-11-30")
    Path("popbench.toml").write_text('llm = ["gpt-4o,temperature=0", "openai,model=gpt-4.1"]\ngen = "kinetic"\n')
    done = run("doctor", "--offline")
    assert done.status == 0, done.err
    rows = told(done.out)
    assert rows["llm gpt-4o,temperature=0 (popbench.toml)"] == "ready; ends at OpenAI on 2027-01-14"
    assert rows["llm openai,model=gpt-4.1 (popbench.toml)"] == "ready; ends at OpenAI on 2027-01-14"
    assert rows["generator kinetic (popbench.toml)"] == "ready"
    assert rows["llm gpt-4o"] == "ready; ends at OpenAI on 2027-01-14"
    assert rows["llm deepseek-r1"].startswith("DeepSeek retired deepseek-reasoner on 2026-07-24")
    assert rows["llm deepseek-v4-pro"] == "ready"


def test_plugins_says_who_serves_a_preset(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "2026-11-30")
    monkeypatch.setenv("COLUMNS", "220")
    found = {item["name"]: item for item in json.loads(run("plugins", "--json").out)["components"]}
    assert found["deepseek-r1"]["summary"] == "DeepSeek-R1 of January 2025; needs a key"
    served = "DeepSeek-R1 of January 2025, served by OpenRouter, Fireworks, DeepInfra, Together or HuggingFace."
    assert served in run("plugins", "deepseek-r1").out
    assert "not thinking" in found["deepseek-v4-pro"]["summary"]
    options = {option["name"]: option for option in found["deepseek-r1"]["options"]}
    assert (
        "openrouter (deepseek/deepseek-r1), fireworks (accounts/fireworks/models/deepseek-r1)"
        in options["provider"]["description"]
    )
    assert options["provider"]["default"] is None


@pytest.mark.parametrize("set_", [(), ("DEEPSEEK_API_KEY",)])
def test_the_readme_s_command_says_in_one_line_what_its_llm_lacks(
    set_: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = Path(__file__).parents[3] / "README.md"
    (command,) = [
        line for line in readme.read_text().splitlines() if line.startswith("popbench eval --llm deepseek-r1")
    ]
    keys(monkeypatch, *set_)
    refused = run(*command.split()[1:])
    assert refused.status == 2
    (line,) = [line for line in refused.err.splitlines() if "llm deepseek-r1" in line]
    assert ("DeepSeek retired deepseek-reasoner on 2026-07-24" in line) == bool(set_)
    assert "the key OPENROUTER_API_KEY is not set" in line
