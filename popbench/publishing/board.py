"""A board's folder: its rules and submissions, and the files that are generated from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, counted, one_line
from popbench.leaderboard.build import board_files
from popbench.leaderboard.markdown import escaped, table
from popbench.leaderboard.results import compute
from popbench.leaderboard.scores import Scores, merge
from popbench.leaderboard.writing import write_files
from popbench.publishing.folder import SUBMISSIONS, held
from popbench.publishing.rules import FILE, PaperRules, Rules, breaches, other_predictor, read_rules
from popbench.publishing.submission import Submission, read_submission
from popbench.records import JSON

GENERATED = ("README.md", "board.json", "index.html")


def is_board(path: Path) -> bool:
    """Say whether a folder is a board."""
    return (path / FILE).is_file()


@dataclass(frozen=True)
class Board:
    """A board of submissions, by their files' names."""

    path: Path
    rules: Rules
    submissions: Mapping[str, Submission]

    def scores(self) -> list[Scores]:
        """Return the submissions as sources of a board, in the order of their names; what they are called, too."""
        return [found.scores(f"{SUBMISSIONS}/{name}") for name, found in sorted(self.submissions.items())]

    def results(self) -> dict[str, Any]:
        """Compute board.json: results.json of all submissions, with what they were. Raises UsageError as `merge`."""
        if not self.submissions:
            raise UsageError(f"{self.path}: no submissions yet: popbench leaderboard add {self.path} RUN")
        results = compute(merge(self.scores()))
        results["costs"] = _costs(self.submissions)
        results["submissions"] = [_about(name, found) for name, found in sorted(self.submissions.items())]
        return results

    def generate(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Return board.json as it is computed, and the text of every generated file."""
        results = self.results()
        about = [self.rules.description] if self.rules.description.strip() else []
        about.append(
            f"{counted(len(self.submissions), 'submission')}, {counted(self.rules.repeats, 'repeat')} per prompt"
            + ("" if self.rules.seed is None else f", seed {self.rules.seed}")
        )
        more = ["## Submissions", "", *_listed(results["submissions"]), ""]
        return results, board_files(results, self.rules.title, about, more)

    def with_submission(self, name: str, submission: Submission) -> Board:
        """Return the board with another submission."""
        return replace(self, submissions={**self.submissions, name: submission})


def _about(name: str, submission: Submission) -> dict[str, JSON]:
    return {
        "file": f"{SUBMISSIONS}/{name}",
        "sha256": submission.sha256,
        "systems": sorted(submission.systems),
        "popbench": submission.popbench,
        "seed": submission.seed,
        "repeats": submission.repeats,
        "machine": submission.machine.model_dump(),
    }


def _listed(submissions: list[dict[str, Any]]) -> Iterator[str]:
    yield from table(
        ["File", "Systems", "popbench", "Machine"],
        "llll",
        [
            [
                f"[{escaped(Path(row['file']).stem)}]({row['file']})",
                ", ".join(map(escaped, row["systems"])),
                escaped(row["popbench"]),
                escaped(", ".join([str(row["machine"].get("platform", "")), *_gpus(row["machine"])])),
            ]
            for row in submissions
        ],
    )


def _gpus(machine: Mapping[str, JSON]) -> Iterator[str]:
    for name, count in Counter(map(str, machine.get("gpus") or [])).items():
        yield name if count == 1 else f"{count} × {name}"


def _costs(submissions: Mapping[str, Submission]) -> list[dict[str, JSON]]:
    """Add up what submissions took, by LLM."""
    rows: dict[str, dict[str, JSON]] = {}
    for _, submission in sorted(submissions.items()):
        for row in submission.costs:
            sums = rows.setdefault(row.llm, {"llm": row.llm, "calls": 0, "uncounted": 0, "usage": {}, "cost": None})
            sums["calls"] += row.calls
            sums["uncounted"] += row.uncounted
            sums["usage"] = dict(Counter(sums["usage"]) + Counter(row.usage))
            if row.cost is not None:
                sums["cost"] = (sums["cost"] or 0.0) + row.cost
    return [rows[llm] for llm in sorted(rows)]


def read_board(path: Path) -> Board:
    """Read a board; raises UsageError with a line for each submission that was tampered with or is no submission."""
    rules = read_rules(path)
    if isinstance(rules, PaperRules):
        raise UsageError(f"{path}: the paper's own board takes no submissions and has no scores of single prompts")
    submissions, wrong = read_submissions(path)
    if wrong:
        raise UsageError("\n".join(wrong))
    return Board(path, rules, submissions)


def read_submissions(path: Path) -> tuple[dict[str, Submission], list[str]]:
    """Read the submissions of a board; what cannot be read is told in one line each."""
    found: dict[str, Submission] = {}
    wrong: list[str] = []
    folder = path / SUBMISSIONS
    try:
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except FileNotFoundError:
        files = []
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({one_line(error)})") from error
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link: a board has its submissions itself")
    for file in files:
        if not file.name.isprintable():  # or its lines would pass for those of others
            wrong.append(f"{folder / ascii(file.name)}: no submission: its name has characters that no name has")
            continue
        if file.suffix != ".json":
            wrong.append(f"{file}: no submission: only .json files that `popbench leaderboard add` wrote belong here")
            continue
        try:
            found[file.name] = read_submission(file)
        except UsageError as error:
            wrong.append(str(error))
    return found, wrong


def broken_rules(board: Board) -> list[str]:
    """Say which submissions do not keep a board's rules, lack results, or hold a system that another one holds."""
    wrong = []
    owners: dict[str, str] = {}
    makes: dict[frozenset[tuple[str, str]], str] = {}
    for name, submission in sorted(board.submissions.items()):
        where = board.path / SUBMISSIONS / name
        known = {submission.predictor.name: submission.predictor.digest}
        lines = [*breaches(board.rules, submission), *other_predictor(board.rules.predictor, known)]
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
    """Return which systems of a submission a board has under another label, with that and the submission it is in."""
    known = {
        _make(fingerprints): (system, name)
        for name, found in sorted(board.submissions.items())
        for system, fingerprints in found.systems.items()
    }
    return {
        system: known[_make(fingerprints)]
        for system, fingerprints in sorted(submission.systems.items())
        if known.get(_make(fingerprints), (system,))[0] != system
    }


def _make(fingerprints: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(fingerprints.items())


def rebuild(path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Write a board's generated files anew from its submissions; return board.json and the names of the files.

    Raises UsageError for a board that would not pass `check`, in one line for each reason, and RunError where the disk
    refuses; then nothing was written.
    """
    if isinstance(read_rules(path), PaperRules):
        from popbench.paper.reanalysis import files

        with held(path):
            made = files()
            write_files(path, made)
        return None, list(made)
    with held(path):
        board = read_board(path)
        wrong = broken_rules(board)
        if wrong:
            raise UsageError("\n".join(wrong))
        results, made = board.generate()
        write_files(path, made)
    return results, list(made)
