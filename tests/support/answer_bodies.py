"""Answers of chat APIs as JSON, and what popbench reads in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

import openai_servers as support
import popbench
from popbench_openai.accepted import Accepted
from popbench_openai.answers import read
from popbench_openai.faults import CallError, of_body
from popbench_openai.options import ChatOptions

DRAFT = json.dumps({"title": "Paper boats", "video_prompt": "Paper boats race down a gutter in the rain."})


def completion(body: Any, *, structured: str = "off", model: str = "m", **options: Any) -> popbench.Completion:
    """Read a body as the answer to a chat."""
    given = ChatOptions(model=model, structured=structured, **options)
    return read(Accepted(given).request(support.chat("one")), body, 0.1, str, given)


def answering(content: Any = DRAFT, *, finish: Any = "stop", **message: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"message": {"content": content, **message}, "finish_reason": finish}]}


def fault_of(body: Any) -> CallError:
    """Return the error that an answer of status 200 is."""
    found = of_body(body, "KEY", formatted=True, system=True)
    if found is not None:
        return found
    with pytest.raises(CallError) as raised:
        completion(body)
    return raised.value
