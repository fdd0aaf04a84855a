"""`popbench leaderboard check`: whether a board's files are, to the byte, those that its submissions give.

This shows that no submission, rule or generated file was changed without the others. It does not show that a submission
is true: somebody may change its scores and compute a new digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path

from popbench.errors import UsageError
from popbench.files import read_bytes, read_json
from popbench.publishing.pages import generate, results_of
from popbench.scores.board_folder import SUBMISSIONS, Board, broken_rules, read_folder
from popbench.scores.board_rules import PaperRules, read_rules
from popbench.text import counted

_SHOWN = 60


@dataclass(frozen=True)
class Checked:
    """The result of a check; `wrong` has one line for each mistake."""

    wrong: tuple[str, ...]
    systems: int = 0
    submissions: int = 0


def check(path: Path, *, submissions_only: bool = False) -> Checked:
    """Build a board again in memory and compare it with its files; raises UsageError if the folder is no board.

    With `submissions_only` the generated files are not looked at, which are not current in a branch that only has a
    submission more.
    """
    rules = read_rules(path)
    if isinstance(rules, PaperRules):
        from popbench.paper.reanalysis import files

        return Checked(() if submissions_only else tuple(_differences(path, files())))
    board, wrong = read_folder(path, rules)
    unlisted = [] if submissions_only else list(_unlisted(board, wrong))
    wrong += [*unlisted, *broken_rules(board)]
    systems = {system for submission in board.submissions.values() for system in submission.systems}
    if not wrong:  # nothing can be built from damaged submissions
        try:
            if submissions_only:
                results_of(board)
            else:
                wrong += _differences(path, generate(board)[1])
        except UsageError as error:
            return Checked((str(error),))
    return Checked(tuple(wrong), len(systems), len(board.submissions))


def _unlisted(board: Board, unreadable: list[str]) -> Iterator[str]:
    """Yield a line for each submission in board.json that is missing, and for each that board.json lacks."""
    try:
        listed = {str(row["file"]) for row in read_json(board.path / "board.json")["submissions"]}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return  # the comparison of the files says so
    folder = board.path / SUBMISSIONS
    present = {f"{SUBMISSIONS}/{name}" for name in board.submissions}
    for file in sorted(listed - present):
        if Path(file).name in board.withdrawn:
            yield (
                f"{board.path / file} is withdrawn: the board was built with it; popbench leaderboard build "
                f"{board.path} leaves it out"
            )
        elif not any(line.startswith(f"{board.path / file}: ") for line in unreadable):
            yield f"{board.path / file} is missing: the board was built with it"
    for file in sorted(present - listed):
        yield (
            f"{folder / Path(file).name} is new: the board was built without it; popbench leaderboard build "
            f"{board.path} takes it in"
        )


def _differences(path: Path, made: Mapping[str, str]) -> Iterator[str]:
    for name, text in made.items():
        try:
            content = read_bytes(path / name)
        except OSError:
            yield f"{path / name} is missing: popbench leaderboard build {path} writes it"
            continue
        if content != text.encode("utf-8", "replace"):
            yield (
                f"{path / name} is not what the submissions give: {_first(content.decode('utf-8', 'replace'), text)} "
                f"(after an upgrade of popbench or its chart library: popbench leaderboard build {path})"
            )


def _first(content: str, made: str) -> str:
    """Return the first line in which a file differs, from a few characters before the difference."""
    lines = list(zip_longest(content.split("\n"), made.split("\n")))
    different = [number for number, (one, other) in enumerate(lines, 1) if one != other]
    one, other = lines[different[0] - 1]
    start = 0
    if one is not None and other is not None:
        equal = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
        start = max(0, len(list(equal)) - 20)
    more = f" ({counted(len(different), 'line')} differ)" if len(different) > 1 else ""
    return f"line {different[0]} is {_shown(one, start)}, should be {_shown(other, start)}{more}"


def _shown(line: str | None, start: int) -> str:
    if line is None:
        return "not there"
    text = line[start : start + _SHOWN].replace("`", "'")
    before, after = "…" if start else "", "…" if len(line) > start + _SHOWN else ""
    return f"`{before}{text}{after}`"
