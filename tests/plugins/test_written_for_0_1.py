"""Plugins of every kind that were written for 0.1, and never changed since, give what they gave then."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from distributions import install, popbench

HERE = Path(__file__).parents[1] / "distributions" / "written_for_0_1"
EXAMPLE = Path(__file__).parents[2] / "plugins" / "example"
GOLDEN = HERE / "golden.json"
RUN = (
    "eval --llm memo,words=7 --llm memo-loud --mode basic --mode pe,k=2 --task of_0_1 --predictor length"
    " --corpus shelf --embedder initials --allow-leakage --out run --gen still"
)
KINDS = {
    "llm": ["memo", "memo-loud,words=3"],
    "generator": ["fade", "still"],
    "predictor": ["length"],
    "embedder": ["initials"],
    "corpus": ["shelf"],
}
UNCHANGED = {
    HERE / "popbench_of_0_1": "17befa331d23486ff46e5f0e12042bdc72f4ad6e134933c6e7eae62e2d714a96",
    EXAMPLE / "popbench_example": "07221b0562e93e4e628d1664ebb7a3632466f983f88d3490d0d5b72b47e4dc77",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(HERE, tmp_path_factory.mktemp("site"))


def keys(run: Path) -> list[list[Any]]:
    """Return stage and key of every call, and what a predictor said beside its score."""
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        rows = ledger.execute("SELECT stage, key, json_extract(payload, '$.extra') FROM calls ORDER BY 1, 2").fetchall()
    return [[stage, key, json.loads(extra or "null")] for stage, key, extra in rows]


def samples(run: Path) -> list[dict[str, Any]]:
    """Return samples without times and without the hashes of clips, which another encoder would write."""
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    left_out = ("seconds", "video_sha256")
    return [{key: value for key, value in json.loads(line).items() if key not in left_out} for line in lines]


def described(run: Path) -> dict[str, Any]:
    """Return what run.json has of the plugins."""
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    parts = {name: part["fingerprint"] for name, part in about["components"].items()}
    return {"components": parts, "units": about["units"], "notes": about["notes"]}


def hash_of(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    content = [(path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    return hashlib.sha256(repr(content).encode()).hexdigest()


@pytest.mark.parametrize("folder", UNCHANGED, ids=lambda folder: folder.name)
def test_their_files_are_never_changed(folder: Path) -> None:
    assert hash_of(folder) == UNCHANGED[folder], "popbench has to take these plugins as they are: put them back"


@pytest.mark.parametrize("engine", ["local", "plain", "threaded"])
def test_a_run_with_all_of_them_gives_the_samples_that_it_gave(site: Path, tmp_path: Path, engine: str) -> None:
    golden, run = json.loads(GOLDEN.read_text(encoding="utf-8")), tmp_path / "run"
    done = popbench(site, tmp_path, *RUN.split(), "--engine", engine)
    assert done.returncode == 0, done.stderr
    assert keys(run) == golden["keys"]
    done = popbench(site, tmp_path, *RUN.split(), "--gen", "fade,frames=3", "--engine", engine)
    assert done.returncode == 0, done.stderr
    assert described(run) == golden["described"]
    now = samples(run)
    assert len(now) == len(golden["samples"])
    for sample, then in zip(now, golden["samples"], strict=True):
        assert {name: sample[name] for name in then} == then  # fields may have been added


def test_the_kit_finds_that_they_keep_the_rules(site: Path, tmp_path: Path) -> None:
    for kind, specs in KINDS.items():
        done = popbench(site, tmp_path, "-m", "popbench.testing", kind, *specs)
        assert done.returncode == 0, done.stdout + done.stderr


def test_all_that_they_register_is_listed(site: Path, tmp_path: Path) -> None:
    done = popbench(site, tmp_path, "plugins", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = [each for each in json.loads(done.stdout)["components"] if each["distribution"] == "popbench-of-0-1"]
    assert {each["name"] for each in found} == {
        "memo", "memo-loud", "fade", "still", "length", "initials", "shelf", "plain", "threaded",
    }  # fmt: skip
    assert all(each["summary"] for each in found)
