"""`popbench merge`: shards joined are the run that a single one would have been; nothing else is joined."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import corpus_files
import faults
import made_tasks
import popbench
import popbench_runs
from command_line import Run, in_process
from popbench.evaluation.merge import merge
from popbench.ledger.ledger import Ledger
from popbench.publishing.run_checks import changed_by_hand, lacking, other_results, read_run
from popbench.runs.directory import HeldDirectory
from usage_errors import refusal

NUMBER = 3


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, and the same in three shards: two tasks, references, repeats, and videos by people."""
    faults.install()
    folder = tmp_path_factory.mktemp("study")
    table = corpus_files.rows()
    corpus = corpus_files.write(folder / "mine.csv", table)
    settings: dict[str, Any] = {
        "llm": ["faulty", "shotlist"], "mode": ["basic", "pe"], "task": "popcorn", "baseline": "human", "repeats": 2,
        "corpus": corpus_files.spec(corpus, videos=corpus_files.videos(folder / "videos", table)),
        "embedder": "hashing",
    }  # fmt: skip
    for shard in (None, *(f"{which}/{NUMBER}" for which in range(1, NUMBER + 1))):
        assert popbench_runs.run_fast(folder / ("run" if shard else "whole"), shard=shard, **settings).complete
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    faults.install()
    return in_process(monkeypatch, capsys, tmp_path)


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.shard-*"))


def own(folder: Path) -> Path:
    """What says that the shards in a folder are one's own, whose corpus lies in a file."""
    return shards(folder)[0] / "run.json"


def copied(study: Path, folder: Path) -> list[Path]:
    for shard in shards(study):
        shutil.copytree(shard, folder / shard.name)
    return shards(folder)


def about(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return found


def rows(run: Path) -> dict[str, list[Any]]:
    """A ledger's rows but for when they came."""
    columns = {
        "calls": "key, stage, status, json_remove(payload, '$.seconds'), part",
        "done": "system, task, mode, stage, prompt, repeat, key, status, json_remove(value, '$.seconds')",
    }
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        return {
            table: ledger.execute(f"SELECT {names} FROM {table} ORDER BY {names}").fetchall()
            for table, names in columns.items()
        }


@pytest.mark.slow
def test_merged_shards_are_the_whole_run(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shards(study)
    merged = merge(found[::-1], tmp_path / "merged", config=own(study))
    assert merged.complete
    assert popbench_runs.outcome(merged.path) == popbench_runs.outcome(study / "whole")
    assert rows(merged.path) == rows(study / "whole")
    ours, theirs = about(merged.path), about(study / "whole")
    assert [part["shard"] for part in ours.pop("shards")] == ["1/3", "2/3", "3/3"]
    for known in (ours, theirs):
        del known["timings"], known["config"]["out"]
    assert ours == theirs
    log = tmp_path / "asked.txt"
    monkeypatch.setenv(faults.LOG, str(log))
    again = popbench.evaluate(config=merged.path / "run.json", out=merged.path)
    assert (again.complete, log.exists()) == (True, False)


def test_merging_again_changes_nothing_and_goes_to_where_the_shards_are(study: Path, tmp_path: Path) -> None:
    copied(study, tmp_path)
    before = [popbench_runs.outcome(shard) for shard in shards(tmp_path)]
    merged = merge(shards(tmp_path), config=own(tmp_path))
    assert merged.path == tmp_path / "run"
    first, clips = rows(merged.path), {path: path.stat() for path in merged.path.glob("videos/*")}
    merge(shards(tmp_path), config=own(tmp_path))
    assert rows(merged.path) == first
    assert {path: path.stat() for path in merged.path.glob("videos/*")} == clips
    assert [popbench_runs.outcome(shard) for shard in shards(tmp_path)] == before
    sums = Ledger(merged.path / "ledger.sqlite", read_only=True)
    with closing(sums):
        assert sum(n for _, stage, n, *_ in sums.spent() if stage == "score") == sum(
            row[1] == "score" for row in first["calls"]
        )


def test_a_missing_shard_is_named_and_can_come_later_alone(study: Path, tmp_path: Path, run: Run) -> None:
    first, second, third = copied(study, tmp_path)
    done = run("merge", first, third, "--config", first / "run.json")
    assert done.status == 1
    assert done.err.splitlines()[-1] == ("popbench: shard 2 of 3 is missing (40 samples): run, then merge again")
    assert run("leaderboard", "add", "board", tmp_path / "run").status == 2
    assert run("merge", second, "--config", second / "run.json").status == 0
    assert popbench_runs.outcome(tmp_path / "run") == popbench_runs.outcome(study / "whole")


def test_clips_are_copied_unless_links_are_asked_for(study: Path, tmp_path: Path) -> None:
    found = shards(study)
    for link in (False, True):
        clips = sorted(merge(found, tmp_path / str(link), link=link, config=own(study)).path.glob("videos/*.mp4"))
        assert [path.name for path in clips] == sorted(path.name for path in (study / "whole/videos").iterdir())
        for path in clips:
            theirs = [shard / "videos" / path.name for shard in found if (shard / "videos" / path.name).exists()]
            assert any(path.samefile(other) for other in theirs) == link


@pytest.mark.slow
def test_a_merge_killed_at_random_moments_is_done_by_the_same_command(study: Path, tmp_path: Path) -> None:
    arguments = ["merge", *map(str, shards(study)), "--config", str(own(study)), "--out", "merged"]
    random_ = random.Random(3)
    kills = 0
    while True:
        process = popbench_runs.start(arguments, tmp_path)
        while process.is_alive() and not (tmp_path / "merged/run.json").exists():
            process.join(0.001)
        process.join(random_.uniform(0, 0.15) if kills < 3 else 60)
        if not process.is_alive():
            break
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        kills += 1
    assert kills
    assert process.exitcode == 0, (tmp_path / "stderr.txt").read_text()
    assert popbench_runs.outcome(tmp_path / "merged") == popbench_runs.outcome(study / "whole")
    assert not list((tmp_path / "merged").rglob("*.part"))


def small(out: Path, **changes: Any) -> popbench.Run:
    return popbench_runs.run_fast(out, **{"limit": 4, "stop_after": None, **changes})


@pytest.mark.slow
def test_errors_left_in_a_shard_are_told_with_how_to_go_on(tmp_path: Path, run: Run) -> None:
    broken = f"faulty,fault=failure,at=1,once={tmp_path / 'once'}"
    for shard in ("1/2", "2/2"):
        small(tmp_path / "run", llm=broken if shard == "2/2" else "faulty,fault=none", shard=shard)
    paths = shards(tmp_path)
    done = run("merge", *paths)
    assert done.status == 1
    assert (tmp_path / "run/leaderboard.md").exists()
    assert [row["error"] for row in popbench_runs.samples(tmp_path / "run") if row["status"] == "error"] == [
        "quota used up"
    ]
    line = done.err.splitlines()[-1]
    assert line.startswith("popbench: shard 2 of 2 has no result for 1 sample: give its command again (popbench eval ")
    assert line.endswith("), then merge again")
    assert run(*shlex.split(line[line.index("(popbench") + 1 : line.rindex(")")])[1:]).status == 0
    assert run("merge", *paths).status == 0
    small(tmp_path / "whole")
    assert popbench_runs.samples(tmp_path / "run") == popbench_runs.samples(tmp_path / "whole")


def test_a_shard_that_was_killed_is_joined_as_far_as_it_went(tmp_path: Path, run: Run) -> None:
    small(tmp_path / "run", shard="1/2")
    small(tmp_path / "run", shard="2/2", stop_after="render")
    late = tmp_path / "run.shard-2-of-2/run.json"
    known = about(late.parent)
    late.write_text(json.dumps({**known, "finished": False, "config": {**known["config"], "stop_after": None}}))
    done = run("merge", *shards(tmp_path))
    assert done.status == 1
    assert "shard 2 of 2 has no result for 2 samples" in done.err


@pytest.mark.slow
def test_empty_shards_are_joined(tmp_path: Path, run: Run) -> None:
    for which in (1, 2, 3):
        small(tmp_path / "run", shard=f"{which}/3", limit=2)
    small(tmp_path / "whole", limit=2)
    assert run("merge", *shards(tmp_path)).status == 0
    assert popbench_runs.outcome(tmp_path / "run") == popbench_runs.outcome(tmp_path / "whole")
    assert run("merge", *shards(tmp_path)[2:], "--out", "none").status == 1
    assert run("merge", *shards(tmp_path)[:2]).status == 0  # nothing is missing of what is none


def test_a_merged_run_can_be_published(tmp_path: Path, run: Run) -> None:
    task = made_tasks.task_file(tmp_path / "task")
    for shard in ("1/2", "2/2"):
        small(tmp_path / "run", task=str(task), limit=None, shard=shard)
    assert run("merge", *shards(tmp_path), "--task", task).status == 0
    found = read_run(tmp_path / "run")
    assert [*lacking(found), *changed_by_hand(found, whole=True), *filter(None, [other_results(found)])] == []


OTHER: dict[str, tuple[dict[str, Any], Sequence[str]]] = {
    "seed": ({"seed": 43}, ["seed: 42 → 43"]),
    "limit and repeats": ({"limit": 6, "repeats": 2}, ["limit: 4 → 6", "repeats: 1 → 2"]),
    "stage": ({"stop_after": None}, ["stop_after: write → none"]),
    "task": ({"task": "popcorn_abstract"}, ["tasks: popcorn_concrete → popcorn_abstract"]),
    "system": ({"llm": ["faulty", "verbatim"]}, ["llm verbatim: no part of the first"]),
    "option": ({"gen": "kinetic,fps=12,label=faulty"}, ["generator faulty: name ", "fps none → 12"]),
    "predictor": ({"predictor": "demo"}, ["predictor faulty: missing", "predictors: faulty → demo"]),
    "mode": ({"mode": "pe"}, ["mode basic: missing", "mode pe: no part of the first"]),
    "number": ({"shard": "2/3"}, ["is one of 2 shards", "one of 3"]),
}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faults.install()
    return small(tmp_path_factory.mktemp("one") / "run", stop_after="write", shard="1/2").path


@pytest.mark.slow
@pytest.mark.parametrize("what", OTHER)
def test_shards_of_different_runs_are_refused_with_what_differs(what: str, one: Path, tmp_path: Path) -> None:
    changes, told = OTHER[what]
    small(tmp_path / "two", **{"stop_after": "write", "shard": "2/2", **changes})
    line = refusal(lambda: merge([*shards(tmp_path), one], tmp_path / "out"))
    assert all(part in line for part in told), line
    assert not (tmp_path / "out").exists()


def test_another_version_of_a_task_is_refused_with_what_differs(tmp_path: Path) -> None:
    for which, version in ((1, "1"), (2, "2")):
        task = made_tasks.task_file(tmp_path / version, version=version)
        small(tmp_path / version, task=str(task), limit=None, stop_after="write", shard=f"{which}/2")
    assert "task mine: version 1 → 2" in refusal(lambda: merge(shards(tmp_path), tmp_path / "out"))


def damaged(name: str) -> Callable[[Path, Path], Sequence[Path]]:
    """Return what makes one of two shards unfit, and gives what to merge."""

    def twice(one: Path, two: Path) -> Sequence[Path]:
        shutil.copytree(one, two.with_name("copy"))
        return [one, two, two.with_name("copy")]

    def text(content: str) -> Callable[[Path, Path], Sequence[Path]]:
        def write(one: Path, two: Path) -> Sequence[Path]:
            (two / "run.json").write_text(content)
            return [one, two]

        return write

    def changed(**values: Any) -> Callable[[Path, Path], Sequence[Path]]:
        return lambda one, two: text(json.dumps({**about(two), **values}))(one, two)

    def whole(one: Path, two: Path) -> Sequence[Path]:
        known = about(two)
        return text(json.dumps({**known, "config": {**known["config"], "shard": None}}))(one, two)

    def without(file: str) -> Callable[[Path, Path], Sequence[Path]]:
        def remove(one: Path, two: Path) -> Sequence[Path]:
            (two / file).unlink()
            return [one, two]

        return remove

    def elsewhere(one: Path, two: Path) -> Sequence[Path]:
        return [one, two.rename(two.with_name("renamed"))]

    return {
        "twice": twice, "whole": whole, "nothing": lambda one, two: [one, two / "none"],
        "file": lambda one, two: [one, two / "run.json"], "empty": without("run.json"),
        "no ledger": without("ledger.sqlite"), "text": text("{"), "list": text("[]"), "deep": text("[" * 10**5),
        "fields": text('{"config": {"shard": "2/2"}}'), "elsewhere": elsewhere,
        "timings": changed(timings={"started": 1, "seconds": [1]}), "parts": changed(components={"llm faulty": []}),
        "fingerprint": changed(components={"llm faulty": {"fingerprint": 1}}),
    }[name]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("twice", "shard 1/2 is given in "),
        ("whole", "is no shard of a run: popbench eval --shard I/N makes shards"),
        ("nothing", "none: no such folder"),
        ("file", "run.json: no such folder"),
        ("empty", "not a run directory (run.json is missing)"),
        ("no ledger", "its ledger.sqlite is missing or empty"),
        ("text", "run.json cannot be read"),
        ("list", "run.json cannot be read"),
        ("deep", "run.json cannot be read"),
        ("fields", "run.json cannot be read"),
        ("timings", "run.json cannot be read"),
        ("parts", "run.json cannot be read"),
        ("fingerprint", "run.json cannot be read"),
        ("elsewhere", "the shards lie in different places or were renamed: say with --out where the run goes"),
    ],
)
def test_what_is_no_shard_is_refused_and_nothing_is_written(what: str, told: str, tmp_path: Path) -> None:
    for shard in ("1/2", "2/2"):
        small(tmp_path / "run", stop_after="write", shard=shard)
    given = damaged(what)(*shards(tmp_path))
    before = {path.name for path in tmp_path.iterdir()}
    assert told in refusal(lambda: merge(given))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_shards_in_use_and_a_shard_as_target_are_refused(tmp_path: Path) -> None:
    for shard in ("1/2", "2/2"):
        small(tmp_path / "run", stop_after="write", shard=shard)
    one, two = shards(tmp_path)
    with HeldDirectory(two):
        assert f"{two} is in use by process {os.getpid()}" in refusal(lambda: merge([one, two]))
    assert "is one of the shards: choose another --out" in refusal(lambda: merge([one, two], two))
    assert f"{two} is shard 2/2 of a run: go on with it by --shard 2/2" in refusal(lambda: merge([one], two))
    small(tmp_path / "other", stop_after="write", seed=43)
    assert "other holds a run with seed 43" in refusal(lambda: merge([one, two], tmp_path / "other"))


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--link"]])
def test_a_clip_of_other_bytes_than_were_rendered_is_not_taken(
    study: Path, tmp_path: Path, run: Run, how: list[str]
) -> None:
    paths = copied(study, tmp_path)
    clip = next(iter(sorted((paths[1] / "videos").iterdir())))
    clip.write_bytes(bytes(clip.stat().st_size))
    how = [*how, "--config", str(paths[0] / "run.json")]
    done = run("merge", *paths, *how)
    assert done.status == 1
    assert f"1 clip of other bytes than were rendered, such as {clip.name}: remove it" in done.err
    assert not (tmp_path / "run/videos" / clip.name).exists()
    clip.unlink()
    shutil.copy(study / "whole/videos" / clip.name, clip)
    assert run("merge", *paths, *how).status == 0
    assert popbench_runs.outcome(tmp_path / "run") == popbench_runs.outcome(study / "whole")


def test_a_clip_of_an_earlier_draft_is_not_taken_for_one_of_the_draft_that_came_since(tmp_path: Path) -> None:
    """An API may write otherwise the second time; a shard that is done anew has no clips yet."""
    run_shard = partial(
        popbench_runs.run_fast, tmp_path / "run", gen=["faulty", "faulty,at=9,label=other"], shard="1/2"
    )
    first = run_shard()
    whole = merge([first.path])
    before = popbench_runs.outcome(whole.path)
    with closing(sqlite3.connect(first.path / "ledger.sqlite")) as ledger:
        ledger.execute("DELETE FROM done WHERE stage != 'write'")
        ledger.execute(
            "UPDATE done SET value = json_set(value, '$.video_prompt', 'Another one.') WHERE stage = 'write' AND"
            " prompt = (SELECT min(prompt) FROM done)"
        )
        ledger.commit()
    changed = merge([first.path])
    lost = [sample for sample in changed.samples() if sample.video_prompt == "Another one."]
    assert [sample.video for sample in lost] == [None, None]
    assert [sample.status for sample in lost] == ["error", "error"]
    assert changed.errors - whole.errors == 2
    assert run_shard().complete
    again = merge([first.path])
    assert again.errors == whole.errors
    assert {sample.video for sample in again.samples() if sample.video_prompt == "Another one."}.isdisjoint({None})
    assert popbench_runs.outcome(again.path) != before


def test_a_ledger_that_names_a_file_elsewhere_is_refused(study: Path, tmp_path: Path) -> None:
    paths = copied(study, tmp_path)
    with closing(sqlite3.connect(paths[1] / "ledger.sqlite")) as ledger:
        ledger.execute("UPDATE calls SET key = '../../' || key WHERE stage = 'render'")
        ledger.commit()
    assert "its ledger was changed by hand: '../../" in refusal(lambda: merge(paths, config=own(tmp_path)))


def test_components_that_are_others_here_are_refused(study: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(faults.FaultyPredictor, "version", "2")
    line = refusal(lambda: merge(shards(study), tmp_path / "out", config=own(study)))
    assert "what is installed here is not what made the shards: predictor faulty: version " in line
    assert not (tmp_path / "out").exists()
