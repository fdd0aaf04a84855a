"""How soon does `popbench view` show a run of 100,000 samples, and how fast does it answer? (needs Chromium)

A run is written as files, without having been run. Then the page of the run is opened in a browser three times, each
time by a new server, until its first cards are there; and the server is asked for pages of samples while and after it
reads the run.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from browser import chromium
from run_folders import SYSTEMS, make_run


def write(folder: Path, samples: int) -> Path:
    """Write a run with so many samples: one that was made as usual, whose lines are repeated under other prompts."""
    run = make_run(folder / "run", tasks=("concrete",), prompts=20)
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    with (run / "samples.jsonl").open("w", encoding="utf-8") as file:
        for number in range(samples):
            values: dict[str, Any] = lines[number % len(lines)]
            prompt = f"concrete-{number // len(SYSTEMS):06d}"
            values |= {"system": SYSTEMS[number % len(SYSTEMS)], "prompt_id": prompt, "popularity": number * 37 % 9973}
            file.write(json.dumps(values) + "\n")
    return run


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """Start a server; yields its address and its process."""
    command = [sys.executable, "-m", "popbench", "view", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait(10)


def asked(address: str, **values: Any) -> tuple[float, Any]:
    """Ask for samples; returns the seconds that took, and the answer."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"{address}samples?{urlencode({'run': 'run', **values})}") as answer:
        return time.perf_counter() - began, json.load(answer)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    samples = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = write(folder, samples)
        print(f"{samples:,} samples, {(run / 'samples.jsonl').stat().st_size / 1e6:,.0f} MB")
        with chromium() as browser:
            for _ in range(3):
                with served(folder) as (address, _):
                    page = browser.new_page()
                    began = time.perf_counter()
                    page.goto(f"{address}#/run?run=run")
                    page.locator(".thumb img").first.wait_for()
                    first = time.perf_counter() - began
                    page.locator("table.stages, .empty, .state").first.wait_for()
                    print(f"first cards after {first:.2f} s")
                    page.close()
        with served(folder) as (address, pid):
            began = time.perf_counter()
            took, answer = asked(address)
            print(f"first answer after {took:.2f} s")
            while answer["matched"] < samples:
                took, answer = asked(address)
                time.sleep(0.2)
            print(f"whole index after {time.perf_counter() - began:.1f} s")
            for values in ({}, {"order": "highest"}, {"text": "wonder 42"}, {"system": SYSTEMS[2], "status": "ok"},
                           {"offset": samples - 30}):  # fmt: skip
                print(f"{values}: {1000 * min(asked(address, **values)[0] for _ in range(5)):.0f} ms")
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            print(next(line for line in status.splitlines() if line.startswith("VmHWM")))
    print(f"this script: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
