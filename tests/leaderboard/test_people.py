"""Win rates over people on boards: what they are, whose verdicts stand where, and how often their intervals hold."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import norm

from people_audience import A, B, C, audience, label, make_voted_run, scores_of, vote, write_lines
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.people import flipped_people, keep_people, people_of
from popbench.leaderboard.people_data import Said, Source
from popbench.leaderboard.terminal import show
from popbench.records import JSON
from popbench.report.page import board_page, run_page
from popbench.runs.run_json import read_finished
from popbench.runs.samples import SamplesFile
from popbench.scores.rows import Rows
from popbench.scores.run_scores import from_samples
from popbench.scores.scores import Scores
from popbench.stats import corrected_median, corrected_win_rate, korn_graubard
from run_folders import results_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_voted_run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


def board(run: Path) -> dict[str, Any]:
    """Return the run's results with what people say."""
    results, samples = results_of(run), SamplesFile(run / "samples.jsonl")
    keep_people(results, from_samples(samples, read_finished(run), str(run)), samples, run)
    return results


def rows_of(results: dict[str, Any], task: str = "concrete", source: str = "votes") -> list[dict[str, Any]]:
    return [row for row in results["people"]["pairs"] if (row["task"], row["source"]) == (task, source)]


def well_known(run: Path, prompts: Sequence[int], votes: int = 1) -> list[dict[str, Any]]:
    """Return votes of a voter each that mostly follow the scores."""
    scores, rng = scores_of(run), np.random.default_rng(4)

    def prefers(prompt: int) -> float:
        ours, theirs = (scores[system, "concrete", f"concrete-{prompt:04d}"] for system in (A, B))
        return 4 * float(np.log(ours / theirs))

    return [of for _ in range(votes) for of in audience(prefers, prompts, 10**6, rng)]


# -- what the numbers are


def test_the_three_rates_of_a_pair_are_those_of_its_votes_and_scores(run: Path) -> None:
    votes = well_known(run, range(15), 2)
    write_lines(run / "votes.jsonl", votes)
    (row,) = rows_of(board(run))
    scores = scores_of(run)
    prompts = [f"concrete-{number:04d}" for number in range(30)]
    wins = np.array([scores[A, "concrete", prompt] > scores[B, "concrete", prompt] for prompt in prompts])
    labels = [float((of["choice"] == "left") == (of["left"] == A)) for of in votes]
    found = corrected_win_rate(
        wins, [int(of["prompt_id"][-4:]) for of in votes], labels, np.arange(30) % 2,
        sides=[1 if of["left"] == A else -1 for of in votes], voters=[int(of["voter"], 16) for of in votes],
    )  # fmt: skip
    low, high = korn_graubard(wins[np.newaxis], np.arange(30) % 2)
    assert (row["a"], row["b"], row["n"], row["labelled"], row["count"], row["voters"]) == (A, B, 30, 15, 30, 30)
    assert row["wins"] + row["ties"] + row["losses"] == 30
    assert row["predicted"] == pytest.approx({"value": wins.mean(), "low": low[0], "high": high[0]})
    for name, of in (("labels", found.labels), ("corrected", found.corrected)):
        assert (row[name]["value"], row[name]["low"], row[name]["high"], row[name]["effective"]) == pytest.approx(
            (of.value, of.low, of.high, of.effective_labels)
        )
    assert row["weight"] == pytest.approx(found.weight)
    assert row["weight"] > 0.2


def test_pairs_of_a_group_are_judged_together_and_a_table_of_a_task_by_itself(run: Path) -> None:
    votes = well_known(run, range(30))
    votes += [{**of, "left": {A: C}.get(of["left"], of["left"]), "right": {A: C}.get(of["right"], of["right"])}
              for of in votes[:20]]  # fmt: skip
    write_lines(run / "votes.jsonl", votes)
    results = board(run)
    assert [len(rows_of(results, task)) for task in ("both", "concrete", "abstract")] == [2, 2, 0]
    for row in rows_of(results, "both"):
        of = row["corrected"]
        assert of["simultaneous"][0] < of["low"] < of["value"] < of["high"] < of["simultaneous"][1]
        assert row["n"] == 60
        low, high = of["simultaneous"]
        assert row["verdict"] == ("better" if low > 0.5 else "worse" if high < 0.5 else "undecided")
    write_lines(run / "votes.jsonl", votes[:30])
    (alone,) = rows_of(board(run))
    assert alone["corrected"]["simultaneous"] == pytest.approx([alone["corrected"][end] for end in ("low", "high")])


def test_prompts_without_a_clip_of_both_are_none_that_people_say_anything_of(tmp_path: Path) -> None:
    run = make_voted_run(tmp_path / "run", (A, B), 20)
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    for of in lines[:5]:
        of |= {"status": "invalid", "popularity": 0.0, "scores": {"mmra": 0.0}, "video": None, "video_sha256": None}
    write_lines(run / "samples.jsonl", lines)
    write_lines(run / "votes.jsonl", [vote(prompt, "left", prompt) for prompt in range(20)])
    results = board(run)
    (row,) = rows_of(results)
    assert (row["n"], row["labelled"], row["count"]) == (15, 15, 15)
    assert results["people"]["sources"][0]["left_out"] == 5


def test_outcomes_are_which_posted_clip_did_better_for_its_exposure(run: Path) -> None:
    counts = {0: ((100, 7), (90, 7)), 1: ((100, 10), (90, 7)), 2: ((14, 7), (10, 5)), 3: ((5, 1), (0, 1))}
    lines = [
        label(run, system, prompt, *of)
        for prompt, two in counts.items()
        for system, of in zip((A, B), two, strict=True)
    ]
    write_lines(run / "labels.jsonl", [*lines, label(run, A, 9, 3, 1)])
    results = board(run)
    (row,) = rows_of(results, source="outcomes")
    assert (row["wins"], row["ties"], row["losses"], row["count"], row["labelled"]) == (2, 1, 1, 4, 4)
    assert (row["verdict"], "voters" in row) == (None, False)
    assert results["people"]["sources"] == [
        {"source": "outcomes", "count": 9, "left_out": 0, "measure": "views", "exposure_in": "days"}
    ]
    text = markdown(results)
    assert "the larger number of views divided by days wins" in text
    assert "Without a verdict: pairs with labels on fewer than 10 prompts" in text


def test_systems_have_the_median_of_what_became_of_their_clips(tmp_path: Path) -> None:
    run = make_voted_run(tmp_path / "run", (A, B), 150, tasks=("concrete",))
    scores = scores_of(run)
    lines = [
        label(run, A, prompt, 10 * scores[A, "concrete", f"concrete-{prompt:04d}"] * (2 + prompt % 3), 7)
        for prompt in range(110)
    ]
    write_lines(run / "labels.jsonl", lines)
    results = board(run)
    (row,) = results["people"]["medians"]
    assert results["people"]["pairs"] == []
    prompts = [f"concrete-{number:04d}" for number in range(150)]
    found = corrected_median(
        [scores[A, "concrete", prompt] for prompt in prompts], np.arange(110), [of["count"] / 7 for of in lines],
        np.arange(150) % 2,
    )  # fmt: skip
    assert (row["system"], row["n"], row["labelled"], row["count"]) == (A, 150, 110, 110)
    for name, of in zip(("labels", "corrected"), found, strict=True):
        assert row[name] == pytest.approx(vars(of))
    assert row["corrected"]["high"] / row["corrected"]["low"] < row["labels"]["high"] / row["labels"]["low"]
    text = markdown(results)
    assert "**Median views divided by days of posted clips**" in text
    assert "| a\\|basic\\|x | 110 of 150 |" in text
    assert "By people" not in text
    assert "Median views divided by days" in board_page(results, "t")


def test_votes_and_outcomes_are_told_apart_and_their_contradiction_is_said(run: Path) -> None:
    write_lines(run / "votes.jsonl", [vote(prompt, "left", prompt) for prompt in range(30)])
    write_lines(
        run / "labels.jsonl",
        [label(run, system, prompt, count) for prompt in range(30) for system, count in ((A, 1), (B, 2))],
    )
    results = board(run)
    assert [row["verdict"] for source in ("outcomes", "votes") for row in rows_of(results, source=source)] == [
        "worse", "better",
    ]  # fmt: skip
    text = markdown(results)
    assert "Votes and real outcomes decide in opposite ways: " in text
    assert text.index("What became of posted clips") < text.index("What people say")


def test_one_voter_gives_a_rate_without_an_interval(run: Path) -> None:
    write_lines(run / "votes.jsonl", [vote(prompt, "left") for prompt in range(20)])
    results = board(run)
    (row,) = rows_of(results)
    assert (row["labels"], row["corrected"], row["verdict"]) == ({"value": 1, "low": None, "high": None}, None, None)
    text = markdown(results)
    assert "one voter tells nothing about others" in text
    assert "the one pair is not judged, by labels on so few prompts or of so few people" in text
    assert "†" not in text


def test_a_row_seen_from_its_other_side_is_mirrored(run: Path) -> None:
    write_lines(run / "votes.jsonl", well_known(run, range(20)))
    (row,) = rows_of(board(run))
    other = flipped_people(row)
    for name in ("predicted", "labels", "corrected"):
        back = flipped_people(other)[name]
        assert [back[end] for end in ("value", "low", "high")] == pytest.approx(
            [row[name][end] for end in ("value", "low", "high")]
        )
    assert flipped_people(other)["verdict"] == row["verdict"] == "worse"
    assert other["verdict"] == "better"
    assert other["corrected"]["simultaneous"][0] == pytest.approx(1 - row["corrected"]["simultaneous"][1])
    assert (other["a"], other["wins"]) == (row["b"], row["losses"])


# -- what is left out


def test_without_votes_and_outcomes_nothing_changes(run: Path) -> None:
    assert board(run) == results_of(run)


def test_what_is_about_clips_that_are_gone_is_left_out_and_counted(run: Path) -> None:
    write_lines(run / "votes.jsonl", well_known(run, range(20)))
    write_lines(run / "labels.jsonl", [label(run, system, 3, 1) for system in (A, B)])
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [of for of in lines if of["prompt_id"] != "concrete-0004"]
    for of in lines:
        of["video_sha256"] = "f" * 64 if of["prompt_id"] == "concrete-0003" else of["video_sha256"]
    write_lines(run / "samples.jsonl", lines)
    results = results_of(run)
    samples = SamplesFile(run / "samples.jsonl")
    keep_people(results, from_samples(samples, read_finished(run), str(run)), samples, run)
    assert [of["left_out"] for of in results["people"]["sources"]] == [2, 1]
    text = markdown(results)
    assert "2 real outcomes are about clips that the run no longer has, and left out" in text
    assert "1 vote is about clips that the run no longer has, and left out" in text


def test_votes_on_a_clip_that_was_made_anew_are_left_out_by_the_ballots_key(run: Path) -> None:
    write_lines(run / "votes.jsonl", [vote(0, "left", voter) for voter in range(3)])
    (run / "ballots").mkdir()
    shown = [{"id": f"{n:016x}", "system": system, "video_sha256": "e" * 64} for n, system in enumerate((A, B))]
    pair: dict[str, JSON] = {
        "id": f"{0:016x}", "task": "concrete", "prompt_id": "concrete-0000", "category": "Anime", "repeat": 0,
        "left": shown[0], "right": shown[1], "check": None,
    }  # fmt: skip
    key = {"schema": 1, "ballot": "0" * 16, "made": "2026-01-01T00:00:00+00:00", "seed": 1,
           "questions": {"concrete": "?"}, "pairs": [pair]}  # fmt: skip
    (run / "ballots" / f"{'0' * 16}.json").write_text(json.dumps(key), encoding="utf-8")
    assert board(run)["people"] == {
        "level": 0.95, "pairs": [],
        "sources": [{"source": "votes", "count": 0, "skipped": 0, "voters": 0, "left_out": 3, "questions": [],
                     "first": None}],
    }  # fmt: skip


@pytest.mark.parametrize("content", ['{"ballot": 1}\n', "\x00", "[" * 10_000])
def test_a_damaged_file_is_told_on_the_board_and_stops_nothing(run: Path, content: str) -> None:
    (run / "votes.jsonl").write_text(content, encoding="utf-8")
    results = board(run)
    assert "a file of it cannot be read: votes.jsonl: line 1 is no vote" in markdown(results)
    assert results["people"]["pairs"] == []


@pytest.mark.parametrize("count", ["NaN", "Infinity", "-1", "1e999", '"7"'])
def test_numbers_that_no_count_can_be_stop_nothing(run: Path, count: str) -> None:
    line = json.dumps(label(run, A, 3, 17)).replace(": 17", f": {count}")
    (run / "labels.jsonl").write_text(f"{line}\n", encoding="utf-8")
    assert "a file of it cannot be read: labels.jsonl: line 1 is no label" in markdown(board(run))


def test_extreme_counts_and_votes_on_one_system_twice_make_a_board(run: Path) -> None:
    counts = [label(run, system, prompt, 1e15 * (prompt % 2), 1e-320) for system in (A, B) for prompt in range(12)]
    write_lines(run / "labels.jsonl", counts)
    write_lines(run / "votes.jsonl", [vote(prompt, "left", prompt, A, A) for prompt in range(12)])
    results = board(run)
    assert [row["ties"] for row in rows_of(results, source="outcomes")] == [12]
    assert [of["left_out"] for of in results["people"]["sources"]] == [0, 12]
    json.dumps(results, allow_nan=False)
    assert markdown(results)


def test_repeats_meet_repeats_and_labels_of_any_repeat_are_of_its_prompt() -> None:
    rows = Rows()
    for system, of_repeats in ((A, (3, 1)), (B, (2, 2))):
        for repeat, value in enumerate(of_repeats):
            for prompt in ("p", "q"):
                rows.add(system, ("t", prompt), repeat, "x", "ok", value, None, None)
    rows.add(A, ("t", "only a"), 0, "x", "ok", 9, None, None)
    rows.add(B, ("t", "only a"), 0, "x", "error", None, None, None)
    scores = Scores("p", None, "views", False, rows, {"t": {"group": None}})
    said = [Said(("t", "p"), 1, 1, "1"), Said(("t", "p"), 0, -1, "2"), Said(("t", "only a"), 1, 1, "3")]
    (row,) = people_of([Source("votes", {}, {(A, B): said})], [(scores, "t", "primary")])["pairs"]
    assert (row["n"], row["labelled"], row["count"], row["predicted"]["value"]) == (2, 1, 2, 0.5)
    assert row["verdict"] is None


# -- what boards say


def test_boards_give_the_headline_to_people_and_say_what_carries_it(run: Path) -> None:
    write_lines(run / "votes.jsonl", well_known(run, range(15), 2))
    results = board(run)
    console = Console(width=80, record=True, file=io.StringIO())
    show(results, console)
    pages = (markdown(results), console.export_text(), board_page(results, "t"))
    for text in (" ".join(page.split()) for page in pages):
        for told in (
            "By people (30 votes by 30 voters, on 1 of 3 pairs): ",
            "Labels carry the weight: predictions count with ",
            "verdicts by the predictor, are about the predictor only",
            "widened until they hold together with 95 %",
        ):
            assert told in text
    (row,) = rows_of(results, "both")
    narrower = 100 * (1 - np.diff([row["corrected"][e] for e in ("low", "high")])[0]
                      / np.diff([row["labels"][e] for e in ("low", "high")])[0])  # fmt: skip
    assert f"make intervals {narrower:.1f} % narrower" in pages[0]
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    assert "cells with †" in run_page(run).lower()


def test_the_matrix_and_contrasts_have_peoples_verdict_where_there_are_labels(run: Path) -> None:
    write_lines(run / "votes.jsonl", [vote(prompt, "left", prompt) for prompt in range(30)])
    text = markdown(board(run))
    (matrix,) = [line for line in text.splitlines() if "†" in line and line.startswith("| 3 a")][:1]
    assert "**100.0 [" in matrix
    assert "]** †" in text
    assert "the one pair is decided: a|basic|x over b|pe|x, 100.0" in text.replace("\\", "")


# -- a simulated audience, through the tables of a board


def simulated(rng: np.random.Generator, rho: float, labelled: int, prompts: int = 120) -> dict[str, Any]:
    """Return the row of a pair whose predictor has a taste for a, and whose voters have noise, habits and tastes."""
    pearson = 2 * np.sin(np.pi * rho / 6)
    people = rng.standard_normal(prompts)
    seen = pearson * people + np.sqrt(1 - pearson**2) * rng.standard_normal(prompts) + 0.5
    rows = Rows()
    for prompt in range(prompts):
        for system, value in ((A, np.exp(seen[prompt])), (B, 1.0)):
            rows.add(system, ("t", f"{prompt:03d}"), 0, "xyz"[prompt % 3], "ok", value, None, None)
    said = []
    for number, prompt in enumerate(rng.permutation(prompts)[:labelled]):
        side = 1 if number % 2 else -1
        liked = 0.25 + people[prompt] + 0.7 * rng.standard_normal() + (0.3 + 0.3 * rng.standard_normal()) * side
        said.append(Said(("t", f"{prompt:03d}"), float(liked > 0), side, str(number)))
    scores = Scores("p", None, "views", False, rows, {"t": {"group": None}})
    (row,) = people_of([Source("votes", {}, {(A, B): said})], [(scores, "t", "primary")])["pairs"]
    return dict(row)


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.7])
def test_corrected_intervals_hold_and_are_no_wider_than_those_of_labels(rho: float) -> None:
    rng, repetitions, hold, widths = np.random.default_rng(8), 250, 0, []
    truth = norm.cdf((0.25 + 0.3 * np.array([1, -1])) / np.sqrt(1 + 0.7**2 + 0.3**2)).mean()
    for _ in range(repetitions):
        row = simulated(rng, rho, 60)
        hold += row["corrected"]["low"] <= truth <= row["corrected"]["high"]
        widths.append([row[name]["high"] - row[name]["low"] for name in ("corrected", "labels")])
    assert hold / repetitions > 0.93  # nominal .95, standard error .014
    corrected, labels = np.array(widths).T
    assert (corrected <= labels * (1 + 1e-9)).all()
    assert corrected.mean() / labels.mean() < (0.985 if rho == 0.7 else 1.0001)
