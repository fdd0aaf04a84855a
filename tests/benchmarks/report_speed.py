"""How fast is the page of 6,000 samples made, and how fast does it open?

The samples are of 30 systems, 200 prompts on two tasks and two predictors. Drafts are random words, which compress
worse than prose. It needs Chromium. The page has to open within 2 s: until everything on it can be used, from a file,
in a running browser. A loaded machine takes longer.

    python tests/benchmarks/report_speed.py
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from browser import chromium
from popbench.report.write import write_report
from run_folders import make_run

SYSTEMS = [f"llm-{number // 2:02d}-instruct|{('basic', 'pe')[number % 2]}|hunyuan" for number in range(30)]
USABLE = "document.querySelector('#clip-a h4') !== null && document.querySelectorAll('.option').length > 0"


def words(rng: random.Random, count: int) -> str:
    """Draw words of five letters."""
    return " ".join("".join(rng.choices("etaoinshrdlu", k=5)) for _ in range(count))


def main() -> None:
    """Make the run and its page, and open that several times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=7, help="how often the page is opened")
    times: int = parser.parse_args().times
    rng = random.Random(1)

    def change(values: dict[str, Any]) -> None:
        values |= {"video_prompt": words(rng, 80), "reasoning": words(rng, 400)}
        values["completion"] = f"{values['reasoning']} {values['title']} {values['video_prompt']}"

    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "run", SYSTEMS, prompts=100, change=change)
        samples = (run / "samples.jsonl").stat().st_size / 1e6
        started = time.perf_counter()
        page = write_report(run)
        print(f"made in {time.perf_counter() - started:.1f} s: {page.stat().st_size / 1e6:.1f} MB", end="")
        print(f" from {samples:.1f} MB of samples")
        with chromium() as browser:
            took = [_open(browser, page) for _ in range(times)]
        print(f"opened {times} times: {median(took):.2f} s in the median, {max(took):.2f} s at most")


def _open(browser: Any, page: Path) -> float:
    tab = browser.new_page()
    try:
        started = time.perf_counter()
        tab.goto(page.as_uri())
        while not tab.evaluate(USABLE):
            time.sleep(0.01)
        return time.perf_counter() - started
    finally:
        tab.close()


if __name__ == "__main__":
    main()
