"""Joins published boards into another one, with its own rules, submissions and withdrawals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from popbench.errors import RunError, UsageError, one_line
from popbench.files import read_text, write_files
from popbench.leaderboard.reference import check_reference
from popbench.publishing.duplicates import same
from popbench.publishing.lock import held
from popbench.publishing.pages import attributes, generate
from popbench.publishing.withdraw import withdrawn_now
from popbench.scores.board_folder import SUBMISSIONS, Board, broken_rules, is_board, read_board
from popbench.scores.board_rules import FILE, Rules, breaches, write_rules
from popbench.scores.submission import Submission, is_submission, name_of, read_submission
from popbench.scores.withdrawals import WITHDRAWN, Withdrawal, Withdrawn, read_withdrawals, write_withdrawal

_SAME = "the same results are in another submission"


def are_published(sources: Sequence[Path]) -> bool:
    """Return whether sources are boards and submissions alone, which have all that a published board needs."""
    return all(is_board(source) or is_submission(source) for source in sources)


def merge_boards(
    sources: Sequence[Path], out: Path, title: str | None = None, reference: str | None = None
) -> dict[str, Any]:
    """Write a published board of all submissions of boards, and of single submissions; return its board.json.

    A system that two submissions hold with the same results counts once. What was withdrawn from one of the boards is
    withdrawn. A seed is a rule of the new board if all have the same one. Raises UsageError if the rules of the boards
    differ, if two submissions have a system with other results, or if `out` is one of the boards or holds something
    else than an earlier board of these submissions, whose title stays unless another is given.
    """
    if any(is_board(source) and source.resolve() == out.resolve() for source in sources):
        raise UsageError(f"{out} is one of the boards: choose another --out")
    with held(out):
        board, texts = _board(sources, out, title, reference)
        _check_out(out, texts)
        results, generated = generate(board)
        files = {
            FILE: write_rules(board.rules),
            **attributes(out),
            **{f"{SUBMISSIONS}/{name}": text for name, text in texts.items()},
            **{f"{WITHDRAWN}/{name}": write_withdrawal(of) for name, of in sorted(board.withdrawn.items())},
            **generated,
        }
        write_files(out, files)
    return results


def _check_out(out: Path, texts: dict[str, str]) -> None:
    """Raise UsageError if a folder holds anything but an earlier board of these submissions."""
    if not is_board(out):
        if any(file.name[0] != "." for file in out.iterdir()):
            raise UsageError(f"{out} is neither a board nor an empty folder: choose another --out")
        return
    for folder, read in ((SUBMISSIONS, set(texts)), (WITHDRAWN, set(texts))):
        there = {file.name for file in (out / folder).glob("*") if not file.name.startswith(".")}
        if more := sorted(there - read):
            raise UsageError(
                f"{out} is a published board with {folder}/{more[0]}, which these sources have not: choose another "
                "--out"
            )


def _board(
    sources: Sequence[Path], out: Path, title: str | None, reference: str | None
) -> tuple[Board, dict[str, str]]:
    """Return the new board in memory, and the texts of the files of its submissions."""
    rules: Rules | None = None
    submissions: dict[str, Submission] = {}
    withdrawn: dict[str, Withdrawal] = {}
    texts: dict[str, str] = {}
    for source in sources:
        if is_board(source):
            board = read_board(source)
            files = [file for file in sorted((source / SUBMISSIONS).glob("*.json")) if file.name[0] != "."]
            theirs = board.rules
            for name, withdrawal in read_withdrawals(source)[0].items():
                known = withdrawn.get(name)
                systems = {**withdrawal.systems, **({} if known is None else known.systems)}
                withdrawn[name] = withdrawal.model_copy(update={"systems": systems})
        else:
            files, submission = [source], read_submission(source, named=False)
            terms = {name: getattr(submission, name) for name in ("demo", "predictor", "tasks", "repeats", "seed")}
            theirs = Rules(title="Leaderboard", **terms)
        rules = theirs if rules is None else _both(rules, theirs, source)
        for file in files:
            submission = read_submission(file, named=False)
            name = name_of(submission, submission.sha256)
            submissions[name] = submission
            texts[name] = _text(file)
    assert rules is not None
    before = read_withdrawals(out)[0]  # so that the same board made again has the same days
    kept = read_board(out).rules if is_board(out) else None
    # Not the first board's title: it would stand on a board that holds more.
    named = {
        "title": title or (kept.title if kept else "Leaderboard"),
        "description": kept.description if kept else "",
        "reference": reference or (kept.reference if kept else None),
    }
    board = Board(out, rules.model_copy(update=named), {})
    for name, submission in sorted(submissions.items()):
        board = board.with_submission(name, submission)
        if name in withdrawn:
            board = board.with_withdrawn(name, withdrawn[name].systems)
        if twice := _twice(board, name):
            earlier = before[name].systems if name in before else {}
            board = board.with_withdrawn(name, {**withdrawn_now(twice, _SAME), **_of(earlier, twice)})
    removed = {name: withdrawal for name, withdrawal in withdrawn.items() if name not in submissions}
    board = replace(board, withdrawn={**removed, **board.withdrawn})
    if wrong := broken_rules(board):
        raise UsageError("\n".join(wrong))
    if reference is not None:
        check_reference(reference, [system for of in board.submissions.values() for system in of.systems])
    return board, texts


def _both(rules: Rules, other: Rules, source: Path) -> Rules:
    """Return rules that two boards keep; raises UsageError if there are none."""
    if rules.seed != other.seed:
        rules = rules.model_copy(update={"seed": None})
    reasons = list(breaches(rules, other))
    if other.predictor.digest != rules.predictor.digest:
        reasons.append(f"its predictor {other.predictor.name!r} is another than that of the sources before it")
    if more := sorted(set(other.tasks) - set(rules.tasks)):
        reasons.append(f"it has task {more[0]!r}, which the sources before it have not")
    if reasons:
        raise UsageError("\n".join(f"{source}: {reason}" for reason in reasons))
    return rules


def _twice(board: Board, name: str) -> list[str]:
    """Return the systems of a submission that one before it has with the same results."""
    ours = board.submissions.get(name)
    if ours is None:
        return []
    return [
        system
        for system in sorted(ours.systems)
        if any(
            other != name and system in held.systems and same(held, ours, system)
            for other, held in board.submissions.items()
        )
    ]


def _of(withdrawn: Mapping[str, Withdrawn], systems: Sequence[str]) -> dict[str, Withdrawn]:
    return {system: withdrawn[system] for system in systems if system in withdrawn}


def _text(file: Path) -> str:
    try:
        return read_text(file)
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: cannot be read ({one_line(error)})") from error
