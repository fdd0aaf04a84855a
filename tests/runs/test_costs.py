"""What drafts cost: in samples, in results, on boards, and beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import popbench
import priced_components
from command_line import in_process
from popbench.evaluation.merge import merge
from popbench.ledger.ledger import Ledger
from popbench.registry import Plugin, load_registry
from popbench.runs.costs import totals
from popbench.runs.status_reading import read_status
from popbench.text import dollars
from popbench_runs import run_fast
from priced_components import SECOND, TOKEN, Account


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

    def cost(self, usage: Mapping[str, float]) -> float | None:
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
    priced_components.install()


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


PRICED: dict[str, Any] = {"llm": ["metered", "metered,label=b"], "gen": "studio", "predictor": "grader"}


def test_clips_and_scores_that_systems_share_are_paid_once(tmp_path: Path) -> None:
    run = run_fast(tmp_path / "run", **PRICED, limit=6)
    again, drafts, clips, scores = run.costs
    assert (drafts["llm"], again["llm"]) == ("metered", "b")
    assert Account.spent == pytest.approx(drafts["cost"] + clips["cost"] + scores["cost"])
    assert (clips["generator"], clips["calls"], clips["uncounted"]) == ("studio", 6, 0)
    assert clips["cost"] == clips["usage"]["video_seconds"] * SECOND
    assert scores == {
        "predictor": "grader", "calls": 6, "uncounted": 0, "usage": {"input": 540, "output": 60},
        "cost": pytest.approx(600 * TOKEN),
    }  # fmt: skip
    assert run.results is not None
    assert (
        run.results["costs"] == [dict(row) for row in run.costs] == [dict(row) for row in popbench.load(run.path).costs]
    )
    board = (run.path / "leaderboard.md").read_text(encoding="utf-8")
    assert f"clips by studio: 6 calls, {clips['usage']['video_seconds']} video seconds, 6 requests, $" in board
    assert "scores by grader: 6 calls, 540 input and 60 output tokens, $0.60" in board


def test_a_sample_says_what_each_of_its_stages_cost(tmp_path: Path) -> None:
    run = run_fast(tmp_path / "run", **{**PRICED, "predictor": ["grader", "faulty", "grader,label=free,priced=false"]})
    for sample in run.samples():
        generated = sample.costs["generate"]
        assert generated in {0.5, 1.0, 1.5, 2.0}
        assert dict(sample.costs) == {"llm": sample.cost, "generate": generated, "predict": None}
    run = run_fast(tmp_path / "run", **{**PRICED, "predictor": ["grader", "faulty"]})
    assert [sample.costs["predict"] for sample in run.samples()] == pytest.approx([0.1] * 10)
    frame = run.to_pandas()
    assert frame["cost_predict"][0] == pytest.approx(0.1)


def test_what_is_not_known_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_fast(tmp_path / "run", llm="metered", gen="studio,priced=false", predictor="grader", limit=3)
    assert {sample.costs["generate"] for sample in run.samples()} == {None}
    assert "3 requests, spend unknown" in (run.path / "leaderboard.md").read_text(encoding="utf-8")
    status = {stage.component: stage.usd for stage in read_status(run.path).stages}
    assert status == {"metered": pytest.approx(0.045), "studio": None, "grader": pytest.approx(0.3)}
    shown = in_process(monkeypatch, capsys, tmp_path)("status", str(run.path)).out
    assert "unknown" in next(line for line in shown.splitlines() if "studio" in line)


def test_a_run_without_prices_says_nothing_of_clips_and_scores(tmp_path: Path) -> None:
    run = run_fast(tmp_path / "run", limit=2)
    assert [next(iter(row)) for row in run.costs] == ["llm"]
    lines = (run.path / "samples.jsonl").read_text(encoding="utf-8")
    assert '"costs"' not in lines
    assert "max_cost" not in (run.path / "run.json").read_text(encoding="utf-8")
    assert not [name for name in run.to_pandas() if name.startswith("cost_")]


def test_a_dry_run_shows_the_estimates_of_all_components(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["eval", "--llm", "metered,estimates=true", "--llm", "faulty", "--gen", "studio", "--predictor", "grader",
               "--mode", "basic", "--task", "popcorn_concrete", "--limit", "4", "--out", "run",
               "--dry-run"]  # fmt: skip
    run = in_process(monkeypatch, capsys, tmp_path)
    said = [line for line in run(*command).out.splitlines() if " by " in line]
    assert said[:3] == [
        "Drafts by metered: about $0.06 more for 4 drafts (by the llm's own estimate)",
        "Clips by studio: about $16.00 more for 8 clips (by the generator's own estimate)",
        "Scores by grader: unknown cost for 8 scores",
    ]
    run_fast(tmp_path / "run", **PRICED, limit=2)
    *_, clips, scores = json.loads(run(*command, "--json").out)["costs"]
    assert clips == {"generator": "studio", "clips": 6, "cost": 12.0, "measured": False}
    assert scores == {"predictor": "grader", "scores": 6, "cost": pytest.approx(0.6), "measured": True}


def test_an_estimate_of_the_llm_itself_counts_the_calls_that_modes_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = in_process(monkeypatch, capsys, tmp_path)(
        "eval", "--llm", "metered,estimates=true", "--mode", "basic", "--mode", "refine", "--task", "popcorn_concrete",
        "--limit", "2", "--out", "run", "--dry-run", "--json",
    )  # fmt: skip
    row = json.loads(said.out)["costs"][0]
    assert (row["drafts"], row["cost"]) == (4, pytest.approx(15 * TOKEN * (2 + 2 * 3)))


def test_what_failed_calls_took_is_merged_once(tmp_path: Path) -> None:
    for shard in ("1/2", "2/2"):
        run_fast(tmp_path / "run", **{**PRICED, "gen": "studio,ends=error"}, limit=4, shard=shard)
    shards = sorted(tmp_path.glob("run.shard-*"))
    merge(shards)
    whole = merge(shards)
    with closing(Ledger(whole.path / "ledger.sqlite", read_only=True)) as ledger:
        failed = {kind: number for _, kind, number in ledger.failed()}
    row = next(row for row in whole.costs if "generator" in row)
    assert row["failed"] == failed["video_seconds"] * SECOND == pytest.approx(Account.spent - 4 * 0.015)
    assert failed["requests"] == 4
    (stage,) = (stage for stage in read_status(whole.path).stages if stage.stage == "render")
    assert stage.usd == row["failed"]


def test_a_clip_that_is_made_again_is_paid_twice(tmp_path: Path) -> None:
    run = run_fast(tmp_path / "run", **PRICED, limit=3)
    for clip in (run.path / "videos").glob("*.mp4"):
        clip.unlink()
    again = run_fast(tmp_path / "run", **PRICED, limit=3)
    before, after = (next(row for row in of.costs if "generator" in row) for of in (run, again))
    assert after["cost"] == before["cost"] == after["failed"]
    (stage,) = (stage for stage in read_status(run.path).stages if stage.stage == "render")
    assert stage.usd == 2 * before["cost"]


def test_a_published_board_adds_up_the_costs_of_every_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_fast(tmp_path / "one", **{**PRICED, "llm": "metered"}, limit=None)
    popbench_run = in_process(monkeypatch, capsys, tmp_path)
    assert popbench_run("leaderboard", "add", "board", "one").status == 0
    assert popbench_run("leaderboard", "check", "board").status == 0
    costs = json.loads((tmp_path / "board" / "board.json").read_text(encoding="utf-8"))["costs"]
    assert [next(iter(row)) for row in costs] == ["llm", "generator", "predictor"]
    assert sum(row["cost"] for row in costs) == pytest.approx(Account.spent)
