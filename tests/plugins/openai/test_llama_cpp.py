"""A real model behind a real server: SmolLM2-135M-Instruct in llama-cpp-python's server, which refuses JSON schemas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import llama_server
import popbench_runs
from command_line import Run, in_process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(llama_server.lacks_server()), reason=llama_server.lacks_server()),
]
TOKENS = 24


@dataclass(frozen=True)
class Server:
    """Where the server is, and its log."""

    url: str
    log: Path

    def answered(self) -> Counter[int]:
        """Return how many chats the server has answered, by status."""
        log = self.log.read_text(encoding="utf-8", errors="replace")
        return Counter(map(int, re.findall(r'"POST /v1/chat/completions HTTP/[0-9.]+" ([0-9]+)', log)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    model = llama_server.model_file()
    assert model is not None
    log = tmp_path_factory.mktemp("llama") / "server.log"
    with llama_server.serving(model, log) as url:
        yield Server(url, log)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.mark.parametrize("structured", ["off", "auto"])
def test_a_whole_evaluation_of_a_served_model_goes_through(
    server: Server, run: Run, tmp_path: Path, structured: str
) -> None:
    before = server.answered()
    llm = f"openai,model=smollm2,base_url={server.url},max_tokens={TOKENS},structured={structured}"
    done = run(
        "eval", "--llm", llm, "--gen", "kinetic", "--mode", "basic", "--corpus", "demo", "--predictor", "demo",
        "--task", "popcorn_concrete", "--limit", 2, "--out", "out",
    )  # fmt: skip
    after = server.answered()
    counts = after - before
    samples = popbench_runs.samples(tmp_path / "out")
    assert done.status == 0, done.err
    assert len(samples) == 2
    assert {sample["status"] for sample in samples} <= {"ok", "invalid"}
    assert all(sample["usage"]["output"] > 0 for sample in samples)
    assert all(sample["usage"]["input"] > 250 for sample in samples)
    assert (tmp_path / "out" / "leaderboard.md").is_file()
    assert counts[200] == sum(sample["attempts"] for sample in samples)
    # each format that the server refuses is refused once or twice, not nine times a sample
    refused = sum(count for status, count in counts.items() if status != 200)
    assert refused <= (0 if structured == "off" else 6)


def test_the_same_run_again_asks_nothing(server: Server, run: Run, tmp_path: Path) -> None:
    llm = f"openai,model=smollm2,base_url={server.url},max_tokens=8,structured=off"
    command = ("eval", "--llm", llm, "--limit", 1, "--mode", "basic", "--task", "popcorn_concrete", "--out", "out")
    assert run(*command, "--stop-after", "write").status == 0
    asked = server.answered()
    assert run(*command, "--stop-after", "write").status == 0
    assert server.answered() == asked
