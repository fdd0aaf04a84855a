"""An audit finds the law that a predictor scores by, and what it finds goes onto the board and stays there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import known_law_components
from markdown_tables import tables_are_whole
from popbench.audit.run import audit
from popbench.errors import RunError
from popbench.leaderboard.audit_file import OUTDATED
from popbench.runs.samples import read_jsonl

pytestmark = pytest.mark.slow

PREDICTORS = (
    "law,title=1,label=titles",
    "law,level=1,label=videos",
    "law,title=1,level=1,label=added",
    "law,title=1,motion=1,label=motion",
    "law,title=1,level=1,both=3,novelty=true,label=crossed",
)


@pytest.fixture(autouse=True)
def _laws() -> None:
    known_law_components.install()


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that several laws scored, audited once; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("audit") / "run"
    known_law_components.evaluate(folder, *PREDICTORS)
    before = (folder / "leaderboard.md").read_text(encoding="utf-8")
    (folder.parent / "before.md").write_text(before, encoding="utf-8")
    return folder, audit(folder, shuffles=2)


@pytest.fixture
def run(audited: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of it, without what the audit wrote."""
    folder = tmp_path / "run"
    shutil.copytree(audited[0], folder)
    for name in ("audit.json", "audit.md"):
        (folder / name).unlink()
    return folder


def entry(found: dict[str, Any], predictor: str) -> dict[str, Any]:
    return next(item for item in found["audits"] if item["predictor"] == predictor)


def row(of: dict[str, Any], change: str) -> dict[str, Any]:
    return next(item for item in of["rows"] if item["change"] == change)


def exactly(value: float) -> dict[str, Any]:
    return {key: pytest.approx(value, abs=1e-9) for key in ("value", "low", "high")}


# -- laws


def test_a_predictor_that_reads_titles_only_is_found_to(audited: tuple[Path, dict[str, Any]]) -> None:
    of = entry(audited[1], "titles")
    assert row(of, "title")["share"] == exactly(1)
    assert row(of, "empty_title")["share"] == exactly(1)
    for change in ("video", "black", "control", "reversed", "still"):
        assert row(of, change)["share"] == exactly(0)
        assert row(of, change)["reordered"] == exactly(0)
        assert row(of, change)["factor"] == exactly(1)
    assert of["remainder"] == exactly(0)
    assert row(of, "empty_title")["reordered"] == exactly(1)  # all tie
    assert "the scores follow the title more than the video" in of["verdict"]
    assert "Titles explain 100 % [100, 100]" in of["verdict"]


def test_a_predictor_that_sees_brightness_only_is_found_to(audited: tuple[Path, dict[str, Any]]) -> None:
    of = entry(audited[1], "videos")
    assert row(of, "title")["share"] == exactly(0)
    assert row(of, "video")["share"] == exactly(1)
    assert row(of, "black")["share"] == exactly(1)
    assert row(of, "black")["n"] == 24
    assert row(of, "empty_title")["share"] == exactly(0)
    for change in ("control", "reversed", "still"):
        assert row(of, change)["share"] == exactly(0)
    assert "the scores follow the video more than the title" in of["verdict"]


def test_an_additive_law_is_taken_apart(audited: tuple[Path, dict[str, Any]]) -> None:
    """Within the interval of the shares that the samples' own titles and videos have."""
    folder, found = audited
    of = entry(found, "added")
    titles, levels = known_law_components.parts(list(read_jsonl(folder / "samples.jsonl")), folder)
    whole = np.var(titles + levels)
    for change, part in (("title", titles), ("video", levels), ("empty_title", titles), ("black", levels)):
        share = row(of, change)["share"]
        assert share["low"] < np.var(part) / whole < share["high"]
        assert share["value"] == pytest.approx(np.var(part) / whole, abs=0.3)
    assert of["together"] == exactly(0)
    assert row(of, "empty_title")["factor"]["value"] == pytest.approx(2 ** np.median(-titles))
    assert of["variance"]["value"] == pytest.approx(whole, rel=0.3)


def test_what_title_and_video_do_together_is_in_the_remainder(audited: tuple[Path, dict[str, Any]]) -> None:
    of = entry(audited[1], "crossed")
    assert of["together"]["low"] > 0.01
    assert of["remainder"]["value"] == pytest.approx(of["shared"]["value"] - of["together"]["value"])


def test_a_predictor_that_sees_the_direction_of_time_reacts_to_reversed_videos(
    audited: tuple[Path, dict[str, Any]],
) -> None:
    of = entry(audited[1], "motion")
    assert row(of, "control")["share"] == exactly(0)
    # Reversing changes the sign of the motion, 2 m: four times the variance that a still takes away.
    assert row(of, "reversed")["share"]["value"] == pytest.approx(4 * row(of, "still")["share"]["value"])
    assert row(of, "still")["share"]["low"] > 0.3
    assert row(of, "reversed")["reordered"]["low"] > 0


@pytest.fixture(scope="module")
def of_others(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An audit of predictors that use others than title and video."""
    folder = tmp_path_factory.mktemp("audit") / "run"
    weights = {
        "three": {"video": 1, "prompt": 6, "category": 0},
        "two": {"video": 1, "video_prompt": 1},
        "one": {"prompt": 1},
    }
    specs = [f"sum,weights={json.dumps(of)},label={label}" for label, of in weights.items()]
    known_law_components.evaluate(folder, *specs)
    return folder, audit(folder, shuffles=2)


def changes(of: dict[str, Any]) -> list[str]:
    return [row["change"] for row in of["rows"]]


def test_what_a_predictor_uses_is_swapped_and_nothing_else(of_others: tuple[Path, dict[str, Any]]) -> None:
    folder, found = of_others
    three, two, one = (entry(found, label) for label in ("three", "two", "one"))
    of_video = ["black", "control", "reversed", "still"]
    assert changes(three) == ["video", "prompt", "category", *of_video]
    assert changes(two) == ["video", "video_prompt", *of_video]
    assert changes(one) == ["prompt"]
    assert (three["uses"], one["uses"]) == (["video", "prompt", "category"], ["prompt"])
    assert row(three, "category")["share"] == exactly(0)
    assert row(three, "prompt")["share"]["low"] > row(three, "video")["share"]["value"]
    assert row(three, "prompt")["share"]["value"] == pytest.approx(1, abs=0.4)
    assert "shared" not in three
    assert two["together"] == exactly(0)
    assert row(one, "prompt")["share"] == exactly(1)
    assert [row["name"] for row in one["covariates"]] == []
    assert one["verdict"] == "The predictor sees prompts and nothing else: they decide the scores alone."
    assert three["verdict"].startswith("Videos explain ")
    assert "of the variance of the scores, prompts " in three["verdict"]
    assert "of the pairs of systems on a prompt, another prompt that of " in three["verdict"]
    for name in ("audit.md", "leaderboard.md"):
        text = (folder / name).read_text(encoding="utf-8")
        assert tables_are_whole(text)
        assert "| remainder: 1 - videos - prompts - categories |" in text
        assert "| in it: what video and video prompt share |" in text
        assert "What a predictor sees is swapped part by part" in text
    known_law_components.evaluate(folder.parent / "default", "law,title=1,label=law")
    audit(folder.parent / "default", shuffles=1)
    text = (folder.parent / "default/audit.md").read_text(encoding="utf-8")
    assert "| remainder: 1 - titles - videos |" in text
    assert "Titles and videos are swapped between samples of different prompts" in text


def test_covariates_that_are_the_same_for_all_are_said_to_be(audited: tuple[Path, dict[str, Any]]) -> None:
    length, seconds = entry(audited[1], "titles")["covariates"]
    assert (length["name"], length["constant"]) == ("title_length", False)
    assert 0 <= length["r_squared"]["low"] <= length["r_squared"]["value"] <= length["r_squared"]["high"] <= 1
    assert (seconds["name"], seconds["constant"], seconds["r_squared"]) == ("duration", True, None)


def test_unchanged_samples_score_as_in_the_run(audited: tuple[Path, dict[str, Any]]) -> None:
    for of in audited[1]["audits"]:
        assert of["stored"] == {"compared": 24, "differ": 0, "largest": 0.0}
        assert of["samples"]["n"] == 24
        assert of["samples"]["systems"] == ["a|basic|painter", "b|basic|painter"]


# -- novelty


def test_novelty_is_summarised_by_part_and_system_and_warned_of(audited: tuple[Path, dict[str, Any]]) -> None:
    folder, found = audited
    of = entry(found, "crossed")
    titles, levels = known_law_components.parts(list(read_jsonl(folder / "samples.jsonl")), folder)
    video, title = of["novelty"]["video"], of["novelty"]["title"]
    assert video["n"] == title["n"] == 24
    assert video["beyond_99"]["value"] == pytest.approx((levels > 0.5).mean())
    assert title["median"] == pytest.approx(np.median(titles))
    assert sum(part["n"] for part in video["by_system"].values()) == 24
    (told,) = [line for line in of["warnings"] if "farther" in line]
    assert "of the videos are farther from all training items" in told
    assert entry(found, "titles")["novelty"] is None


@pytest.mark.parametrize("said", [{}, {"video": 1.5}, {"video": True}, {"video": "0.4"}, [0.5], None, 3])
def test_a_novelty_that_is_none_says_nothing(said: Any) -> None:
    from popbench.audit.novelty import novelty_of

    assert novelty_of(["a", "b"], [{"novelty": said}, None]) is None


def test_one_item_beyond_the_quantile_is_no_warning() -> None:
    from popbench.audit.novelty import novelty_of, warnings_of

    few = novelty_of(["a"] * 10, [{"novelty": {"title": q}} for q in [0.999, *[0.5] * 9]])
    many = novelty_of(["a"] * 10, [{"novelty": {"title": q}} for q in [0.999] * 4 + [0.5] * 6])
    assert (len(list(warnings_of(few))), len(list(warnings_of(many)))) == (0, 1)


# -- predictors that misbehave


def test_items_that_fail_are_counted_and_left_out_of_their_row(run: Path) -> None:
    of = audit(run, ["law,level=1,fault=fails on black,label=videos"], shuffles=1)["audits"][0]
    assert (row(of, "black")["n"], row(of, "black")["failed"]) == (0, 24)
    assert row(of, "black")["share"] is None
    assert row(of, "video")["share"] == exactly(1)
    assert any("failed and are left out" in line for line in of["warnings"])
    assert tables_are_whole((run / "audit.md").read_text(encoding="utf-8"))


def test_a_predictor_that_ends_early_on_a_change_loses_that_row_only(run: Path) -> None:
    of = audit(run, ['law,title=1,fault="dies without title",label=titles'], shuffles=1)["audits"][0]
    assert "out of ideas" in row(of, "empty_title")["ended"]
    assert row(of, "empty_title")["share"] is None
    assert row(of, "reversed")["share"] == exactly(0)
    assert any("ended early" in line for line in of["warnings"])


def test_a_predictor_that_scores_nothing_ends_the_audit_and_nothing_is_written(run: Path) -> None:
    with pytest.raises(RunError, match=r"does not score the samples of the run as they are: .*out of ideas"):
        audit(run, ["law,title=1,fault=dies,label=titles"])
    assert not (run / "audit.json").exists()


def test_scores_that_are_not_repeated_are_warned_of(run: Path) -> None:
    of = audit(run, ["law,title=1,fault=drifts,label=titles"], shuffles=1)["audits"][0]
    assert of["stored"]["compared"] == 24
    assert of["stored"]["differ"] == 12
    assert of["stored"]["largest"] == pytest.approx(2**0.1 - 1)
    assert any(line.startswith("12 of 24 unchanged samples scored otherwise") for line in of["warnings"])


# -- the board


def without_section(board: str) -> str:
    start = board.index("## What moves the scores\n")
    return board[:start] + board[board.index("---\n", start) :]


def test_the_board_is_what_eval_wrote_and_the_section(audited: tuple[Path, dict[str, Any]]) -> None:
    folder, found = audited
    board = (folder / "leaderboard.md").read_text(encoding="utf-8")
    before = (folder.parent / "before.md").read_text(encoding="utf-8")
    assert without_section(board) == before
    assert tables_are_whole(board)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["audit"] == found["audits"] == json.loads((folder / "audit.json").read_text())["audits"]
    assert "## What moves the scores" not in before
    assert (folder / "audit.md").read_text(encoding="utf-8").startswith("# What moves the scores\n")


def test_the_section_stays_as_long_as_predictor_and_samples_do(audited: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = audited
    board = (folder / "leaderboard.md").read_text(encoding="utf-8")
    known_law_components.evaluate(folder, *PREDICTORS)
    assert (folder / "leaderboard.md").read_text(encoding="utf-8") == board


def test_an_audit_of_other_samples_is_left_out_and_said_to_be_out_of_date(run: Path) -> None:
    audit(run, ["law,title=1,label=titles"], shuffles=1)
    again = known_law_components.evaluate(run, *PREDICTORS, limit=13)
    assert again.results is not None
    assert "audit" not in again.results
    assert OUTDATED in again.results["remarks"]
    audit(run, ["law,title=1,label=titles"], limit=5, shuffles=1)
    assert "**Predictor titles**" in (run / "leaderboard.md").read_text(encoding="utf-8")  # of five that it has
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert len(results["audit"]) == 1
    assert OUTDATED not in results["remarks"]


def test_a_limited_audit_stays_on_a_board_of_more_prompts(run: Path) -> None:
    """Its prompts are those that a run with this limit has, and a longer run has them too."""
    found = audit(run, ["law,title=1,label=titles"], limit=10, shuffles=1)
    assert found["audits"][0]["samples"]["prompts"] == 10
    again = known_law_components.evaluate(run, *PREDICTORS, limit=14)
    assert again.results is not None
    assert again.results["audit"] == found["audits"]
    ids = {sample.prompt_id for sample in known_law_components.evaluate(run.parent / "ten", limit=10).samples()}
    from popbench.leaderboard.audit_file import select

    assert {sample.prompt_id for sample in select(again.samples(), 10)} == ids


def test_a_predictor_that_the_run_has_not_is_audited_beside_the_board(run: Path) -> None:
    board = (run / "leaderboard.md").read_text(encoding="utf-8")
    of = audit(run, ["law,level=2,label=other"], limit=5, shuffles=1)["audits"][0]
    assert (of["of_run"], of["stored"]) == (False, None)
    assert (run / "leaderboard.md").read_text(encoding="utf-8") == without_section(board)
    again = known_law_components.evaluate(run, *PREDICTORS)
    assert again.results is not None
    assert "audit" not in again.results
    assert OUTDATED not in again.results["remarks"]


@pytest.mark.parametrize("content", ["", '{"audits": [{"of_run": true}]}', '{"audits": [null]}'])
def test_an_audit_file_that_is_none_fails_no_run(run: Path, content: str) -> None:
    (run / "audit.json").write_text(content, encoding="utf-8")
    again = known_law_components.evaluate(run, *PREDICTORS)
    assert again.results is not None
    assert OUTDATED in again.results["remarks"]


def test_a_file_of_the_right_samples_without_its_rows_fails_no_run(run: Path) -> None:
    found = audit(run, ["law,title=1,label=titles"], limit=5, shuffles=1)
    del found["audits"][0]["rows"][2]["share"]
    (run / "audit.json").write_text(json.dumps(found), encoding="utf-8")
    again = known_law_components.evaluate(run, *PREDICTORS)
    assert again.results is not None
    assert "audit" not in again.results


def test_the_ledger_is_not_touched_and_the_run_is_free_afterwards(run: Path) -> None:
    before = (run / "ledger.sqlite").read_bytes()
    audit(run, ["law,title=1,label=titles"], limit=5, shuffles=1)
    assert (run / "ledger.sqlite").read_bytes() == before
    assert not (run / ".holder").exists()
    assert not list(run.glob(".*.part"))


def test_the_same_seed_gives_the_same_audit(run: Path) -> None:
    first = audit(run, ["law,title=1,level=1,label=added"], limit=5, shuffles=2, seed=7)
    assert audit(run, ["law,title=1,level=1,label=added"], limit=5, shuffles=2, seed=7) == first
    assert audit(run, ["law,title=1,level=1,label=added"], limit=5, shuffles=2, seed=8) != first
