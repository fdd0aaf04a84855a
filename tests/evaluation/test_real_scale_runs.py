"""A run that is judged on a real scale, with parts and invalid samples, goes through every command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import judging_components
import popbench
from browser import chromium, opened
from made_boards import edit, edit_samples, forge, submissions
from made_tasks import task_file
from popbench.audit.run import audit
from popbench.comparison.numbers import compare_runs
from popbench.errors import UsageError
from popbench.export.eee import write_eee
from popbench.export.tables import write_table
from popbench.leaderboard.results import compute
from popbench.paper.report import write_paper
from popbench.publishing.add import add
from popbench.publishing.check import check
from popbench.report.write import write_report
from popbench.scores.scores import merge
from popbench.scores.sources import read_source
from usage_errors import refusal

ROWS = [{"id": f"p{n:02d}", "prompt": f"A cat that counts to {n}", "category": "ab"[n % 2]} for n in range(12)]
INVALID = "arbiter,parts=2,invalid=0.3,label=judge"


def evaluate(out: Path, *predictors: str, **changes: Any) -> Path:
    task = task_file(out.parent / f"{out.name}-task", ROWS, name="cats")
    judging_components.evaluate(out, *predictors, task=str(task), limit=None, **changes)
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluate(tmp_path_factory.mktemp("real") / "run", INVALID, "law,title=1,label=views", repeats=2)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def results(run: Path) -> Any:
    return json.loads((run / "results.json").read_text(encoding="utf-8"))


def test_an_invalid_sample_has_no_number_on_a_real_scale_and_its_own_on_others(run: Path) -> None:
    by_status: dict[str, list[dict[str, Any]]] = {}
    for sample in lines(run):
        by_status.setdefault(sample["status"], []).append(sample)
    assert set(by_status) == {"ok", "invalid"}
    for sample in by_status["invalid"]:
        assert sample["popularity"] is None
        assert sample["scores"]["judge"] is None
        assert sample["scores"]["views"] > 0
        assert "parts" not in sample
    assert all(set(sample["parts"]) == {"judge"} for sample in by_status["ok"])
    assert min(sample["popularity"] for sample in by_status["ok"]) < 0


def test_what_the_second_predictor_finds_invalid_is_so_for_it_alone(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", "law,title=1,label=views", INVALID)
    samples = lines(run)
    assert {sample["status"] for sample in samples} == {"ok"}
    assert any(sample["scores"]["judge"] is None for sample in samples)
    invalid = {row["predictor"] for row in results(run)["systems"] if row["invalid"]}
    assert invalid == {"judge"}


def test_the_scale_and_the_parts_are_no_part_of_a_run_without_them(made: Path, tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", "law,title=1,label=views")
    assert "scales" not in json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert json.loads((made / "run.json").read_text(encoding="utf-8"))["scales"] == {"judge": "real"}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_exported_run_makes_the_same_board(run: Path, form: str, tmp_path: Path) -> None:
    out = tmp_path / f"scores.{form}"
    write_table(run, form, out)
    found = compute(merge(read_source(out)))
    for name in ("systems", "pairs", "enhancement"):
        assert found[name] == results(run)[name]
    assert found["predictors"] == results(run)["predictors"]
    if form == "parquet":
        table = pyarrow.parquet.read_table(out)
        assert {"scale", "part_part 0", "part_part 1"} <= set(table.column_names)
        judged = table.filter(pyarrow.compute.equal(table["scale"], "real"))
        assert judged["part_part 0"].null_count == judged["popularity"].null_count > 0


def test_a_format_without_invalid_samples_gets_a_run_without_any(run: Path, tmp_path: Path) -> None:
    message = refusal(lambda: write_eee(run, tmp_path / "eee"))
    assert "invalid samples on a real scale, for which the format has no number: export jsonl or parquet" in message
    whole = evaluate(tmp_path / "whole", "arbiter,label=judge")
    write_eee(whole, tmp_path / "eee")
    assert compute(merge(read_source(tmp_path / "eee")))["systems"] == results(whole)["systems"]


def test_python_has_a_column_for_each_part(run: Path) -> None:
    loaded = popbench.load(run)
    table = loaded.to_pandas()
    assert table["judge/part 0"].isna().sum() == (table["status"] == "invalid").sum()
    assert "parts" not in table.columns
    assert loaded.to_dataset()["parts"][0]["judge"]["part 0"] == table["judge/part 0"][0]
    assert "?" in loaded._repr_html_() or "invalid" in loaded._repr_html_()


def test_two_runs_are_compared_by_the_difference_of_their_medians(tmp_path: Path) -> None:
    one, two = (evaluate(tmp_path / name, "arbiter,label=judge", seed=seed) for name, seed in (("a", 1), ("b", 2)))
    found = compare_runs(one, two)
    assert found["predictors"][0]["scale"] == "real"
    for row in found["contrasts"]:
        before, after = row["before"]["median"]["value"], row["after"]["median"]["value"]
        assert row["median_difference"] == pytest.approx(after - before)
        assert row["median_ratio"] is None


@pytest.mark.slow
def test_an_audit_takes_scores_as_they_are(run: Path) -> None:
    (entry, other) = audit(run, shuffles=2)["audits"]
    assert entry["scale"] == "real"
    assert "scale" not in other
    shares = {row["change"]: row["share"] for row in entry["rows"]}
    assert shares["title"]["value"] == 1
    assert "video" not in shares  # which the judge does not use
    assert all("shift" in row and "factor" not in row for row in entry["rows"])
    assert entry["stored"]["differ"] == 0
    text = (run / "audit.md").read_text(encoding="utf-8")
    assert "| Shift |" in text
    assert "| Factor |" in text
    assert "On a real scale scores are taken as they are" in text


def test_the_papers_tables_are_refused_with_what_there_is_instead(run: Path, tmp_path: Path) -> None:
    message = refusal(lambda: write_paper([run], tmp_path / "paper"))
    assert "scores on a real scale" in message
    assert "choose another with --predictor (views)" in message


def test_a_board_of_submissions_keeps_the_scale_and_its_invalid_samples(tmp_path: Path) -> None:
    run, board = evaluate(tmp_path / "run", INVALID), tmp_path / "board"
    add(board, run, title="Judged")
    assert "scale: real" in (board / "board.yaml").read_text(encoding="utf-8")
    assert check(board).wrong == ()
    published = json.loads((board / "board.json").read_text(encoding="utf-8"))
    assert published["systems"] == results(run)["systems"]
    (file,) = submissions(board)
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert all(("popularity" in row) == (row["status"] == "ok") for row in rows)
    assert min(row.get("popularity", 0) for row in rows) < 0

    forged = forge(file, lambda content: content["rows"][0].update(status="invalid", popularity=1.0))
    assert any("with status invalid (on a real scale it has none)" in line for line in check(board).wrong), forged


def test_a_run_that_was_changed_by_hand_is_not_added(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", "arbiter,label=judge")
    edit_samples(run, lambda sample: sample["parts"]["judge"].update({"part 0": 5.0}))
    with pytest.raises(UsageError, match="does not match the ledger in parts"):
        add(tmp_path / "board", run, title="Judged")
    other = evaluate(tmp_path / "other", "arbiter,label=judge")
    edit(other / "run.json", lambda content: content.pop("scales"))
    with pytest.raises(UsageError):
        add(tmp_path / "board", other, title="Judged")


def test_a_scale_that_there_is_none_of_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging_components.Judge, "scale", "percent")
    message = refusal(lambda: evaluate(tmp_path / "run", "arbiter,label=judge"))
    assert "predictor judge: scale is 'percent', expected 'positive' or 'real'" in message
    assert not (tmp_path / "run/ledger.sqlite").exists()


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_draws_the_scores_and_tells_the_invalid_ones(run: Path) -> None:
    path = write_report(run)
    with chromium() as browser, opened(browser, path) as page:
        assert page.complaints == []
        texts = " ".join(page.texts("main"))
        assert "on a linear axis of points" in texts
        assert "Parts of the scores" in texts
        page.page.locator("#everyone summary").click()
        page.until("document.querySelectorAll('#everyone tbody tr').length === 3")
        assert page.complaints == []
