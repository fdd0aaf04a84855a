"""An audit of MMRA finds the shares of title and video that its training corpus has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import corpus_law_components
import made_corpus
import popbench
import tiny_mmra
from popbench.audit.run import audit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    corpus_law_components.install()
    run = tmp_path_factory.mktemp("audit") / "run"
    predictor = f'mmra,path="{tiny_mmra.model(good=True)}",label=mmra'
    popbench.evaluate(
        llm=["made-writer,luck=1,label=one", "made-writer,luck=2,label=two"],
        gen="made-painter",
        mode="basic",
        task="popcorn_concrete",
        limit=60,
        predictor=predictor,
        out=run,
    )
    return run, audit(run, [predictor], shuffles=4)["audits"][0]


def row(of: dict[str, Any], change: str) -> dict[str, Any]:
    return next(item for item in of["rows"] if item["change"] == change)


def truth(run: Path) -> tuple[float, float]:
    """Return the shares of title and video in the variance of the law, over the samples of a run."""
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    titles = np.array([made_corpus.WORDS[sample["title"].split()[1]] for sample in samples])
    videos = np.array([1.5 * corpus_law_components.brightness(sample["video_prompt"]) for sample in samples])
    return float(titles.var() / (titles + videos).var()), float(videos.var() / (titles + videos).var())


def test_title_and_video_get_the_shares_that_were_built_in(audited: tuple[Path, dict[str, Any]]) -> None:
    run, of = audited
    for part, share in zip(("title", "video"), truth(run), strict=True):
        found = row(of, part)["share"]
        assert 0.2 < share < 0.8
        assert found["low"] <= share <= found["high"], (part, share, found)


def test_what_was_not_built_in_gets_next_to_nothing(audited: tuple[Path, dict[str, Any]]) -> None:
    _, of = audited
    for change in ("control", "reversed"):
        assert row(of, change)["share"]["value"] < 0.05
    length = next(item for item in of["covariates"] if item["name"] == "duration")
    assert length["constant"]


def test_unchanged_pairs_score_as_in_the_run(audited: tuple[Path, dict[str, Any]]) -> None:
    _, of = audited
    assert of["stored"] == {"compared": 120, "differ": 0, "largest": of["stored"]["largest"]}
    assert of["stored"]["largest"] < 1e-4


def test_clips_like_those_it_was_trained_on_are_in_range(audited: tuple[Path, dict[str, Any]]) -> None:
    _, of = audited
    assert of["novelty"]["title"]["beyond_99"]["value"] < 0.05  # the titles are the corpus's own
    assert of["novelty"]["video"]["median"] <= 0.9


def test_the_board_shows_it(audited: tuple[Path, dict[str, Any]]) -> None:
    run, of = audited
    board = (run / "leaderboard.md").read_text(encoding="utf-8")
    assert "What moves the scores" in board
    assert of["verdict"]
