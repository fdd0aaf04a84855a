"""A real server of the OpenAI protocol, `transformers serve`, with a tiny model of random weights."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import popbench_runs
import tiny_llms
from openai_servers import ask, chat, done, eventually, failed, make, spec

pytest.importorskip("fastapi", reason="transformers serve needs transformers[serving]")


@dataclass(frozen=True)
class Real:
    """Where a server is, what it serves, and its process."""

    url: str
    model: str
    process: subprocess.Popen[bytes]


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    folder = tmp_path_factory.mktemp("serve")
    model = str(tiny_llms.tiny())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = str(Path(sys.executable).with_name("transformers"))
    environment = {**os.environ, "HF_HUB_CACHE": str(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [command, "serve", model, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=log, stderr=log, env=environment,
        )  # fmt: skip
        try:
            assert eventually(lambda: _listens(port) or process.poll() is not None, 90)
            assert process.poll() is None, (folder / "log.txt").read_text()
            yield Real(f"http://127.0.0.1:{port}/v1", model, process)
        finally:
            process.kill()
            process.wait()


def _spec(real: Real, **options: object) -> str:
    return spec(real.url, model=real.model, max_tokens=24, **options)


@pytest.mark.slow
def test_answers_come_with_their_tokens_and_depend_on_the_seed(real: Real) -> None:
    chats = [chat("one", seed=1), chat("two", seed=2)]
    llm = make(real.url, model=real.model, max_tokens=24, temperature=1.0, concurrency=1)
    first, again = ask(llm, chats), ask(llm, chats)
    for one in chats:
        answer = done(first[one.id])
        assert answer.text == done(again[one.id]).text
        assert answer.usage is not None
        assert answer.usage["input"] > 20
        assert 0 < answer.usage["output"] <= 24
        (remark,) = answer.remarks
        assert "cut at" in remark


def test_a_model_that_is_not_served_is_told(real: Real) -> None:
    answer = failed(ask(make(real.url, model="/nowhere/else", max_retries=0), [chat("one")])["one"])
    assert "/nowhere/else" in answer.error
    assert real.url in answer.error


@pytest.mark.slow
def test_a_run_goes_through_and_a_second_one_asks_nothing(real: Real, tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", llm=_spec(real), limit=3, mode=["basic", "pe"], corpus="demo")
    assert run.complete
    assert run.errors == 0
    assert run.invalid == run.n == 6, "random weights write no drafts"
    (cost,) = run.costs
    assert cost["calls"] == 12, "an answer that is the one before is not asked for once more"
    assert cost["usage"]["input"] > 12 * 100
    assert 12 <= cost["usage"]["output"] <= 12 * 24
    real.process.kill()
    assert popbench_runs.run_fast(
        tmp_path / "run", llm=_spec(real), limit=3, mode=["basic", "pe"], corpus="demo"
    ).complete
