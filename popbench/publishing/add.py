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
from popbench.publishing.lock import held
from popbench.publishing.pages import generate
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
    submission_of,
    terms_of,
)
from popbench.runs.labels import FILE as LABELS
from popbench.runs.votes import FILE as VOTES
from popbench.scores.board_folder import SUBMISSIONS, Board, broken_rules, is_board, read_board, twins
from popbench.scores.board_rules import FILE, Rules, breaches, other_predictor, write_rules
from popbench.scores.scores import merge
from popbench.scores.submission import Submission, write_submission
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
) -> Added:
    """Submit a run to a board; if there is no board, make one whose rules are the run's tasks and predictor.

    `title`, `description` and `predictor` (one of the run's labels) are for a new board; `systems` restricts the
    submission to some systems. Raises UsageError with one line for each reason to refuse the run, and RunError if the
    disk refuses; in both cases nothing was written.
    """
    run = read_run(run_path)
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
            submission = _submission(board, run, systems, notes)
        if any((run_path / file).exists() for file in (VOTES, LABELS)):
            notes.append("what people said of its clips stays in the run: a published board is about the predictor")
        name, text = write_submission(submission)
        if name in board.submissions:
            return _finished(board, name, run)
        board = board.with_submission(name, submission)
        results, files = generate(board)
        files = {**({FILE: write_rules(board.rules)} if new else {}), f"{SUBMISSIONS}/{name}": text, **files}
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
    if title is not None and (not title.strip() or not title.isprintable()):
        raise UsageError(f"title {title!r}: expected visible text on one line")
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


def _submission(board: Board, run: PublishedRun, systems: Sequence[str], notes: list[str]) -> Submission:
    """Make a run's submission; raises UsageError with every reason why this board cannot take it."""
    picked = chosen(run, systems, sorted(board.rules.tasks))
    reasons = list(lacking(picked))
    reasons += breaches(board.rules, terms_of(run))
    reasons += other_predictor(board.rules.predictor, run.run_json["predictors"])
    reasons += changed_by_hand(picked, whole=not list(lacking(picked)))
    reasons += filter(None, [other_results(run)])
    reasons += changed_clips(picked)
    submission: Submission | None = None
    if picked.samples and board.rules.predictor.digest in run.run_json["predictors"].values():
        submission = submission_of(picked, board.rules)
        if not reasons and write_submission(submission)[0] in board.submissions:
            return submission
        submission = _without_known_human(board, submission, notes)
        reasons += _duplicates(board, submission)
    if submission is not None and not reasons:
        reasons += [*submission.missing(), *_clashes(board, run, submission)]
    if reasons or submission is None:
        raise UsageError("\n".join(f"{run.path}: {reason}" for reason in dict.fromkeys(reasons)))
    left = sorted(set(run.run_json["tasks"]) - set(board.rules.tasks))
    if left:
        notes.append(f"left out, for the board has no such task: {', '.join(left)}")
    return submission


def _clashes(board: Board, run: PublishedRun, submission: Submission) -> Iterator[str]:
    """Yield the reason why a submission does not compare with the others, if there is one."""
    try:
        compute(merge([*board.scores(), submission.scores(str(run.path))]))
    except UsageError as error:
        yield str(error).removeprefix(f"{run.path}: ")


def _without_known_human(board: Board, submission: Submission, notes: list[str]) -> Submission:
    """Return the submission without the human baseline if the board has the same one, as many runs share it."""
    owner = _owner(board, HUMAN)
    if owner is None or HUMAN not in submission.systems or len(submission.systems) == 1:
        return submission
    if not _same(board.submissions[owner], submission, HUMAN):
        return submission
    notes.append(f"{HUMAN} is left out: the board has it already, with the same results")
    baseline = f"baseline {HUMAN}"
    return submission.model_copy(
        update={
            "systems": {name: fingerprints for name, fingerprints in submission.systems.items() if name != HUMAN},
            "components": {name: part for name, part in submission.components.items() if name != baseline},
            "notes": {label: note for label, note in submission.notes.items() if label != HUMAN},
            "remarks": [line for line in submission.remarks if not line.startswith(f"{HUMAN}: ")],
            "rows": [row for row in submission.rows if row.system != HUMAN],
        }
    )


def _owner(board: Board, system: str) -> str | None:
    """Return the name of the submission that holds a system."""
    return next((name for name, submission in sorted(board.submissions.items()) if system in submission.systems), None)


def _same(one: Submission, other: Submission, system: str) -> bool:
    """Return whether a system has the same fingerprints and the same results in two submissions."""

    def results(of: Submission) -> set[tuple[object, ...]]:
        rows = (row for row in of.rows if row.system == system)
        return {(row.task, row.prompt_id, row.repeat, row.status, row.popularity) for row in rows}

    return one.systems[system] == other.systems[system] and results(one) == results(other)


def _duplicates(board: Board, submission: Submission) -> Iterator[str]:
    owners = {system: owner for system in sorted(submission.systems) if (owner := _owner(board, system)) is not None}
    others = len(owners) < len(submission.systems)
    for system, owner in owners.items():
        submitted = board.submissions[owner]
        where = f"system {system!r} is on the board already, in {SUBMISSIONS}/{owner},"
        leave = "; --system names those to submit" if others else ""
        if _same(submitted, submission, system):
            yield f"{where} with the same results{leave}"
        elif submitted.systems[system] == submission.systems[system]:
            yield f"{where} with other results: remove that file first if these are to take their place{leave}"
        elif system == HUMAN:
            yield f"{where} with another fingerprint: its corpus or embedder differs{leave}"
        else:
            yield f"{where} with another fingerprint: rename it with label= and run it again{leave}"
    for system, (twin, owner) in twins(board, submission).items():
        yield f"system {system!r} is {twin!r} under another label: it is on the board, in {SUBMISSIONS}/{owner}"


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
