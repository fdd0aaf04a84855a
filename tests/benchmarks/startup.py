"""How long does `popbench --help` take, compared with importing the three packages that any such tool needs?"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS, LIMIT = 15, 1.5


def seconds(command: list[str]) -> float:
    """Run a command and return its wall time."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    """Alternate the two commands; print medians and their ratio."""
    popbench = [str(Path(sys.executable).with_name("popbench")), "--help"]
    bare = [sys.executable, "-c", "import click, rich, pluggy"]
    pairs = [(seconds(popbench), seconds(bare)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
    print(f"popbench --help: {ours:.3f} s; import click, rich, pluggy: {theirs:.3f} s; ratio {ours / theirs:.2f}")
    return int(ours > LIMIT * theirs)


if __name__ == "__main__":
    sys.exit(main())
