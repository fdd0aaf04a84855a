"""Writes what came of an idea into its folder, each file whole or not at all."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from popbench.best.outcome import Outcome
from popbench.best.page import best_page
from popbench.errors import RunError, one_line
from popbench.files import copy_whole, write_files

VIDEO, RESULT, PAGE = "best.mp4", "best.json", "index.html"


def write_result(folder: Path, outcome: Outcome) -> None:
    """Write best.mp4, best.json and index.html; raises RunError if the disk refuses or the winner's clip is gone."""
    try:
        copy_whole(folder / str(outcome.winner.video), folder / VIDEO)
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / VIDEO} cannot be written ({one_line(error)})") from error
    result = json.dumps(outcome.as_json(), indent=1, ensure_ascii=False) + "\n"
    write_files(folder, {RESULT: result, PAGE: best_page(folder, outcome)})


def remove_result(folder: Path) -> None:
    """Remove what an earlier choice of models left, so that it does not pass for that of this one."""
    for name in (VIDEO, RESULT, PAGE):
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
