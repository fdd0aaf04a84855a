"""How the files here were made, with the code of commit e42f1b1: they are not to be made again by later code.

In a checkout of that commit: `.venv/bin/python .../tests/data/earlier/make.py`. What is written by hand are the tasks
in own/, the table in people/, the entry point in plugin/ (so that the example plugin is found without an installation)
and outputs.txt; all the rest comes from here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parents[2] / "plugins" / "example"
POPBENCH = [sys.executable, "-m", "popbench"]
# With seed 5 no statistic that is kept is zero but for its rounding, which is another one on another processor.
STUDY = (
    "eval --llm verbatim --llm shotlist --mode basic --mode pe,k=5 --gen kinetic,width=64,height=64,frames=4"
    " --task popcorn --corpus demo --limit 5 --seed 5"
)
PEOPLE = (
    "eval --llm haiku,temperature=0.2 --mode pe,k=3,negative_ratio=0.4 --gen waves,width=64,height=48,frames=6"
    " --task own --embedder hashing --baseline human --seed 5 --corpus"
    " table,path=people/videos.csv,title=title,popularity=popularity,tag=tag,id=id,videos=people/videos"
)
PLAIN = (
    "eval --llm verbatim --llm shotlist --mode basic --gen kinetic,width=64,height=64,frames=4 --task own --corpus demo"
    " --seed 5"
)
ANYWHERE = "/earlier"
"""Stands in run.json, and in the outputs, for the folder that they are in."""
TEXTS = (".json", ".jsonl", ".md", ".yaml")
DRAWN, DRAW = (".html", ".svg", ".parquet"), ("altair", "vl-convert-python", "pyarrow")
"""Files that hold what other packages drew or wrote, and these packages."""
SMALL = 60_000
"""Text files up to this size are kept whole, so that a difference can be read; of the others a hash."""


def environment(cache: str) -> dict[str, str]:
    """Return an environment that has the example plugin and none of this machine's settings."""
    path = os.pathsep.join([str(HERE / "plugin"), str(EXAMPLE)])
    return {**os.environ, "PYTHONPATH": path, "POPBENCH_CACHE": cache, "XDG_CONFIG_HOME": cache, "COLUMNS": "200"}


def popbench(command: str, folder: Path, env: dict[str, str]) -> str:
    """Run one command and return what it prints."""
    words = [*POPBENCH, *shlex.split(command)]
    return subprocess.run(words, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout


def rows(run: Path, stage: str) -> int:
    """Count the finished calls of a stage, while they are made."""
    try:
        with closing(sqlite3.connect(f"file:{run / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
            return int(ledger.execute("SELECT count(*) FROM calls WHERE stage = ?", (stage,)).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def interrupt(run: Path, env: dict[str, str]) -> None:
    """Finish a small part of the study, then kill the whole of it while it writes, so that every stage is open.

    What was committed last is in the ledger's write-ahead log alone.
    """
    command = f"{STUDY} --out {run.relative_to(HERE)}"
    part = command.replace("--llm verbatim", "").replace("--mode basic", "").replace("--limit 5", "--limit 1")
    popbench(part, HERE, env)
    process = subprocess.Popen([*POPBENCH, *shlex.split(command)], cwd=HERE, env=env)
    while rows(run, "write") < 12 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()


def moved(path: Path, old: str, new: str) -> None:
    """Rewrite the folder that a run.json names: a corpus in a file is recorded with its whole path."""
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def tidy(runs: Path) -> None:
    """Take away what names this machine or is made anew by SQLite."""
    moved(runs / "people/run.json", str(HERE), ANYWHERE)
    for name in (".lock", ".holder", "ledger.sqlite-shm", ".*.part"):
        for path in runs.rglob(name):
            path.unlink()
    for path in runs.rglob("ledger.sqlite-wal"):
        if not path.stat().st_size:
            path.unlink()


def keep(made: Path, kept: Path) -> None:
    """Keep the outputs: small texts whole, and a hash of everything else; clips and ledgers are in the runs."""
    hashes = {}
    for path in sorted(path for path in made.rglob("*") if path.is_file()):
        name, data = path.relative_to(made), path.read_bytes().replace(str(made.parent).encode(), ANYWHERE.encode())
        if path.suffix in TEXTS and len(data) <= SMALL:
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            (kept / name).write_bytes(data)
        elif path.suffix in (*TEXTS, *DRAWN):
            hashes[name.as_posix()] = hashlib.sha256(data).hexdigest()
    about = {"versions": {name: version(name) for name in DRAW}, "sha256": hashes}
    (kept / "hashes.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Make the runs, the board and the outputs."""
    for name in ("runs", "board", "expected", "people/videos"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        env = environment(temporary)
        popbench(f"{STUDY} --out runs/study", HERE, env)
        clips = sorted((HERE / "runs/study/videos").iterdir())
        (HERE / "people/videos").mkdir()
        for number in range(1, 7):
            shutil.copyfile(clips[number], HERE / f"people/videos/p{number}.mp4")
        for which in ("1/2", "2/2"):
            popbench(f"{STUDY} --out runs/study --shard {which}", HERE, env)
        interrupt(HERE / "runs/interrupted", env)
        popbench(f"{PEOPLE} --out runs/people", HERE, env)
        other = STUDY.replace("--llm verbatim", "").replace("--seed 5", "--seed 7")
        popbench(f"{other} --out {temporary}/other", HERE, env)
        popbench(f"export {temporary}/other --format jsonl --out other.jsonl --force", HERE, env)
        popbench(f"{PLAIN} --out {temporary}/plain", HERE, env)
        popbench(f"leaderboard add board {temporary}/plain --title 'Earlier board'", HERE, env)
        popbench("leaderboard add board runs/people", HERE, env)
        tidy(HERE / "runs")
        copy = Path(temporary) / "copy"
        shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("expected", "make.py"))
        moved(copy / "runs/people/run.json", ANYWHERE, str(copy))
        (copy / "out").mkdir()
        for line in (HERE / "outputs.txt").read_text(encoding="utf-8").splitlines():
            if line.startswith("#"):
                continue
            name, _, command = line.partition(" --corpus ")[0].partition(": ")
            said = popbench(command, copy, env)
            if command.endswith("--json"):
                (copy / "out" / f"{name}.json").write_text(said, encoding="utf-8")
        for name in ("audit.json", "audit.md", "leaderboard.md", "results.json"):
            (copy / "out/audited").mkdir(exist_ok=True)
            shutil.copyfile(copy / "runs/people" / name, copy / "out/audited" / name)
        keep(copy / "out", HERE / "expected")


if __name__ == "__main__":
    main()
