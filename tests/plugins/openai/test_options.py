"""Label, fingerprint, server and costs of a chat model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import openai_servers as support
from command_line import in_process
from popbench.registry import Resolved, load_registry
from usage_errors import refusal

A, B = "http://127.0.0.1:8000/v1", "http://127.0.0.1:9000/v1"


def made(spec: str) -> Resolved:
    return load_registry().resolve("llm", spec)


def fingerprint(spec: str) -> Any:
    return made(spec).component.fingerprint()


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ("openai,model=org/model-7b", "org/model-7b"),
        (f"openai,model=m,base_url={A},api_key_env=KEY,provider=lab,concurrency=3", "m"),
        ("openai,model=m,temperature=0,structured=off", 'm[temperature=0.0,structured=off]'),
        ("openai,model=a|b", "a/b"),
        ("gpt-4o", "gpt-4o"),
        ("deepseek-r1,max_tokens=900", "deepseek-r1[max_tokens=900]"),
        ("deepseek-v3,label=V3", "V3"),
    ],
)  # fmt: skip
def test_a_label_is_the_model_s_id_or_the_preset_s_name(spec: str, label: str) -> None:
    assert made(spec).spec.label == label


def test_the_server_is_part_of_what_results_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert fingerprint(f"openai,model=m,base_url={A}") != fingerprint(f"openai,model=m,base_url={B}")
    assert fingerprint(f"openai,model=m,base_url={A}") == fingerprint(f"openai,model=m,base_url={A}/")
    own = fingerprint("openai,model=m")
    monkeypatch.setenv("OPENAI_BASE_URL", A)
    assert fingerprint("openai,model=m") == fingerprint(f"openai,model=m,base_url={A}") != own
    assert fingerprint(f"openai,model=m,base_url={B}")["server"] == B


def test_a_named_provider_stands_for_a_server_that_moves() -> None:
    at = [fingerprint(f"openai,model=m,provider=lab,base_url={url}") for url in (A, B)]
    assert at[0] == at[1] != fingerprint(f"openai,model=m,provider=other,base_url={A}")


def test_where_the_key_comes_from_is_no_part_of_the_fingerprint() -> None:
    assert "api_key_env" not in fingerprint("openai,model=m,api_key_env=SOME_KEY")["options"]


def test_without_a_key_the_general_name_tells_of_other_servers() -> None:
    (line,) = made("openai,model=m").component.check()
    assert line.endswith(", or give base_url=URL of another server")
    (line,) = made(f"openai,model=m,base_url={A},api_key_env=ABSENT_KEY").component.check()
    assert line == "the key ABSENT_KEY is not set: export ABSENT_KEY=..."


@pytest.mark.parametrize(
    ("preset", "key", "url"), [("gpt-4o", "OPENAI", "https://api.openai.com/v1"), ("deepseek-r1", "OPENROUTER", "https://openrouter.ai/api/v1")]
)  # fmt: skip
def test_a_preset_goes_to_its_provider_unless_the_environment_says_otherwise(
    preset: str, key: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made(preset).component.url == url
    (line,) = made(preset).component.check()
    assert line.startswith(f"the key {key}_API_KEY is not set: export {key}_API_KEY=...")
    monkeypatch.setenv(f"{key}_BASE_URL", A)
    monkeypatch.setenv(f"{key}_API_KEY", "k")
    component = made(preset).component
    assert (component.url, component.key, component.check()) == (A, "k", [])
    assert made(f"{preset},base_url={B}").component.url == B


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1", "http://[x/v1"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    assert "write it like http://" in refusal(lambda: made(f'openai,model=m,base_url="{url}"'))


def test_prices_come_together() -> None:
    assert "price_in and price_out are given together" in refusal(lambda: made("openai,model=m,price_in=1"))


def test_a_call_costs_what_its_tokens_cost() -> None:
    llm = made("openai,model=m,price_in=2,price_out=8").component
    assert llm.cost({"input": 500_000, "output": 250_000, "reasoning": 200_000}) == pytest.approx(3.0)
    assert made("openai,model=m").component.cost({"input": 1, "output": 1}) is None


def test_presets_run_as_typed_with_a_key_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = in_process(monkeypatch, capsys, tmp_path)
    with support.serving() as server:
        for name in ("OPENAI", "OPENROUTER"):
            monkeypatch.setenv(f"{name}_BASE_URL", server.url)
            monkeypatch.setenv(f"{name}_API_KEY", f"sk-{name}-0123456789")
        models = [word for name in ("deepseek-r1", "deepseek-v3", "gpt-4o") for word in ("--llm", name)]
        done = run(
            "eval", *models, "--gen", "faulty", "--predictor", "faulty", "--corpus", "demo", "--limit", 2, "--json"
        )
        asked = {row["sent"]["model"] for row in server.log()}
    assert done.status == 0, done.err
    assert asked == {"deepseek/deepseek-r1", "deepseek/deepseek-chat", "gpt-4o"}
    found = json.loads(done.out)["results"]["systems"]
    assert {row["system"].partition("|")[0] for row in found} == {"deepseek-r1", "deepseek-v3", "gpt-4o"}
