"""A run of 50,000 samples is killed at random moments: is anything lost or repeated?

Components that compute next to nothing log every request, and the log is compared with the ledger. 24 starts are killed
(SIGKILL), each after a random number of committed calls, at least one, over the first two thirds of the calls. The rest
runs without kills, and shows the course of memory.

    .venv/bin/python tests/benchmarks/soak.py --samples 2000 --kills 3
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import made_tasks
import popbench
import popbench_runs
from popbench.hookspecs import Register
from popbench.keys import derive_seed
from popbench.video import write_mp4

VOICES, REPEATS = 5, 10
SEED = 42
LOG, CLIP = "POPBENCH_SOAK_LOG", "POPBENCH_SOAK_CLIP"
FLAT = 1.1
"""What memory may be in the last tenth of the last start, times what it is in the first."""


def asked(items: Iterable[popbench.Chat | popbench.VideoRequest | popbench.ScoreRequest]) -> Iterator[popbench.JSON]:
    """Log every request. With O_APPEND a line is written whole, also if the process is killed."""
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for item in items:
        os.write(log, f"{item.id}\n".encode())
        yield item


def title_of(seed: int, voice: str) -> str:
    """Return the title of a voice."""
    return f"Take {seed} of {voice}"


def score_of(title: str) -> float:
    """Return the score of a title."""
    return 1.0 + zlib.crc32(title.encode()) % 1000


class Writer(popbench.LLM):
    """Writes the same on every machine, and claims to run elsewhere."""

    version = "1"

    class Options(popbench.Options):
        """`voice` makes several of one."""

        voice: str = ""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        """Name the seed."""
        for chat in asked(chats):
            title = title_of(chat.seed, self.options.voice)
            yield popbench.Completion(chat.id, json.dumps({"title": title, "video_prompt": f"{title}: {chat.prompt}"}))

    def needs(self) -> popbench.Needs:
        """Nothing here."""
        return popbench.Needs(remote=True)


class Camera(popbench.VideoGenerator):
    """Returns a tiny finished mp4, different for every request."""

    version = "1"

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        """Put a box that players skip at the end of the clip."""
        clip = Path(os.environ[CLIP]).read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            for request in asked(requests):
                made = Path(folder) / "clip.mp4"
                made.write_bytes(clip + (8 + len(request.id)).to_bytes(4) + b"free" + request.id.encode())
                yield popbench.Clip(request.id, path=made)

    def needs(self) -> popbench.Needs:
        """As one on a GPU does, so that the predictor works beside it."""
        return popbench.Needs(gpus=1)


class Judge(popbench.Predictor):
    """Scores titles."""

    version = "1"

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        """Hash the title."""
        for item in asked(items):
            yield popbench.Score(item.id, score_of(item.title))


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register the writer."""
    register("soak", Writer)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    """Register the camera."""
    register("soak", Camera)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    """Register the judge."""
    register("soak", Judge)


def child(arguments: list[str]) -> None:
    """Run popbench with these components."""
    from popbench.cli import console
    from popbench.registry import Plugin, load_registry

    load_registry().add(sys.modules[__name__], Plugin("soak", "popbench-soak", "1", __name__))
    sys.argv = ["popbench", *arguments]
    console()


def start(folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start popbench in a child process."""
    log = (folder / "said.txt").open("ab")
    command = [sys.executable, str(Path(__file__).resolve()), "--child", *arguments]
    environment = {**os.environ, LOG: str(folder / "asked.txt"), CLIP: str(folder / "clip.mp4"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def committed(run: Path) -> int:
    """Count the calls of a ledger, also while it is written; the ledger keeps the sum."""
    try:
        with closing(sqlite3.connect(f"file:{run / 'ledger.sqlite'}?mode=ro", uri=True, timeout=5)) as ledger:
            return int(ledger.execute("SELECT total(calls) FROM spent").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


def memory(process: subprocess.Popen[bytes]) -> float | None:
    """Return the resident memory of a process, in MB."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), None)


def wrong(run: Path, samples: int) -> Iterator[str]:
    """Return what in the results differs from the components' answers."""
    number = 0
    for line in (run / "samples.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        number += 1
        seed = derive_seed(SEED, "soak", row["prompt_id"], row["repeat"], "write")
        title = title_of(seed, row["llm"].partition("=")[2].rstrip("]"))
        found = hashlib.sha256((run / row["video"]).read_bytes()).hexdigest() if row["video"] else None
        if (row["status"], row["title"], row["popularity"]) != ("ok", title, score_of(title)):
            yield f"{row['system']}, {row['prompt_id']}: {row['status']}, {row['title']}, {row['popularity']}"
        elif found != row["video_sha256"]:
            yield f"{row['system']}, {row['prompt_id']}: its clip is another"
    if number != samples:
        yield f"{number} samples instead of {samples}"
    if list(run.rglob("*.part")):
        yield "files that are not whole"
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        if (state := ledger.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            yield f"the ledger: {state}"


@dataclass
class Soak:
    """Observations of the starts. Memory is in MB; `working` has that of the last start, by committed calls."""

    folder: Path
    arguments: list[str]
    kills: int
    total: int
    repeated: int = 0
    lost: int = 0
    flights: list[int] = field(default_factory=list)
    killed: list[float] = field(default_factory=list)
    working: list[tuple[int, float]] = field(default_factory=list)
    end: float = 0.0
    _read: int = 0

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.folder / "run"

    def go(self) -> bool:
        """Start, and kill, until it is through; return whether it ended well."""
        random_ = random.Random(8)
        while True:
            before = popbench_runs.committed(self.run)
            process = start(self.folder, self.arguments)
            if len(self.flights) < self.kills:
                share = 4 * self.total // (3 * self.kills)
                self._kill(process, len(before) + random_.randint(1, max(1, share)), random_.uniform(0, 0.02))
            else:
                self._watch(process, len(before))
            process.wait()
            after = popbench_runs.committed(self.run)
            asked_for = (self.folder / "asked.txt").read_text().split()[self._read :]
            self._read += len(asked_for)
            self.repeated += len(before.intersection(asked_for)) + len(asked_for) - len(set(asked_for))
            self.lost += len(before - after)
            if process.returncode != -signal.SIGKILL:
                return process.returncode == 0
            self.flights.append(len(set(asked_for) - after))
            told = f"{len(after):,} calls committed, {self.flights[-1]} in flight, {self.killed[-1]:.0f} MB"
            print(f"kill {len(self.flights)}: {told}", flush=True)

    def _kill(self, process: subprocess.Popen[bytes], goal: int, delay: float) -> None:
        while process.poll() is None and committed(self.run) < goal:
            time.sleep(0.005)
        time.sleep(delay)
        if process.poll() is None:
            self.killed.append(memory(process) or 0.0)
            os.kill(process.pid, signal.SIGKILL)

    def _watch(self, process: subprocess.Popen[bytes], before: int) -> None:
        while process.poll() is None:
            calls, now = committed(self.run), memory(process) or 0.0
            if before < calls < self.total:
                self.working.append((calls, now))
            self.end = max(self.end, now)
            time.sleep(0.2)

    def tenths(self) -> list[float]:
        """Return the median memory in every tenth of the last start's calls."""
        first = self.working[0][0] if self.working else 0
        by_tenth: dict[int, list[float]] = {}
        for calls, now in self.working:
            by_tenth.setdefault(10 * (calls - first) // (self.total - first), []).append(now)
        return [statistics.median(by_tenth[tenth]) for tenth in sorted(by_tenth)]


def main() -> int:
    """Run with kills; print what was lost and repeated, and the memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=24)
    options = parser.parse_args()
    prompts = max(1, options.samples // (VOICES * REPEATS))
    samples = prompts * VOICES * REPEATS
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = np.random.default_rng(1).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
        write_mp4(frames, 8.0, folder / "clip.mp4", {})
        rows = [{"id": f"p{n:05d}", "prompt": f"Prompt {n}", "category": "abcde"[n % 5]} for n in range(prompts)]
        task = made_tasks.task_file(folder / "task", rows, "soak")
        arguments = ["eval", "--task", str(task), "--gen", "soak", "--predictor", "soak", "--out", "run"]
        arguments += ["--repeats", str(REPEATS), "--seed", str(SEED)]
        arguments += [part for voice in "abcde"[:VOICES] for part in ("--llm", f"soak,voice={voice}")]
        soak = Soak(folder, arguments, options.kills, 3 * samples)
        well = soak.go()
        after = len(popbench_runs.committed(soak.run))
        problems = list(wrong(soak.run, samples)) if well else (folder / "said.txt").read_text().splitlines()[-10:]
    kills, seconds = len(soak.flights), time.monotonic() - started
    print(f"{samples:,} samples, {after:,} of {soak.total:,} calls, {kills} kills, {seconds:.0f} s")
    flight = max(soak.flights, default=0)
    print(f"committed calls repeated: {soak.repeated}; lost: {soak.lost}; in flight at a kill: {flight} at most")
    print(f"memory at the kills: {', '.join(f'{size:.0f}' for size in soak.killed)} MB")
    tenths = soak.tenths()
    print(f"memory in the tenths of the last start: {', '.join(f'{size:.0f}' for size in tenths)} MB")
    print(f"at its end, with the statistics: {soak.end:.0f} MB")
    for line in problems[:10]:
        print(f"wrong: {line}")
    flat = bool(tenths) and tenths[-1] <= FLAT * tenths[0]
    return int(bool(soak.repeated or soak.lost or problems) or not flat or after != soak.total or kills < options.kills)


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(sys.argv[2:])
    sys.exit(main())
