"""How long does a published board of 100 runs take, of 200 prompts each: 4,950 pairs a table, three tables?

The submissions are made: no model takes part, and their scores are drawn. Imports and the charts' JavaScript, which are
the same for every board, are measured apart. Limit: 5 s for reading, statistics, README.md, board.json and index.html.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SYSTEMS, PROMPTS, LIMIT = 100, 100, 5.0
TASKS = ("popcorn_abstract", "popcorn_concrete")


def make(path: Path) -> None:
    """Write a board of SYSTEMS submissions, of PROMPTS prompts on each of two tasks."""
    from popbench.publishing.rules import FILE, Predictor, Rules, TaskRule, write_rules
    from popbench.publishing.submission import Machine, Mode, Row, Submission, write_submission

    digest = "0" * 32
    rules = Rules(
        title="A hundred models",
        demo=False,
        predictor=Predictor(name="made", digest=digest, unit="comments"),
        tasks={task: TaskRule(hash=digest, prompts=PROMPTS, group="popcorn") for task in TASKS},
    )
    (path / "submissions").mkdir(parents=True)
    (path / FILE).write_text(write_rules(rules), encoding="utf-8")
    rng = random.Random(1)
    for number in range(SYSTEMS):
        system = f"model-{number:03d}|basic|generator"
        rows = [
            Row(
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
            modes={"basic": Mode(name="basic", options={}, fingerprints=dict.fromkeys(TASKS, digest))},
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


def timed(what: str, call: Callable[[], Any]) -> tuple[Any, float]:
    """Call, print how long it took, and return both."""
    started = time.perf_counter()
    found = call()
    seconds = time.perf_counter() - started
    print(f"{what:<44}{seconds:8.2f} s")
    return found, seconds


def main() -> int:
    """Measure and print; the exit status says whether the limit is kept."""

    def imports() -> None:
        import popbench.publishing.checking
        import popbench.report.page  # noqa: F401

    def script() -> None:
        from popbench.report.charts import javascript

        javascript()

    timed("imports", imports)
    timed("the charts' JavaScript", script)
    from popbench.leaderboard.build import board_files
    from popbench.publishing.board import read_board, rebuild
    from popbench.publishing.checking import check

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "board"
        make(path)
        board, reading = timed(f"read {SYSTEMS} submissions", lambda: read_board(path))
        results, computing = timed("statistics", board.results)
        files, writing = timed("README.md, board.json, index.html", lambda: board_files(results, "A hundred models"))
        for name, text in files.items():
            print(f"  {name:<42}{len(text.encode()) / 1e6:8.2f} MB")
        print(f"{'together':<44}{reading + computing + writing:8.2f} s")
        _, whole = timed("popbench leaderboard build BOARD", lambda: rebuild(path))
        checked, _ = timed("popbench leaderboard check BOARD", lambda: check(path))
    print(f"limit {LIMIT:g} s: {'kept' if whole < LIMIT else 'not kept'}")
    print(f"check: {'ok' if not checked.wrong else checked.wrong[0]}")
    return int(whole >= LIMIT or bool(checked.wrong))


if __name__ == "__main__":
    sys.exit(main())
