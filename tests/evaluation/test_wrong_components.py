"""Components that go wrong in a run: each ends alone and loses nothing, and what it lacks is told before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import faults
import popbench_runs
from popbench.errors import UsageError
from popbench_runs import by_prompt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "fault", "told"),
    [
        (kind, fault, told)
        for kind in ("llm", "gen", "predictor")
        for fault, told in [
            ("raise", "raised RuntimeError: the model fell over"),
            ("early", "ended before it was asked everything"),
            ("twice", "twice"),
            ("unknown", "answered item 'nobody', which it was not asked"),
            ("silent", "gave no answer for 0.5 s"),
        ]
    ],
)
def test_a_component_that_breaks_ends_alone_and_loses_nothing(
    kind: str, fault: str, told: str, tmp_path: Path, log: Path
) -> None:
    """The other system goes on; what was answered is kept; a resume does the rest and nothing twice."""
    once = f"fault={fault},once={tmp_path / 'happened'}"
    changes: dict[str, Any] = {
        "llm": ["verbatim", "faulty"],
        "engine": "local,inactivity_limit=0.5",
        **({kind: ["verbatim", f"faulty,{once}"]} if kind == "llm" else {kind: f"faulty,{once}"}),
    }
    run = popbench_runs.run_fast(tmp_path / "run", **changes)
    assert not run.complete
    assert len(run.problems) == 1
    assert told in run.problems[0]
    assert "faulty" in run.problems[0]
    assert "\n" not in run.problems[0]
    assert run.errors > 0
    if kind == "llm":
        assert {row["status"] for row in by_prompt(run.path, "verbatim|basic|faulty").values()} == {"ok"}
    before = popbench_runs.committed(run.path)
    log.write_text("")
    resumed = popbench_runs.run_fast(tmp_path / "run", **changes)
    assert resumed.complete
    assert not before & set(log.read_text().split())
    clean = popbench_runs.run_fast(tmp_path / "clean", llm=["verbatim", "faulty"])
    assert popbench_runs.outcome(resumed.path) == popbench_runs.outcome(clean.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "fault", "told"),
    [
        ("gen", "shape", r"generator faulty: frames have shape \(32, 48, 3\), expected \(frames, height, width, 3\)"),
        ("gen", "nan", "generator faulty: frames hold NaN"),
        ("gen", "missing", "generator faulty: clip file /nonexistent/clip.mp4 does not exist"),
        ("gen", "failure", "quota used up"),
        ("gen", "type", "dict"),
        ("llm", "failure", "quota used up"),
        ("predictor", "failure", "quota used up"),
        ("predictor", "nan", "predictor faulty: popularity is nan, expected a finite number above 0"),
        ("predictor", "zero", "predictor faulty: popularity is 0.0"),
        ("predictor", "negative", "predictor faulty: popularity is -1.0"),
    ],
)
def test_one_wrong_answer_is_an_error_of_its_item_and_is_tried_again(
    kind: str, fault: str, told: str, tmp_path: Path
) -> None:
    changes = {kind: f"faulty,fault={fault},once={tmp_path / 'happened'}"}
    run = popbench_runs.run_fast(tmp_path / "run", **changes)
    rows = popbench_runs.samples(run.path)
    failed = [row for row in rows if row["status"] == "error"]
    assert not run.complete
    if fault == "type":  # an answer without an id ends the component
        assert told in run.problems[0]
    else:
        assert len(failed) == 1
        assert pytest.importorskip("re").search(told, failed[0]["error"])
        assert failed[0]["popularity"] is None
        assert run.problems == ()
    assert run.results is not None
    assert "running the same command again" in run.results["incomplete"]
    assert "Incomplete" in (run.path / "leaderboard.md").read_text()
    assert popbench_runs.run_fast(tmp_path / "run", **changes).complete


@pytest.mark.parametrize(
    ("kind", "fault", "told"),
    [
        ("gen", "black", "every frame of the clip is black"),
        ("gen", "refusal", "refused"),
        ("llm", "refusal", "refused"),
        ("predictor", "refusal", "refused"),
    ],
)
def test_the_models_own_failure_scores_0_and_is_final(
    kind: str, fault: str, told: str, tmp_path: Path, log: Path
) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", **{kind: f"faulty,fault={fault}"})
    invalid = [row for row in popbench_runs.samples(run.path) if row["status"] == "invalid"]
    assert run.complete
    assert run.invalid == len(invalid) == 1
    assert invalid[0]["error"] == told
    assert invalid[0]["popularity"] == 0
    log.write_text("")
    popbench_runs.run_fast(tmp_path / "run", **{kind: f"faulty,fault={fault}"})
    assert log.read_text() == ""


def test_an_unusable_completion_is_asked_again_with_another_seed_twice_at_most(tmp_path: Path, log: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", llm="faulty,fault=nonsense")
    assert [row["attempts"] for row in popbench_runs.samples(run.path)].count(2) == 1
    assert run.invalid == 0
    log.write_text("")
    run = popbench_runs.run_fast(tmp_path / "never", llm="faulty,fault=always-nonsense")
    rows = popbench_runs.samples(run.path)
    assert len(set(log.read_text().split())) == 15
    assert {(row["status"], row["attempts"], row["error"]) for row in rows} == {
        ("invalid", 3, "no usable draft in 3 answers: no JSON (3)")
    }
    assert run.results is not None
    assert run.results["systems"][0]["invalid"] == 5


def test_an_answer_that_copies_the_example_is_no_draft(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", llm="faulty,fault=copies")
    assert run.invalid == 5


def test_breaches_are_kept_and_counted(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", llm="faulty,fault=breaks")
    rows = popbench_runs.samples(run.path)
    assert {(row["status"], row["compliance"]) for row in rows} == {("ok", False)}
    assert all("more than 50" in " ".join(row["notes"]) for row in rows)
    assert run.results is not None
    assert run.results["systems"][0]["compliance"] == 0


def test_what_a_component_lacks_is_told_before_any_work(tmp_path: Path, log: Path) -> None:
    with pytest.raises(UsageError, match="llm lacking: the key MOON_KEY is not set"):
        popbench_runs.run_fast(tmp_path / "run", llm=["faulty", "lacking"])
    assert log.read_text() == ""
    assert not (tmp_path / "run").exists()


def test_only_components_with_work_left_are_asked_what_they_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key for the LLM is not needed to score its clips with another predictor."""
    popbench_runs.run_fast(tmp_path / "run")
    monkeypatch.setattr(faults.FaultyLLM, "check", lambda self: ["no key"])
    monkeypatch.setattr(faults.FaultyGenerator, "check", lambda self: ["no GPU"])
    assert popbench_runs.run_fast(tmp_path / "run", predictor="demo").complete
    with pytest.raises(UsageError, match=r"^llm faulty: no key\ngenerator faulty: no GPU$"):
        popbench_runs.run_fast(tmp_path / "run", limit=6)
    with pytest.raises(UsageError, match=r"^llm faulty: no key$"):
        popbench_runs.run_fast(tmp_path / "run", limit=6, stop_after="write")
