"""What an earlier version of the code made is gone on with as if that version were at it still.

Runs, a board and outputs of it lie in data/earlier; its make.py says how they were made. They are not made again: where
a test here fails, files that people have would be read in another way, or their calls be made again.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from command_line import Run, in_process
from popbench.registry import load_registry

EARLIER = Path(__file__).parent / "data" / "earlier"
EXAMPLE = Path(__file__).parents[1] / "plugins" / "example"
ANYWHERE = "/earlier"
"""Stands in the files for the folder that they are in: a corpus in a file is recorded with its whole path."""
STUDY = (
    "eval --llm verbatim --llm shotlist --mode basic --mode pe,k=5 --gen kinetic,width=64,height=64,frames=4"
    " --task popcorn --corpus demo --limit 5 --seed 5"
)
PEOPLE = (
    "eval --llm haiku,temperature=0.2 --mode pe,k=3,negative_ratio=0.4 --gen waves,width=64,height=48,frames=6"
    " --task own --embedder hashing --baseline human --seed 5 --corpus"
    " table,path=people/videos.csv,title=title,popularity=popularity,tag=tag,id=id,videos=people/videos"
    " --out runs/people"
)
RESUMED = {
    "study": f"{STUDY} --out runs/study",
    "study.shard-1-of-2": f"{STUDY} --out runs/study --shard 1/2",
    "study.shard-2-of-2": "eval --config runs/study.shard-2-of-2/run.json --out runs/study",
}
RESULTS = ("leaderboard.md", "results.json", "samples.jsonl")
TEXTS = (".json", ".jsonl", ".md", ".yaml")
DRAWN = (".html", ".svg", ".parquet")
"""Outputs that hold what other packages drew or wrote."""
HASHES: dict[str, dict[str, str]] = json.loads((EARLIER / "expected/hashes.json").read_text(encoding="utf-8"))
SAME_PACKAGES = all(version(name) == then for name, then in HASHES["versions"].items())
same_packages = pytest.mark.skipif(
    not SAME_PACKAGES, reason=f"these files hold what {', '.join(HASHES['versions'])} of other versions drew or wrote"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the earlier files, in another place than they were made in, and the templates of that time."""
    copy = tmp_path / "copy"
    left_out = shutil.ignore_patterns("expected", "make.py", "popcorn_templates", "__pycache__")
    shutil.copytree(EARLIER, copy, ignore=left_out, copy_function=shutil.copyfile)
    (copy / "out").mkdir()
    about = copy / "runs/people/run.json"
    about.write_text(about.read_text(encoding="utf-8").replace(ANYWHERE, str(copy)), encoding="utf-8")
    tasks, installed = tmp_path / "tasks", importlib.import_module("popbench_tasks")
    shutil.copytree(EARLIER.parents[2] / "tasks", tasks, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(EARLIER / "popcorn_templates", tasks / "popcorn/templates", dirs_exist_ok=True)
    monkeypatch.setattr(installed, "__file__", str(tasks / "__init__.py"))
    load_registry.cache_clear()
    yield copy
    load_registry.cache_clear()


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    call = in_process(monkeypatch, capsys, folder)
    # The references stand on the board of a run with nothing left to do only where the corpus is embedded, as it was.
    assert call("corpus", "build", "--corpus", "demo", "--embedder", "hashing").status == 0
    return lambda command: call(*shlex.split(command))


def with_example(command: str, folder: Path) -> None:
    """Give a command in a process of its own, which finds the example plugin."""
    path = os.pathsep.join([str(folder / "plugin"), str(EXAMPLE)])
    words = [sys.executable, "-m", "popbench", *shlex.split(command)]
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def calls(run: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Read all that a ledger holds of calls and of what they settled, with the seconds that they took."""
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        return {table: sorted(ledger.execute(f"SELECT * FROM {table}"), key=repr) for table in ("calls", "done")}


def files(run: Path) -> dict[str, bytes]:
    """Read what came of a run."""
    return {path.name: path.read_bytes() for path in (*(run / name for name in RESULTS), *(run / "videos").iterdir())}


def of_now(earlier: dict[str, bytes], name: str) -> dict[str, bytes]:
    """Replace the results of a run by what the statistics of now give: its interval and p-values were others then."""
    return earlier | {path.name: path.read_bytes() for path in (EARLIER / "expected/runs" / name).iterdir()}


def about(run: Path) -> dict[str, Any]:
    """Read run.json without what tells of the machine, the moment and this popbench.

    These are packages, platform and times, and the fingerprints of systems, in which is how drafts are read.
    """
    found = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name not in ("versions", "machine", "timings", "systems")}


def settled(rows: dict[str, list[tuple[Any, ...]]]) -> set[tuple[Any, ...]]:
    """Return what a ledger's calls settled, without the moment and the fingerprint of who read it."""
    return {row[1:9] for row in rows["done"]}


def untimed(run: Path) -> list[dict[str, Any]]:
    """Read samples without the seconds that they took."""
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def comparable(path: Path, folder: Path) -> bytes:
    """Read an output; only the folder that it names may differ, and of a merge's run.json what `about` leaves out."""
    data = path.read_bytes().replace(str(folder).encode(), ANYWHERE.encode())
    if path.name == "run.json":
        found = {name: value for name, value in json.loads(data).items() if name in about(path.parent)}
        for shard in found.get("shards", ()):
            for name in ("timings", "machine", "versions"):
                shard.pop(name, None)
        data = json.dumps(found, indent=1).encode()
    return data


def give(run: Run, name: str, folder: Path) -> None:
    """Give the commands of outputs.txt that have a name; what they print as JSON is an output too."""
    for line in (folder / "outputs.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}: "):
            done = run(line.partition(": ")[2])
            assert done.status == 0, done.err
            if line.endswith(" --json"):
                (folder / "out" / f"{name}.json").write_text(done.out, encoding="utf-8")


def check_outputs(folder: Path, suffixes: tuple[str, ...] = TEXTS) -> None:
    """Compare all files in out/ with those that were made earlier."""
    out, kept = folder / "out", EARLIER / "expected"
    made = {path.relative_to(out) for path in out.rglob("*") if path.suffix in suffixes}
    names = {path.relative_to(kept) for path in kept.rglob("*") if path.is_file()} | set(map(Path, HASHES["sha256"]))
    assert made
    assert made == {name for name in names if (out / name.parts[0]).exists() and name.suffix in suffixes}
    for name in sorted(made):
        if (kept / name).exists():
            assert comparable(out / name, folder) == comparable(kept / name, folder), name
        else:
            assert hashlib.sha256(comparable(out / name, folder)).hexdigest() == HASHES["sha256"][name.as_posix()], name


@pytest.mark.parametrize("name", RESUMED)
def test_a_finished_run_is_resumed_without_a_call_and_without_a_changed_byte(run: Run, folder: Path, name: str) -> None:
    path = folder / "runs" / name
    before = files(path), calls(path), about(path)
    assert run(RESUMED[name]).status == 0
    assert files(path) == of_now(before[0], name)
    assert about(path) == before[2]
    after = calls(path)
    assert after["calls"] == before[1]["calls"]
    assert set(before[1]["done"]) <= set(after["done"])
    assert settled(after) == settled(before[1])


def test_a_killed_run_goes_on_to_the_results_of_the_whole_and_repeats_no_call(run: Run, folder: Path) -> None:
    path, whole = folder / "runs/interrupted", folder / "runs/study"
    before = calls(path)
    stages = [{row[1] for row in calls(at)["calls"]} for at in (path, whole)]
    assert stages == [{"write", "render", "score"}] * 2
    assert 0 < len(before["calls"]) < len(calls(whole)["calls"])
    assert run(f"{STUDY} --out runs/interrupted").status == 0
    after = calls(path)
    for table, rows in before.items():
        assert set(rows) <= set(after[table])
    assert [row[0] for row in after["calls"]] == [row[0] for row in calls(whole)["calls"]]
    assert {row[:7] for row in settled(after)} == {row[:7] for row in settled(calls(whole))}
    assert untimed(path) == untimed(whole)
    assert {**files(path), "samples.jsonl": b""} == {**of_now(files(whole), "study"), "samples.jsonl": b""}


def test_a_new_run_has_the_fingerprints_and_the_drafts_of_the_earlier_one(run: Run, folder: Path) -> None:
    assert run(f"{STUDY} --out runs/new --stop-after write").status == 0
    new, earlier = folder / "runs/new", folder / "runs/study"
    ours, theirs = about(new), about(earlier)
    for name in ("tasks", "modes", "components", "predictors", "units", "references", "notes"):
        assert ours[name] == theirs[name], name
    drafts = {row for row in settled(calls(earlier)) if row[2] == "write"}
    assert {row[:7] for row in settled(calls(new))} == {row[:7] for row in drafts}
    assert {row[0] for row in calls(new)["calls"]} == {row[0] for row in calls(earlier)["calls"] if row[1] == "write"}


@pytest.mark.slow
def test_a_run_of_a_plugin_and_of_human_videos_is_resumed_without_a_call(folder: Path) -> None:
    path = folder / "runs/people"
    before = files(path), calls(path), about(path)
    with_example(PEOPLE, folder)
    assert files(path) == of_now(before[0], "people")
    assert about(path) == before[2]
    after = calls(path)
    assert after["calls"] == before[1]["calls"]
    # Videos by people are matched anew for a corpus that is read from another folder, and found to be the same ones.
    assert set(before[1]["done"]) <= set(after["done"])
    assert {row[3:9] for row in after["done"]} == {row[3:9] for row in before[1]["done"]}


@pytest.mark.parametrize("name", ["jsonl", "eee"])
def test_a_run_is_exported_as_before(run: Run, folder: Path, name: str) -> None:
    give(run, name, folder)
    check_outputs(folder)


def test_runs_are_compared_as_before(run: Run, folder: Path) -> None:
    give(run, "compare", folder)
    check_outputs(folder)


def test_runs_tell_of_their_progress_as_before(run: Run, folder: Path) -> None:
    give(run, "status", folder)
    check_outputs(folder)


def test_shards_whose_drafts_are_read_in_this_way_are_merged_into_the_whole_run(run: Run, folder: Path) -> None:
    refused = run("merge runs/study.shard-1-of-2 runs/study.shard-2-of-2 --out out/merged")
    assert refused.status == 2
    assert "give each shard's command again, then merge" in refused.err
    for name in ("study.shard-1-of-2", "study.shard-2-of-2"):
        assert run(RESUMED[name]).status == 0
    give(run, "merge", folder)
    check_outputs(folder)
    merged, whole = folder / "out/merged", folder / "runs/study"
    assert untimed(merged) == untimed(whole)
    assert {**files(merged), "samples.jsonl": b""} == {**of_now(files(whole), "study"), "samples.jsonl": b""}


def test_a_predictor_is_audited_as_before(run: Run, folder: Path) -> None:
    give(run, "audit", folder)
    for name in ("audit.json", "audit.md", "leaderboard.md", "results.json"):
        (folder / "out/audited").mkdir(exist_ok=True)
        shutil.copyfile(folder / "runs/people" / name, folder / "out/audited" / name)
    check_outputs(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "build", "add"])
def test_tables_boards_and_submissions_are_made_as_before(run: Run, folder: Path, name: str) -> None:
    if name == "add":  # which refuses results that are not those of the statistics of now
        for kept, data in of_now({}, "people").items():
            (folder / "runs/people" / kept).write_bytes(data)
    give(run, name, folder)
    check_outputs(folder)
    if SAME_PACKAGES:
        check_outputs(folder, DRAWN)


@same_packages
@pytest.mark.parametrize("name", ["report", "parquet"])
def test_reports_and_tables_of_columns_are_made_as_before(run: Run, folder: Path, name: str) -> None:
    give(run, name, folder)
    check_outputs(folder, DRAWN)


@same_packages
def test_a_board_is_what_its_submissions_give_and_built_again_the_same(run: Run, folder: Path) -> None:
    board = folder / "board"
    submissions = {path: path.read_bytes() for path in (board / "submissions").iterdir()}
    assert "leaderboard build board" in run("leaderboard check board").err  # the statistics were others then
    assert run("leaderboard build board").status == 0
    before = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    assert submissions.items() <= before.items()
    assert run("leaderboard check board").status == 0
    assert run("leaderboard build board").status == 0
    assert {path: path.read_bytes() for path in board.rglob("*") if path.is_file()} == before
