"""Reads anything that can be ranked: run directories, boards, submissions and files of scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popbench.errors import UsageError, damage
from popbench.runs.run_json import FILE, read_finished
from popbench.runs.samples import read_jsonl
from popbench.scores import eee_files
from popbench.scores.board_folder import is_board, read_board
from popbench.scores.run_scores import from_samples
from popbench.scores.score_files import PLAIN, read_scores
from popbench.scores.scores import Scores, merge
from popbench.scores.submission import is_submission, read_submission
from popbench.tables import NumberForm


def read_all(sources: Sequence[Path], form: NumberForm = PLAIN) -> list[Scores]:
    """Read and merge sources; `form` is that of numbers in score files.

    Raises UsageError if their scores do not compare.
    """
    return merge([scores for path in sources for scores in read_source(path, form)])


def read_source(path: Path, form: NumberForm = PLAIN) -> list[Scores]:
    """Read a run directory, a board or one of its submissions, a file of bare scores, or Every Eval Ever files.

    `form` is that of numbers in score files. Raises UsageError if it is none of these.
    """
    if is_board(path):
        return read_board(path).scores()
    if is_submission(path):
        return [read_submission(path, named=False).scores(str(path))]
    if not path.is_dir() or eee_files.is_folder(path):
        return read_scores(path, form)
    if not (path / FILE).exists():
        raise UsageError(f"{path}: no finished run here ({FILE} is missing), and no exported scores")
    try:
        return from_samples(read_jsonl(path / "samples.jsonl"), read_finished(path), str(path))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: samples.jsonl cannot be read ({damage(error)})") from error
