"""Makes the generated files of a board from its rules and submissions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from popbench.errors import UsageError
from popbench.files import write_files
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.markup import escaped, table
from popbench.leaderboard.reference import check_reference
from popbench.leaderboard.results import compute
from popbench.publishing import variants
from popbench.publishing.lock import held
from popbench.records import JSON
from popbench.report.page import board_page
from popbench.runs.costs import MADE
from popbench.scores.board_folder import SUBMISSIONS, Board, broken_rules, read_board
from popbench.scores.board_rules import FILE, PaperRules, read_rules
from popbench.scores.scores import merge
from popbench.scores.submission import Submission
from popbench.scores.withdrawals import entries
from popbench.text import counted

CHECKED = (
    "What popbench leaderboard check shows: this board is whole. Its numbers follow, to the byte, from the files in "
    "submissions/, and these keep the rules in board.yaml. What it cannot show: that the scores are true, that a label "
    "names the model behind it, or that a run was the only one. That takes another run, for which each submission has "
    "the specs, the versions, the seed and the clips' hashes."
)
"""What `check` proves and what it cannot: stated on every published board."""
ATTRIBUTES = ".gitattributes"
_ATTRIBUTES = (
    "# Files are compared to the byte: git changes no line ends here.\n"
    "* -text\n"
    "# Made from the rest by `popbench leaderboard build`, so never merged line by line. After a conflict in them,\n"
    "# give that command for this folder, then `git add` it.\n"
    "README.md -merge linguist-generated\n"
    "board.json -merge linguist-generated\n"
    "index.html -merge linguist-generated\n"
)


def results_of(board: Board) -> dict[str, Any]:
    """Compute board.json: the statistics of all submissions, and a list of these. Raises UsageError as `merge`."""
    if not board.submissions:
        raise UsageError(f"{board.path}: no submissions yet: popbench leaderboard add {board.path} RUN")
    reference = board.rules.reference
    if reference is not None:
        systems = [system for submission in board.submissions.values() for system in submission.systems]
        check_reference(reference, systems, f"in {board.path / FILE}")
    results = compute(merge(board.scores()), reference=reference)
    results["costs"] = _costs(board.submissions)
    results["submissions"] = [_entry(name, submission) for name, submission in sorted(board.submissions.items())]
    if board.withdrawn:
        results["withdrawn"] = entries(board.withdrawn)
    return results


def attributes(folder: Path) -> dict[str, str]:
    """Return the file that says how git treats a new board's files, unless the folder has one."""
    return {} if (folder / ATTRIBUTES).exists() else {ATTRIBUTES: _ATTRIBUTES}


def generate(board: Board) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the content of board.json, and the text of every generated file."""
    results = results_of(board)
    footer = [board.rules.description] if board.rules.description.strip() else []
    footer.append(
        f"{counted(len(board.submissions), 'submission')}, {counted(board.rules.repeats, 'repeat')} per prompt"
        + ("" if board.rules.seed is None else f", seed {board.rules.seed}")
    )
    notes = [CHECKED, *variants.lines(results)]
    more = ["## Submissions", "", *_listed(results["submissions"]), ""]
    for note in notes:
        more += [escaped(note), ""]
    withdrawn = results.get("withdrawn", [])
    if withdrawn:
        more += ["## Withdrawn", "", *_withdrawn(withdrawn), ""]
    rows = [*map(_submitted, results["submissions"]), *map(_gone, withdrawn)]
    return results, board_files(results, board.rules.title, footer, more, notes, rows)


def made(board: Board, *, submission_only: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the content of board.json, and the generated files to write: none with `submission_only`."""
    return (results_of(board), {}) if submission_only else generate(board)


def _submitted(row: Mapping[str, Any]) -> str:
    """Return a submission as one line of a page."""
    said, in_ledger = variants.cells(row)
    return (
        f"submission {Path(row['file']).stem}: {', '.join(row['systems'])}; popbench {row['popbench']}; variants "
        f"tried: {said}, in the ledger: {in_ledger}"
    )


def _gone(row: Mapping[str, Any]) -> str:
    """Return a withdrawn system as one line of a page."""
    follower = row.get("replaced_by")
    return (
        f"withdrawn on {row['date']}: {row['system']}, of submission {Path(row['submission']).stem}: {row['reason']}"
        + (f" (replaced by {Path(follower).stem})" if follower else "")
    )


def _withdrawn(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from table(
        ["System", "Submission", "Since", "Reason", "Replaced by"],
        "lllll",
        [
            [
                escaped(row["system"]),
                escaped(Path(row["submission"]).stem),
                row["date"],
                escaped(row["reason"]),
                escaped(Path(row.get("replaced_by", "–")).stem),
            ]
            for row in rows
        ],
    )


def _entry(name: str, submission: Submission) -> dict[str, JSON]:
    return {
        "file": f"{SUBMISSIONS}/{name}",
        "sha256": submission.sha256,
        "systems": sorted(submission.systems),
        "popbench": submission.popbench,
        "seed": submission.seed,
        "repeats": submission.repeats,
        "machine": submission.machine.model_dump(),
        **({} if submission.tried is None else {"tried": submission.tried.model_dump()}),
    }


def _listed(submissions: list[dict[str, Any]]) -> Iterator[str]:
    yield from table(
        ["File", "Systems", "Variants tried", "In the ledger", "popbench", "Machine"],
        "llrrll",
        [
            [
                f"[{escaped(Path(row['file']).stem)}]({row['file']})",
                ", ".join(map(escaped, row["systems"])),
                *variants.cells(row),
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
    """Add up the costs of submissions, by component: LLMs first, then generators and predictors."""
    rows: dict[tuple[str, str], dict[str, JSON]] = {}
    for _, submission in sorted(submissions.items()):
        for row in submission.costs:
            kind, label = row.of
            sums = rows.setdefault(row.of, {kind: label, "calls": 0, "uncounted": 0, "usage": {}, "cost": None})
            sums["calls"] += row.calls
            sums["uncounted"] += row.uncounted
            sums["usage"] = dict(Counter(sums["usage"]) + Counter(row.usage))
            if row.cost is not None:
                sums["cost"] = (sums["cost"] or 0.0) + row.cost
    return [rows[of] for of in sorted(rows, key=lambda of: (list(MADE).index(of[0]), of[1]))]


def rebuild(path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Write a board's generated files anew from its submissions; return board.json and the names of the files.

    Raises UsageError with one line for each broken rule or damaged submission, and RunError if the disk refuses; in
    both cases nothing was written.
    """
    if isinstance(read_rules(path), PaperRules):
        from popbench.paper.reanalysis import files

        with held(path):
            texts = files()
            write_files(path, texts)
        return None, list(texts)
    with held(path):
        board = read_board(path)
        wrong = broken_rules(board)
        if wrong:
            raise UsageError("\n".join(wrong))
        results, texts = generate(board)
        write_files(path, texts)
    return results, list(texts)


NAMES = ("README.md", "board.json", "index.html")
"""The files of a board."""


def board_files(
    results: Mapping[str, Any],
    title: str,
    footer: Sequence[str] = (),
    more: Sequence[str] = (),
    notes: Sequence[str] = (),
    rows: Sequence[str] = (),
) -> dict[str, str]:
    """Return the texts of a board's files by name.

    `footer` are lines of text. `more` is markdown for README.md alone; of its content the page has the paragraphs
    `notes` and the lines `rows`.
    """
    return {
        "README.md": markdown(results, escaped(title), [escaped(line, links=True) for line in footer], more),
        "board.json": _lines(results),
        "index.html": board_page(results, title, [*footer, *rows], notes),
    }


def _lines(results: Mapping[str, Any]) -> str:
    """Return results as JSON with one line for each row, which takes a tenth of the time of indented JSON."""
    parts = []
    write = json.JSONEncoder(ensure_ascii=False).encode
    for key, value in results.items():
        if isinstance(value, list) and value:
            rows = ",\n  ".join(map(write, value))
            parts.append(f"{write(key)}: [\n  {rows}\n ]")
        else:
            parts.append(f"{write(key)}: {write(value)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"
