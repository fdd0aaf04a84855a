"""Contents, ends and token counts of chat APIs, in the shapes that servers send."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from answer_bodies import DRAFT, answering, completion, fault_of
from popbench_openai.faults import CallError, Kind, of_body, of_status
from popbench_openai.replies import Ending, ending, reads_less, same_model, usage_of

ENDS: dict[Ending, list[Any]] = {
    "whole": [{"type": "stop"}, "stop", "STOP", "eos", "end_turn", "stop_sequence", "tool_calls",
              "FINISH_REASON_STOP", "endTurn"],
    "cut": ["length", "max_tokens", "MAX_TOKENS", "maxTokens", "FINISH_REASON_MAX_TOKENS", "max_output_tokens"],
    "context": ["model_length", "model_context_window_exceeded"],
    "filter": ["content_filter", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "sensitive", "risk_control",
               "moderation", "guardrail_intervened", "content-filter"],
    "refusal": ["refusal", "model_refused"],
    "broken": ["error", "network_error", "abort", "load", "unexpected_state",
               "insufficient_system_resource", "oom", "disconnected"],
    "unknown": [None, "", "null", "OTHER", 7, {"a": "stop"}],
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_a_finish_reason_is_known_by_its_several_names(end: Ending) -> None:
    assert {repr(name): ending(name) for name in ENDS[end]} == {repr(name): end for name in ENDS[end]}


@pytest.mark.parametrize("finish", [*ENDS["broken"], *ENDS["unknown"]])
def test_an_end_that_is_none_without_any_text_is_the_servers_failure(finish: Any) -> None:
    contents: tuple[Any, ...] = ("", None, [], " \n")
    for content in contents:
        assert fault_of(answering(content, finish=finish)).kind is Kind.PASSING


def test_an_answer_without_a_finish_reason_is_read_where_it_has_text() -> None:
    assert completion(answering(finish=None)).text == DRAFT


@pytest.mark.parametrize(("finish", "reason"), [("SAFETY", "content filter"), ("refusal", "refusal")])
def test_a_filter_and_a_refusal_are_invalid_with_their_reason(finish: str, reason: str) -> None:
    for body in (answering("", finish=finish), {"choices": [{"message": None, "finish_reason": finish}]}):
        fault = fault_of(body)
        assert (fault.kind, fault.reason) == (Kind.INVALID, reason)


CONTENTS: dict[str, Any] = {
    "object": {"type": "text", "text": DRAFT},
    "value": {"text": {"value": DRAFT, "annotations": []}},
    "parts": [{"type": "text", "text": DRAFT[:20]}, {"type": "output_text", "text": DRAFT[20:]}],
    "values in parts": [{"type": "text", "text": {"value": DRAFT}}],
    "nested": {"content": [{"parts": [{"text": DRAFT}]}]},
    "texts": [DRAFT[:5], DRAFT[5:]],
    "beside a picture": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": DRAFT}],
    "thinking": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": DRAFT}],
    "read as JSON already": json.loads(DRAFT),
    "JSON in a part": [{"type": "output_json", "json": json.loads(DRAFT)}],
    "the input of a tool": [{"type": "tool_use", "name": "draft", "input": json.loads(DRAFT)}],
}


@pytest.mark.parametrize("shape", CONTENTS)
def test_a_content_is_read_in_its_several_shapes(shape: str) -> None:
    answer = completion(answering(CONTENTS[shape]))
    assert json.loads(answer.text) == json.loads(DRAFT)
    assert (answer.reasoning == "Hm.") == (shape == "thinking")


@pytest.mark.parametrize("content", [{"type": "image", "data": "x"}, [{"blob": 1}], 7, True, [[{"a": [1]}]]])
def test_a_content_of_another_shape_is_an_error_and_no_empty_draft(content: Any) -> None:
    fault = fault_of(answering(content))
    assert fault.kind is Kind.ITEM
    assert "content in a shape that is not read" in fault.what


def test_a_refusal_in_a_part_is_a_refusal() -> None:
    fault = fault_of(answering([{"type": "refusal", "refusal": "I would rather not."}]))
    assert (fault.reason, "I would rather not." in fault.what) == ("refusal", True)


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": DRAFT},
        {"reasoning": DRAFT},
        {"reasoning_details": [{"type": "reasoning", "text": DRAFT}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": DRAFT, "signature": "x"}]},
        {"reasoningContent": {"reasoningText": {"text": DRAFT}}},
        {"provider_specific_fields": {"reasoning_content": DRAFT}},
    ],
)
def test_a_draft_in_the_reasoning_alone_is_read_with_a_remark(message: dict[str, Any]) -> None:
    for content in (None, "", "\n"):
        answer = completion(answering(content, **message))
        assert (answer.text, answer.reasoning) == (DRAFT, None)
        (remark,) = answer.remarks
        assert "reasoning parser" in remark


def test_an_answer_in_a_call_of_a_tool_is_read_with_a_remark() -> None:
    call = {"function": {"name": "draft", "arguments": DRAFT}}
    answer = completion(answering(None, finish="tool_calls", tool_calls=[call]))
    assert answer.text == DRAFT
    assert "tool" in answer.remarks[0]


@pytest.mark.parametrize("finish", ENDS["cut"])
def test_an_answer_that_is_cut_says_so_and_how_to_allow_more(finish: str) -> None:
    for content in (DRAFT[:30], ""):
        answer = completion(answering(content, finish=finish))
        assert answer.cut
        (remark,) = answer.remarks
        assert "cut at the limit of tokens" in remark
        assert "max_tokens=" in remark
    more = {"max_completion_tokens": 9}
    assert "max_completion_tokens" in completion(answering(finish=finish), extra_body=more).remarks[0]


def test_an_answer_cut_at_the_end_of_the_context_says_so() -> None:
    answer = completion(answering("{", finish="model_length"))
    assert answer.cut
    assert "RAG size" in answer.remarks[0]


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 7}, {"input": 100, "output": 7}),
        ({"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 167,
          "completion_tokens_details": {"reasoning_tokens": 60}}, {"input": 100, "output": 67, "reasoning": 60}),
        ({"prompt_tokens": 100, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 60}},
         {"input": 100, "output": 67, "reasoning": 60}),
        ({"prompt_tokens": 100, "completion_tokens": 67, "total_tokens": 167, "reasoning_tokens": 60},
         {"input": 100, "output": 67, "reasoning": 60}),
        ({"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 150}, {"input": 100, "output": 50}),
        ({"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 107, "cache_read_input_tokens": 90},
         {"input": 10, "output": 7}),
        ({"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 167, "cached_tokens": 90,
          "reasoning_tokens": 60},
         {"input": 10, "output": 67, "reasoning": 60}),
        ({"input_tokens": "100", "output_tokens": "7"}, {"input": 100, "output": 7}),
        ({"prompt_tokens": 100, "total_tokens": 107}, {"input": 100, "output": 7}),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({}, None), (None, None), ("many", None), ({"prompt_tokens": -1, "completion_tokens": 1.5}, None),
    ],
)  # fmt: skip
def test_tokens_are_counted_in_the_several_shapes_of_usage(usage: Any, counts: dict[str, int] | None) -> None:
    assert usage_of({"usage": usage}, {}) == counts


def _remarks_of(text: str, tokens: int, **usage: Any) -> bool:
    return reads_less(iter([text]), {"usage": {"prompt_tokens": tokens, **usage}}, tokens)


ENGLISH = "Night market noodles sizzle while the camera slowly circles around the cook. " * 200


def test_a_server_that_counts_fewer_tokens_than_a_prompt_has_is_remarked() -> None:
    assert _remarks_of(ENGLISH, 2048)  # 7.5 characters a token
    assert _remarks_of(ENGLISH[:11_000], 2049)  # 5.4, and just as many as a usual context
    assert _remarks_of("\u96e8" * 8000, 2048)
    assert not _remarks_of(ENGLISH, len(ENGLISH) // 5)
    assert not _remarks_of("\u96e8" * 8000, 5000)
    assert not _remarks_of(ENGLISH, 100, prompt_tokens_details={"cached_tokens": 3000})
    assert not _remarks_of("x" * 900, 3), "short prompts tell nothing"
    assert not _remarks_of(" " * 20_000 + "-" * 20_000 + ENGLISH[:2000], 450), "runs of one character are few tokens"
    assert not _remarks_of(ENGLISH, 0)


SAME = [
    ("openai/gpt-4o", "gpt-4o-2024-08-06"), ("claude-sonnet-4", "claude-sonnet-4-20250514"),
    ("x/y-v3-0324:free", "x/y-v3"),
    ("mistral-large-latest", "mistral-large-2411"), ("anthropic/claude-3.5-sonnet", "claude-3-5-sonnet-20241022"),
    ("llama3.3", "llama3.3:latest"), ("smollm2", "/srv/models/SmolLM2-135M-Instruct.Q4_K_M.gguf"), ("M", "m"),
    ("gemini-2.5-flash", "models/gemini-2.5-flash-preview-05-20"), ("gemini-1.5-pro", "gemini-1.5-pro-002"),
    ("us.anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307"), ("accounts/a/models/b", "b"),
    ("a/b", "a/b@main"),
]  # fmt: skip
OTHER = [
    ("deepseek-reasoner", "deepseek-v4-flash"), ("gpt-4o", "gpt-4o-mini"), ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
    ("llama3.3:70b", "llama3.3:8b"), ("gpt-4", "gpt-4.1"), ("deepseek-v3", "deepseek-v4"),
    ("opus-4", "opus-4-1-20250805"),
    ("qwen2.5-7b", "qwen2.5-72b"), ("router/auto", "gpt-4o"), ("other", "/srv/models/smollm2.gguf"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "answered"), SAME)
def test_a_model_is_the_same_under_another_providers_name_and_date(asked: str, answered: str) -> None:
    assert same_model(asked, answered)
    assert not completion({**answering(), "model": answered}, model=asked).remarks


@pytest.mark.parametrize(("asked", "answered"), OTHER)
def test_an_answer_by_another_model_is_remarked(asked: str, answered: str) -> None:
    (remark,) = completion({**answering(), "model": answered}, model=asked).remarks
    assert remark == f"asked {asked}, answered by {answered.removeprefix('/srv/models/')}"


NAMES = st.sampled_from(
    ["choices", "message", "content", "text", "value", "type", "refusal", "reasoning", "reasoning_details", "metadata",
     "finish_reason", "error", "errors", "detail", "code", "msg", "base_resp", "status_code", "status_msg",
     "status", "usage",
     "model", "prompt_tokens", "completion_tokens", "total_tokens", "tool_calls", "function", "arguments", "loc", "raw"]
)  # fmt: skip
WORDS = st.sampled_from(
    [DRAFT, "", "stop", "length", "error", "sensitive", '{"error": {"message": "x"}}', "400", "[{", "\x00"]
)
LEAVES = st.none() | st.booleans() | st.integers(-5, 600) | st.floats() | WORDS | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
CHOICES = st.fixed_dictionaries(
    {"message": st.fixed_dictionaries({"content": VALUES}) | VALUES, "finish_reason": VALUES}
)
BODIES = VALUES | st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, min_size=1, max_size=2), "usage": VALUES, "model": VALUES}
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(body=BODIES, structured=st.sampled_from(["off", "json_schema"]))
def test_any_body_is_a_completion_or_one_line(body: Any, structured: str) -> None:
    answer, fault = None, of_body(body, "KEY", formatted=True, system=True)
    with suppress(CallError):
        answer = completion(body, structured=structured)
    if answer is not None:
        assert answer.text.strip() or answer.cut
        assert all(type(count) is int and count >= 0 for count in (answer.usage or {}).values())
    for error in (fault, of_status(500, body, None, "", formatted=True, system=True)):
        assert error is None or (len(error.what.splitlines()) == 1 and len(error.what) < 500)
