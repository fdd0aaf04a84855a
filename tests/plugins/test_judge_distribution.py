"""A distribution with a judge of videos is installed, checked, run, resumed, published and reported like any other.

It asks a server over HTTP with the frames as pictures and the prompt; its scores have five parts and may be below 0.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from made_tasks import task_file

SOURCE = Path(__file__).parents[1] / "distributions" / "jury"
PAGE = Path(__file__).parents[2] / "docs/how-to/judges.md"
RUN_POPBENCH = "import sys; from popbench.cli import main; sys.argv[0] = 'popbench'; main()"
PARTS = ("relevance", "motion", "composition", "surprise", "appeal")
KEY = "a-key-of-the-jury"
ROWS = [
    {"id": f"p{n}", "prompt": f"A {'dull' if n % 3 else 'dazzling'} thing {n}", "category": "ab"[n % 2]}
    for n in range(12)
]
Run = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.slow


class Chats(BaseHTTPRequestHandler):
    """Answers chats about pictures: what it says follows from the prompt and the brightness of the pictures."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[dict[str, Any]]]
    faults: ClassVar[list[int]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            return self._send(401, {"error": {"message": "wrong key"}})
        if self.faults:
            return self._send(self.faults.pop(), {"error": {"message": "busy"}})
        text, *pictures = body["messages"][0]["content"]
        frames = [_picture(picture["image_url"]["url"]) for picture in pictures]
        self.asked.append({"text": text["text"], "frames": len(frames), "model": body["model"]})
        bright = float(np.mean([frame.mean() for frame in frames])) / 25.5 - 5
        judged = {name: round(bright / (place + 1), 3) for place, name in enumerate(PARTS)}
        if "dull" in text["text"]:
            judged["surprise"] = -5
        said = json.dumps(judged)
        usage = {"prompt_tokens": 100 * len(frames), "completion_tokens": 20}
        return self._send(200, {"choices": [{"message": {"content": said}}], "usage": usage})

    def _send(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class has it
        """Say nothing on standard error."""


def _picture(url: str) -> Any:
    head, data = url.split(",", 1)
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.fixture
def server() -> Iterator[tuple[str, type[Chats]]]:
    class OfTest(Chats):
        asked: ClassVar[list[dict[str, Any]]] = []
        faults: ClassVar[list[int]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), OfTest) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/v1/chat/completions", OfTest
        listening.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the distribution, built and installed by pip; nothing is downloaded."""
    pytest.importorskip("setuptools", minversion="77", reason="the build backend, part of popbench[test]")
    folder, source = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("source") / "jury"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--target", str(folder)]
    done = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--no-index", str(source)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    def run(*words: str, module: str | None = None) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ, "PYTHONPATH": str(site), "XDG_CONFIG_HOME": str(tmp_path / "config"), "COLUMNS": "140",
            "JURY_API_KEY": KEY,
        }  # fmt: skip
        start = ["-m", module] if module else ["-c", RUN_POPBENCH]
        command = [sys.executable, "-W", "error", *start, *words]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=200, check=False)

    return run


def evaluate(run: Run, folder: Path, url: str, *words: str, out: str = "run") -> subprocess.CompletedProcess[str]:
    task = task_file(folder / "tasks", ROWS)
    given = ("--llm", "verbatim", "--llm", "shotlist", "--mode", "basic", "--task", str(task), "--out", out)
    generator = ("--gen", "kinetic,width=64,height=64,frames=4")
    return run("eval", *given, *generator, "--predictor", f"jury,url={url},frames=2", *words)


def samples(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_kit_finds_nothing_to_object_to(run: Run, server: tuple[str, type[Chats]]) -> None:
    done = run("predictor", f"jury,url={server[0]}", module="popbench.testing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keeps all" in done.stdout


def test_a_judges_scores_and_their_parts_go_from_its_answer_to_the_board(
    run: Run, server: tuple[str, type[Chats]], tmp_path: Path
) -> None:
    url, chats = server
    chats.faults += [500, 429, 503]
    done = evaluate(run, tmp_path, url)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "run"
    made = samples(path)
    assert len(made) == 24 == len(chats.asked)
    assert all(asked["frames"] == 2 for asked in chats.asked)
    assert {asked["text"].splitlines()[0].removeprefix("A user asked for: ") for asked in chats.asked} == {
        row["prompt"] for row in ROWS
    }
    for sample in made:
        (parts,) = sample["parts"].values()
        assert list(parts) == list(PARTS)
        assert sample["popularity"] == pytest.approx(sum(parts.values()) / 5)
        assert (parts["surprise"] == -5) == ("dull" in sample["prompt"])
    assert min(sample["popularity"] for sample in made) < 0
    results = json.loads((path / "results.json").read_text(encoding="utf-8"))
    (predictor,) = results["predictors"]
    assert (predictor["unit"], predictor["scale"]) == ("points", "real")
    assert {row["part"] for row in results["parts"]} == set(PARTS)
    board = (path / "leaderboard.md").read_text(encoding="utf-8")
    assert "## Parts of the scores" in board
    assert "medians of the parts" in done.stdout
    with closing(sqlite3.connect(path / "ledger.sqlite")) as ledger:
        stored = [json.loads(text) for (text,) in ledger.execute("SELECT payload FROM calls WHERE stage = 'score'")]
    assert [call["usage"] for call in stored] == [{"input": 200, "output": 20}] * 24

    again = evaluate(run, tmp_path, url)
    assert again.returncode == 0, again.stderr
    assert len(chats.asked) == 24


def test_what_a_judge_scored_is_exported_reported_and_published(
    run: Run, server: tuple[str, type[Chats]], tmp_path: Path
) -> None:
    url, _ = server
    assert evaluate(run, tmp_path, url).returncode == 0
    exported = run("export", "run", "--format", "jsonl", "--out", "scores.jsonl")
    assert exported.returncode == 0, exported.stderr
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(row["scale"] == "real" and row["part_motion"] is not None for row in rows)
    ranked = run("leaderboard", "build", "scores.jsonl", "--out", "ranked")
    assert ranked.returncode == 0, ranked.stderr
    of_file = json.loads((tmp_path / "ranked/board.json").read_text(encoding="utf-8"))
    of_run = json.loads((tmp_path / "run/results.json").read_text(encoding="utf-8"))
    assert of_file["systems"] == of_run["systems"]
    report = run("report", "run")
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Parts of the scores" in page
    added = run("leaderboard", "add", "board", "run", "--title", "Judged")
    assert added.returncode == 0, added.stderr
    assert "scale: real" in (tmp_path / "board/board.yaml").read_text(encoding="utf-8")
    assert run("leaderboard", "check", "board").returncode == 0


def test_it_is_what_the_page_shows_in_60_lines() -> None:
    source = (SOURCE / "jury.py").read_text(encoding="utf-8")
    assert source in PAGE.read_text(encoding="utf-8")
    assert len([line for line in source.splitlines() if line.strip()]) <= 60
