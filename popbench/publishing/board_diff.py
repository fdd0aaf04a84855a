"""`popbench leaderboard diff`: what is on a board now and was not, or was and is not, and which places moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage
from popbench.files import read_json
from popbench.leaderboard.compact import headlines
from popbench.leaderboard.markup import escaped, table
from popbench.leaderboard.shown import median_interval, rank_set, ranked, rate_interval
from popbench.publishing.pages import results_of
from popbench.publishing.variants import cells, gains
from popbench.report.run_files import check_results
from popbench.scores.board_folder import broken_rules, is_board, read_board
from popbench.text import counted

Row = Mapping[str, Any]
_RULES = ("title", "description", "reference", "repeats", "seed")
ARROW = " → "
"""Stands between what a board said and what it says."""
_LONGEST = 200
"""Rows of a table at most: what a pull request's comment can hold."""


@dataclass(frozen=True)
class Table:
    """One table of a difference: a heading, the names of its columns and their sides, l or r, and its rows."""

    title: str
    head: Sequence[str]
    sides: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Difference:
    """What differs between two boards, as a sentence about the whole, further lines, and tables."""

    summary: str
    lines: Sequence[str]
    tables: Sequence[Table]

    def markdown(self) -> str:
        """Return it as GitHub markdown, in which nothing of the boards is markup."""
        lines = [f"**{escaped(self.summary)}**", ""]
        lines += [f"- {escaped(line)}" for line in self.lines] + [""] * bool(self.lines)
        for shown in self.tables:
            lines += [f"**{escaped(shown.title)}**", ""]
            lines += table(shown.head, shown.sides, [[*map(escaped, row)] for row in shown.rows[:_LONGEST]])
            lines.append("")
            if len(shown.rows) > _LONGEST:
                lines += [f"And {counted(len(shown.rows) - _LONGEST, 'row')} more.", ""]
        return "\n".join(lines)


def difference(old: Path, new: Path) -> Difference:
    """Compare two boards; `old` may be an empty folder, where there was none.

    Of a published board the submissions count, whether or not its pages are current; of any other folder its
    board.json. Raises UsageError for a folder that is no board, or a damaged one.
    """
    before, after = _results(old, empty=True), _results(new)
    try:
        return _difference(before, after)
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # of a board.json that was changed by hand
        raise UsageError(f"{old} and {new}: their board.json cannot be compared ({damage(error)})") from error


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    tables, lines = list(_submissions(before, after)), list(_about(before, after))
    for predictor, task in headlines(after):
        rows = list(_places(before, after, predictor, task))
        if rows:
            head = ("System", "Rank", "Mean win rate, %", "Median", "")
            tables.append(Table(f"{task}, by predictor {predictor}", head, "lrrrl", rows))
    known = {row["file"] for row in before.get("submissions", [])}
    lines += _verdicts(before, after)
    lines += gains(after, [row for row in after.get("submissions", []) if row["file"] not in known])
    had, has = _systems(before), _systems(after)
    counts = [
        counted(len(has - had), "system") + " added",
        counted(len(had - has), "system") + " removed",
        counted(_moved(before, after), "place") + " moved",
    ]
    whole = "Nothing differs" if not tables and not lines else ", ".join(counts)
    return Difference(f"{whole}; {counted(len(has), 'system')} on the board.", lines, tables)


def _results(path: Path, *, empty: bool = False) -> Mapping[str, Any]:
    """Return what a board's board.json holds, or would hold."""
    if is_board(path):
        board = read_board(path)
        if wrong := broken_rules(board):
            raise UsageError("\n".join(wrong))
        return {**results_of(board), "rules": board.rules.model_dump(include=set(_RULES))}
    if empty and path.is_dir() and not any(path.iterdir()):
        return {"systems": [], "pairs": [], "tasks": [], "predictors": []}
    try:
        results: Any = read_json(path / "board.json")
    except FileNotFoundError:
        raise UsageError(f"{path}: not a board: neither board.yaml nor board.json is there") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: board.json cannot be read ({damage(error)})") from error
    if not isinstance(results, dict):
        raise UsageError(f"{path}: board.json is no JSON object")
    check_results(results, str(path / "board.json"))
    return results


def _systems(results: Mapping[str, Any]) -> set[str]:
    return {row["system"] for row in results["systems"]}


def _submissions(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Table]:
    """Yield a table of submissions that came or went, and one of new withdrawals."""
    old, new = ({row["file"]: row for row in of.get("submissions", [])} for of in (before, after))
    rows = []
    for file in sorted(old.keys() ^ new.keys()):
        row = new.get(file) or old[file]
        what = "added" if file in new else "no longer there"
        rows.append([Path(file).stem, what, ", ".join(row["systems"]), *cells(row), str(row["seed"]), row["popbench"]])
    if rows:
        head = ("Submission", "", "Systems", "Variants tried", "In the ledger", "Seed", "popbench")
        yield Table("Submissions", head, "lllrrrl", rows)
    known = before.get("withdrawn", [])
    withdrawn = [
        [row["system"], Path(row["submission"]).stem, row["reason"], Path(row.get("replaced_by", "–")).stem]
        for row in after.get("withdrawn", [])
        if row not in known
    ]
    if withdrawn:
        yield Table("Withdrawn", ("System", "Submission", "Reason", "Replaced by"), "llll", withdrawn)


def _about(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each task, predictor, rule or withdrawal that is another one."""
    if not before["systems"]:
        yield "The board is new."
        return
    for kind, identity in (("tasks", "hash"), ("predictors", "digest")):
        old, new = ({row["name"]: row.get(identity) for row in of[kind]} for of in (before, after))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                yield f"{kind[:-1]} {name}: {identity} {old.get(name, 'none')} before, {new.get(name, 'none')} now"
    rules = [of.get("rules", {}) for of in (before, after)]
    for name in _RULES if all(rules) else ():
        old, new = (of[name] for of in rules)
        if old != new:
            yield f"{name}: {'none' if old in (None, '') else old} before, {'none' if new in (None, '') else new} now"
    for row in before.get("withdrawn", []):
        if row not in after.get("withdrawn", []):
            yield f"no longer withdrawn: {row['system']} of {Path(row['submission']).stem} ({row['reason']})"


def _places(before: Mapping[str, Any], after: Mapping[str, Any], predictor: str, task: str) -> Iterator[list[str]]:
    """Yield a row for each system of a table that is new, gone, or shown with other numbers."""
    old, new = ({row["system"]: row for row in ranked(of, predictor, task)} for of in (before, after))
    for system in [*new, *(system for system in old if system not in new)]:
        one, other = old.get(system), new.get(system)
        shown = [system, *(_change(show, one, other) for show in (_rank, _rate, _median))]
        if one is None or other is None:
            yield [*shown, "added" if one is None else "removed"]
        elif _own(one) != _own(other):
            yield [*shown, "other results"]
        elif any(ARROW in cell for cell in shown[1:]):
            yield [*shown, ""]


def _moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """Count the systems of the first table that have another place than before."""
    predictor, task = headlines(after)[0]
    old, new = ({row["system"]: row["rank"] for row in ranked(of, predictor, task)} for of in (before, after))
    return sum(
        bool(old[system] and rank and old[system]["value"] != rank["value"])
        for system, rank in new.items()
        if system in old
    )


def _change(show: Callable[[Row], str], one: Row | None, other: Row | None) -> str:
    """Show a number before and now, or the one that there is."""
    cells = [show(row) for row in (one, other) if row is not None]
    return cells[0] if len(set(cells)) == 1 else ARROW.join(cells)


def _rank(row: Row) -> str:
    return rank_set(row["rank"])


def _rate(row: Row) -> str:
    return rate_interval(row["mean_win_rate"], row["mean_win_rate_interval"])


def _median(row: Row) -> str:
    return median_interval(row["median"])


def _own(row: Row) -> tuple[object, ...]:
    """Return what a system's row says of its own samples, whatever else is on the board."""
    numbers = (row[name] for name in ("n", "invalid", "errors", "compliance", "copy_rate"))
    return (*numbers, row["median"]["value"])


def _verdicts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line about the pairs of systems on both boards that are judged otherwise now."""
    first = headlines(after)[:1]
    old, new = (
        {(row["a"], row["b"]): row["verdict"] for row in of["pairs"] if (row["predictor"], row["task"]) in first}
        for of in (before, after)
    )
    changed = [(a, b, old[a, b], verdict) for (a, b), verdict in new.items() if old.get((a, b), verdict) != verdict]
    for a, b, was, verdict in changed[:20]:
        yield f"{a} against {b}: {was or 'not judged'} before, {verdict or 'not judged'} now"
    if len(changed) > 20:
        yield f"{len(changed) - 20:,} more pairs are judged otherwise"
