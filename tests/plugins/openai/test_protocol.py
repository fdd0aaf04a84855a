"""Requests to a chat API, and how its answers are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import openai_servers as support
from openai_servers import ChatServer, ask, chat, done
from popbench import testing
from popbench.prompting.drafts import parse_draft
from popbench.records import Failure
from popbench.registry import load_registry

DRAFT = json.dumps({"title": "A cat", "video_prompt": "A cat walks home."})


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with support.serving() as server:
        yield server


def _sent(server: ChatServer, asked: Any, **options: Any) -> dict[str, Any]:
    """Ask one chat and return the one request that it took."""
    done(support.ask_one(server, asked, **options))
    (row,) = server.log(support.identity(asked, seed=options.get("seed", True)))
    return row


def test_a_request_holds_what_was_asked_for_and_nothing_else(server: ChatServer) -> None:
    sent = _sent(server, chat("plain", seed=77), structured="off")["sent"]
    assert sent == {"model": "tiny", "seed": 77}


def test_options_are_sent_and_extra_fields_too(server: ChatServer) -> None:
    options = {"temperature": 0.5, "top_p": 0.25, "max_tokens": 300, "extra_body": {"top_k": 5, "a": {"b": [1, ","]}}}
    sent = _sent(server, chat("options"), structured="off", seed=False, **options)["sent"]
    assert sent == {"model": "tiny", "temperature": 0.5, "top_p": 0.25, "max_tokens": 300, "top_k": 5,
                    "a": {"b": [1, ","]}}  # fmt: skip


def test_a_key_is_sent_where_there_is_one(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(support.KEY_ENV, support.KEY)
    asked = chat("keyed", key=support.KEY)
    assert _sent(server, asked, api_key_env=support.KEY_ENV)["authorization"] == f"Bearer {support.KEY}"


def test_the_key_of_a_provider_is_sent_to_no_other_server(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", support.KEY)
    monkeypatch.setenv("OPENROUTER_API_KEY", support.KEY)
    for name in ("openai,model=tiny", "deepseek-v3", "gpt-4o"):
        asked = chat(f"of-others-{name}")
        model: Any = load_registry().resolve("llm", f"{name},base_url={server.url},structured=off").component
        assert not model.check()
        done(ask(model, [asked])[asked.id])
        (row,) = server.log(support.identity(asked))
        assert support.KEY not in row["authorization"]


@pytest.mark.parametrize(
    ("preset", "model", "provider"),
    [
        ("deepseek-v3", "deepseek/deepseek-chat", "OPENROUTER"),
        ("deepseek-r1", "deepseek/deepseek-r1", "OPENROUTER"),
        ("deepseek-v4-pro", "deepseek-v4-pro", "DEEPSEEK"),
        ("gpt-4o", "gpt-4o", "OPENAI"),
        ("openai,model=gpt-x", "gpt-x", "OPENAI"),
    ],
)
def test_a_preset_asks_its_model_at_its_provider_with_the_providers_key(
    preset: str, model: str, provider: str, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{provider}_BASE_URL", server.url)
    monkeypatch.delenv(f"{provider}_API_KEY", raising=False)
    llm: Any = load_registry().resolve("llm", preset).component
    (lack,) = llm.check()
    assert f"the key {provider}_API_KEY is not set: export {provider}_API_KEY=..." in lack
    assert "(keys: https://" in lack
    monkeypatch.setenv(f"{provider}_API_KEY", support.KEY)
    assert not llm.check()
    asked = chat(f"preset-{preset}", key=support.KEY)
    done(ask(llm, [asked])[asked.id])
    (row,) = server.log(support.identity(asked))
    assert row["sent"]["model"] == model


def test_results_are_kept_by_provider_where_servers_move() -> None:
    here, there = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"
    assert support.make(here).fingerprint() != support.make(there).fingerprint()
    lasting = [support.make(url, provider="lab").fingerprint() for url in (here, there)]
    assert lasting[0] == lasting[1]
    assert lasting[0] != support.make(here, provider="other").fingerprint()
    assert (
        support.make(here).fingerprint()
        == support.make(here, timeout=5, max_retries=1, price_in=1, price_out=2).fingerprint()
    )


def test_an_answer_comes_with_its_tokens_and_its_time(server: ChatServer) -> None:
    answer = done(support.ask_one(server, chat("usage", latency=0.2)))
    draft = parse_draft(answer.text, None, 50)
    assert draft is not None
    assert draft.video_prompt.endswith(f"#{support.identity(chat('usage', latency=0.2))}")
    assert answer.usage is not None
    assert set(answer.usage) == {"input", "output"}
    assert all(count > 0 for count in answer.usage.values())
    assert answer.seconds is not None
    assert 0.2 <= answer.seconds < 2
    assert answer.notes == answer.remarks == ()


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_told_apart_from_the_answer(field: str, server: ChatServer) -> None:
    answer = done(support.ask_one(server, chat(field, reasoning={field: "Cats do well."})))
    assert answer.reasoning == "Cats do well."
    assert "Cats" not in answer.text
    assert answer.usage is not None
    assert answer.usage["reasoning"] == 7
    assert answer.usage["output"] > 7


TEXTS = {
    "fenced": f"Here:\n```json\n{DRAFT}\n```\nEnjoy!",
    "reasoning holds JSON": f'First {{"title": "Not this", "video_prompt": "no"}} then better:\n{DRAFT}',
    "two objects": f'{{"title": "One", "video_prompt": "one"}}\n{DRAFT}',
    "unicode": json.dumps(
        {"title": "雨の猫 🐈‍⬛", "video_prompt": "قطة تمشي في المطر \u202e abc \u0301"}, ensure_ascii=False
    ),
    "escaped": json.dumps({"title": "雨の猫 🐈‍⬛", "video_prompt": "قطة \ud800 lone"}),
    "long": json.dumps({"title": "Long", "video_prompt": "wave " * 12_000}),
    "thoughts": f"<think>Perhaps {{}}?</think>{DRAFT}",
    "unclosed thoughts": f"<think>Perhaps {DRAFT}",
}
NO_DRAFT = {
    "empty": "", "blank": " \n\t ", "prose": "I would rather not.", "half": DRAFT[:30], "braces": "{" * 60_000,
    "brackets": "[" * 60_000, "array": "[1, 2]", "number": "7", "nul": "\x00\x01", "bidi": "\u202e" * 100,
}  # fmt: skip


@pytest.mark.parametrize("structured", ["auto", "off"])
def test_texts_of_every_shape_arrive_and_are_drafts_or_none(structured: str, server: ChatServer) -> None:
    texts = {**TEXTS, **NO_DRAFT}
    chats = [chat(name, text=text) for name, text in texts.items()]
    answers = ask(support.make(server, structured=structured), chats)
    for name, text in texts.items():
        answer = done(answers[name])
        assert answer.text.encode("utf-8", "replace") == text.encode("utf-8", "replace")
        assert (parse_draft(answer.text, answer.reasoning, 50) is not None) == (name in TEXTS), name


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(DRAFT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("role", "content", "refusal", "reasoning", "reasoning_content", "tool_calls"), VALUES),
)
CHOICES = st.fixed_dictionaries({}, optional={"message": MESSAGES | VALUES, "finish_reason": VALUES, "index": VALUES})
BODIES = VALUES | st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICES | VALUES, max_size=2) | VALUES,
        "usage": VALUES,
        "id": VALUES,
        "error": VALUES,
    },
)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(bodies=st.lists(BODIES, min_size=40, max_size=40))
def test_no_answer_of_a_server_is_an_exception(bodies: list[Any], server: ChatServer) -> None:
    # A sound answer between odd ones: a server of which nothing can be used ends the run, by intention.
    chats = [
        one
        for number, body in enumerate(bodies)
        for one in (chat(f"odd-{number}", raw=json.dumps(body)), chat(f"sound-{number}"))
    ]
    llm = support.make(server, max_retries=0, concurrency=1)
    for id_, answer in ask(llm, chats).items():
        if id_.startswith("sound"):
            done(answer)
        elif isinstance(answer, Failure):
            assert answer.error.isprintable() or answer.error.splitlines() == [answer.error]
        else:
            assert isinstance(answer.text, str)
            assert isinstance(answer.reasoning, str | None)
            assert all(type(count) is int and count >= 0 for count in (answer.usage or {}).values())


FORMATS = {"auto": "json_schema", "json_schema": "json_schema", "json_object": "json_object", "off": None}


@pytest.mark.parametrize("structured", FORMATS)
def test_a_server_that_takes_every_format_is_asked_for_the_best_one(structured: str, server: ChatServer) -> None:
    asked = chat(f"best-{structured}")
    sent = _sent(server, asked, structured=structured)["sent"].get("response_format")
    assert (sent or {"type": None})["type"] == FORMATS[structured]
    if sent and sent["type"] == "json_schema":
        properties = sent["json_schema"]["schema"]["properties"]
        assert list(properties) == list(asked.schema["properties"])


@pytest.mark.parametrize("structured", FORMATS)
def test_a_chat_for_free_text_is_asked_for_no_json(structured: str, server: ChatServer) -> None:
    asked = replace(chat(f"free-{structured}"), schema={})
    answer = done(support.ask_one(server, asked, structured=structured))
    (row,) = server.log(support.identity(asked))
    assert "response_format" not in row["sent"]
    assert answer.remarks == ()


@pytest.mark.parametrize("structured", FORMATS)
def test_a_chat_that_reasons_is_never_asked_for_json_alone(structured: str, server: ChatServer) -> None:
    asked = chat(f"reasons-{structured}", reasons=True)
    answer = done(support.ask_one(server, asked, structured=structured))
    (row,) = server.log(support.identity(asked))
    sent = row["sent"].get("response_format")
    if structured != "json_schema":
        assert sent is None
        return
    schema = sent["json_schema"]["schema"]
    assert list(schema["properties"]) == ["reasoning", *asked.schema["properties"]]
    assert schema["required"][0] == "reasoning"
    assert answer.reasoning == "I thought about it."
    assert parse_draft(answer.text, None, 50) is not None


@pytest.mark.slow
@pytest.mark.parametrize("supports", ["none", "json_object"])
@pytest.mark.parametrize("structured", FORMATS)
def test_a_format_that_is_refused_is_given_up_for_good_and_noted(
    structured: str, supports: str, server: ChatServer
) -> None:
    chats = [chat(f"refuses-{structured}-{supports}-{n}", supports=supports, refusing=True) for n in range(10)]
    answers = ask(support.make(server, structured=structured, concurrency=2), chats)
    rows = [row for one in chats for row in server.log(support.identity(one))]
    served = {row["sent"].get("response_format", {}).get("type", "none") for row in rows if row["status"] == 200}
    fallback = structured == "auto" and supports == "json_object"
    wanted = FORMATS[structured] or "none"
    expected = {"json_object"} if fallback else {wanted} if wanted in ("none", supports) else {"none"}
    assert served == expected
    refusals = [row for row in rows if row["status"] == 400]
    steps = 2 if structured == "auto" and supports == "none" else 1
    assert len(refusals) <= steps * 2, "two calls at once may both find out, and no others"
    assert bool(refusals) == (served != {wanted})
    for one in chats:
        answer = done(answers[one.id])
        assert any("refused" in remark for remark in answer.remarks) == bool(refusals)
        assert parse_draft(answer.text, None, 50) is not None


@pytest.mark.parametrize("structured", FORMATS)
def test_a_format_that_is_ignored_is_noted(structured: str, server: ChatServer) -> None:
    asked = chat(f"ignores-{structured}", supports="none", refusing=False)
    answer = done(support.ask_one(server, asked, structured=structured))
    assert len(server.log(support.identity(asked))) == 1
    assert any("ignored" in remark for remark in answer.remarks) == (structured != "off")
    assert parse_draft(answer.text, None, 50) is not None


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"structured": "off", "seed": False}])
def test_the_plugin_keeps_the_rules_of_the_testing_kit(options: dict[str, Any], server: ChatServer) -> None:
    report = testing.check_llm(support.spec(server, **options))
    assert not [note for note in report.notes if "no usable draft" in note]
