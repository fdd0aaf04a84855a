"""Errors of chat APIs, in the shapes that servers send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from answer_bodies import DRAFT, answering, completion, fault_of
from popbench_openai.bodies import json_of
from popbench_openai.faults import Kind, of_body, of_status

LONG = "The prompt has 9000 tokens, more than the context window of 8192"
ERRORS: dict[str, Any] = {
    "vllm": {"object": "error", "message": LONG, "type": "BadRequestError", "param": None, "code": 400},
    "openai": {"error": {"message": LONG, "type": "invalid_request_error", "code": None}},
    "text": {"error": LONG},
    "true": {"error": True, "message": LONG},
    "code and msg": {"code": 20015, "msg": LONG, "data": None},
    "code and message": {"code": "InvalidParameter", "message": LONG, "request_id": "1"},
    "error_code": {"error_code": 17, "error_msg": LONG},
    "errcode": {"errcode": 40001, "errmsg": LONG},
    "detail": {"detail": LONG},
    "detail list": {"detail": [{"type": "value_error", "loc": ["body", "messages"], "msg": LONG, "input": {"n": 1}}]},
    "errors": {"errors": [{"message": LONG}], "success": False},
    "errors of text": {"errors": [LONG]},
    "typed": {"type": "error", "error": {"type": "invalid_request_error", "message": LONG}},
    "status error": {"status": "error", "message": LONG},
    "status failed": {"status": "failed", "error": {"message": LONG}},
    "base_resp": {"id": "1", "choices": None, "base_resp": {"status_code": 2013, "status_msg": LONG}},
    "base_resp beside a choice": {**answering(), "base_resp": {"status_code": 2013, "status_msg": LONG}},
    "in the choice": {"choices": [{"error": {"code": 400, "message": LONG}, "finish_reason": "error", "message": {}}]},
    "in the message": {"choices": [{"message": {"content": "", "error": {"message": LONG}}}]},
    "words in the choice": {"choices": [{"error_code": 17, "error_msg": LONG, "message": {"content": ""}}]},
    "errors in the choice": {"choices": [{"errors": [{"message": LONG}], "message": {"content": "half"}}]},
    "capitals in the choice": {"choices": [{"Error": {"Message": LONG}, "message": {"content": "half"}}]},
    "in the delta": {"choices": [{"delta": {"content": "", "error": LONG}, "finish_reason": None}]},
    "a choice that failed": {"choices": [{"status": "failed", "message": {"content": LONG}}]},
    "a choice of type error": {"choices": [{"type": "error", "message": {"content": LONG}, "finish_reason": "stop"}]},
    "in a choice with text": {"choices": [{"error": {"message": LONG}, "message": {"content": "half"}}]},
    "no choices": {"choices": [], "message": LONG},
    "header": {"header": {"code": 10907, "message": LONG}},
    "capitals": {"ResponseMetadata": {"Error": {"Code": "InvalidParameter", "Message": LONG}}},
    "problem": {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": LONG},
    "JSON in text": {"error": {"message": json.dumps({"error": {"message": LONG}})}},
    "of a provider behind": {"error": {"message": "It failed", "metadata": {"raw": json.dumps({"msg": LONG})}}},
    "a list": [{"error": {"code": 400, "message": LONG, "status": "INVALID_ARGUMENT"}}],
}  # fmt: skip


@pytest.mark.parametrize("shape", ERRORS)
def test_an_error_in_a_body_of_status_200_is_told_in_the_servers_words(shape: str) -> None:
    fault = fault_of(ERRORS[shape])
    assert LONG in fault.what
    assert (fault.kind, "--mode pe,k=N" in fault.remedy) == (Kind.ITEM, True)


@pytest.mark.parametrize(
    "text", [f'data: {{"error": {{"message": "{LONG}"}}}}\n\ndata: [DONE]\n', json.dumps(json.dumps({"error": LONG}))]
)
def test_an_error_in_a_stream_or_in_a_text_is_found(text: str) -> None:
    assert LONG in fault_of(json_of(text)).what


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("input length exceeds the limit of 4096", Kind.ITEM),
        ("inputs must have less than 1024 tokens. Given: 2000", Kind.ITEM),
        ("`inputs` tokens + `max_new_tokens` must be <= 4096", Kind.ITEM),
        ("Requested tokens (5000) exceed context window of 2048", Kind.ITEM),
        ("the length of messages must be shorter", Kind.ITEM),
        ("max_tokens must be <= 8192", Kind.PASSING),
        ("invalid_parameter: top_k is too large", Kind.ITEM),
        ("the max length of a question is 900", Kind.ITEM),
        ("Prompt tokens too long", Kind.ITEM),
        ("Too many tokens, please wait before trying again.", Kind.PASSING),
        ("NoAuthError", Kind.FATAL),
        ("login fail: please carry the API secret key", Kind.FATAL),
        ("Access token invalid or no longer valid", Kind.FATAL),
        ("Incorrect API key provided", Kind.FATAL),
        ("insufficient balance", Kind.FATAL),
        ("账户余额不足", Kind.FATAL),
        ("The model `old-one` has been deprecated", Kind.FATAL),
        ("Model Not Exist", Kind.FATAL),
        ("rate limit reached, please try again", Kind.PASSING),
        ("unknown error", Kind.PASSING),
        ("input new_sensitive", Kind.INVALID),
        ("输入内容包含敏感信息", Kind.INVALID),
        ("Content Exists Risk", Kind.INVALID),
        ("response_format json_schema is not supported", Kind.FORMAT),
        ("System role not supported", Kind.SYSTEM),
    ],
)
def test_an_error_of_any_shape_is_classified_by_its_words(said: str, kind: Kind) -> None:
    for body in ({"error": {"message": said}}, {"code": 1, "msg": said}, {"errors": [{"detail": said}]}):
        assert fault_of(body).kind is kind, body


@pytest.mark.parametrize("error", [None, False, "", {}, [], {"code": 0, "message": "ok"}, {"code": "", "message": ""}])
def test_an_error_field_that_tells_of_none_changes_nothing(error: Any) -> None:
    fine = {**answering(), "error": error, "base_resp": {"status_code": 0, "status_msg": "success"}, "code": 200}
    assert of_body(fine, "KEY", formatted=False) is None
    assert completion(fine).text == DRAFT


def test_a_choice_that_failed_without_a_word_is_the_servers_failure() -> None:
    fault = fault_of({"choices": [{"status": "failed", "message": {"content": ""}, "finish_reason": "stop"}]})
    assert (fault.kind, fault.what) == (Kind.PASSING, "answered with an error that says nothing")


def test_the_status_beside_an_error_counts_where_the_error_has_none() -> None:
    assert fault_of({"status": 404, "error": "Not Found", "path": "/v1"}).kind is Kind.FATAL
    assert fault_of({"status": 500, "error": {"code": 402, "message": "pay first"}}).kind is Kind.FATAL


@pytest.mark.parametrize(
    "body",
    [
        {"promptFeedback": {"blockReason": "OTHER"}},
        {**answering(""), "output_sensitive": True},
        {"choices": [{"message": {"content": ""}, "content_filter_results": {"hate": {"filtered": True}}}]},
    ],
)
def test_an_answer_without_text_is_filtered_where_the_body_says_so(body: Any) -> None:
    assert (fault_of(body).kind, fault_of(body).reason) == (Kind.INVALID, "content filter")
    assert completion({**answering(), "prompt_filter_results": [{"hate": {"filtered": True}}]}).text == DRAFT


def test_an_error_status_with_a_server_s_own_shape_is_told_in_its_words() -> None:
    told = of_status(422, {"detail": [{"loc": ["body", "seed"], "msg": "extra fields"}]}, None, "KEY", formatted=True)
    assert (told.what, told.remedy, told.kind) == ("422 body.seed: extra fields", "try seed=false", Kind.ITEM)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'input': 'json_schema'}]"),
        (501, "structured outputs are not implemented"),
        (400, "json_schema: unknown field"),
        (422, 'response_format type must be one of "text" or "json_object"'),
        (404, "No provider was found that can handle the requested parameters"),
        (403, "response_mime_type application/json is not enabled"),
        (400, "this model has no JSON output"),
    ],
)
def test_a_refusal_of_a_response_format_is_known_whatever_its_status(status: int, message: str) -> None:
    assert of_status(status, {"error": {"message": message}}, None, "KEY", formatted=True).kind is Kind.FORMAT
    assert of_status(status, {"error": {"message": message}}, None, "KEY", formatted=False).kind is not Kind.FORMAT


@pytest.mark.parametrize(
    "message",
    [
        "System role not supported",
        "'messages[0].role' does not support 'system' with this model",
        "Only user and assistant roles are supported!",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Developer instruction is not enabled for models/gemma-3-4b-it",
        "role 'system' is not supported on this model",
        "This model does not accept system messages.",
        "messages.0.role: Input should be 'user' or 'assistant'",
        "'system' is not one of ['user', 'assistant']",
        "unexpected message role: system",
        "the role of first message must be user",
        "System prompt is not allowed here",
        "Invalid value: 'system'. Supported are 'user' and 'assistant'.",
        "roles other than user and assistant are refused",
        "system is not a valid role",
        "No provider was found that supports system prompts",
    ],
)
@pytest.mark.parametrize("status", [400, 403, 404, 422, 500])
def test_a_refusal_of_the_system_role_is_known_by_its_words(status: int, message: str) -> None:
    assert of_status(status, {"message": message}, None, "KEY", formatted=False, system=True).kind is Kind.SYSTEM


@pytest.mark.parametrize("message", ["Internal server error", "The system is busy", "seed: not supported"])
def test_other_words_are_no_refusal_of_the_system_role(message: str) -> None:
    assert of_status(500, {"message": message}, None, "KEY", formatted=True, system=True).kind is Kind.PASSING
