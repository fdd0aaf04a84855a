"""Kill `popbench eval` with SIGKILL at random moments while 16 jobs of a video API are at work: is one paid for twice?

Each kill comes with 16 jobs submitted or being created. The API replies late, so that kills hit the time between the
acceptance of a job and its commit. It is done with Idempotency-Key honoured, and without: then a job that was accepted
and not committed is created again, and how many there are is told.

usage: killed_jobs.py [kills]
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import video_api

CLIPS = 48


def kill_and_resume(site: Path, folder: Path, api: video_api.VideoApi, kills: int, seed: int) -> tuple[int, int, int]:
    """Return how often the run was killed, how often it was started, and how many jobs were at work at kills."""
    random_ = random.Random(seed)
    killed = starts = at_work = 0
    while True:
        before = len(api.asked())
        process = video_api.start(site, folder, *video_api.command(api, CLIPS))
        starts += 1
        while process.poll() is None and len(api.asked()) == before:  # until it is at work with the API
            time.sleep(0.01)
        if killed < kills:
            time.sleep(random_.uniform(0, 0.5))
            if process.poll() is None:
                at_work += in_flight(folder / "run")
                process.kill()
                killed += 1
        _, errors = process.communicate(timeout=600)
        if process.returncode == 0:
            return killed, starts, at_work
        if process.returncode != -9:
            raise SystemExit(f"status {process.returncode}: {errors}")


def in_flight(run: Path) -> int:
    """Count the jobs that are committed and not finished."""
    with sqlite3.connect(f"file:{run / 'ledger.sqlite'}?mode=ro", uri=True, timeout=5) as ledger:
        (count,) = ledger.execute("SELECT count(*) FROM jobs WHERE job IS NOT NULL").fetchone()
    ledger.close()
    return int(count)


def finished(run: Path) -> int:
    """Count the clips of a run."""
    samples = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return sum(json.loads(line)["status"] == "ok" for line in samples)


def main(kills: int) -> int:
    """Measure both; print what was created."""
    wrong = 0
    with tempfile.TemporaryDirectory() as name, video_api.serving(Path(name)) as api:
        site = video_api.install(Path(name))
        for honours in (True, False):
            api.forget()
            # Jobs outlast several kills, so that 16 are at work at each, and some are being created at most of them.
            api.plan(render=2.0 * kills, spread=16, slow_reply=0.3, idempotent=honours)
            folder = Path(name) / f"honours-{honours}"
            killed, starts, at_work = kill_and_resume(site, folder, api, kills, 9)
            jobs = api.jobs()
            twice = sum(count - 1 for count in Counter((job["prompt"], job["seed"]) for job in jobs).values())
            key = "honoured" if honours else "ignored"
            print(
                f"Idempotency-Key {key}: {killed} kills with {at_work / killed:.1f} jobs"
                f" committed on average, {starts} starts, {finished(folder / 'run')} clips wanted and made,"
                f" {len(jobs)} jobs created, {twice} paid twice"
            )
            wrong += honours and (twice > 0 or len(jobs) != CLIPS or finished(folder / "run") != CLIPS)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
