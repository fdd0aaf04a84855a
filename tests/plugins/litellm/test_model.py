"""What the plugin says of models before any call: keys, names, prices, lengths, and when LiteLLM is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import popbench
import provider_servers as providers
from audited_commands import audited_command
from popbench import testing
from popbench.registry import load_registry
from popbench_litellm import library
from popbench_litellm.hiding import Hider
from popbench_litellm.llm import LiteLLM
from popbench_litellm.options import ChatOptions
from provider_servers import Server

needs_litellm = pytest.mark.skipif(bool(library.missing()), reason=library.missing())
CLAUDE = "anthropic/claude-sonnet-4-5"


@pytest.fixture
def server() -> Iterator[Server]:
    with providers.serving() as server, providers.closed_network() as sought:
        yield server
    assert not sought, "LiteLLM asked somebody else"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_API_BASE"))]:
        monkeypatch.delenv(name)


def model(name: str, **options: Any) -> LiteLLM:
    return LiteLLM(ChatOptions(model=name, **options))


@pytest.mark.parametrize("words", [("--help",), ("plugins",), ("plugins", "litellm"), ("eval", "--help")])
def test_litellm_is_not_imported_where_it_is_not_used(words: tuple[str, ...], tmp_path: Path) -> None:
    assert "IMPORTED False" in audited_command(tmp_path, *words)


@needs_litellm
@pytest.mark.slow
def test_it_asks_nobody_but_the_provider_and_reads_no_env_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ANTHROPIC_API_KEY=sk-of-a-file-12345\nLITELLM_LOG=DEBUG\n", encoding="utf-8")
    llm = f"litellm,model={CLAUDE},api_base={server.url}"
    common = ("--gen", "kinetic", "--mode", "basic", "--task", "popcorn_concrete", "--limit", "1", "--out", "run")
    said = audited_command(tmp_path, "eval", "--llm", llm, *common)
    assert "IMPORTED True SOUGHT []" in said
    assert "check the key" in said
    assert set(server.keys) == {"none"}


def test_it_is_registered_without_litellm_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(library, "version", absent)
    component = load_registry().resolve("llm", f"litellm,model={CLAUDE}").component
    assert component.check() == [
        'LiteLLM is not installed: pip install "popbench[litellm]" (in a clone: pip install -e ".[litellm]")'
    ]
    assert component.notices() == []
    assert component.cost({"input": 1.0, "output": 1.0}) is None
    monkeypatch.setattr(library, "version", lambda _: "1.99.3")
    assert component.check() == [
        'LiteLLM 1.99.3 is too old: pip install "popbench[litellm]" (in a clone: pip install -e ".[litellm]")'
    ]


@needs_litellm
def test_missing_keys_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model(CLAUDE).check() == [
        f"{CLAUDE} needs ANTHROPIC_API_KEY in the environment: export ANTHROPIC_API_KEY=..."
    ]
    (line,) = model("gemini/gemini-2.5-flash").check()
    assert "needs GOOGLE_API_KEY or GEMINI_API_KEY" in line
    assert model(CLAUDE, api_key_env="MY_KEY").check() == ["the key MY_KEY is not set: export MY_KEY=..."]
    monkeypatch.setenv("MY_KEY", "sk-1234567890")
    assert model(CLAUDE, api_key_env="MY_KEY").check() == []
    assert model(CLAUDE, api_base="http://127.0.0.1:1").check() == []
    assert model("ollama/llama3").check() == []
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-1234567890")
    assert model(CLAUDE).check() == []


@needs_litellm
@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "antropic/claude-sonnet-4-5",
            "LiteLLM knows no provider 'antropic': did you mean anthropic/claude-sonnet-4-5?",
        ),
        ("gpt-4oo", "LiteLLM knows no model 'gpt-4oo': did you mean gpt-4o"),
        ("github_copilot/gpt-4o", "github_copilot/gpt-4o needs a person who signs in with a browser"),
        ("zzzz", "LiteLLM knows no model 'zzzz': write provider/model, such as openai/zzzz"),
        (
            "gemini/veo-3.1-generate-001",
            "gemini/veo-3.1-generate-001 writes no text: it is of the kind video generation",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_line_with_what_is_close(
    name: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (problem,) = model(name).check()
    assert problem.startswith(line)
    assert capsys.readouterr() == ("", "")


@needs_litellm
def test_a_model_that_the_map_does_not_list_has_no_prices_and_a_notice() -> None:
    unlisted = model("anthropic/claude-sonet-4-5")
    assert unlisted.cost({"input": 1e6, "output": 1e6}) is None
    assert "does not list anthropic/claude-sonet-4-5: did you mean anthropic/claude-sonnet-4-5" in unlisted.notices()[0]
    priced = model("anthropic/claude-sonet-4-5", price_in=1, price_out=2)
    assert priced.cost({"input": 1e6, "output": 1e6}) == pytest.approx(3)


@needs_litellm
def test_prices_are_those_of_the_map_also_for_the_sum_of_many_calls() -> None:
    assert model(CLAUDE).cost({"input": 1e6, "output": 1e6}) == pytest.approx(3 + 15)
    assert model(CLAUDE).cost({"input": 1e6}) is None
    assert model("ollama/llama3").cost({"input": 1e6, "output": 1e6}) == 0


@needs_litellm
def test_prompts_fit_by_the_context_of_the_map() -> None:
    def messages(words: int) -> list[popbench.Message]:
        return [popbench.Message(role="user", content="word " * words)]

    assert model("openai/gpt-4o").fits(messages(10_000))
    assert not model("openai/gpt-4o").fits(messages(70_000))
    assert model(CLAUDE).fits(messages(70_000))
    assert model("openai/my-own").fits(messages(1_000_000))


@needs_litellm
@pytest.mark.parametrize("wrong", [-5, float("nan"), float("inf"), 1e300, "many", None])
def test_tokens_that_nobody_can_have_used_are_unknown(wrong: Any) -> None:
    from popbench_litellm.calls import _usage

    told = SimpleNamespace(prompt_tokens=7, completion_tokens=2)
    assert _usage(told) == {"input": 7, "output": 2}
    assert _usage(SimpleNamespace(prompt_tokens=7, completion_tokens=wrong)) is None


def test_a_provider_without_seeds_is_not_repeatable() -> None:
    assert model("openai/gpt-4o").repeatable
    assert not model("openai/gpt-4o", seed=False).repeatable
    assert not model(CLAUDE).repeatable
    assert "anthropic takes no seed: asked again, it may answer otherwise" in model(CLAUDE).notices()


@needs_litellm
def test_parameters_that_the_model_does_not_take_or_that_are_options_are_refused() -> None:
    refused: list[dict[str, Any]] = [
        {"mock_response": "x"},
        {"temperature": 1},
        {"logit_bias": {}},
        {"api_version": "1"},
    ]
    for params in refused:
        (line, *_) = model(CLAUDE, params=params).check()
        assert line.startswith(f"params cannot hold {min(params)} for {CLAUDE} (possible: cache_control, ")
    assert "params" not in str(model(CLAUDE, params={"reasoning_effort": "low"}).check())


@needs_litellm
def test_an_option_that_the_provider_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = library.facts("openai/gpt-4o", None)
    monkeypatch.setattr(LiteLLM, "facts", replace(unknown, params=unknown.params - {"top_p"}))
    options = {"temperature": 0, "top_p": 0.5, "max_tokens": 9, "api_base": "http://127.0.0.1:1"}
    assert model("openai/gpt-4o", **options).check() == ["openai/gpt-4o takes no top_p: leave that out"]


@pytest.mark.parametrize(
    "options",
    [
        {"api_key_env": "sk-ant-1234567890abcdef"},
        {"params": {"api_key": "sk-ant-1234567890abcdef"}},
        {"api_base": "http://user:secretsecret@127.0.0.1/v1"},
        {"api_base": "ftp://127.0.0.1"},
    ],
)
def test_options_that_would_record_a_secret_are_refused_without_it(options: dict[str, Any]) -> None:
    with pytest.raises(popbench.UsageError) as caught:
        model(CLAUDE, **options)
    assert "1234567890" not in str(caught.value)
    assert "secretsecret" not in str(caught.value)


@needs_litellm
def test_another_server_of_the_environment_is_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "server" not in model(CLAUDE).fingerprint()
    monkeypatch.setenv("ANTHROPIC_API_BASE", "http://127.0.0.1:1/")
    assert model(CLAUDE).fingerprint()["server"] == "http://127.0.0.1:1"
    assert model("claude-sonnet-4-5").fingerprint()["server"] == "http://127.0.0.1:1"
    assert model(CLAUDE).label() == CLAUDE
    assert model(CLAUDE, temperature=0.5).label() == f"{CLAUDE}[temperature=0.5]"


def test_keys_are_hidden_however_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", 'sk-"1234/567890')
    monkeypatch.setenv("SHORT_API_KEY", "none")
    hide = Hider("another-key-98765")
    said = 'sk-"1234/567890 sk-\\"1234/567890 sk-%221234%2F567890 c2stIjEyMzQvNTY3ODkw another-key-98765 none'
    assert hide(said) == "[key] [key] [key] [key] [key] none"


@needs_litellm
@pytest.mark.parametrize("provider", providers.MODELS)
def test_the_conformance_kit_finds_that_it_keeps_the_rules(
    provider: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(providers.KEY_ENV, providers.KEY)
    name = f"{provider}/{providers.MODELS[provider]}"
    spec = f"litellm,model={name},api_base={server.base(provider)},api_key_env={providers.KEY_ENV}"
    testing.check_llm(spec)
