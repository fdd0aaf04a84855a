"""A budget of GPU time: requests end before it is passed, as far as the mean of a component tells."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from popbench.ledger.ledger import Call, Ledger
from popbench.pipeline.gpu_hours import GpuHours


def finish(ledger: Ledger, key: str, seconds: float) -> None:
    payload: dict[str, Any] = {
        "seconds": seconds,
        "gpus": 2,
        "peak_memory_mb": None,
        "notes": [],
        "sha256": "",
        "bytes": 1,
    }
    ledger.commit(Call(key, "render", "ok", payload), (), "generator")


def test_requests_end_where_the_calls_under_way_would_pass_it(tmp_path: Path) -> None:
    queue: Any = SimpleNamespace(part=SimpleNamespace(digest="generator"))
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        budget = GpuHours(100, ledger)
        assert budget.admit(queue, "a", (), submitted=False) == "alone"  # to learn what one takes
        finish(ledger, "a", 10)
        budget.answered(queue.part, "a", None, error=False)
        permits = [budget.admit(queue, key, (), submitted=False) for key in "bcdef"]
        assert permits == ["ask", "ask", "ask", "ask", "end"]  # 20 are spent, and 20 a call are promised
        assert budget.reached
        budget.release(queue.part, ["b", "c", "d", "e"])
        for key in "bcde":
            finish(ledger, key, 10)
        assert budget.admit(queue, "f", (), submitted=False) == "end"
        assert sum(row[4] for row in ledger.spent()) == 100
