"""A comparison of runs whose predictor has a card says which true win rates the predicted ones stand for."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import made_cards
from popbench.comparison.numbers import compare_runs
from popbench.comparison.terminal import show
from run_folders import SYSTEMS, make_run


@pytest.mark.parametrize("carded", [True, False])
def test_true_win_rates_are_between_one_half_and_the_predicted_ones(tmp_path: Path, carded: bool) -> None:
    run = make_run(tmp_path / "run", prompts=20, predictors=["mmra"], clip=False)
    if carded:
        about = json.loads((run / "run.json").read_text(encoding="utf-8"))
        about["cards"] = {"mmra": made_cards.measured(0.5)}
        (run / "run.json").write_text(json.dumps(about), encoding="utf-8")
    found = compare_runs(run, run, systems=[f"{SYSTEMS[0]}={SYSTEMS[1]}"])
    terminal = io.StringIO()
    show(found, Console(file=terminal, width=200))
    assert ("true, by card, %" in terminal.getvalue()) is carded
    for row in found["contrasts"]:
        if not carded:
            assert "true_win_rate" not in row
            continue
        assert 0.5 < row["true_win_rate"]["value"] < row["win_rate"]["value"]
        assert 0.5 < row["win_in_truth"]["value"] < 1
