"""Samples of runs that are not finished, as the ledger has them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import corpus_files
from popbench.view.at_work import SamplesAtWork
from popbench.view.index import Query
from popbench_runs import run_fast, samples
from view_server import served, until


def unfinish(run: Path) -> None:
    """Leave a run as a killed process does, before its samples are written."""
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(about | {"finished": False}), encoding="utf-8")
    (run / "samples.jsonl").unlink()


def listed(run: Path) -> dict[tuple[str, str], Any]:
    found = SamplesAtWork(run, lambda: None)
    try:
        until(lambda: found.complete)
        assert found.problem is None
        return {(row.system, row.prompt_id): row for row in found.index.select(Query(limit=200))[1]}
    finally:
        found.close()


@pytest.mark.parametrize("options", [{}, {"stop_after": "write"}, {"stop_after": "render"}])
def test_the_ledger_gives_the_samples_that_the_file_will_have(tmp_path: Path, options: dict[str, Any]) -> None:
    run = tmp_path / "run"
    run_fast(run, gen="faulty,fault=black,at=1", predictor=["faulty", "demo"], mode=["basic", "pe"], **options)
    wanted = {(row["system"], row["prompt_id"]): row for row in samples(run)}
    unfinish(run)
    found = listed(run)
    assert found.keys() == wanted.keys()
    for place, row in found.items():
        sample = wanted[place]
        assert (row.status, row.title, row.prompt, row.category) == (
            sample["status"], sample["title"], sample["prompt"], sample["category"],
        )  # fmt: skip
        assert row.score == (sample["popularity"] if row.status == "ok" else None)
        assert row.clip == (sample["video"] and sample["video"].removeprefix("videos/"))
    with served(tmp_path) as server:
        for (system, prompt), sample in wanted.items():
            values = {"run": "run", "task": sample["task"], "prompt": prompt, "system": system}
            until(lambda values=values: server.get("sample", **values).status == 200)  # type: ignore[misc]
            whole = server.get("sample", **values).json
            assert whole["scores"] == sample["scores"]
            assert whole["texts"].get("error") == sample["error"]
            assert whole["texts"]["completion"] == sample["completion"]


def test_the_human_baseline_and_samples_that_wait_are_listed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    table = corpus_files.rows()
    path = corpus_files.write(tmp_path / "mine.csv", table)
    corpus = corpus_files.spec(path, videos=corpus_files.videos(tmp_path / "of-humans", table))
    run_fast(run, corpus=corpus, embedder="hashing", baseline="human")
    unfinish(run)
    with closing(sqlite3.connect(run / "ledger.sqlite")) as db, db:
        db.execute("PRAGMA recursive_triggers=ON")
        db.execute("DELETE FROM done WHERE stage <> 'write' AND prompt = (SELECT min(prompt) FROM done)")
        db.execute("DELETE FROM done WHERE stage = 'score' AND prompt = (SELECT max(prompt) FROM done)")
    found = listed(run)
    assert {system for system, _ in found} == {"human", "faulty|basic|faulty"}
    statuses = [row.status for row in found.values()]
    assert sorted(set(statuses)) == ["drafted", "ok", "rendered"]


def test_only_what_is_new_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    run_fast(run)
    unfinish(run)
    with closing(sqlite3.connect(run / "ledger.sqlite")) as db, db:
        db.execute("UPDATE done SET at = at - 1000 WHERE prompt <> (SELECT min(prompt) FROM done)")
    found = SamplesAtWork(run, lambda: None)
    until(lambda: found.complete)
    put: list[int] = []
    monkeypatch.setattr(found.index, "put", lambda rows: put.append(len(rows)))
    found.refresh()
    assert put == []
    with closing(sqlite3.connect(run / "ledger.sqlite")) as db, db:
        db.execute("PRAGMA recursive_triggers=ON")
        db.execute(
            "INSERT OR REPLACE INTO done SELECT system, task, mode, stage, prompt, repeat, key, status, value, at + 5"
            " FROM done WHERE stage = 'score' AND prompt = (SELECT min(prompt) FROM done)"
        )
    found.refresh()
    assert sum(put) == 1
    found.close()


def test_the_ledger_of_a_run_at_work_on_another_machine_is_left_alone(tmp_path: Path) -> None:
    run_fast(tmp_path / "run")
    found = SamplesAtWork(tmp_path / "run", lambda: "process 1 on another-machine, since 2026-11-30 12:00:00 +0000")
    until(lambda: found.complete)
    assert len(found.index) == 0
    assert found.problem == "it is at work on another machine: its samples can be read when it has ended"
    found.close()


def test_a_ledger_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    run, other = tmp_path / "runs/run", tmp_path / "other"
    run_fast(other)
    unfinish(other)
    run.mkdir(parents=True)
    (run / "run.json").write_bytes((other / "run.json").read_bytes())
    (run / "ledger.sqlite").symlink_to(other / "ledger.sqlite")
    with served(tmp_path / "runs") as server:
        assert server.get("samples", run="run").json["rows"] == []
        assert server.runs.overview()["runs"][0]["state"] == "unreadable"


def test_a_damaged_ledger_is_told(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_fast(run)
    unfinish(run)
    data = (run / "ledger.sqlite").read_bytes()
    (run / "ledger.sqlite").write_bytes(data[:2000] + b"\xff" * 3000 + data[5000:])
    with served(tmp_path) as server:
        assert server.get("samples", run="run").json["rows"] == []
        until(lambda: server.runs.samples("run").complete)  # type: ignore[union-attr]
        details = server.runs.details("run")
        assert details is not None
        assert details["state"]["state"] == "unreadable"
        assert "ledger" in details["state"]["problem"]
