"""What batches cost: in runs of both ways, by provider, in estimates and within a budget; and who has none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import popbench
from batch_runs import KEY, BatchServer, at_work, spec
from command_line import in_process
from popbench.registry import load_registry
from usage_errors import refusal
from video_renders import Run

PRICES = {"price_in": 2, "price_out": 8}


def cost_of(sample: popbench.Sample) -> float:
    return sample.cost or 0.0


def total(run: popbench.Run) -> float:
    return sum(map(cost_of, run.samples()))


def _full(usage: Any) -> float:
    return float((usage["input"] * PRICES["price_in"] + usage["output"] * PRICES["price_out"]) / 1e6)


def test_a_run_that_was_begun_online_is_finished_in_a_batch(write: Run, batch: BatchServer) -> None:
    assert write(limit=2, options={"batch": False, **PRICES}).complete
    run = write(options=PRICES)
    assert run.complete
    assert batch.sizes() == [4]
    # two at the whole price, and four at half of it
    shares = [cost_of(sample) / _full(sample.usage) for sample in run.samples()]
    assert Counter(round(share, 6) for share in shares) == {1.0: 2, 0.5: 4}
    (row,) = run.costs
    assert row["cost"] == pytest.approx(total(run))
    (row,) = write(options={"batch": False, **PRICES}).costs
    assert row["cost"] == pytest.approx(total(run))


def test_a_batch_costs_half(write: Run, batch: BatchServer) -> None:
    (row,) = write(options=PRICES).costs
    assert row["usage"]["batch_input"] == row["usage"]["input"] > 0
    assert row["cost"] == pytest.approx(_full(row["usage"]) / 2)


DASHSCOPE = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("openai,model=m", 0.5),
        ("gpt-4o", 0.5),
        ("deepseek-v3,provider=deepinfra", 0.8),
        (f"openai,model=qwen-plus,base_url={DASHSCOPE}", 0.5),
        ("openai,model=m,base_url=http://127.0.0.1:4000/v1", 0.5),
    ],
)
def test_what_a_batch_costs_is_the_provider_s(name: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    llm: Any = load_registry().resolve("llm", f"{name},batch=true,price_in=2,price_out=8").component
    usage = {"input": 500_000, "output": 250_000}
    assert llm.cost(usage) == pytest.approx(3)
    assert llm.cost(llm.planned(usage)) == pytest.approx(3 * share)
    online: Any = load_registry().resolve("llm", f"{name},price_in=2,price_out=8").component
    assert online.planned(usage) == usage
    assert online.cost(llm.planned(usage)) == pytest.approx(3 * share)


def test_a_dry_run_estimates_the_price_of_batches(
    tmp_path: Path, batch: BatchServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = in_process(monkeypatch, capsys, tmp_path)
    costs = []
    for given in (False, True):
        llm = spec(batch, batch=given, **PRICES)
        done = run("eval", "--llm", llm, "--gen", "faulty", "--corpus", "demo", "--limit", 6, "--dry-run", "--json")
        costs.append(json.loads(done.out)["costs"][0]["cost"])
    assert costs[1] == pytest.approx(costs[0] / 2)
    assert not batch.batches()


def test_a_budget_is_never_passed(write: Run, batch: BatchServer) -> None:
    options = {**PRICES, "batch_size": 20}
    one = max(map(cost_of, write(out="all", limit=3, options=options).samples()))
    batch.forget()
    limited = write(limit=60, options=options, max_cost=40 * one)
    assert not limited.complete
    assert batch.sizes()[:3] == [1, 16, 17], "a few are asked before many are reserved by what they cost"
    assert 20 * one < total(limited) <= 40 * one
    assert len(batch.requests()) == len(batch.paid()) < 60
    assert write(limit=60, options=options, max_cost=100 * one).complete
    assert max(batch.paid().values()) == 1


def test_a_budget_counts_what_is_at_work_of_an_earlier_command(write: Run, batch: BatchServer) -> None:
    one = max(map(cost_of, write(out="all", limit=3, options=PRICES).samples()))
    batch.forget()
    batch.plan(hours=1000, down=["GET"])
    assert write(limit=20, options={**PRICES, "retry_seconds": 0.1}).errors == 20
    batch.plan(finish=True)
    limited = write(limit=40, options=PRICES, max_cost=25 * one)
    assert 20 < len(batch.requests()) <= 25
    assert total(limited) + at_work(limited.path) * one <= 25 * one
    assert write(limit=40, options=PRICES, max_cost=100 * one).complete
    assert len(batch.requests()) == len(set(batch.requests())) == 40


# -- who has batches


@pytest.mark.parametrize(
    "name",
    [
        "openai,model=m,base_url=https://openrouter.ai/api/v1",
        "deepseek-v3,provider=together",
        "claude-opus-5-5,provider=anthropic",
        "gemini-4-argon,provider=gemini",
    ],
)
def test_a_provider_without_batches_is_refused(name: str) -> None:
    told = refusal(lambda: load_registry().resolve("llm", f"{name},batch=true"))
    assert "has no batches of OpenAI's protocol, which deepinfra, openai or alibaba have: leave out batch=true" in told
    load_registry().resolve("llm", f"{name},batch=false")
