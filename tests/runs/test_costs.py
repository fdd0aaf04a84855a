"""What drafts cost: in samples, in results, on boards, and beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import popbench
from command_line import in_process
from popbench.registry import Plugin, load_registry
from popbench.runs.costs import totals
from popbench.text import dollars
from popbench_runs import run_fast


class Billed(popbench.LLM):
    """Bills 1,000 tokens for every call: a dollar a million in, ten a million out."""

    class Options(popbench.Options):
        nonsense: bool = False
        broken: bool = popbench.runtime(False)

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            text = json.dumps({"title": "A", "video_prompt": chat.prompt})
            yield popbench.Completion(
                chat.id, f"no {chat.seed}" if self.options.nonsense else text, usage={"input": 900, "output": 100}
            )

    def cost(self, usage: Mapping[str, int]) -> float | None:
        if self.options.broken:
            raise KeyError("price")
        return (usage["input"] + 10 * usage["output"]) / 1e6


class _Module:
    @staticmethod
    @popbench.hookimpl
    def register_llms(register: Any) -> None:
        register("billed", Billed)


@pytest.fixture(autouse=True)
def _billed() -> None:
    registry = load_registry()
    if ("llm", "billed") not in registry.registrations:
        registry.add(_Module, Plugin("billed", "popbench-billed", "1", "billed"))


EACH = (900 + 1000) / 1e6


def test_a_draft_that_two_generators_render_is_paid_once(tmp_path: Path) -> None:
    run = run_fast(tmp_path / "run", llm=["billed", "faulty"], gen=["faulty", "faulty,label=again,at=3"], limit=5)
    assert [sample.cost for sample in run.samples() if sample.llm == "billed"] == pytest.approx([EACH] * 10)
    assert {sample.cost for sample in run.samples() if sample.llm == "faulty"} == {None}
    assert run.results is not None
    billed, faulty = run.results["costs"]
    assert billed == {
        "llm": "billed",
        "calls": 5,
        "uncounted": 0,
        "usage": {"input": 4500, "output": 500},
        "cost": pytest.approx(5 * EACH),
    }
    assert faulty == {"llm": "faulty", "calls": 5, "uncounted": 0, "usage": {"input": 15, "output": 0}, "cost": None}
    assert [dict(row) for row in run.costs] == run.results["costs"] == totals(run.samples())
    board = (run.path / "leaderboard.md").read_text(encoding="utf-8")
    assert "drafts by billed: 5 calls, 4,500 input and 500 output tokens, $0.0095" in board
    assert "drafts by faulty: 5 calls, 15 input and 0 output tokens" in board


def test_every_answer_to_a_prompt_is_paid(tmp_path: Path) -> None:
    run = run_fast(tmp_path / "run", llm="billed,nonsense=true", limit=5)
    assert [sample.cost for sample in run.samples()] == pytest.approx([3 * EACH] * 5)
    assert run.costs[0]["calls"] == 15


@pytest.mark.slow
def test_an_estimate_goes_by_finished_calls_where_there_are_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    arguments = [
        "eval", "--llm", "billed", "--llm", "faulty", "--gen", "faulty", "--predictor", "faulty", "--mode", "basic",
        "--task", "popcorn_concrete", "--dry-run", "--out", str(out),
    ]  # fmt: skip
    run = in_process(monkeypatch, capsys, tmp_path)
    guessed = run(*arguments, "--limit", "10").out
    assert "Drafts by billed: about $" in guessed
    assert "10 drafts" in guessed
    assert "guessed until drafts of every mode are finished" in guessed
    assert "Drafts by faulty" not in guessed
    run_fast(out, llm="billed", limit=5)
    line = next(line for line in run(*arguments, "--limit", "45").out.splitlines() if "Drafts by" in line)
    assert line.startswith("Drafts by billed: about $0.08 more for 40 drafts, 36,000 input and 4,000 output tokens")
    assert line.endswith("(from finished calls)")
    run_fast(out, llm="billed", limit=45)
    row = json.loads(run(*arguments, "--limit", "45", "--json").out)["costs"][0]
    assert (row["drafts"], row["cost"]) == (0, 0.0)


def test_a_cost_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(popbench.UsageError, match=r"llm billed: cost of .*KeyError: 'price'"):
        run_fast(tmp_path / "run", llm="billed,broken=true")


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (0, "$0.00"),
        (0.00123, "$0.0012"),
        (1e-5, "$0.000010"),
        (0.076, "$0.08"),
        (0.5, "$0.50"),
        (1, "$1.00"),
        (12345.678, "$12,345.68"),
    ],
)
def test_amounts_are_written_so_that_small_ones_differ(amount: float, written: str) -> None:
    assert dollars(amount) == written
