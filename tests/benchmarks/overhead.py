"""The cost of the harness: 2,000 samples with an LLM, a generator and a predictor that take no time.

The generator returns one finished mp4 of about 2 kB. Imports are measured separately, in the same process. For
comparison, the least that such a run can cost is measured: 6,000 SQLite commits and 2,000 file copies with hashes.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

SAMPLES, PROMPTS = 2_000, 200
LIMIT_MS, LIMIT_START = 2.0, 1.0


def floor(clip: Path, folder: Path) -> float:
    """Return the seconds of the commits and copies that any harness with a ledger needs."""
    started = time.perf_counter()
    ledger = sqlite3.connect(folder / "floor.sqlite", isolation_level=None)
    ledger.execute("PRAGMA journal_mode=WAL")
    ledger.execute("PRAGMA synchronous=NORMAL")
    ledger.execute("CREATE TABLE calls (key TEXT PRIMARY KEY, payload TEXT) WITHOUT ROWID")
    for number in range(3 * SAMPLES):
        ledger.execute("INSERT INTO calls VALUES (?, ?)", (f"{number:032d}", "x" * 300))
        if number % 3 == 0:
            copy = folder / f"{number}.mp4"
            shutil.copyfile(clip, copy)
            hashlib.sha256(copy.read_bytes()).hexdigest()
    ledger.close()
    return time.perf_counter() - started


def main() -> int:
    """Measure and print; the exit status says whether the limits are kept."""
    started = time.perf_counter()
    import av  # noqa: F401
    import datasets  # noqa: F401
    import numpy as np
    import pandas as pd  # noqa: F401
    import scipy.special  # noqa: F401

    import faults
    import popbench
    import popbench.evaluation.evaluate
    import popbench.leaderboard.markdown
    import popbench.leaderboard.results
    from popbench.video import write_mp4

    imports = time.perf_counter() - started
    faults.install()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        ramp = np.linspace(60, 200, 8 * 48 * 64 * 3).reshape(8, 48, 64, 3).astype(np.uint8)
        write_mp4(ramp, 8, clip)
        started = time.perf_counter()
        run = popbench.evaluate(
            llm="faulty",
            gen=f"finished,path={clip}",
            predictor="faulty",
            mode="basic",
            repeats=SAMPLES // PROMPTS,
            out=folder / "run",
        )
        seconds = time.perf_counter() - started
        assert run.complete
        assert run.n == SAMPLES
        least = floor(clip, folder)
        started = time.perf_counter()
        popbench.evaluate(config=folder / "run" / "run.json", out=folder / "run")
        again = time.perf_counter() - started
    allowed = LIMIT_START + SAMPLES * LIMIT_MS / 1000
    print(f"finished clip: {clip.name}; imports {imports:.2f} s")
    print(f"{SAMPLES} samples through three stages: {seconds:.2f} s, {1000 * seconds / SAMPLES:.2f} ms each")
    print(f"allowed ({LIMIT_MS:g} ms each and {LIMIT_START:g} s): {allowed:.2f} s; ratio {seconds / allowed:.2f}")
    print(f"bare commits and copies: {least:.2f} s; ratio {seconds / least:.1f}")
    print(f"the same again, all done already: {again:.2f} s")
    return int(seconds > allowed)


if __name__ == "__main__":
    sys.exit(main())
