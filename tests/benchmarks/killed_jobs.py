"""Kill `popbench eval` with SIGKILL at random moments while 16 jobs of a video API are at work: is one paid for twice?

Between two kills two jobs come to their end, so that each start fetches two clips and creates two jobs, and there are
always 16. The API replies 0.3 s after it has accepted a job: kills in this time find jobs that are accepted and not
committed. It is done with Idempotency-Key honoured, and without: then each of these is created again.

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

CLIPS = 60
MOST_CALLS = 60
"""A kill comes after so many calls of the API at most. The first 16 of a start create jobs, or look at them."""


def kill(site: Path, folder: Path, api: video_api.VideoApi, random_: random.Random) -> tuple[int, int]:
    """Start a run and kill it; return how many jobs were committed then, and how many clips."""
    until = len(api.asked()) + random_.randint(1, MOST_CALLS)
    process = video_api.start(site, folder, *video_api.command(api, CLIPS))
    while process.poll() is None and len(api.asked()) < until:
        time.sleep(0.005)
    process.kill()
    _, errors = process.communicate()
    if process.returncode != -9:
        raise SystemExit(f"status {process.returncode}: {errors}")
    return committed(folder / "run")


def committed(run: Path) -> tuple[int, int]:
    """Count the jobs that are committed and not finished, and the clips."""
    with sqlite3.connect(f"file:{run / 'ledger.sqlite'}?mode=ro", uri=True, timeout=5) as ledger:
        (jobs,) = ledger.execute("SELECT count(*) FROM jobs WHERE job IS NOT NULL").fetchone()
        (clips,) = ledger.execute("SELECT count(*) FROM calls WHERE stage = 'render'").fetchone()
    ledger.close()
    return int(jobs), int(clips)


def finished(run: Path) -> int:
    """Count the clips of a run."""
    samples = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return sum(json.loads(line)["status"] == "ok" for line in samples)


def main(kills: int) -> int:
    """Measure both; print what was created."""
    wrong = False
    with tempfile.TemporaryDirectory() as name, video_api.serving(Path(name)) as api:
        site = video_api.install(Path(name))
        for honours in (True, False):
            api.forget()
            api.plan(render=1e9, slow_reply=0.3, idempotent=honours)
            folder, random_ = Path(name) / f"honours-{honours}", random.Random(9)
            known, lost = [], 0
            for _ in range(kills):
                jobs, clips = kill(site, folder, api, random_)
                accepted = len({(job["prompt"], job["seed"]) for job in api.jobs()})
                known.append(jobs)
                lost += accepted - jobs - clips
                api.finish(2)
            api.plan(finish=True, idempotent=honours)
            process = video_api.start(site, folder, *video_api.command(api, CLIPS))
            _, errors = process.communicate()
            if process.returncode:
                raise SystemExit(errors)
            created, made = api.jobs(), finished(folder / "run")
            twice = sum(count - 1 for count in Counter((job["prompt"], job["seed"]) for job in created).values())
            print(
                f"Idempotency-Key {'honoured' if honours else 'ignored'}: {kills} kills, at which"
                f" {sum(known) / kills:.1f} jobs were committed on average, and {lost} in all accepted and not"
                f" committed; {CLIPS} clips wanted, {made} made, {len(created)} jobs created, {twice} paid twice",
                flush=True,
            )
            wrong |= honours and (twice > 0 or len(created) != CLIPS or made != CLIPS)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
