"""What a run records of the provider that was chosen, and what commands say of the providers of a preset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import openai_servers as support
from command_line import Run, in_process
from openai_servers import ChatServer
from popbench.registry import create
from popbench_openai import routes
from provider_keys import keys, made, on


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


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
