"""What all tests share: the fault-injecting plugin, and no settings from the machine they run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

import faults

hypothesis.settings.register_profile("shared machine", deadline=None)  # where others work too, seconds say nothing
hypothesis.settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that open a browser: those that ask for it."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept between runs is kept in folders of the session, also by child processes and by fixtures.

    Trackers send nothing of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POPBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.getbasetemp() / "trackio"))
        for name in ("MLFLOW_TRACKING_URI", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
            patch.delenv(name, raising=False)
        for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
            patch.setenv(name, "true")
        yield


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No popbench.toml, no plugin list, no log and no key from outside takes part in a test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-config"))
    keys = [name for name in os.environ if name.endswith(("_API_KEY", "_BASE_URL")) or name == "HF_TOKEN"]
    for name in ("POPBENCH_PLUGINS", faults.LOG, *keys):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _faults() -> None:
    """A test that makes the registry anew does not take the plugin from the others."""
    faults.install()


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
