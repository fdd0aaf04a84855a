"""Systems of a submission that a board has already: left out, refused, or put in the place of those that are there."""

from __future__ import annotations

from dataclasses import dataclass, field

from popbench.planning.human import NAME as HUMAN
from popbench.scores.board_folder import SUBMISSIONS, Board, twins
from popbench.scores.submission import Submission


@dataclass
class Duplicates:
    """What a board has already of a submission: reasons to refuse it, and systems that it would replace, by file."""

    reasons: list[str] = field(default_factory=list)
    replaced: dict[str, set[str]] = field(default_factory=dict)


def duplicates(board: Board, submission: Submission, *, replace: bool) -> Duplicates:
    """Compare a submission with what is on a board; with `replace`, other results take the place of what is there."""
    owners = {system: name for system in sorted(submission.systems) if (name := owner(board, system)) is not None}
    others = len(owners) < len(submission.systems)
    found = Duplicates()
    for system, name in owners.items():
        held = board.submissions[name]
        where = f"system {system!r} is on the board already, in {SUBMISSIONS}/{name},"
        leave = "; --system names those to submit" if others else ""
        if same(held, submission, system):
            found.reasons.append(f"{where} with the same results{leave}")
        elif replace:
            found.replaced.setdefault(name, set()).add(system)
        elif held.systems[system] == submission.systems[system]:
            found.reasons.append(f"{where} with other results: --replace REASON puts these in their place{leave}")
        elif system == HUMAN:
            found.reasons.append(f"{where} with another fingerprint: its corpus or embedder differs{leave}")
        else:
            found.reasons.append(
                f"{where} with another fingerprint: rename it with label= and run it again, or put it in the place of "
                f"the other with --replace REASON{leave}"
            )
    for system, (twin, name) in twins(board, submission).items():
        if replace:
            found.replaced.setdefault(name, set()).add(twin)
        else:
            found.reasons.append(
                f"system {system!r} is {twin!r} under another label: it is on the board, in {SUBMISSIONS}/{name}"
            )
    return found


def without_known_human(board: Board, submission: Submission, notes: list[str]) -> Submission:
    """Return the submission without the human baseline if the board has the same one, as many runs share it."""
    name = owner(board, HUMAN)
    if name is None or HUMAN not in submission.systems or len(submission.systems) == 1:
        return submission
    if not same(board.submissions[name], submission, HUMAN):
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


def owner(board: Board, system: str) -> str | None:
    """Return the name of the submission that holds a system."""
    return next((name for name, submission in sorted(board.submissions.items()) if system in submission.systems), None)


def same(one: Submission, other: Submission, system: str) -> bool:
    """Return whether a system has the same fingerprints and the same results in two submissions."""

    def results(of: Submission) -> set[tuple[object, ...]]:
        rows = (row for row in of.rows if row.system == system)
        return {(row.task, row.prompt_id, row.repeat, row.status, row.popularity) for row in rows}

    return one.systems[system] == other.systems[system] and results(one) == results(other)
