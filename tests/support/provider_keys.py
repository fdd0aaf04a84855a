"""Presets of LLMs with the keys of some providers and no others, on a given day."""

from __future__ import annotations

import datetime
import os

import pytest

from popbench.registry import Resolved, load_registry
from popbench_openai import routes


def made(spec: str) -> Resolved:
    """Return the LLM of a spec."""
    return load_registry().resolve("llm", spec)


def on(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    """Let it be this day."""
    monkeypatch.setattr(routes, "today", lambda: datetime.date.fromisoformat(day))


def keys(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Set these keys and no others."""
    for name in [name for name in os.environ if name.endswith("_API_KEY") or name == "HF_TOKEN"]:
        monkeypatch.delenv(name)
    for name in names:
        monkeypatch.setenv(name, f"key-of-{name}-0123456789")
