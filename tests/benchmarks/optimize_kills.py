"""Kills a search with SIGKILL at random moments: same lineage, no clip rendered twice, budget never passed.

PYTHONPATH=tests/support python tests/benchmarks/optimize_kills.py [kills] [seed]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from search_kills import check

if __name__ == "__main__":
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        counts = check(Path(folder), kills, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(f"{kills} kills: the same lineage, no clip rendered twice, budget never passed; requests by start: {counts}")
