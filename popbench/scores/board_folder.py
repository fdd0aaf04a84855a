"""A published board's folder: its rules, submissions and withdrawals, read and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from popbench.cards.card import PredictorCard
from popbench.errors import UsageError
from popbench.scores.board_rules import FILE, PaperRules, Rules, breaches, other_predictor, read_rules
from popbench.scores.scores import Scores
from popbench.scores.submission import Submission, read_submission
from popbench.scores.withdrawals import WITHDRAWN, Withdrawal, Withdrawn, files_in, read_withdrawals

SUBMISSIONS = "submissions"


def is_board(path: Path) -> bool:
    """Return whether a folder is a board."""
    return (path / FILE).is_file()


@dataclass(frozen=True)
class Board:
    """A board of submissions, by their files' names. Systems that were withdrawn are left out of these."""

    path: Path
    rules: Rules
    submissions: Mapping[str, Submission]
    withdrawn: Mapping[str, Withdrawal] = field(default_factory=dict)

    def scores(self) -> list[Scores]:
        """Return the scores of the submissions, in the order of their names, which are their sources' names.

        The predictor's card is that of the rules: a submission's own word on it would be its author's.
        """
        card = cast("PredictorCard | None", self.rules.predictor.card)
        return [
            replace(submission.scores(f"{SUBMISSIONS}/{name}"), card=card)
            for name, submission in sorted(self.submissions.items())
        ]

    def with_submission(self, name: str, submission: Submission) -> Board:
        """Return the board with one more submission."""
        return replace(self, submissions={**self.submissions, name: submission})

    def with_withdrawn(self, name: str, systems: Mapping[str, Withdrawn]) -> Board:
        """Return the board without some systems of a submission that it has."""
        before = self.withdrawn.get(name)
        known = {} if before is None else before.systems
        withdrawal = Withdrawal(
            schema=1, submission=name, sha256=self.submissions[name].sha256, systems={**known, **systems}
        )
        submissions = {of: held for of, held in self.submissions.items() if of != name}
        rest = self.submissions[name].without(systems)
        return replace(
            self,
            submissions=submissions if rest is None else {**submissions, name: rest},
            withdrawn={**self.withdrawn, name: withdrawal},
        )


def read_board(path: Path) -> Board:
    """Read a board; raises UsageError with a line for each submission that is damaged or was changed."""
    rules = read_rules(path)
    if isinstance(rules, PaperRules):
        raise UsageError(f"{path}: the paper's own board takes no submissions and has no scores of single prompts")
    board, wrong = read_folder(path, rules)
    if wrong:
        raise UsageError("\n".join(wrong))
    return board


def read_folder(path: Path, rules: Rules) -> tuple[Board, list[str]]:
    """Read a board's submissions and withdrawals; return it, and one line for each file that is none."""
    submissions, wrong = read_submissions(path)
    withdrawals, damaged = read_withdrawals(path)
    wrong += damaged
    for name, withdrawal in withdrawals.items():
        lines = list(withdrawal.wrong(submissions.get(name)))
        wrong += [f"{path / WITHDRAWN / name}: {line}" for line in lines]
        if name in submissions and not lines:
            rest = submissions.pop(name).without(withdrawal.systems)
            if rest is not None:
                submissions[name] = rest
    return Board(path, rules, submissions, withdrawals), wrong


def read_submissions(path: Path) -> tuple[dict[str, Submission], list[str]]:
    """Return a board's submissions by file name, and one line for each file that is none."""
    submissions: dict[str, Submission] = {}
    wrong: list[str] = []
    folder = path / SUBMISSIONS
    for file in files_in(folder, "submissions"):
        if not file.name.isprintable():  # a line break in a name would fake a line about another file
            wrong.append(f"{folder / ascii(file.name)}: no submission: its name has characters that no name has")
            continue
        if file.suffix != ".json":
            wrong.append(f"{file}: no submission: only .json files that `popbench leaderboard add` wrote belong here")
            continue
        try:
            submissions[file.name] = read_submission(file)
        except UsageError as error:
            wrong.append(str(error))
    return submissions, wrong


def broken_rules(board: Board) -> list[str]:
    """Return one line for each breach of a board's rules, missing result, and system that two submissions hold."""
    wrong = []
    owners: dict[str, str] = {}
    makes: dict[frozenset[tuple[str, str]], str] = {}
    for name, submission in sorted(board.submissions.items()):
        where = board.path / SUBMISSIONS / name
        predictors = {submission.predictor.name: submission.predictor.digest}
        lines = [*breaches(board.rules, submission), *other_predictor(board.rules.predictor, predictors)]
        wrong += [f"{where}: {line}" for line in (*lines, *submission.missing())]
        for system in sorted(submission.systems):
            other = owners.setdefault(system, name)
            if other != name:
                wrong.append(f"{where}: system {system!r} was submitted already, in {other}: remove one of the files")
            twin = makes.setdefault(_make(submission.systems[system]), system)
            if twin != system:
                wrong.append(f"{where}: system {system!r} is {twin!r}, in {owners[twin]}, under another label")
    return wrong


def twins(board: Board, submission: Submission) -> dict[str, tuple[str, str]]:
    """Return the systems of a submission that a board has under another label: that label, and the file it is in."""
    holders = {
        _make(fingerprints): (system, name)
        for name, held in sorted(board.submissions.items())
        for system, fingerprints in held.systems.items()
    }
    return {
        system: holders[_make(fingerprints)]
        for system, fingerprints in sorted(submission.systems.items())
        if holders.get(_make(fingerprints), (system,))[0] != system
    }


def _make(fingerprints: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(fingerprints.items())
