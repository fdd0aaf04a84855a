"""What a job has come to, by the provider's own words: also where LiteLLM says something else or nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from popbench_litellm import library

pytestmark = pytest.mark.skipif(bool(library.missing()), reason=library.missing())


def video(status: str, **more: Any) -> Any:
    """Make what LiteLLM says of a job."""
    return SimpleNamespace(**{"status": status, "error": None, "usage": None, "seconds": None, **more})


def state(provider: str, told: Any, body: Any = None) -> tuple[str, str] | None:
    """Return where a job is, and the reason."""
    from popbench_litellm.video_states import Reply, state_of

    found = state_of(provider, told, [Reply(200, body)])
    return None if found is None else (found.kind.name, found.said)


@pytest.mark.parametrize("provider", ["gemini", "vertex_ai"])
@pytest.mark.parametrize(
    ("operation", "outcome"),
    [
        ({"name": "o"}, ("AT_WORK", "processing")),
        ({"name": "o", "done": True, "error": {"code": 13, "message": "internal"}}, ("FAILED", "internal")),
        (
            {"done": True, "error": {"code": 3, "message": "words that violate our usage guidelines"}},
            ("REFUSED", "words that violate our usage guidelines"),
        ),
        ({"done": True, "response": {"raiMediaFilteredCount": 1}}, ("REFUSED", "")),
        ({"done": True, "response": {"generateVideoResponse": {"raiMediaFilteredReasons": ["no"]}}}, ("REFUSED", "no")),
        ({"done": True, "response": {}}, ("FAILED", "it ended without a video")),
        ({"done": True}, ("FAILED", "it ended without a video")),
        ({"done": True, "response": "x"}, ("UNKNOWN", "it ended with an answer in a shape that is not read")),
        (
            {"done": True, "response": {"generateVideoResponse": [1]}},
            ("UNKNOWN", "it ended with an answer in a shape that is not read"),
        ),
        ({"done": True, "response": {"raiMediaFilteredReasons": 5}}, ("REFUSED", "5")),
        ({"done": True, "response": {"videos": [{"bytesBase64Encoded": "AA=="}]}}, ("DONE", "")),
        (
            {
                "done": True,
                "response": {"generateVideoResponse": {"generatedSamples": [{}], "raiMediaFilteredCount": 0}},
            },
            ("DONE", ""),
        ),
    ],
)
def test_google_s_operation_counts_and_not_that_litellm_calls_it_completed(
    provider: str, operation: dict[str, Any], outcome: tuple[str, str]
) -> None:
    assert state(provider, video("completed" if operation.get("done") else "processing"), operation) == outcome
    if operation.get("done"):
        assert state(provider, None, operation) == outcome, "LiteLLM fails to read some of these"


@pytest.mark.parametrize(
    "error",
    [
        {"code": "SAFETY.OUTPUT.VIDEO", "message": "no"},
        {"code": "INPUT_PREPROCESSING.SAFETY.TEXT", "message": "no"},
        {"code": "moderation_blocked", "message": "no"},
        {"code": "DataInspectionFailed", "message": "no"},
        {"code": "OutputVideoSensitiveContentDetected", "message": "no"},
        {"code": "1026", "message": "no"},
        {"code": "x", "message": "The input may contain sensitive information"},
    ],
)
def test_providers_codes_and_words_of_a_refusal_are_known(error: dict[str, str]) -> None:
    assert state("x", video("failed", error=error)) == ("REFUSED", error["message"])


def test_other_ends_are_failures_and_an_unknown_status_is_told() -> None:
    assert state("x", video("failed", error={"code": "INTERNAL.BAD_OUTPUT.CODE01", "message": "odd"})) == (
        "FAILED",
        "odd",
    )
    assert state("x", video("cancelled")) == ("FAILED", "")
    assert state("x", video("dreaming")) == ("UNKNOWN", "dreaming")
    assert state("x", None) is None


@pytest.mark.parametrize("provider", ["fal_ai", "runwayml"])
def test_a_status_that_litellm_takes_for_queued_is_read_from_the_provider(provider: str) -> None:
    assert state(provider, video("queued"), {"status": "IN_QUEUE"}) == ("AT_WORK", "queued")
    assert state(provider, video("queued"), {"status": "THROTTLED"}) == ("AT_WORK", "queued")
    assert state(provider, video("queued"), {"status": "CANCELED"}) == ("FAILED", "")
    assert state(provider, video("queued"), {"status": "ASLEEP"}) == ("UNKNOWN", "asleep")
    assert state(provider, video("queued"), {"hello": 1}) == ("UNKNOWN", "none")


def test_a_seconds_of_seconds_is_one_that_can_be() -> None:
    from popbench_litellm.video_states import seconds_of

    assert seconds_of("4") == 4
    assert [seconds_of(told) for told in (float("nan"), "inf", -1, 0, None, [4], 10**400, "abc", "1e300")] == [None] * 9
