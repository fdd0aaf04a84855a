"""The requests that components of test runs were asked."""

from __future__ import annotations

from pathlib import Path

import pytest

import faults


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the counting components write what they are asked."""
    path = tmp_path / "asked.txt"
    path.touch()
    monkeypatch.setenv(faults.LOG, str(path))
    return path
