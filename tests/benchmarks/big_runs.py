"""Time and memory of a run of a million samples: resuming, writing samples and board, reporting, comparing.

The run consists of rows that are written into its ledger in bulk; all clips are one tiny file. Times are of whole
processes. Limits for a million samples: 60 s for the board, 10 s from the command to a resume's first request.

    python tests/benchmarks/big_runs.py [--samples 1000000] [--shape repeats|prompts] [--keep DIR]

`repeats`: 50 systems, 200 prompts, as many repeats as it takes; `prompts`: 5 systems, as many prompts as it takes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import popbench
from popbench.hookspecs import Register

BOARD_LIMIT, START_LIMIT = 60.0, 10.0
ASKED = "POPBENCH_BENCHMARK_ASKED"
LINKS = 60_000
"""Hard links that one file takes on common file systems, a little less."""
_WORDS = [f"word{number}" for number in range(500)]


class Numbered(popbench.Options):
    """Distinguishes made-up components."""

    number: int = 0


def asked(items: Iterable[Any]) -> Iterator[Any]:
    """Record the time of the first request."""
    for number, item in enumerate(items):
        if not number and (log := os.environ.get(ASKED)):
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(f"{time.time()}\n")
        yield item


class Writer(popbench.LLM):
    """Writes a draft for each request."""

    version = "1"
    Options = Numbered

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in asked(chats):
            draft = {"title": f"Title {chat.seed}", "video_prompt": f"A clip of {chat.prompt}"}
            yield popbench.Completion(chat.id, json.dumps(draft), usage={"input": 400, "output": 90})


class Painter(popbench.VideoGenerator):
    """Renders a tiny clip."""

    version = "1"
    Options = Numbered

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in asked(requests):
            yield popbench.Clip(request.id, np.full((2, 32, 32, 3), 90, np.uint8), 8)


class Judge(popbench.Predictor):
    """Draws scores."""

    version = "1"
    unit = "comments"

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in asked(items):
            yield popbench.Score(item.id, 1 + int(item.id[:8], 16) / 1e7, seconds=0.01)


@popbench.hookimpl
def register_llms(register: Register) -> None:
    register("made-writer", Writer)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    register("made-painter", Painter)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("made-judge", Judge)


def install() -> None:
    """Register these components in this process."""
    from popbench.registry import Plugin, load_registry

    load_registry().add(sys.modules[__name__], Plugin("big-runs", "popbench-big-runs", "1", __name__))


def write_task(folder: Path, prompts: int) -> Path:
    """Write a task with this many prompts in ten categories, and two modes."""
    folder.mkdir(parents=True)
    lines = (
        json.dumps({"id": f"{n:06d}", "prompt": f"Show me thing number {n}.", "category": f"kind {n % 10}"})
        for n in range(prompts)
    )
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for mode in ("basic", "plain"):
        text = "{% block system %}Write.{% endblock %}{% block user %}" + mode + " {{ prompt }}{% endblock %}"
        (folder / f"{mode}.j2").write_text(text, encoding="utf-8")
    (folder / "task.yaml").write_text(
        "task: big\nversion: 1\ndataset: {path: json, data_files: prompts.jsonl}\n"
        "fields: {id: id, prompt: prompt, category: category}\ntemplates: {basic: basic.j2, plain: plain.j2}\n",
        encoding="utf-8",
    )
    return folder / "task.yaml"


def shape_of(samples: int, shape: str) -> tuple[dict[str, Any], int]:
    """Return the options of a run with this many samples, and the number of its prompts."""
    made = {"predictor": "made-judge", "corpus": "demo"}
    numbers = range(5)
    if shape == "repeats":
        llm, gen = ([f"made-{kind},number={n},label={kind}{n}" for n in numbers] for kind in ("writer", "painter"))
        return {**made, "llm": llm, "gen": gen, "mode": ["basic", "plain"], "repeats": samples // 10_000}, 200
    llm = [f"made-writer,number={n},label=writer{n}" for n in numbers]
    return {**made, "llm": llm, "gen": "made-painter", "mode": "basic"}, samples // 5


def make(run: Path, options: Mapping[str, Any]) -> int:
    """Fill a run's ledger with all calls, and its folder with clips; return the number of samples."""
    from popbench.ledger.ledger import Ledger
    from popbench.planning.config import resolve_config
    from popbench.planning.resolve import make_plan
    from popbench.runs.directory import RunDirectory
    from popbench.video import write_mp4

    plan = make_plan(resolve_config({**options, "out": str(run)}))
    with RunDirectory(run, plan):
        pass
    clip = run / "clip.mp4"
    write_mp4(np.full((2, 32, 32, 3), 90, np.uint8), 8, clip)
    digest, size = hashlib.sha256(clip.read_bytes()).hexdigest(), clip.stat().st_size
    db = sqlite3.connect(run / "ledger.sqlite", isolation_level=None)
    db.execute("PRAGMA cache_size=-1000000")
    for kind, name in db.execute("SELECT type, name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP {kind} {name}")
    for table in ("tally", "spent", "used"):  # counted at the end, not row by row
        db.execute(f"DROP TABLE IF EXISTS {table}")
    db.execute("BEGIN")
    samples = 0
    for calls, done, links in _rows(plan, digest, size):
        db.executemany("INSERT INTO calls (key, stage, status, payload) VALUES (?, ?, ?, ?)", calls)
        db.executemany(
            "INSERT INTO done (system, task, mode, stage, prompt, repeat, key, status, value)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            done,
        )
        for key in links:
            if not samples % LINKS:
                source = clip.with_name(f"clip{samples // LINKS}.mp4")
                shutil.copyfile(clip, source)
            os.link(source, run / "videos" / f"{key}.mp4")
            samples += 1
    db.execute("COMMIT")
    db.close()
    Ledger(run / "ledger.sqlite").close()
    return samples


def _rows(plan: Any, digest: str, size: int) -> Iterator[tuple[list[Any], list[Any], list[str]]]:
    """Yield rows of calls and of done, and the clips they speak of, cell by cell."""
    from popbench.keys import score_key

    rng = random.Random(1)

    def key() -> str:
        return f"{rng.getrandbits(128):032x}"

    def row(of: Any, at: tuple[str, int], key: str, value: Any) -> tuple[Any, ...]:
        return of.system, of.task, of.mode, of.stage, *at, key, "ok", json.dumps(value, separators=(",", ":"))

    for place, llm in enumerate(plan.llms):
        for method in plan.task_modes.values():
            titles: dict[tuple[str, int], str] = {}
            calls: list[Any] = []
            done: list[Any] = []
            stage_key = method.stage_key("write", llm)
            for _, prompt, repeat in plan.sample_set(method, llm).numbered():
                at = (prompt.id, repeat)
                titles[at] = f"The {prompt.id}th wonder of {llm.label}, take {repeat}"
                text = " ".join(rng.choices(_WORDS, k=70))
                of = key()
                draft = {"title": titles[at], "video_prompt": text}
                took: dict[str, Any] = {
                    "seconds": round(rng.lognormvariate(1, 0.5), 3),
                    "peak_memory_mb": None,
                    "notes": [],
                }
                usage = {"input": 412, "output": 130}
                answer = {**took, "text": json.dumps(draft), "reasoning": None, "usage": usage}
                calls.append((of, "write", "ok", json.dumps(answer)))
                value = {"attempts": 1, "references": [], **took, "usage": usage, **draft, "reasoning": None}
                done.append(row(stage_key, at, of, {**value, "breaches": []}))
            yield calls, done, []
            for generator in plan.generators:
                calls, done, links = [], [], []
                rendered = method.stage_key("render", llm, generator)
                scored = method.stage_key("score", llm, generator, plan.predictors[0])
                for at, title in titles.items():
                    clip = key()
                    sha256 = digest[:-32] + clip
                    seconds = {"seconds": round(rng.lognormvariate(3, 0.2), 3), "peak_memory_mb": 9000.5, "notes": []}
                    calls.append((clip, "render", "ok", json.dumps({**seconds, "sha256": sha256, "bytes": size})))
                    done.append(row(rendered, at, clip, {}))
                    links.append(clip)
                    of = score_key(plan.predictors[0].digest, title, sha256)
                    score = {"popularity": rng.lognormvariate(3 + 0.05 * place, 1), "extra": {}}
                    seconds = {"seconds": 0.04, "peak_memory_mb": 900.25, "notes": []}
                    calls.append((of, "score", "ok", json.dumps({**seconds, **score})))
                    done.append(row(scored, at, of, {}))
                yield calls, done, links


def unscore(run: Path, last: int, *, every_cell: bool) -> None:
    """Take scores out of a ledger: the last places of every cell, or of the one that a run comes to last."""
    db = sqlite3.connect(run / "ledger.sqlite", isolation_level=None)
    stage_keys = db.execute("SELECT DISTINCT system, task, mode FROM done WHERE stage = 'score'").fetchall()
    if not every_cell:
        about = json.loads((run / "made.json").read_text(encoding="utf-8"))
        stage_keys = [tuple(about["last"])]
    db.execute("BEGIN")
    for stage_key in stage_keys:
        keys = db.execute(
            "SELECT prompt, repeat, key FROM done WHERE system = ? AND task = ? AND mode = ? AND stage = 'score'"
            " ORDER BY prompt DESC, repeat DESC LIMIT ?",
            (*stage_key, last),
        ).fetchall()
        for prompt, repeat, key in keys:
            db.execute(
                "DELETE FROM done WHERE system = ? AND task = ? AND mode = ? AND stage = 'score' AND prompt = ?"
                " AND repeat = ?",
                (*stage_key, prompt, repeat),
            )
            db.execute("DELETE FROM calls WHERE key = ?", (key,))
    db.execute("COMMIT")
    db.close()


def command(*arguments: object) -> tuple[float, float, float, float]:
    """Run a popbench command; return its wall and CPU seconds, its peak memory in MB, and when it first asked."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "asked"
        started = time.time()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", *map(str, arguments)],
            env={**os.environ, ASKED: str(log)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        output = process.communicate()[0]
        wall = time.time() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        first = float(log.read_text().split()[0]) - started if log.exists() else float("nan")
    if process.returncode:
        print(output[-3000:])
        raise SystemExit(f"popbench {' '.join(map(str, arguments))} ended with {process.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = [line for line in output.splitlines() if line.startswith("peak ")]
    return wall, cpu, float(found[-1].split()[1]), first


def child(arguments: Sequence[str]) -> int:
    """Run one command in this process, and print its peak memory at the end."""
    install()
    from popbench.cli import console

    sys.argv = ["popbench", *arguments]
    try:
        console()
    except SystemExit as ended:
        status = int(ended.code or 0)
    else:
        status = 0
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    print(f"peak {int(found[1]) / 1024 if found else math.nan:.0f}", flush=True)  # rusage has the parent's as well
    return status


def told(what: str, wall: float, cpu: float, peak: float, more: str = "") -> None:
    """Print a row."""
    print(f"{what:<52}{wall:8.1f} s {cpu:8.1f} s CPU {peak:8.0f} MB  {more}", flush=True)


def measure(folder: Path, options: Mapping[str, Any], only: set[str]) -> int:
    """Measure each command on the run in a folder."""
    run = folder / "run"
    flags = [str(part) for key, value in options.items()
             for one in (value if isinstance(value, list) else [value]) for part in (f"--{key}", one)]  # fmt: skip
    evaluate = ["eval", *flags, "--out", run]

    def wanted(name: str) -> bool:
        return not only or name in only

    failed = 0
    if wanted("finish"):
        wall, cpu, peak, _ = command(*evaluate)
        about = json.loads((run / "run.json").read_text(encoding="utf-8"))
        finish = about["timings"]["statistics_seconds"]
        told("all done already: samples, statistics, board", wall, cpu, peak, f"of that in _finish {finish:.1f} s")
        size = (run / "samples.jsonl").stat().st_size / 1e6
        print(f"  samples.jsonl {size:,.0f} MB, ledger {(run / 'ledger.sqlite').stat().st_size / 1e6:,.0f} MB")
    for name, every in (("resume-last", False), ("resume-every", True)):
        if wanted(name):
            unscore(run, 20 if every else 500, every_cell=every)
            wall, cpu, peak, first = command(*evaluate)
            what = "the last places of every cell" if every else "the last places of the last cell"
            told(f"resume, {what} open", wall, cpu, peak, f"first item asked after {first:.1f} s")
            failed += first > START_LIMIT
    if wanted("dry-run"):
        told("popbench eval --dry-run", *command(*evaluate, "--dry-run")[:3])
    if wanted("board"):
        row = command("leaderboard", "build", run, "--out", folder / "board")
        told("popbench leaderboard build RUN", *row[:3])
    if wanted("report"):
        row = command("report", run)
        told("popbench report RUN", *row[:3], f"{(run / 'report.html').stat().st_size / 1e6:.1f} MB")
    if wanted("compare"):
        systems = json.loads((run / "results.json").read_text(encoding="utf-8"))["systems"]
        one, other = systems[0]["system"], systems[-1]["system"]
        told("popbench compare RUN RUN", *command("compare", run, run, "--system", f"{one}={other}")[:3])
    if wanted("export"):
        for form in ("jsonl", "parquet"):
            out = folder / f"export.{form}"
            row = command("export", run, "--format", form, "--out", out, "--force")
            told(f"popbench export --format {form}", *row[:3], f"{out.stat().st_size / 1e6:,.0f} MB")
            out.unlink()
    if wanted("add"):
        board = folder / "published"
        shutil.rmtree(board, ignore_errors=True)
        told("popbench leaderboard add BOARD RUN", *command("leaderboard", "add", board, run)[:3])
    return failed


def main() -> int:
    """Measure and print; the exit status says whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--shape", choices=("repeats", "prompts"), default="repeats")
    parser.add_argument("--keep", type=Path, help="where the run is made, and kept for the next time")
    parser.add_argument("--only", nargs="*", default=[], help="what to measure, by name")
    given = parser.parse_args()
    install()
    folder: Path = given.keep or Path(tempfile.mkdtemp(prefix="popbench-big-"))
    try:
        options, prompts = shape_of(given.samples, given.shape)
        options["task"] = str(folder / "task" / "task.yaml")
        if not (folder / "run" / "made.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            write_task(folder / "task", prompts)
            started = time.time()
            made = make(folder / "run", options)
            last = _last_cell(folder / "run", options)
            (folder / "run" / "made.json").write_text(json.dumps({"last": last}), encoding="utf-8")
            print(f"{made:,} samples made in {time.time() - started:.0f} s")
        print(f"{given.samples:,} samples, shape {given.shape}; load {os.getloadavg()[0]:.1f}")
        return int(measure(folder, options, set(given.only)) > 0)
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _last_cell(run: Path, options: Mapping[str, Any]) -> tuple[str, str, str]:
    from popbench.planning.config import resolve_config
    from popbench.planning.resolve import make_plan

    plan = make_plan(resolve_config({**options, "out": str(run)}))
    method = list(plan.task_modes.values())[-1]
    stage_key = method.stage_key("score", plan.llms[-1], plan.generators[-1], plan.predictors[0])
    return stage_key.system, stage_key.task, stage_key.mode


if __name__ == "__main__":
    sys.exit(child(sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main())
