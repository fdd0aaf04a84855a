"""Kill the 800-sample default run at random moments and resume it: is the result that of a run without kills?

The models are the embedded defaults, wrapped so that they log their requests.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import popbench_runs

KILLS = 20
RUN = ["eval", "--llm", "verbatim", "--llm", "counting", "--gen", "counting", "--predictor", "counting",
       "--corpus", "demo", "--out", "run"]  # fmt: skip


def main() -> int:
    """Run once without kills and once with them; print what was lost and repeated."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        process = popbench_runs.start(RUN, folder / "whole")
        process.join()
        seconds = time.monotonic() - started
        expected = popbench_runs.outcome(folder / "whole" / "run")
        print(f"uninterrupted: {len(expected['samples'])} samples in {seconds:.1f} s")
        random_ = random.Random(9)
        repeated = kills = 0
        while True:
            before = popbench_runs.committed(folder / "killed" / "run")
            log = folder / "killed" / f"asked-{kills}.txt"
            process = popbench_runs.start(RUN, folder / "killed", log)
            while process.is_alive() and not popbench_runs.committed(folder / "killed" / "run") - before:
                time.sleep(0.005)
            process.join(random_.uniform(0, seconds / KILLS) if kills < KILLS else None)
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            process.join()
            repeated += len(before & set(log.read_text().split()))
            if process.exitcode == 0:
                break
        same = popbench_runs.outcome(folder / "killed" / "run") == expected
    print(f"{kills} kills; committed calls repeated: {repeated}; outcome identical: {same}")
    return int(repeated > 0 or not same or kills < KILLS)


if __name__ == "__main__":
    sys.exit(main())
