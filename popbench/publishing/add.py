"""`popbench leaderboard add`: puts a run's systems onto a board, or says every reason why it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.errors import UsageError
from popbench.files import read_text, write_files
from popbench.leaderboard.results import compute
from popbench.planning.human import NAME as HUMAN
from popbench.publishing.duplicates import duplicates, without_known_human
from popbench.publishing.lock import held
from popbench.publishing.pages import attributes, generate, made
from popbench.publishing.run_checks import (
    PublishedRun,
    changed_by_hand,
    changed_clips,
    chosen,
    damage_as_usage_error,
    lacking,
    other_results,
    read_run,
    rules_of,
    terms_of,
)
from popbench.publishing.run_submission import submission_of
from popbench.publishing.variants import in_ledger
from popbench.publishing.withdraw import check_reason, withdrawn_now
from popbench.runs.labels import FILE as LABELS
from popbench.runs.votes import FILE as VOTES
from popbench.scores.board_folder import SUBMISSIONS, Board, broken_rules, is_board, read_board
from popbench.scores.board_rules import FILE, Rules, breaches, check_words, other_predictor, write_rules
from popbench.scores.scores import merge
from popbench.scores.submission import Submission, Tried, write_submission
from popbench.scores.withdrawals import WITHDRAWN, write_withdrawal
from popbench.text import counted


@dataclass(frozen=True)
class Added:
    """The result of adding a run: its file in the board, notes for the user, and the board's new results."""

    file: Path
    systems: Sequence[str]
    notes: Sequence[str]
    results: dict[str, Any]


def add(
    path: Path,
    run_path: Path,
    *,
    title: str | None = None,
    description: str | None = None,
    predictor: str | None = None,
    systems: Sequence[str] = (),
    tried: int | None = None,
    replace: str | None = None,
    submission_only: bool = False,
) -> Added:
    """Submit a run to a board; if there is no board, make one whose rules are the run's tasks and predictor.

    `title`, `description` and `predictor` (one of the run's labels) are for a new board; `systems` restricts the
    submission to some systems. `tried` is how many variants were tried before these were chosen, those submitted
    included. `replace` is the reason why results that the board has of these systems are withdrawn, for those of the
    run to take their place. With `submission_only` nothing but the submission, and withdrawals, is written.

    Raises UsageError with one line for each reason to refuse the run, and RunError if the disk refuses; in both cases
    nothing was written.
    """
    if replace is not None:
        check_reason(replace, "--replace")
    if submission_only and not is_board(path):
        raise UsageError(f"{path}: not a board ({FILE} is missing): the first submission makes all of its files")
    run = read_run(run_path)
    for name in run.run_json.get("comparisons") or {}:
        raise UsageError(
            f"{run.path}: scores of predictor {name!r} are win shares among the systems of this run, and a published "
            f"board joins runs: popbench leaderboard build {run.path} --out DIR ranks this run alone; to publish its "
            "other scores, give its command without this predictor"
        )
    with held(path):
        notes: list[str] = []
        new = not is_board(path)
        with damage_as_usage_error(run):
            if new:
                rules = _new_rules(path, run, title, description, predictor)
                board = Board(path, rules, {})
                notes.append(
                    f"{path / FILE} is new: from now on the board takes runs of {_named(rules)} with this predictor"
                )
            else:
                board = _existing(path, title=title, description=description, predictor=predictor)
            submission, board, replaced = _submission(board, run, systems, notes, tried, replace)
        if any((run_path / file).exists() for file in (VOTES, LABELS)):
            notes.append("what people said of its clips stays in the run: a published board is about the predictor")
        name, text = write_submission(submission)
        if name in board.submissions:
            if submission_only:
                raise UsageError(f"{run.path}: is on the board already, as {SUBMISSIONS}/{name}")
            return _finished(board, name, run)
        board = board.with_submission(name, submission)
        results, generated = made(board, submission_only=submission_only)
        files = {
            **({FILE: write_rules(board.rules), **attributes(path)} if new else {}),
            # First what is withdrawn: a process that is killed in between leaves no system twice.
            **{f"{WITHDRAWN}/{of}": write_withdrawal(board.withdrawn[of]) for of in replaced},
            f"{SUBMISSIONS}/{name}": text,
            **generated,
        }
        write_files(path, files)
    return Added(path / SUBMISSIONS / name, sorted(submission.systems), notes, results)


def _named(rules: Rules) -> str:
    return " and ".join(f"{name} ({counted(task.prompts, 'prompt')})" for name, task in sorted(rules.tasks.items()))


def _new_rules(
    path: Path, run: PublishedRun, title: str | None, description: str | None, predictor: str | None
) -> Rules:
    empty = path / SUBMISSIONS  # a killed `add` may have left it
    if any(not (file == empty and not any(empty.iterdir())) for file in path.iterdir() if file.name[0] != "."):
        raise UsageError(f"{path}: neither a board ({FILE} is missing) nor an empty folder: name a new one")
    check_words(title, description)
    return rules_of(run, title or path.absolute().name or "Leaderboard", description or "", predictor)


def _existing(path: Path, **given: str | None) -> Board:
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{path} has its {option} in {FILE}: --{option} is for a new board")
    board = read_board(path)
    wrong = broken_rules(board)
    if wrong:
        raise UsageError("\n".join(wrong))
    return board


def _submission(
    board: Board, run: PublishedRun, systems: Sequence[str], notes: list[str], tried: int | None, replace: str | None
) -> tuple[Submission, Board, Sequence[str]]:
    """Make a run's submission; return it, the board without what it replaces, and the submissions that held that.

    Raises UsageError with every reason why this board cannot take it.
    """
    picked = chosen(run, systems, sorted(board.rules.tasks))
    reasons = list(lacking(picked))
    reasons += breaches(board.rules, terms_of(run))
    reasons += other_predictor(board.rules.predictor, run.run_json["predictors"])
    reasons += changed_by_hand(picked, whole=not list(lacking(picked)))
    reasons += filter(None, [other_results(run)])
    reasons += changed_clips(picked)
    submission: Submission | None = None
    replaced: dict[str, set[str]] = {}
    if picked.samples and board.rules.predictor.digest in run.run_json["predictors"].values():
        submission = submission_of(picked, board.rules, _tried(picked, tried, reasons))
        name = write_submission(submission)[0]
        if not reasons and name in board.submissions and name not in board.withdrawn:
            return submission, board, ()
        submission = without_known_human(board, submission, notes)
        found = duplicates(board, submission, replace=replace is not None)
        reasons += [*found.reasons, *_withdrawn_before(board, write_submission(submission)[0])]
        replaced = found.replaced
    if submission is not None and not reasons:
        if replace is not None:
            board = _replaced(board, replaced, replace, write_submission(submission)[0], notes)
        reasons += [*submission.missing(), *_clashes(board, run, submission)]
    if reasons or submission is None:
        raise UsageError("\n".join(f"{run.path}: {reason}" for reason in dict.fromkeys(reasons)))
    left = sorted(set(run.run_json["tasks"]) - set(board.rules.tasks))
    if left:
        notes.append(f"left out, for the board has no such task: {', '.join(left)}")
    return submission, board, sorted(replaced)


def _tried(run: PublishedRun, said: int | None, reasons: list[str]) -> Tried:
    """Return how many variants were tried, and add to `reasons` if that is fewer than are submitted."""
    submitted = len([system for system in run.systems if system != HUMAN])
    if said is not None and said < max(1, submitted):
        reasons.append(
            f"{counted(submitted, 'system')} would be submitted, which were tried too, and --variants-tried says {said}"
        )
        said = None
    return Tried(said=said, recorded=None if reasons else in_ledger(run.path, run.run_json))


def _withdrawn_before(board: Board, name: str) -> Iterator[str]:
    if name in board.withdrawn:
        reason = next(iter(board.withdrawn[name].systems.values())).reason
        yield f"was withdrawn from the board ({reason}): to take it back, remove {WITHDRAWN}/{name} and build the board"


def _replaced(board: Board, replaced: dict[str, set[str]], reason: str, by: str, notes: list[str]) -> Board:
    """Return a board without the systems that a submission replaces; raises UsageError if there are none.

    An `add` that was killed may have withdrawn them already.
    """
    begun = any(of.replaced_by == by for held in board.withdrawn.values() for of in held.systems.values())
    if not replaced and not begun:
        raise UsageError(f"--replace: {board.path} has no other results of these systems: leave --replace out")
    for name, systems in sorted(replaced.items()):
        board = board.with_withdrawn(name, withdrawn_now(sorted(systems), reason, by))
        notes.append(f"replaced: {', '.join(sorted(systems))} of {SUBMISSIONS}/{name}")
    return board


def _clashes(board: Board, run: PublishedRun, submission: Submission) -> Iterator[str]:
    """Yield the reason why a submission does not compare with the others, if there is one."""
    try:
        compute(merge([*board.scores(), submission.scores(str(run.path))]))
    except UsageError as error:
        yield str(error).removeprefix(f"{run.path}: ")


def _finished(board: Board, name: str, run: PublishedRun) -> Added:
    """Write the files that an interrupted `add` left out; raises UsageError if the board has them all."""
    results, files = generate(board)
    if all(_read(board.path / file) == text for file, text in files.items()):
        raise UsageError(f"{run.path}: is on the board already, with the same results, as {SUBMISSIONS}/{name}")
    write_files(board.path, files)
    note = "it was submitted already: what an interrupted add had left to do is done"
    return Added(board.path / SUBMISSIONS / name, sorted(board.submissions[name].systems), [note], results)


def _read(path: Path) -> str | None:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError):
        return None
