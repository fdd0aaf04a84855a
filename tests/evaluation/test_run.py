"""Whole runs: what is kept and shared, what does not matter, and what becomes of components that go wrong."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import faults
import popbench
import popbench_runs
from popbench.errors import UsageError
from popbench.pipeline import stages


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "asked.txt"
    path.touch()
    monkeypatch.setenv(faults.LOG, str(path))
    return path


def by_prompt(run: Path, system: str) -> dict[str, dict[str, Any]]:
    return {row["prompt_id"]: row for row in popbench_runs.samples(run) if row["system"] == system}


def test_a_run_writes_its_files_and_opens_as_data(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", llm=["verbatim", "faulty"], repeats=2)
    assert run.complete
    assert {path.name for path in run.path.iterdir() if not path.name.startswith(".")} == {
        "run.json", "ledger.sqlite", "samples.jsonl", "results.json", "leaderboard.md", "videos",
    }  # fmt: skip
    assert len(run.to_pandas()) == len(run.to_dataset()) == run.n == 20
    later = {"unusable", "remarks", "uncounted"}  # not in the file where they are empty
    assert set(run.to_dataset().column_names) == set(popbench_runs.samples(run.path)[0]) | {"seconds"} | later
    first = next(run.samples())
    assert first.video is not None
    assert (run.path / first.video).is_file()
    assert run.results is not None
    assert run.results["systems"][0]["n"] == 5
    assert run.results["systems"][0]["repeats"] == 2


def test_the_same_command_again_asks_for_nothing(tmp_path: Path, log: Path) -> None:
    popbench_runs.run_fast(tmp_path / "run")
    before = popbench_runs.outcome(tmp_path / "run")
    log.write_text("")
    popbench_runs.run_fast(tmp_path / "run")
    assert log.read_text() == ""
    assert popbench_runs.outcome(tmp_path / "run") == before


@pytest.mark.slow
def test_another_system_or_predictor_repeats_nothing(tmp_path: Path, log: Path) -> None:
    popbench_runs.run_fast(tmp_path / "run")
    for changes in (
        {"llm": ["faulty", "counting"]},
        {"gen": ["faulty", "counting"]},
        {"predictor": ["faulty", "counting"]},
        {"limit": 7},
        {"repeats": 2},
        {"mode": ["basic", "pe"]},
    ):
        before = popbench_runs.committed(tmp_path / "run")
        log.write_text("")
        popbench_runs.run_fast(tmp_path / "run", **changes)
        asked = log.read_text().split()
        assert asked
        assert not before & set(asked), changes


def test_another_predictor_scores_the_clips_that_are_there(tmp_path: Path, log: Path) -> None:
    popbench_runs.run_fast(tmp_path / "run")
    log.write_text("")
    run = popbench_runs.run_fast(tmp_path / "run", predictor="counting")
    assert len(log.read_text().split()) == 5
    assert [set(row["scores"]) for row in popbench_runs.samples(run.path)] == [{"counting"}] * 5


def test_two_predictors_score_the_same_clips(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", llm=["verbatim", "faulty"], predictor=["faulty", "demo"])
    assert run.results is not None
    assert {row["predictor"] for row in run.results["systems"]} == {"faulty", "demo"}
    row = popbench_runs.samples(run.path)[0]
    assert row["popularity"] == row["scores"]["faulty"] != row["scores"]["demo"]


def test_equal_clips_are_rendered_once(tmp_path: Path, log: Path) -> None:
    """Two modes in which `verbatim` says the same share clips and scores."""
    run = popbench_runs.run_fast(tmp_path / "run", llm="verbatim", mode=["basic", "pe"])
    assert run.n == 10
    assert len(log.read_text().split()) == 5 + 5
    assert len(list((run.path / "videos").iterdir())) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"llm": "batched,batch=1"},
        {"llm": "batched,batch=16"},
        {"llm": "batched", "concurrency": 3},
        {"llm": ["verbatim", "batched"]},
        {"llm": ["batched", "faulty"], "mode": ["pe", "basic"]},
        {"llm": "batched", "limit": 8},
        {"llm": "batched", "repeats": 2},
    ],
)
def test_samples_do_not_depend_on_batches_order_limit_or_company(changes: dict[str, Any], tmp_path: Path) -> None:
    base = popbench_runs.run_fast(tmp_path / "base", llm="batched", gen="kinetic,width=64,height=64", predictor="demo")
    other = popbench_runs.run_fast(
        tmp_path / "other", **{"gen": "kinetic,width=64,height=64", "predictor": "demo", **changes}
    )
    expected = by_prompt(base.path, "batched|basic|kinetic[width=64,height=64]")
    found = {
        row["prompt_id"]: row
        for row in popbench_runs.samples(other.path)
        if row["system"] == "batched|basic|kinetic[width=64,height=64]" and row["repeat"] == 0
    }
    assert len(expected) == 5
    assert {id_: found[id_] for id_ in expected} == expected


def test_another_seed_gives_other_drafts_and_needs_another_directory(tmp_path: Path) -> None:
    a = popbench_runs.run_fast(tmp_path / "a", llm="shotlist")
    b = popbench_runs.run_fast(tmp_path / "b", llm="shotlist", seed=43)
    assert [row["title"] for row in popbench_runs.samples(a.path)] != [
        row["title"] for row in popbench_runs.samples(b.path)
    ]
    with pytest.raises(UsageError, match="holds a run with seed 42: choose another --out"):
        popbench_runs.run_fast(tmp_path / "a", seed=43)
    with pytest.raises(UsageError, match="holds a run with other tasks"):
        popbench_runs.run_fast(tmp_path / "a", task="popcorn_abstract")


def test_the_default_directory_is_found_again(in_tmp: Path) -> None:
    first = popbench.evaluate(**popbench_runs.FAST)
    again = popbench.evaluate(**{**popbench_runs.FAST, "limit": 2, "llm": "verbatim"})
    other = popbench.evaluate(**popbench_runs.FAST, seed=1)
    assert first.path == again.path != other.path
    assert first.path.parent == Path("runs")


# -- components that go wrong ---------------------------------------------------------------------------------


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


def test_a_clip_that_comes_out_otherwise_the_second_time_is_scored_again(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", gen="kinetic,width=64,height=64", predictor="demo")
    before = popbench_runs.samples(run.path)
    clip = next((run.path / "videos").glob("*.mp4"))
    with sqlite3.connect(run.path / "ledger.sqlite") as ledger:  # as if it had other bytes the first time
        ledger.execute("UPDATE calls SET payload = json_set(payload, '$.sha256', 'x') WHERE key = ?", (clip.stem,))
        ledger.execute("UPDATE done SET value = json_set(value, '$.sha256', 'x') WHERE key = ?", (clip.stem,))
        ledger.execute("UPDATE done SET value = json_set(value, '$.sha256', 'x') WHERE stage = 'score'")
        ledger.execute("DELETE FROM calls WHERE stage = 'score'")
    ledger.close()
    clip.unlink()
    again = popbench_runs.run_fast(tmp_path / "run", gen="kinetic,width=64,height=64", predictor="demo")
    assert again.complete
    assert popbench_runs.samples(again.path) == before


def test_two_systems_with_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"two generators are labelled 'x'.*label=NAME"):
        popbench_runs.run_fast(tmp_path / "run", gen=["faulty,label=x", "kinetic,label=x"])
    with pytest.raises(UsageError, match=r"two generators are labelled 'x  y'"):  # they look the same on a page
        popbench_runs.run_fast(tmp_path / "run", gen=["faulty,label=x y", "kinetic,label=x  y"])
    with pytest.raises(UsageError, match=r"two modes are labelled 'x  y'"):
        popbench_runs.run_fast(tmp_path / "run", mode=["basic,label=x y", "pe,label=x  y"])


def test_a_missing_clip_is_rendered_again(tmp_path: Path, log: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run")
    before = popbench_runs.outcome(run.path)
    next((run.path / "videos").glob("*.mp4")).unlink()
    log.write_text("")
    popbench_runs.run_fast(tmp_path / "run")
    assert len(log.read_text().split()) == 1
    assert popbench_runs.outcome(run.path) == before


def test_stopping_after_a_stage_leaves_the_rest_for_later(tmp_path: Path, log: Path) -> None:
    written = popbench_runs.run_fast(tmp_path / "run", stop_after="write")
    assert written.complete
    assert len(log.read_text().split()) == 5
    assert {row["video"] for row in popbench_runs.samples(written.path)} == {None}
    rendered = popbench_runs.run_fast(tmp_path / "run", stop_after="render")
    assert len(log.read_text().split()) == 10
    assert rendered.results is None
    assert all(row["video"] and row["popularity"] is None for row in popbench_runs.samples(rendered.path))
    finished = popbench_runs.run_fast(tmp_path / "run")
    assert len(log.read_text().split()) == 15
    assert finished.results is not None


def test_demo_components_mark_the_run(tmp_path: Path) -> None:
    real = popbench_runs.run_fast(tmp_path / "real")
    assert not real.demo
    for name, changes in {"predictor": {"predictor": "demo"}, "corpus": {"mode": "pe", "corpus": "demo"}}.items():
        run = popbench_runs.run_fast(tmp_path / name, **changes)
        assert run.demo
        assert run.results is not None
        assert run.results["demo"]
        assert json.loads((run.path / "run.json").read_text())["demo"]
        assert "Demo scores" in (run.path / "leaderboard.md").read_text()


def test_run_json_repeats_the_run_elsewhere(tmp_path: Path) -> None:
    a = popbench_runs.run_fast(tmp_path / "a", llm=["verbatim", "faulty"], repeats=2)
    b = popbench.evaluate(config=a.path / "run.json", out=tmp_path / "b")
    assert popbench_runs.outcome(a.path) == popbench_runs.outcome(b.path)


def flip_a_byte(clip: Path) -> bytes:
    """Change a clip without changing its size or its times; return what it was."""
    before, times = clip.read_bytes(), clip.stat()
    clip.write_bytes(before[:-9] + bytes([before[-9] ^ 1]) + before[-8:])
    os.utime(clip, ns=(times.st_atime_ns, times.st_mtime_ns))
    return before


def test_a_clip_that_was_changed_before_it_is_scored_is_rendered_again(tmp_path: Path, log: Path) -> None:
    expected = popbench_runs.outcome(popbench_runs.run_fast(tmp_path / "other").path)
    run = popbench_runs.run_fast(tmp_path / "run", stop_after="render")
    changed, gone, *_ = sorted((run.path / "videos").glob("*.mp4"))
    flip_a_byte(changed)
    gone.unlink()
    log.write_text("")
    again = popbench_runs.run_fast(run.path)
    assert again.complete
    assert popbench_runs.outcome(run.path) == expected
    assert {changed.stem, gone.stem} <= set(log.read_text().split())


def test_a_clip_that_was_changed_is_rendered_again_for_another_predictor_and_all_scores_follow(tmp_path: Path) -> None:
    expected = popbench_runs.outcome(popbench_runs.run_fast(tmp_path / "other", predictor=["faulty", "demo"]).path)
    run = popbench_runs.run_fast(tmp_path / "run")
    for clip in (run.path / "videos").glob("*.mp4"):
        flip_a_byte(clip)
    assert popbench_runs.run_fast(run.path, predictor=["faulty", "demo"]).complete
    assert popbench_runs.outcome(run.path) == expected


def test_a_clip_that_another_process_keeps_changing_is_an_error_and_no_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "sha256", lambda _: "0" * 64)
    run = popbench_runs.run_fast(tmp_path / "run")
    assert not run.complete
    assert {row["error"] for row in popbench_runs.samples(run.path)} == {
        "its clip holds other bytes than were rendered: it is made again"
    }
    monkeypatch.undo()
    assert popbench_runs.run_fast(tmp_path / "run").complete


@pytest.mark.parametrize("name", ["2026-01-02T03:04", "file:x", "concat:a|b", "%03d", "猫?#"])
def test_a_run_directory_may_have_any_name(name: str, in_tmp: Path) -> None:
    run = popbench_runs.run_fast(Path(name), gen="kinetic,width=64,height=64")
    assert run.complete
    assert sorted(path.name for path in in_tmp.iterdir()) == [name]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/run", "s3://bucket/run", "file:///tmp/run", "https:/host/run"])
def test_a_url_is_no_run_directory(url: str, in_tmp: Path) -> None:
    with pytest.raises(UsageError, match="looks like a URL, and a path on this machine is expected"):
        popbench.evaluate(**{**popbench_runs.FAST, "out": url})
    assert not list(in_tmp.iterdir())
