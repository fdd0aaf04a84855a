"""A whole search with a real small model: SmolLM2-135M-Instruct, 4-bit, writes and reflects; the demo predictor is P.

    PYTHONPATH=tests/support python tests/benchmarks/optimize_small_model.py FILE.gguf [clips] [folder]

There is no second predictor that needs no download, so nothing judges but P. What is found, and whether it is proved,
is printed as it comes; times are of this machine.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from popbench.cli._optimized import show
from popbench.optimize.optimize import optimize
from popbench.optimize.options import read_options
from popbench.planning.config import make_config
from popbench.progress import make_progress


def main(model: str, clips: int, folder: Path) -> None:
    """Search from `basic` on the concrete prompts, with clips of 4 frames."""
    spec = f"transformers,model={model},structured=true,dtype=float32,device=cpu"
    config = make_config({
        "llm": [f"{spec},max_new_tokens=96,label=smollm2"], "gen": "kinetic,width=64,height=64,frames=4",
        "predictor": "demo", "task": "popcorn_concrete", "mode": "basic",
    })  # fmt: skip
    reflect = f"{spec},max_new_tokens=120,label=smollm2-reflects"
    options = read_options(config, str(folder / "o"), f"clips={clips}", (), reflect, ("sentences",))
    started = time.monotonic()
    content = optimize(options, make_progress())
    used = resource.getrusage(resource.RUSAGE_SELF)
    show(content, folder / "o")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes, {(used.ru_utime + used.ru_stime) / 60:.1f} of CPU")
    print(f"reflection: {content['reflection']}")
    for row in content["candidates"]:
        rate = row["win_rate"]
        print(row["id"], row["by"], sorted(row["changes"]), rate and (round(rate["value"], 3), rate["n"]), row["why"])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    clips = int(sys.argv[2]) if len(sys.argv) > 2 else 120
    with tempfile.TemporaryDirectory() as made:
        main(sys.argv[1], clips, Path(sys.argv[3]) if len(sys.argv) > 3 else Path(made))
