"""The video APIs of `video_api_server` and `videos_server`, and runs of popbench with the distribution that is a plugin
for the first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from popbench.video import write_mp4
from server_processes import PlannedServer

DISTRIBUTION = Path(__file__).parents[1] / "distributions" / "reel"
KEY = "good"
_RUN = (
    "import signal, sys; from popbench.cli import console; sys.argv[0] = 'popbench'; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); console()"  # a shell's background job has it ignored
)


class VideoApi(PlannedServer):
    """A `video_api_server` process, or that of another `script`. The modules describe plans."""

    def __init__(self, folder: Path, script: str = "video_api_server.py") -> None:
        clip = folder / "clip.mp4"
        write_mp4(np.random.default_rng(7).integers(0, 256, (8, 48, 64, 3), np.uint8), 8, clip)
        super().__init__(script, clip)

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs that were created, in their order: each of them was paid for."""
        jobs: list[dict[str, Any]] = self.control("log")["jobs"]
        return jobs

    def finish(self, count: int) -> None:
        """Let the oldest running jobs come to their end."""
        self.control("finish", {"count": count})

    def forget(self) -> None:
        """Forget all jobs."""
        self.control("forget")


@contextmanager
def serving(folder: Path, script: str = "video_api_server.py") -> Iterator[VideoApi]:
    """Run a server for the time of the block."""
    server = VideoApi(folder, script)
    try:
        yield server
    finally:
        server.stop()


def install(folder: Path) -> Path:
    """Install the distribution into a folder; nothing is downloaded and the source tree stays as it is."""
    import shutil

    copy = folder / "copy"
    shutil.copytree(DISTRIBUTION, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    command = [*pip, "--no-build-isolation", "--no-index", "--target", str(folder / "site"), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def start(site: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start popbench with the distribution, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "PYTHONPATH": str(site), "REEL_API_KEY": KEY, "COLUMNS": "200"}
    command = [sys.executable, "-W", "error", "-c", _RUN, *arguments]
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def command(api: VideoApi, limit: int, *more: str) -> list[str]:
    """Return the arguments that make so many clips, with 16 jobs at a time, into `run`."""
    return ["eval", "--llm", "verbatim", "--mode", "basic", "--task", "popcorn_concrete", "--predictor", "demo",
            "--corpus", "demo", "--gen", f"reel,url={api.url},poll=0.05", "--limit", str(limit), "--out", "run",
            *more]  # fmt: skip
