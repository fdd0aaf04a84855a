"""`popbench leaderboard withdraw`: takes systems off a board, which goes on to say that they were there, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, unknown
from popbench.files import write_files
from popbench.publishing.duplicates import owner
from popbench.publishing.lock import held
from popbench.publishing.pages import made
from popbench.scores.board_folder import Board, broken_rules, read_board
from popbench.scores.withdrawals import WITHDRAWN, Withdrawn, write_withdrawal

_LONGEST = 500


def withdraw(path: Path, what: str, reason: str, *, submission_only: bool = False) -> tuple[Path, dict[str, Any]]:
    """Withdraw a system, or all systems of a submission; return the file that says so, and the board's results.

    `what` is a system's id, or the name of a submission's file. With `submission_only` nothing but that file is
    written. Raises UsageError if the board has no such thing, or nothing would be left on it, and RunError if the disk
    refuses; in both cases nothing was written.
    """
    check_reason(reason, "--reason")
    with held(path):
        board = read_board(path)
        name, systems = _chosen(board, what)
        after = board.with_withdrawn(name, withdrawn_now(systems, reason))
        if not after.submissions:
            raise UsageError(f"{path}: nothing would be left on the board: remove its folder if it is to go")
        if wrong := broken_rules(after):
            raise UsageError("\n".join(wrong))
        results, generated = made(after, submission_only=submission_only)
        file = f"{WITHDRAWN}/{name}"
        write_files(path, {file: write_withdrawal(after.withdrawn[name]), **generated})
    return path / file, results


def withdrawn_now(systems: Sequence[str], reason: str, replaced_by: str | None = None) -> dict[str, Withdrawn]:
    """Return the entries of systems that are withdrawn today."""
    today = datetime.now(UTC).date().isoformat()
    return {system: Withdrawn(reason=reason, date=today, replaced_by=replaced_by) for system in systems}


def check_reason(reason: str, option: str) -> None:
    """Raise UsageError if a reason cannot stand on a board: it is one line of visible text."""
    if not reason.strip() or not reason.isprintable() or len(reason) > _LONGEST:
        raise UsageError(
            f"{option} {reason[:60]!r}: expected visible text on one line of at most {_LONGEST} characters"
        )


def _chosen(board: Board, what: str) -> tuple[str, list[str]]:
    """Return the name of a submission, and which of its systems are meant."""
    name = Path(what).name
    name = name if name.endswith(".json") else f"{name}.json"
    if name in board.submissions:
        return name, sorted(board.submissions[name].systems)
    holder = owner(board, what)
    if holder is not None:
        return holder, [what]
    if name in board.withdrawn or any(what in of.systems for of in board.withdrawn.values()):
        raise UsageError(f"{board.path}: {what} is withdrawn already")
    stems = [Path(of).stem for of in board.submissions]
    known = sorted({*stems, *(system for of in board.submissions.values() for system in of.systems)})
    raise UsageError(f"{board.path}: {unknown('system or submission', what, known)}")
