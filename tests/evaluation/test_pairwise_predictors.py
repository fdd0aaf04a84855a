"""Predictors that compare pairs: every pair both ways round, scores as shares of wins, and nothing paid twice."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

import corpus_files
import pairwise_components
import popbench
import popbench_runs
from command_line import Run, in_process
from pairwise_components import ASKED, evaluate, settings, shares
from popbench.audit.run import audit
from popbench.comparison.numbers import compare_runs
from popbench.evaluation.merge import merge
from popbench.publishing.add import add
from popbench.publishing.build import build_board
from popbench.report.write import write_report
from popbench.runs.status_reading import read_status
from usage_errors import refusal


def told(run: popbench.Run, predictor: str = "duel") -> dict[str, Any]:
    """Return what run.json says of a predictor's comparisons."""
    entry: dict[str, Any] = json.loads((run.path / "run.json").read_text(encoding="utf-8"))["comparisons"][predictor]
    return entry


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> popbench.Run:
    """A run of three systems on four prompts."""
    return evaluate(tmp_path_factory.mktemp("pairs") / "run", 1, 2, 3, prompts=4)


def test_every_pair_is_asked_both_ways_round_and_scores_are_shares_of_wins(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", 1, 2, 3, prompts=4)
    assert run.complete
    expected = Counter(
        (f"{a} Thing {n:02d}", f"{b} Thing {n:02d}") for n in range(4) for a, b in permutations("123", 2)
    )
    assert Counter(ASKED) == expected
    assert shares(run) == {(f"r{rank}", f"p{n:02d}"): (rank - 1) / 2 for rank in (1, 2, 3) for n in range(4)}
    assert told(run) == {
        "systems": 3, "comparisons": 24, "pairs": 12, "first": 0.5, "agree": 1.0,
        "first_interval": told(run)["first_interval"],
    }  # fmt: skip
    results = run.results
    assert results is not None
    medians = [(row["system"], row["median"]["value"]) for row in results["systems"]]
    assert medians == [(f"r{rank}|basic|grey", (rank - 1) / 2) for rank in (1, 2, 3)]
    (predictor,) = results["predictors"]
    assert (predictor["unit"], predictor["scale"]) == ("win share", "real")


@pytest.mark.parametrize(("place", "first"), [("first", 1.0), ("second", 0.0)])
def test_a_preference_for_a_place_cancels_and_is_told(place: str, first: float, tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", 1, 2, 3, predictor=f"duel,place={place},label=duel")
    assert set(shares(run).values()) == {0.5}
    about = told(run)
    assert (about["first"], about["agree"]) == (first, 0.0)
    low, high = about["first_interval"]
    assert (high if first else low) == first
    assert (low if first else 1 - high) > 0.2
    board = (run.path / "leaderboard.md").read_text(encoding="utf-8")
    assert f"the clip that is shown first is chosen in {100 * first:.0f} % of its answers" in board
    assert "win shares among the 3 systems of this run" in board


def test_a_system_more_pays_for_its_own_pairs_only_and_a_resume_for_none(tmp_path: Path) -> None:
    evaluate(tmp_path / "run", 1, 3, prompts=4)
    before = Counter(ASKED)
    run = evaluate(tmp_path / "run", 1, 2, 3, prompts=4)
    assert all("2" in pair[0] + pair[1] for pair in ASKED)
    assert not before & Counter(ASKED)
    assert len(ASKED) == 4 * 4
    assert shares(run)["r3", "p00"] == 1.0
    evaluate(tmp_path / "run", 1, 2, 3, prompts=4)
    assert not ASKED


def test_an_invalid_clip_loses_without_a_call(tmp_path: Path) -> None:
    gaps = 'painter-with-gaps,level=91,lacks=["Thing 00","Thing 01"],label=gaps'
    run = evaluate(tmp_path / "run", 2, prompts=4, gen=["painter-with-gaps,label=grey", gaps])
    assert run.complete
    assert len(ASKED) == 2 * 2
    of = {(sample.generator, sample.prompt_id): (sample.status, sample.scores["duel"]) for sample in run.samples()}
    assert of["grey", "p00"] == ("ok", 1.0)
    assert of["gaps", "p00"] == ("invalid", None)
    assert of["grey", "p02"] == of["gaps", "p02"] == ("ok", 0.5)
    assert told(run)["comparisons"] == 4
    status = read_status(run.path)
    assert (status.state, status.stages[-1].done, status.stages[-1].total) == ("finished", 4, 4)


def test_a_refusal_leaves_its_pair_out_and_no_pair_is_no_score(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", 1, 2, 3, prompts=4, predictor="duel,refuses=1 Thing 00,price=0.5")
    assert run.complete
    samples = {(sample.llm, sample.prompt_id): sample for sample in run.samples()}
    assert (samples["r1", "p00"].status, samples["r1", "p00"].error) == ("invalid", "will not say")
    assert (samples["r3", "p00"].scores["duel"], samples["r2", "p00"].scores["duel"]) == (1.0, 0.0)
    assert samples["r3", "p00"].notes == ("1 comparison refused and left out: will not say",)
    (cost,) = [row for row in (run.results or {})["costs"] if "predictor" in row]
    assert (cost["calls"], cost["cost"]) == (24, 12.0)
    assert sum(sample.costs["predict"] or 0 for sample in samples.values()) == pytest.approx(12.0)


def test_what_failed_is_asked_again_and_nothing_else(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", 1, 2, 3, prompts=4, predictor="duel,fails=3 Thing 02")
    assert not run.complete
    assert {(s.llm, s.prompt_id) for s in run.samples() if s.status == "error"} == {
        (f"r{rank}", "p02") for rank in (1, 2, 3)
    }
    assert [s.error for s in run.samples() if s.llm == "r3" and s.prompt_id == "p02"] == ["out of order"]
    assert read_status(run.path).state == "incomplete"
    run = evaluate(tmp_path / "run", 1, 2, 3, prompts=4)
    assert run.complete
    assert len(ASKED) == 4


def test_a_changed_clip_is_made_again_before_its_pairs_count(made: popbench.Run, tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", 1, 2, prompts=2)
    with closing(sqlite3.connect(run.path / "ledger.sqlite")) as db, db:  # as if nothing was compared yet
        db.execute("DELETE FROM done WHERE stage = 'score'")
        db.execute("DELETE FROM calls WHERE stage = 'score'")
    clip = next((run.path / "videos").glob("*.mp4"))
    wanted = clip.read_bytes()
    clip.write_bytes(wanted[::-1])
    first = evaluate(tmp_path / "run", 1, 2, prompts=2)
    assert not first.complete
    again = evaluate(tmp_path / "run", 1, 2, prompts=2)
    assert again.complete
    assert clip.read_bytes() == wanted


def test_budgets_hold_and_dry_runs_count_all_comparisons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Run = in_process(monkeypatch, capsys, tmp_path)
    given = settings(tmp_path, 1, 2, 3, predictor="duel,price=1", prompts=4)
    words = ["eval", "--out", "run", *(word for llm in given.pop("llm") for word in ("--llm", llm))]
    words += [word for name, value in given.items() for word in (f"--{name}", value)]
    dry = run(*words, "--dry-run")
    assert "each of 3 systems is compared with every other, both ways round: 3 x 2 = 6 calls" in dry.out
    assert "Comparisons by duel: about $24.00 more for 24 comparisons" in dry.out
    assert json.loads(run(*words, "--dry-run", "--json").out)["stages"][-1]["items"] == 24
    assert run(*words, "--max-cost", 7).status == 1
    assert len(ASKED) == 7
    assert run(*words).status == 0
    assert len(ASKED) == 24
    assert json.loads(run("status", "run", "--json").out)["usd"] == 24.0


def test_with_opponents_each_system_meets_as_many_and_more_keep_what_is_paid(tmp_path: Path) -> None:
    few = evaluate(tmp_path / "run", *range(1, 8), prompts=4, predictor="duel,opponents=2")
    assert few.complete
    met = Counter((title.split()[0], title.split()[2]) for pair in ASKED for title in pair)
    assert set(met.values()) == {2 * 2}
    assert len(ASKED) == 4 * 7 * 2
    before = set(ASKED)
    assert told(few)["opponents"] == 2
    more = evaluate(tmp_path / "run", *range(1, 8), prompts=4, predictor="duel,opponents=4")
    assert len(ASKED) == 4 * 7 * 2
    assert not before & set(ASKED)
    assert told(more)["opponents"] == 4


def test_comparisons_of_another_run_are_taken_over(made: popbench.Run, tmp_path: Path) -> None:
    run = evaluate(tmp_path / "again", 1, 2, 3, prompts=4, reuse=made.path)
    assert not ASKED
    assert shares(run) == shares(made)
    assert json.loads((run.path / "run.json").read_text())["reused"][str(made.path)]["score"] == 24


def test_shards_merge_into_the_run_that_one_would_have_been(tmp_path: Path) -> None:
    whole = evaluate(tmp_path / "whole", 1, 2, 3, prompts=4)
    for shard in ("1/2", "2/2"):
        assert evaluate(tmp_path / "run", 1, 2, 3, prompts=4, shard=shard).complete
    merged = merge(sorted(tmp_path.glob("run.shard-*")), config=tmp_path / "run.shard-1-of-2" / "run.json")
    assert popbench_runs.samples(merged.path) == popbench_runs.samples(whole.path)
    assert told(merged) == told(whole)


def test_human_videos_are_compared_like_any_other(tmp_path: Path) -> None:
    rows = [{**row, "title": f"5 {row['title']}"[:50]} for row in corpus_files.rows()]
    corpus = corpus_files.write(tmp_path / "mine.csv", rows)
    videos = corpus_files.videos(tmp_path / "videos", rows)
    run = evaluate(
        tmp_path / "run", 1, 9, prompts=3, baseline="human", embedder="hashing", repeats=2,
        corpus=corpus_files.spec(corpus, videos=videos),
    )  # fmt: skip
    assert run.complete
    of = {(sample.system, sample.prompt_id): sample.scores["duel"] for sample in run.samples()}
    assert {of[name, "p00"] for name in ("human",)} == {0.5}
    assert told(run)["systems"] == 3
    status = read_status(run.path)
    assert (status.state, status.stages[-1].total) == ("finished", 3 * 2 * 6)


def test_two_predictors_share_a_run_and_every_page_is_written(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", 1, 2, predictor="demo", prompts=10)
    run = evaluate(tmp_path / "run", 1, 2, predictor=["duel", "demo"], prompts=10)
    assert {row["name"] for row in (run.results or {})["predictors"]} == {"duel", "demo"}
    pair = next(row for row in (run.results or {})["pairs"] if row["predictor"] == "duel")
    assert (pair["a"], pair["win_rate"]["value"]) in {("r2|basic|grey", 1.0), ("r1|basic|grey", 0.0)}
    other = evaluate(tmp_path / "other", 1, 2, 3, predictor=["demo", "duel"], prompts=10)
    compared = compare_runs(run.path, other.path)
    assert [row["name"] for row in compared["predictors"]] == ["demo"]
    assert compared["not_compared"]["before"]["predictors"] == ["duel"]
    page = write_report(run.path)
    assert "win shares among the 2 systems" in Path(page).read_text(encoding="utf-8")


def test_repeats_on_a_part_compare_the_same_repeats(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", 1, 2, repeats=2, repeats_on="100%")
    assert run.complete
    assert len(ASKED) == 2 * 12 * 2
    assert (run.results or {})["luck"]


def test_scores_of_two_runs_share_no_board(made: popbench.Run, tmp_path: Path) -> None:
    other = evaluate(tmp_path / "other", 1, 4, prompts=4)
    line = refusal(lambda: build_board([made.path, other.path], tmp_path / "board"))
    assert "win shares among the systems of one run" in line
    assert "win shares" in refusal(lambda: compare_runs(made.path, other.path))
    assert "win shares" in refusal(lambda: add(tmp_path / "published", made.path))
    assert build_board([made.path], tmp_path / "alone")["systems"]
    systems = ["r1|basic|grey=r2|basic|grey"]
    assert compare_runs(made.path, made.path, systems=systems)["contrasts"]


def test_what_takes_one_sample_at_a_time_refuses_with_a_line(made: popbench.Run, tmp_path: Path) -> None:
    assert "compares pairs" in refusal(lambda: audit(made.path, ["duel"]))
    assert "there is one" in refusal(lambda: evaluate(tmp_path / "one", 1, prompts=4))
    assert "--until drops some" in refusal(lambda: evaluate(tmp_path / "until", 1, 2, until="best"))
    pairwise_components.install()
    assert "opponents is 0" in refusal(lambda: evaluate(tmp_path / "none", 1, 2, predictor="duel,opponents=0"))
    picker = "best,n=2,picker=duel"
    assert "compares pairs" in refusal(lambda: evaluate(tmp_path / "picked", 1, 2, mode=picker))
