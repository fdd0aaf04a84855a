"""`--max-cost`: what is spent and what is under way never pass it, nothing hangs, and a resume goes on."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import popbench
import priced_components
from command_line import in_process
from popbench.ledger.ledger import Ledger
from popbench.progress import Progress
from popbench_runs import run_fast
from priced_components import SECOND, TOKEN, Account

STUDIO = "studio,concurrency=16,pause=0.003"
DRAFT = 15 * TOKEN


@pytest.fixture(autouse=True)
def _priced() -> None:
    priced_components.install()


class Told(Progress):
    """Keeps the notices, and adds up the costs."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.usd = 0.0

    def notice(self, line: str) -> None:
        self.notices.append(line)

    def spend(self, stage: str, *, gpu_seconds: float = 0.0, usd: float = 0.0) -> None:
        self.usd += usd


def spent(run: popbench.Run) -> float:
    """What the generator's calls in the ledger cost."""
    with closing(Ledger(run.path / "ledger.sqlite", read_only=True)) as ledger:
        return SECOND * sum(number for _, kind, number in ledger.used() if kind == "video_seconds")


@pytest.mark.parametrize("limit", [2.1, 9.3, 17.77])
def test_sixteen_at_once_never_cost_more(tmp_path: Path, limit: float) -> None:
    told = Told()
    run = run_fast(tmp_path / "run", gen=STUDIO, limit=60, max_cost=limit, progress=told)
    assert limit - 2.0 < Account.spent <= limit
    assert spent(run) == pytest.approx(Account.spent) == pytest.approx(told.usd)
    assert not run.complete
    assert run.over_budget == (
        f"stopped by --max-cost: ${Account.spent:.2f} of ${limit:.2f} are spent, {run.errors} items are left; "
        "give a higher --max-cost to go on"
    )
    errors = {sample.error for sample in run.samples() if sample.status == "error"}
    assert errors == {"pending: --max-cost is reached"}


@pytest.mark.parametrize("limit", [0.07, 1.0, 4.0, 8.5, 21.0])
@pytest.mark.parametrize("batch", [0, 5])
def test_stages_that_overlap_share_it_and_none_waits_for_ever(tmp_path: Path, limit: float, batch: int) -> None:
    run_fast(
        tmp_path / "run", llm=["metered", "metered,label=b,estimates=true"],
        gen=[f"{STUDIO},batch={batch}", "studio,label=b,batch=3,pause=0.001"], predictor=["grader", "faulty"],
        limit=12, max_cost=limit,
    )  # fmt: skip
    assert Account.spent <= limit
    whole = run_fast(tmp_path / "run", llm=["metered", "metered,label=b,estimates=true"], gen="studio", limit=12)
    assert whole.complete


def test_a_component_that_collects_requests_answers_what_it_has(tmp_path: Path) -> None:
    run = run_fast(tmp_path / "run", gen="studio,batch=16", limit=40, max_cost=12.0)
    assert 10.0 < Account.spent <= 12.0
    assert run.over_budget


def test_the_cost_of_a_request_is_learnt_from_one_alone(tmp_path: Path) -> None:
    run = run_fast(tmp_path / "run", gen=f"{STUDIO},estimates=null", limit=40, max_cost=30.0)
    assert Account.ended_at_start[1] == 1
    assert Account.ended_at_start[5] < 5
    assert spent(run) > 25.0


@pytest.mark.parametrize("seed", [2, 3])
def test_many_requests_at_once_are_not_reserved_by_what_the_first_one_cost(tmp_path: Path, seed: int) -> None:
    """The first clip is a short one: by its cost all others would be asked at once."""
    run = run_fast(tmp_path / "run", gen="studio,batch=60,estimates=null", limit=60, max_cost=30.0, seed=seed)
    assert 20.0 < Account.spent <= 30.0
    assert run.over_budget


def test_the_same_command_with_more_goes_on_and_counts_what_was_spent(tmp_path: Path) -> None:
    first = run_fast(tmp_path / "run", gen=STUDIO, limit=20, max_cost=6.0)
    before, calls = Account.spent, Account.calls
    again = run_fast(tmp_path / "run", gen=STUDIO, limit=20, max_cost=before + 1.9)
    assert Account.calls == calls
    assert again.over_budget
    assert again.errors == first.errors
    run = run_fast(tmp_path / "run", gen=STUDIO, limit=20, max_cost=50.0)
    assert run.complete
    assert not run.over_budget
    assert spent(run) == pytest.approx(Account.spent)
    without = run_fast(tmp_path / "other", gen="studio", limit=20)
    assert [sample.video_sha256 for sample in run.samples()] == [sample.video_sha256 for sample in without.samples()]


@pytest.mark.parametrize("ends", ["error", "refusal", "black", "nonsense"])
def test_what_failed_is_paid_for_too(tmp_path: Path, ends: str) -> None:
    for _ in range(3):
        run = run_fast(tmp_path / "run", gen=f"{STUDIO},ends={ends}", limit=20, max_cost=12.0)
    assert 10.0 < spent(run) <= 12.0
    if ends != "nonsense":
        assert spent(run) == pytest.approx(Account.spent)
    assert run.over_budget
    (row,) = (row for row in run.costs if "generator" in row)
    if ends in ("error", "nonsense"):
        assert row["failed"] == pytest.approx(spent(run))
    else:
        assert row["cost"] == pytest.approx(spent(run))


@pytest.mark.parametrize("silent", ["told=false", "priced=false"])
def test_a_component_that_says_no_cost_is_told_of_once_and_not_limited(tmp_path: Path, silent: str) -> None:
    told = Told()
    run = run_fast(
        tmp_path / "run", gen=f"{STUDIO},estimates=null,{silent}", limit=20, max_cost=0.01, progress=told
    )  # fmt: skip
    assert not run.over_budget
    assert run.complete
    assert told.notices.count("generator studio: says no costs, so --max-cost does not limit it") == 1


def test_without_an_estimate_nothing_priced_is_asked_once_all_is_spent(tmp_path: Path) -> None:
    run_fast(tmp_path / "run", gen=f"{STUDIO},estimates=null", limit=3, max_cost=100.0)
    calls = Account.calls
    for _ in range(2):
        assert run_fast(tmp_path / "run", gen=f"{STUDIO},estimates=null", limit=9, max_cost=0.5).over_budget
    assert Account.calls == calls


def test_an_answer_without_usage_counts_as_estimated(tmp_path: Path) -> None:
    run_fast(tmp_path / "run", gen=f"{STUDIO},told=false", limit=20, max_cost=9.0)
    assert Account.calls == 4


@pytest.mark.parametrize("stops", ["write", "render"])
def test_a_run_that_stops_early_is_limited_too(tmp_path: Path, stops: str) -> None:
    run = run_fast(tmp_path / "run", llm="metered", gen="studio", limit=9, stop_after=stops, max_cost=2 * DRAFT)
    assert Account.calls == 2
    assert run.over_budget


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "much"])
def test_a_limit_that_is_no_amount_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    done = in_process(monkeypatch, capsys, tmp_path)("eval", "--max-cost", value)
    assert done.status == 2
    assert "--max-cost" in done.err
    given: Any = value if value == "much" else float(value)
    with pytest.raises(popbench.UsageError, match="max_cost: expected USD as a number of at least 0"):
        popbench.evaluate(max_cost=given)
    written = f'"{value}"' if value == "much" else value
    (tmp_path / "popbench.toml").write_text(f"max-cost = {written}\n")
    assert "popbench.toml: max_cost: expected USD" in in_process(monkeypatch, capsys, tmp_path)("eval").line


def test_the_command_says_what_was_spent_and_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "--llm", "metered", "--gen", "studio", "--predictor", "grader", "--mode", "basic", "--task",
               "popcorn_concrete", "--corpus", "demo", "--limit", "9", "--out", "run"]  # fmt: skip
    run = in_process(monkeypatch, capsys, tmp_path)
    done = run(*command, "--max-cost", "4")
    assert done.status == 1
    assert done.err.splitlines()[-1].startswith("popbench: stopped by --max-cost: $")
    assert "of $4.00 are spent" in done.err
    assert "render studio: no further requests, since --max-cost is reached" in done.err
    summary = json.loads(run(*command, "--max-cost", "4", "--json").out)
    assert summary["over_budget"].startswith("stopped by --max-cost: $")
    assert run(*command, "--max-cost", "40").status == 0
    (tmp_path / "popbench.toml").write_text("max-cost = 4\n")
    assert run(*command).status == 0  # everything is there


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("estimate", r"generator studio: estimate of 1 request is 'much', expected USD"),
        ("cost", r"generator studio: cost of \{'video_seconds': \d, 'requests': 1\} is -1.0, expected USD"),
        ("raises", r"generator studio: cost of \{.*\}: KeyError: 'price'"),
    ],
)
@pytest.mark.parametrize("limited", [True, False])
def test_a_component_that_states_no_amount_is_told_in_one_line(
    tmp_path: Path, broken: str, says: str, limited: bool
) -> None:
    with pytest.raises(popbench.PopbenchError, match=says) as caught:
        run_fast(tmp_path / "run", gen=f"studio,broken={broken}", limit=3, max_cost=9.0 if limited else None)
    assert "\n" not in str(caught.value)


def test_a_stage_waits_for_what_later_calls_leave_and_these_do_not_wait_for_it(tmp_path: Path) -> None:
    # With this seed the first clip costs less than its estimate, which leaves no budget for all drafts meanwhile.
    run = run_fast(
        tmp_path / "run", llm="metered,estimates=true", gen="studio,batch=4", seed=1, limit=60, max_cost=2.5
    )  # fmt: skip
    assert run.over_budget
    assert sum(sample.title is not None for sample in run.samples()) == 60
    assert Account.spent <= 2.5
