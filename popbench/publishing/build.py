"""Builds a board's folder from runs and score files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from popbench.errors import UsageError
from popbench.files import read_json, write_files
from popbench.leaderboard.results import compute
from popbench.publishing.merged import are_published, merge_boards
from popbench.publishing.pages import NAMES, board_files
from popbench.scores.board_folder import is_board
from popbench.scores.board_rules import check_words
from popbench.scores.score_files import PLAIN
from popbench.scores.scores import check_systems, refuse_rounds
from popbench.scores.sources import read_all
from popbench.tables import NumberForm


def build_board(
    sources: Sequence[Path],
    out: Path,
    *,
    title: str | None = None,
    common: bool = False,
    form: NumberForm = PLAIN,
    reference: str | None = None,
) -> dict[str, Any]:
    """Write README.md, board.json (results.json of all sources) and index.html into `out`; return board.json's content.

    Boards and submissions alone make a published board, with board.yaml and submissions, unless `common`. `form` is
    that of numbers in score files; `reference` is the system that win rates are shown against. Raises UsageError if it
    is none of the systems, if the scores do not compare, if there are too many systems, if files that are no board's
    would be replaced, and, unless `common`, if a system lacks prompts or has samples in error.
    """
    check_words(title)
    published = not common and are_published(sources)
    if not published:
        _check_out(out)
    scores = read_all(sources, form)
    refuse_rounds(scores, "a board")
    check_systems(scores)
    if published:
        return merge_boards(sources, out, title, reference)
    results = compute(scores, common=common, reference=reference)
    write_files(out, board_files(results, title or "Leaderboard"))
    return results


def _check_out(out: Path) -> None:
    """Raise UsageError if a folder is a published board or a run, or has files with a board's names that are none's."""
    if is_board(out):
        raise UsageError(f"{out} is a published board: popbench leaderboard add {out} RUN submits a run to it")
    if (out / "run.json").exists():
        raise UsageError(f"{out} is a run directory: choose another --out for the board")
    present = [name for name in NAMES if (out / name).exists()]
    try:
        content = read_json(out / "board.json")
        ours = isinstance(content, dict) and {"schema", "systems", "pairs"} <= set(content)
    except (OSError, ValueError, RecursionError):
        ours = False
    if present and not ours:
        raise UsageError(f"{out} holds {' and '.join(present)} that belong to no board: choose another --out")
