"""The tracker `wandb`: refusals always, and offline runs where the library is installed (it is no part of `test`)."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from command_line import Run, in_process
from popbench import testing
from popbench_trackers.names import names
from popbench_trackers.wandb_runs import WandB
from tracked_runs import board_numbers, odd_run

installed = pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
BLOCK = 32_768


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_run(tmp_path_factory.mktemp("wandb") / "run")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def records(file: Path) -> Iterator[Any]:
    """Yield the records of an offline run: a log of LevelDB after seven bytes, of records of W&B's protocol."""
    protocol = importlib.import_module("wandb.proto.wandb_internal_pb2")
    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:  # the rest of a block is padding
            at += BLOCK - at % BLOCK
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole one, or its last part
            yield protocol.Record.FromString(whole)
            whole = b""


@installed
@pytest.mark.filterwarnings("default")
def test_the_numbers_of_an_offline_run_are_those_of_results_json(run: Run, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "run")
    done = run("track", "run", "--to", "wandb,mode=offline,folder=.,clips=2")
    assert (done.status, done.err) == (0, "")
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert done.out == f"wandb: run run is kept here: wandb sync {file.parent.relative_to(tmp_path)}\n"
    summary: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for record in records(file):
        for item in record.summary.update:
            summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        for item in (*record.run.config.update, *record.config.update):
            config["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        assert record.run.host == ""
        assert not record.HasField("environment")
    expected = board_numbers(made)
    named = names((*key[:3], " vs ".join(key[3:])) for key in expected)
    assert {key: summary[named[(*key[:3], " vs ".join(key[3:]))]] for key in expected} == expected
    assert (config["seed"], config["state"]) == (42, "complete")
    assert len(list(file.parent.rglob("*.mp4"))) == 2


@installed
@pytest.mark.filterwarnings("default")
def test_wandb_keeps_the_rules_of_trackers(in_tmp: Path) -> None:
    tracker = WandB(WandB.Options(mode="offline", folder=str(in_tmp)))
    assert testing.check_tracker(tracker, other_options={"mode": "online"}).ok


def test_a_missing_library_and_a_missing_key_are_told_before_work(
    run: Run, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("wandb") is None:
        assert 'wandb is not installed: pip install "popbench[wandb]"' in run("track", made, "--to", "wandb").line
    monkeypatch.setattr("popbench_trackers.libraries.version", lambda name: "0.31.0")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    done = run("track", made, "--to", "wandb,mode=online")
    assert (done.status, done.line) == (
        2,
        "popbench: tracker wandb: a key is needed: `wandb login`, or WANDB_API_KEY; mode=offline keeps runs here, "
        "for `wandb sync`",
    )
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n", encoding="utf-8")
    assert WandB(WandB.Options(mode="online")).check() == []
