"""Answers that are shared, wrong, or do not come: nothing is lost, nothing is scored that was not, nobody is blamed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

import faults
import popbench
import popbench_runs
from popbench.errors import UsageError


def statuses(run: popbench.Run) -> dict[tuple[str, str], str]:
    return {(sample.mode or "", sample.prompt_id): sample.status for sample in run.samples()}


def test_an_error_of_a_shared_call_is_asked_once_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`verbatim` asks for one clip in both modes; its failure is no duplicate answer."""
    log = tmp_path / "asked.txt"
    monkeypatch.setenv(faults.LOG, str(log))
    run = popbench_runs.run_fast(
        tmp_path / "run", llm="verbatim", gen="faulty,fault=failure,at=0", mode=["basic", "pe"]
    )
    assert run.problems == ()
    assert sorted(statuses(run).values()) == ["error"] * 2 + ["ok"] * 8
    asked = log.read_text().split()
    assert len(asked) == len(set(asked)) == 5 + 4
    assert popbench_runs.run_fast(tmp_path / "run", llm="verbatim", gen="faulty", mode=["basic", "pe"]).complete


@pytest.mark.parametrize(("fault", "status", "popularity"), [("refusal", "ok", True), ("failure", "error", False)])
def test_a_predictor_speaks_for_itself_alone(fault: str, status: str, popularity: bool, tmp_path: Path) -> None:
    """Another predictor's invalid sample changes no score; its error keeps the sample from being one."""
    run = popbench_runs.run_fast(tmp_path / "run", predictor=["demo", f"faulty,fault={fault}"])
    (sample,) = (sample for sample in run.samples() if not sample.scores["faulty"])
    assert sample.status == status
    assert sample.scores["demo"]
    assert sample.scores["faulty"] == (0 if fault == "refusal" else None)
    assert (sample.popularity == sample.scores["demo"]) == popularity
    turned = popbench_runs.run_fast(tmp_path / "turned", predictor=[f"faulty,fault={fault}", "demo"])
    (sample,) = (sample for sample in turned.samples() if not sample.scores["faulty"])
    assert sample.status == ("invalid" if fault == "refusal" else "error")
    assert sample.scores["demo"]


@pytest.mark.slow
def test_a_clip_rendered_again_to_other_bytes_is_scored_again_in_every_mode(tmp_path: Path) -> None:
    """Two modes share a clip; one of them is run alone after the file was lost and came out otherwise."""
    settings = {"llm": "verbatim", "gen": "kinetic,width=64,height=64", "predictor": "demo", "mode": ["basic", "pe"]}
    run = popbench_runs.run_fast(tmp_path / "run", **settings)
    before = popbench_runs.samples(run.path)
    clip = next((run.path / "videos").glob("*.mp4"))
    with sqlite3.connect(run.path / "ledger.sqlite") as ledger:  # as if the first rendering had had other bytes
        ledger.execute("UPDATE calls SET payload = json_set(payload, '$.sha256', 'x') WHERE key = ?", (clip.stem,))
        ledger.execute("DELETE FROM calls WHERE stage = 'score'")
        ledger.execute("UPDATE done SET key = 'x' || key WHERE stage = 'score'")
    ledger.close()
    clip.unlink()
    popbench_runs.run_fast(tmp_path / "run", **{**settings, "mode": "basic"})
    assert popbench_runs.run_fast(tmp_path / "run", **settings).complete
    assert popbench_runs.samples(run.path) == before


def test_a_lost_clip_that_cannot_be_rendered_again_is_an_error(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run")
    for clip in (run.path / "videos").glob("*.mp4"):
        clip.write_bytes(b"junk")
    again = popbench_runs.run_fast(tmp_path / "run", gen="faulty,fault=failure,at=0")
    assert again.errors == 1
    assert [sample.popularity for sample in again.samples() if sample.status == "error"] == [None]


@pytest.mark.parametrize(
    ("kind", "fault", "told"),
    [
        ("llm", "notes", None),
        ("llm", "seconds", "llm faulty: seconds is nan"),
        ("gen", "seconds", "generator faulty: seconds is nan"),
        ("predictor", "extra", "predictor faulty: extra is not JSON"),
    ],
)
def test_an_answer_that_no_file_could_hold_is_an_error_of_its_item(
    kind: str, fault: str, told: str | None, tmp_path: Path
) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", **{kind: f"faulty,fault={fault}"})
    failed = [sample.error or "" for sample in run.samples() if sample.status == "error"]
    assert run.problems == ()
    assert len(failed) == (0 if told is None else 1)
    assert told is None or failed[0].startswith(told)


@pytest.mark.parametrize("kind", ["llm", "gen", "predictor"])
def test_a_plugin_cannot_end_popbench(kind: str, tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", **{kind: "faulty,fault=exit"})
    assert not run.complete
    assert "raised SystemExit" in run.problems[0]
    assert "SystemExit" in (run.path / "errors.log").read_text()


@pytest.mark.parametrize(
    "said", ["the licence has ended: renew it", "generator Licensed: the licence has ended: renew it"]
)
def test_an_error_that_a_component_raises_says_whose_it_is(said: str, tmp_path: Path) -> None:
    """Its author need not."""

    class Licensed(popbench.VideoGenerator):
        """Has no licence."""

        version = "1"

        def generate(self, requests: Any) -> Any:
            for _ in requests:
                raise popbench.ComponentError(said)
                yield

    run = popbench_runs.run_fast(tmp_path / "run", gen=Licensed)
    (problem,) = run.problems
    assert problem.startswith("generator Licensed: the licence has ended: renew it; 5 items stay pending")
    assert not (tmp_path / "run/errors.log").exists()  # it is no bug


def test_a_plugin_that_stops_asking_is_told(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", llm=["verbatim", "unwilling"])
    assert "llm unwilling ended before it was asked everything" in run.problems[0]
    assert "2 items stay pending" in run.problems[0]
    assert [sample.status for sample in run.samples()].count("error") == 2


def test_a_system_without_any_result_is_left_out_of_the_board_by_name(tmp_path: Path) -> None:
    broken = popbench_runs.run_fast(
        tmp_path / "run", llm="verbatim", gen=["kinetic,width=64,height=64,label=k", "faulty,fault=raise,at=0"]
    )
    assert broken.results is not None
    assert [row["system"] for row in broken.results["systems"]] == ["verbatim|basic|k"]
    assert broken.results["systems"][0]["n"] == 5
    assert "left out: verbatim|basic|faulty" in broken.results["incomplete"]


@pytest.mark.slow
def test_an_interrupt_during_native_computation_exits_130(tmp_path: Path) -> None:
    arguments = ["eval", "--llm", "busy", "--gen", "faulty", "--predictor", "faulty", "--mode", "basic", "--limit", "5"]
    process = popbench_runs.start([*arguments, "--corpus", "demo", "--out", "run"], tmp_path)
    while process.is_alive() and not popbench_runs.committed(tmp_path / "run"):
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(process.pid or 0, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130, (tmp_path / "stderr.txt").read_text()


def test_a_stopped_run_makes_no_board(tmp_path: Path) -> None:
    """run.json says what is under way; the files beside it are older until it is done."""
    from popbench.scores.sources import read_source

    run = popbench_runs.run_fast(tmp_path / "run")
    assert read_source(run.path)
    about = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**about, "finished": False}))
    with pytest.raises(UsageError, match="stopped before it was done"):
        read_source(run.path)
    stopped = popbench_runs.run_fast(tmp_path / "run", stop_after="render")
    assert stopped.results is None
    assert not (run.path / "leaderboard.md").exists()


def test_a_corpus_that_cannot_be_read_is_one_line_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from popbench_baselines.corpus import DemoCorpus

    def broken(self: object, part: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(DemoCorpus, "rows", broken)
    with pytest.raises(UsageError, match="corpus demo cannot be read: Input/output error"):
        popbench_runs.run_fast(tmp_path / "run", mode="pe")
    assert not (tmp_path / "run").exists()


def test_the_samples_of_a_run_are_not_ranked_without_its_run(tmp_path: Path) -> None:
    from popbench.scores.sources import read_source

    run = popbench_runs.run_fast(tmp_path / "run")
    with pytest.raises(UsageError, match="name its directory"):
        read_source(run.path / "samples.jsonl")


def test_a_limited_run_says_so_on_its_board(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", llm=["verbatim", "faulty"])
    assert run.results is not None
    assert run.results["limited"] == {"popcorn_concrete": [5, 100]}
    assert "Limited run: popcorn\\_concrete to 5 of 100 prompts" in (run.path / "leaderboard.md").read_text()


@pytest.mark.slow
def test_a_shared_clip_that_is_lost_and_comes_out_black_is_invalid_in_every_mode(tmp_path: Path) -> None:
    settings = {"llm": "verbatim", "mode": ["basic", "pe"]}
    run = popbench_runs.run_fast(tmp_path / "run", **settings)
    for clip in (run.path / "videos").glob("*.mp4"):
        os.truncate(clip, 100)
    popbench_runs.run_fast(tmp_path / "run", **{**settings, "mode": "basic", "gen": "faulty,fault=black,at=0"})
    again = popbench_runs.run_fast(tmp_path / "run", **settings)
    assert again.complete
    assert sorted(statuses(again).values()) == ["invalid"] * 2 + ["ok"] * 8


@pytest.mark.parametrize("kind", ["llm", "gen", "predictor"])
def test_text_that_no_file_takes_is_kept_as_far_as_it_can_be(kind: str, tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", **{kind: "faulty,fault=surrogate"})
    assert run.complete
    assert [sample.error for sample in run.samples() if sample.status == "invalid"] == ["no such file: b?.bin"]


def test_tokens_of_all_attempts_are_added_up_and_none_is_zero(tmp_path: Path) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", llm="faulty,fault=always-nonsense")
    assert [sample.usage for sample in run.samples()] == [{"input": 9, "output": 0}] * 5


def test_the_order_of_tasks_does_not_matter(tmp_path: Path) -> None:
    tasks = ["popcorn_concrete", "popcorn_abstract"]
    one = popbench_runs.run_fast(tmp_path / "one", task=tasks)
    two = popbench_runs.run_fast(tmp_path / "two", task=tasks[::-1])
    assert popbench_runs.outcome(one.path) == popbench_runs.outcome(two.path)


@pytest.mark.parametrize("damage", ["empty", "unclaimed", "no table", "no version"])
def test_a_ledger_that_a_kill_left_half_made_is_made_again(damage: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    path = out / "ledger.sqlite"
    if damage == "empty":
        path.touch()
    else:
        with sqlite3.connect(path) as ledger:
            ledger.execute(
                "CREATE TABLE other (x)"
                if damage == "no table"
                else "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
            )
            if damage == "unclaimed":
                ledger.execute("INSERT INTO about VALUES ('schema', '1')")
        ledger.close()
    assert popbench_runs.run_fast(out).complete


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_damaged_ledger_is_one_line(share: float, tmp_path: Path) -> None:
    from popbench.errors import PopbenchError

    run = popbench_runs.run_fast(tmp_path / "run", limit=50)
    path = run.path / "ledger.sqlite"
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(PopbenchError, match=r"the ledger cannot be .*: restore a copy, or move the run away"):
        popbench_runs.run_fast(tmp_path / "run", limit=50)


def test_a_run_recorded_from_relative_paths_is_repeated_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "a,b"
    (home / "mine").mkdir(parents=True)
    (home / "mine/t.yaml").write_text(
        "task: mine\nversion: 1\ndataset: {path: json, data_files: p.jsonl}\nfields: {prompt: p}\n"
        "templates: {basic: b.j2}\n"
    )
    (home / "mine/p.jsonl").write_text('{"p": "a lake"}\n{"p": "a hill"}\n')
    (home / "mine/b.j2").write_text("{% block system %}{% endblock %}{% block user %}{{ prompt }}{% endblock %}")
    monkeypatch.chdir(home)
    for number, task in enumerate(["mine", "mine/t.yaml", "mine/t.yaml,path=mine/p.jsonl"]):
        run = popbench_runs.run_fast(tmp_path / f"first-{number}", task=task, mode=None)
        monkeypatch.chdir(tmp_path)
        again = popbench.evaluate(config=run.path / "run.json", out=tmp_path / f"again-{number}")
        assert popbench_runs.outcome(run.path) == popbench_runs.outcome(again.path)
        monkeypatch.chdir(home)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"units": {"faulty": None}}, "units.faulty: expected text"),
        (
            {"tasks": {"popcorn_concrete": {"hash": "x", "group": None, "n": 1, "prompts": "many"}}},
            "expected a whole number",
        ),
        ({"config": None}, "run.json cannot be read"),
        ({"predictors": {}}, "run.json names no predictor"),
    ],
)
def test_a_run_json_by_other_hands_is_refused_in_one_line(change: dict[str, object], told: str, tmp_path: Path) -> None:
    from popbench.scores.sources import read_source

    run = popbench_runs.run_fast(tmp_path / "run")
    about = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**about, **change}))
    with pytest.raises(UsageError, match=told) as caught:
        read_source(run.path)
    assert len(str(caught.value).splitlines()) == 1
