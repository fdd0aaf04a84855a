"""Building a board folder from runs and score files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.results import compute
from popbench.leaderboard.scores import merge
from popbench.leaderboard.sources import read_source


def build_board(
    sources: Sequence[Path], out: Path, *, title: str = "Leaderboard", common: bool = False
) -> dict[str, Any]:
    """Write README.md and board.json (results.json of all sources) into `out`; return the latter's content.

    Raises UsageError for scores that do not compare, and, unless `common`, for systems that lack prompts or
    have samples in error.
    """
    merged = merge([scores for path in sources for scores in read_source(path)])
    results = compute(merged, common=common)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "board.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (out / "README.md").write_text(markdown(results, title), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({one_line(error)})") from error
    return results
