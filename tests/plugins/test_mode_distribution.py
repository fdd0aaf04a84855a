"""A distribution with a self-refining mode is installed, listed, checked, run and resumed like any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "distributions" / "mirror"
RUN_POPBENCH = "import sys; from popbench.cli import main; sys.argv[0] = 'popbench'; main()"
LLM = """
import json, popbench
from pathlib import Path

class Judge(popbench.LLM):
    "Writes drafts, and finds the third one good."
    version = "1"
    def generate(self, chats):
        for chat in chats:
            with Path("asked.txt").open("a") as log:
                log.write(chat.id + chr(10))
            if chat.schema:
                draft = {"title": f"Take {len(chat.messages)} {chat.seed}", "video_prompt": chat.prompt}
                yield popbench.Completion(chat.id, json.dumps(draft))
            else:
                asked = len(Path("asked.txt").read_text().splitlines())
                if Path("strike.txt").exists() and asked > 3:
                    raise RuntimeError("on strike")
                yield popbench.Completion(chat.id, "It is too slow." if asked < 4 else "GOOD")

@popbench.hookimpl
def register_llms(register):
    register("judge", Judge)
"""
Run = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the distribution, built and installed by pip, and an LLM; nothing is downloaded."""
    pytest.importorskip("setuptools", minversion="77", reason="the build backend, part of popbench[test]")
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for file in SOURCE.iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--target", str(folder)]
    done = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--no-index", str(source)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "judge.py").write_text(LLM, encoding="utf-8")
    info = folder / "popbench_judge-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: popbench-judge\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[popbench]\njudge = judge\n", encoding="utf-8")
    return folder


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(site), "XDG_CONFIG_HOME": str(tmp_path / "config"), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-W", "error", *words],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return run


def test_it_takes_at_most_thirty_lines() -> None:
    lines = (SOURCE / "mirror.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 30


def test_it_is_listed_with_its_options_and_presets(run: Run) -> None:
    done = run("-c", RUN_POPBENCH, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    listed = {item["name"]: item for item in json.loads(done.stdout)["components"] if item["kind"] == "mode"}
    assert listed.keys() == {"refine", "best", "few", "mirror", "mirror-long"}
    assert listed["mirror"]["distribution"] == "popbench-mirror"
    assert listed["mirror-long"]["preset"] == {"tries": "5"}
    assert [option["name"] for option in listed["mirror"]["options"]] == ["tries"]


def test_the_kit_finds_nothing_wrong_with_it(run: Run) -> None:
    done = run("-m", "popbench.testing", "mode", "mirror", "mirror,tries=4", "mirror-long")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("keeps all") == 3


def test_it_is_run_resumed_and_ranked_beside_a_template(run: Run, tmp_path: Path) -> None:
    words = "eval --llm judge --gen kinetic --mode basic --mode mirror,tries=3 --task popcorn_concrete --limit 2"
    command = ["-c", RUN_POPBENCH, *words.split(), "--corpus", "demo", "--out", "run"]
    (tmp_path / "strike.txt").touch()
    done = run(*command)
    assert done.returncode == 1, done.stderr
    assert "on strike" in done.stderr
    before = (tmp_path / "asked.txt").read_text().splitlines()
    (tmp_path / "strike.txt").unlink()
    done = run(*command)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked.txt").read_text().splitlines()[len(before) :]
    assert not set(before[:-1]) & set(asked), "an answered call was made again"
    rows = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["mode"] for row in rows} == {"basic", "mirror[tries=3]"}
    assert {row["status"] for row in rows} == {"ok"}
    assert min(row["attempts"] for row in rows if row["mode"] != "basic") >= 2
