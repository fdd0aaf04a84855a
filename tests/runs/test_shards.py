"""`popbench eval --shard`: a part of a run's prompts, with the results that the whole run has of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faults
import made_tasks
import popbench
import popbench_runs
from command_line import Run, in_process
from popbench.planning.config import make_config
from popbench.records import Prompt
from popbench.tasks.schema import Fields, TaskFile
from popbench.tasks.task import Task
from usage_errors import refusal

SMALL = ["--llm", "faulty", "--gen", "faulty", "--predictor", "faulty", "--mode", "basic", "--task", "popcorn_concrete"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    faults.install()
    return in_process(monkeypatch, capsys, tmp_path)


def made(categories: str) -> Task:
    file = TaskFile(task="t", version=1, dataset={}, fields=Fields(prompt="p"), templates={"basic": "b"})
    return Task(file, Path(), tuple(Prompt(f"p{n}", "x", name, "t") for n, name in enumerate(categories)))


@given(st.text("abcde", min_size=1, max_size=40), st.integers(1, 12), st.integers(1, 45))
def test_shards_share_the_selection_out_evenly_and_keep_their_prompts_whatever_the_limit(
    categories: str, number: int, limit: int
) -> None:
    task = made(categories)
    shards = [task.limited(limit, (which, number)) for which in range(1, number + 1)]
    dealt = [prompt.id for shard in shards for prompt in shard]
    assert len(dealt) == len(set(dealt))
    assert set(dealt) == {prompt.id for prompt in task.limited(limit)}
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    for which, shard in enumerate(shards, 1):
        assert set(shard) <= set(task.limited(limit + 1, (which, number)))
        assert [prompt for prompt in task.prompts if prompt in shard] == list(shard)


@pytest.mark.parametrize("number", [2, 3, 5, 7, 8, 10, 20])
def test_every_shard_has_its_part_of_every_category(number: int) -> None:
    task = made("aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbccccccccccccccccccccddddddddddddddddddddeeeeeeeeeeeeeeeeeeee")
    for which in range(1, number + 1):
        counts = Counter(prompt.category for prompt in task.limited(None, (which, number)))
        assert {counts[name] for name in "abcde"} <= {20 // number, -(-20 // number)}


@pytest.mark.parametrize("shard", ["0/4", "5/4", "a/b", "3", "1/0", "-1/4", "1/4/2", "", "1 / 4", "\u0661/4", 3, None])
def test_a_shard_that_is_none_is_one_line(shard: object) -> None:
    if shard is None:
        assert make_config({"shard": "02/4"}, {"shard": None}).share is None
        return
    line = refusal(lambda: make_config({"shard": shard}))
    assert line == f"shard: expected I/N with I from 1 to N, such as 1/4, not {shard!r}"


def test_a_shard_has_exactly_the_whole_run_s_results_in_a_directory_of_its_own(run: Run, tmp_path: Path) -> None:
    whole = popbench_runs.run_fast(tmp_path / "whole")
    known = {row["prompt_id"]: row for row in popbench_runs.samples(whole.path)}
    found = []
    for which in (1, 2):
        done = run("eval", *SMALL, "--corpus", "demo", "--limit", 5, "--shard", f"{which}/2", "--out", "study")
        assert done.status == 0
        folder = tmp_path / f"study.shard-{which}-of-2"
        assert json.loads((folder / "run.json").read_text())["config"]["shard"] == f"{which}/2"
        assert popbench_runs.committed(folder) < popbench_runs.committed(whole.path)
        found += popbench_runs.samples(folder)
    assert not (tmp_path / "study").exists()
    assert sorted(row["prompt_id"] for row in found) == sorted(known)
    assert all(row == known[row["prompt_id"]] for row in found)


def test_the_default_directory_is_that_of_the_whole_run_with_its_place(run: Run, tmp_path: Path) -> None:
    for shard in ([], ["--shard", "2/3"]):
        assert run("eval", *SMALL, "--corpus", "demo", "--limit", 1, "--stop-after", "write", *shard).status == 0
    whole, part = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert part == f"{whole}.shard-2-of-3"
    again = popbench.evaluate(config=tmp_path / "runs" / part / "run.json", out=tmp_path / "runs" / part)
    assert again.path == tmp_path / "runs" / part  # given by its own name, it is no shard of a shard


def test_a_shard_s_board_says_so_and_cannot_be_published(run: Run, tmp_path: Path) -> None:
    popbench_runs.run_fast(tmp_path / "run", shard="1/2", limit=None, stop_after=None, llm=["faulty", "verbatim"])
    folder = tmp_path / "run.shard-1-of-2"
    told = "Shard 1/2 of a run, with a part of its prompts: popbench merge joins the shards."
    assert told in (folder / "leaderboard.md").read_text(encoding="utf-8")
    line = run("leaderboard", "add", "board", folder).line
    task = "'popcorn_concrete'"
    assert f"only 50 of the 100 prompts of task {task} were run in this shard (1/2): merge the shards first" in line
    assert not (tmp_path / "board").exists()


def test_an_empty_shard_ends_well_and_says_so(run: Run, tmp_path: Path) -> None:
    arguments = ["eval", *SMALL, "--corpus", "demo", "--limit", 2, "--shard", "3/3", "--out", "run"]
    plan = run(*arguments, "--dry-run")
    assert plan.status == 0
    assert "Shard: 3/3; popbench merge joins the shards" in plan.out
    assert "popcorn_concrete 0" in plan.out
    done = run(*arguments)
    assert done.status == 0
    assert "popbench: shard 3/3 is empty: there are fewer prompts than shards" in done.err.splitlines()
    folder = tmp_path / "run.shard-3-of-3"
    assert (folder / "samples.jsonl").read_text() == ""
    assert not (folder / "results.json").exists()
    for command in (["leaderboard", "add", "board"], ["report"], ["export", "--format", "jsonl"]):
        assert run(*command, folder).status == 2


def test_a_shard_is_not_made_a_whole_run_by_leaving_its_option_out(run: Run, tmp_path: Path) -> None:
    for shard in ((), ("--shard", "1/2")):
        run("eval", *SMALL, "--limit", "4", "--out", "s", *shard)
    before = (tmp_path / "s.shard-1-of-2/run.json").read_bytes()
    told = run("eval", *SMALL, "--limit", "4", "--out", "s.shard-1-of-2").line
    assert told == (
        "popbench: s.shard-1-of-2 is shard 1/2 of a run: go on with it by --shard 1/2, or choose another --out"
    )
    (tmp_path / "s").rename(tmp_path / "t.shard-1-of-2")
    assert (
        "is a whole run and no shard of one" in run("eval", *SMALL, "--limit", "4", "--out", "t", "--shard", "1/2").line
    )
    assert (tmp_path / "s.shard-1-of-2/run.json").read_bytes() == before


def test_tasks_of_different_sizes_may_leave_a_shard_without_prompts_of_one(tmp_path: Path) -> None:
    rows = [{"id": f"p{n}", "prompt": f"Prompt number {n}", "category": "a"} for n in range(3)]
    files = [made_tasks.task_file(tmp_path / name, rows[:size], name) for name, size in (("one", 1), ("three", 3))]
    ran = popbench_runs.run_fast(tmp_path / "run", task=[str(file) for file in files], limit=None, shard="2/2")
    assert ran.complete
    assert [sample.prompt_id for sample in ran.samples()] == ["p1"]
    assert ran.results is not None
    assert ran.results["limited"] == {"one": [0, 1], "three": [1, 3]}
