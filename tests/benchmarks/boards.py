"""How long does a board of 100 runs with 200 prompts each take (4,950 pairs per table, three tables)?

Two boards have the same scores: a published one, made of submissions, and one made of run directories with full
samples. No model is used. `popbench leaderboard build` builds each in its own process, imports and printing included.
The best of some rounds counts; the parts are measured once separately. The cache folder is new, so the very first round
also makes what charts are drawn with. The limit is 5 s for each whole command.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SYSTEMS, PROMPTS, LIMIT = 100, 100, 5.0
TASKS = ("popcorn_abstract", "popcorn_concrete")
TITLE, DIGEST = "A hundred models", "0" * 32
COMMAND = (sys.executable, "-c", "from popbench.cli import console; console()", "leaderboard")


def make_board(path: Path) -> None:
    """Write a board of SYSTEMS submissions, of PROMPTS prompts on each of two tasks."""
    from popbench.scores.board_rules import FILE, Predictor, Rules, TaskRule, write_rules
    from popbench.scores.submission import Machine, Mode, Submission, SubmittedScore, write_submission

    rules = Rules(
        title=TITLE,
        demo=False,
        predictor=Predictor(name="made", digest=DIGEST, unit="comments"),
        tasks={task: TaskRule(hash=DIGEST, prompts=PROMPTS, group="popcorn") for task in TASKS},
    )
    (path / "submissions").mkdir(parents=True)
    (path / FILE).write_text(write_rules(rules), encoding="utf-8")
    rng = random.Random(1)
    for number in range(SYSTEMS):
        system = f"model-{number:03d}|basic|generator"
        rows = [
            SubmittedScore(
                system=system,
                task=task,
                prompt_id=f"{task}-{prompt:03d}",
                repeat=0,
                category=f"category {prompt % 5}",
                status="ok",
                popularity=rng.lognormvariate(number / 50, 1),
                compliance=True,
                video_sha256=f"{rng.getrandbits(256):064x}",
            )
            for task in TASKS
            for prompt in range(PROMPTS)
        ]
        submission = Submission(
            schema=1,
            **rules.model_dump(exclude={"kind", "title", "description"}),
            popbench="0.1.0",
            systems={system: dict.fromkeys(TASKS, f"{number:032x}")},
            modes={"basic": Mode(name="basic", options={}, fingerprints=dict.fromkeys(TASKS, DIGEST))},
            components={},
            notes={},
            references=[],
            remarks=[],
            costs=[],
            versions={},
            machine=Machine(platform="Linux x86_64", cpus=2, gpus=[]),
            rows=rows,
        )
        name, text = write_submission(submission)
        (path / "submissions" / name).write_text(text, encoding="utf-8")


def make_runs(board: Path, path: Path) -> list[Path]:
    """Write a run directory for each submission of a board: run.json, and samples with texts as long as usual ones."""
    from popbench.records import Sample
    from popbench.runs.samples import write_jsonl
    from popbench.scores.board_folder import read_board

    made = []
    for submission in read_board(board).submissions.values():
        (system,) = submission.systems
        run = path / system.partition("|")[0]
        run.mkdir(parents=True)
        about = {
            "schema": 1,
            "finished": True,
            "demo": False,
            "config": {"seed": 42, "repeats": 1, "stop_after": None},
            "tasks": {task: {"hash": DIGEST, "group": "popcorn", "n": PROMPTS, "prompts": PROMPTS} for task in TASKS},
            "modes": {label: mode.model_dump() for label, mode in submission.modes.items()},
            "notes": {},
            "references": None,
            "components": {},
            "systems": submission.systems,
            "predictors": {"made": DIGEST},
            "units": {"made": "comments"},
            "versions": {"popbench": "1"},
            "machine": {"platform": "made", "cpus": 1, "gpus": []},
            "timings": {"started": "2026-01-01T00:00:00+0000"},
        }
        (run / "run.json").write_text(json.dumps(about), encoding="utf-8")
        llm, mode, generator = system.split("|")
        samples = (
            Sample(
                **row.model_dump(exclude={"originality"}),
                llm=llm,
                mode=mode,
                generator=generator,
                prompt=f"Show me something about {row.prompt_id}, as it has never been shown before.",
                title=f"The wonder of {row.prompt_id}",
                video_prompt="A cat that counts to one hundred, slowly, in the evening light. " * 8,
                completion='{"title": "The wonder", "video_prompt": "A cat that counts"} ' * 12,
                attempts=1,
                video=f"videos/{row.prompt_id}.mp4",
                scores={"made": row.popularity},
                seconds={"llm": 1.5, "generate": 60.5, "predict": 0.5},
                peak_memory_mb={"llm": None, "generate": 20_000.5, "predict": 900.5},
                usage={"input": 400, "output": 200},
            )
            for row in submission.rows
        )
        write_jsonl(samples, run / "samples.jsonl")
        made.append(run)
    return made


def timed(what: str, call: Callable[[], Any]) -> Any:
    """Call a function, print its time, and return its result."""
    started = time.perf_counter()
    found = call()
    print(f"  {what:<42}{time.perf_counter() - started:8.2f} s")
    return found


def command(*arguments: str, rounds: int = 5) -> float:
    """Run `popbench leaderboard ...` some times, print the best wall and processor time, and return the wall time."""
    best = []
    for _ in range(rounds):
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*COMMAND, *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best.append((time.perf_counter() - started, spent))
    wall, spent = min(one for one, _ in best), min(other for _, other in best)
    print(f"{wall:8.2f} s, {spent:.2f} s of processors; first time {best[0][0]:.2f} s")
    return wall


def parts(board: Path, runs: Sequence[Path]) -> None:
    """Measure the parts of a command once."""

    def imports() -> None:
        import popbench.publishing.pages
        import popbench.report.page  # noqa: F401

    timed("imports", imports)
    from popbench.publishing.pages import board_files, results_of
    from popbench.scores.board_folder import read_board
    from popbench.scores.sources import read_all

    stored = timed(f"read {SYSTEMS} submissions", lambda: read_board(board))
    timed(f"read {SYSTEMS} runs", lambda: read_all(runs))
    results = timed("statistics of submissions", lambda: results_of(stored))
    for name, text in timed("README.md, board.json, index.html", lambda: board_files(results, TITLE)).items():
        print(f"    {name:<40}{len(text.encode()) / 1e6:8.2f} MB")


def main() -> int:
    """Measure and print; the exit status says whether the limit is kept."""
    print(f"load average: {os.getloadavg()[0]:.2f}, {len(os.sched_getaffinity(0))} processors")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["POPBENCH_CACHE"] = str(Path(folder) / "cache")
        board, runs = Path(folder) / "board", Path(folder) / "runs"
        make_board(board)
        made = make_runs(board, runs)
        print("popbench leaderboard build BOARD", end=" ")
        whole = [command("build", str(board))]
        print("popbench leaderboard build RUN... --out DIR", end=" ")
        whole.append(command("build", *map(str, made), "--out", f"{folder}/out", "--title", TITLE))
        print("popbench leaderboard check BOARD", end=" ")
        command("check", str(board))
        parts(board, made)
    print(f"load average: {os.getloadavg()[0]:.2f}")
    print(f"limit {LIMIT:g} s: {'kept' if max(whole) < LIMIT else 'not kept'}")
    return int(max(whole) >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
