"""Whole runs: what is kept and shared, and what does not matter."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import popbench
import popbench_runs
from popbench.errors import UsageError
from popbench.pipeline import stages
from popbench_runs import by_prompt


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
