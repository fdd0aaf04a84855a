"""How many variants of its systems a submission was chosen from, and what that does to a win rate, in words.

Whoever tries ten prompts, options or templates and submits the best one has a system that looks better than it is. The
submitter says how many were tried; the run's ledger holds at least those that were tried in its folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from popbench.errors import RunError, UsageError
from popbench.leaderboard.shown import percent
from popbench.leaderboard.shown import tables as tables_of
from popbench.ledger.ledger import Ledger
from popbench.planning.human import NAME as HUMAN
from popbench.planning.systems import EARLIER_HARNESSES, HARNESS, made_by
from popbench.runs.made_by import digests, makers, mode_of
from popbench.runs.run_json import RunJson
from popbench.stats import best_of_equals
from popbench.text import counted

NOT_SAID = "not said"
WHAT = (
    "Variants tried: prompts, modes, templates, models and their options that were tried before these systems were "
    "chosen, those submitted included, by the submitter's word. In the ledger: those of which the run's own ledger "
    "holds clips; what was tried in other folders it does not know."
)


def in_ledger(run: Path, run_json: RunJson) -> int:
    """Return `recorded` of a run's ledger; raises UsageError if it is missing or damaged."""
    try:
        ledger = Ledger.peek(run / "ledger.sqlite")
        if ledger is None:
            raise UsageError(f"{run}: its ledger.sqlite is missing")
        try:
            return recorded(run_json, ledger)
        finally:
            ledger.close()
    except RunError as error:
        raise UsageError(f"{run}: {error}") from error


def recorded(run_json: RunJson, ledger: Ledger) -> int:
    """Count the variants, the run's own systems among them, of which a ledger holds clips.

    A variant is a chain of LLM, generator and mode, each with its options. The human baseline is none, and a system
    that an earlier version of popbench drafted or encoded otherwise is no second one. Of several tasks, the one with
    the most variants counts. Raises RunError for a damaged ledger.
    """
    parts = digests(run_json)
    known: set[tuple[str, str]] = set()
    human: set[str] = set()
    for harness in (HARNESS, *EARLIER_HARNESSES):
        for system, tasks in run_json["systems"].items():
            chain = [parts.get(part, "") for part in makers(system)]
            made = made_by(*chain, rendered=True, harness=harness)
            if system == HUMAN:
                human |= {made, made_by(chain[0], rendered=True, harness=harness)}
            else:
                known |= {(made, str(mode_of(run_json, system, task))) for task in tasks}
    hashes = {task["hash"] for task in run_json["tasks"].values()}
    others: dict[str, set[tuple[str, str]]] = {task: set() for task in hashes}
    for key, _, number, *_ in ledger.sums():
        if key.stage == "render" and key.task in hashes and number > 0 and key.system not in human:
            others[key.task] |= {(key.system, key.mode)} - known
    return len([system for system in run_json["systems"] if system != HUMAN]) + max(map(len, others.values()))


def chosen_from(submission: Mapping[str, Any]) -> int | None:
    """Return of how many variants the best may be on the board, of a row of board.json; None if nothing is known."""
    tried = submission.get("tried") or {}
    submitted = len([system for system in submission["systems"] if system != HUMAN])
    known = max((number for number in (tried.get("said"), tried.get("recorded")) if number is not None), default=None)
    return None if known is None or not submitted else max(1, known - submitted + 1)


def cells(submission: Mapping[str, Any]) -> list[str]:
    """Return the number of variants tried by the submitter's word and in the ledger, of a row of board.json."""
    tried = submission.get("tried") or {}
    said, held = tried.get("said"), tried.get("recorded")
    return [NOT_SAID if said is None else f"{said:,}", "not counted" if held is None else f"{held:,}"]


def lines(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a board says of the numbers of variants of its submissions: what they are, and what they do."""
    yield WHAT
    yield from gains(results, results["submissions"])


def gains(results: Mapping[str, Any], submissions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what choosing does to win rates, a line for each number of variants that submissions were chosen from."""
    predictor, task = tables_of(results)[0]
    n = max(row["n"] for row in results["systems"] if (row["predictor"], row["task"]) == (predictor, task))
    for number in sorted({of for of in map(chosen_from, submissions) if of is not None and of > 1}):
        yield (
            f"The best of {number:,} variants that are all equal to another system wins, by chance alone, up to "
            f"{percent(best_of_equals(number, n))} % against it in the mean ({counted(n, 'prompt')}; less the more the "
            f"variants are alike): {_named(submissions, number)}. Intervals and verdicts do not know of it."
        )


def _named(submissions: Sequence[Mapping[str, Any]], number: int) -> str:
    names = [row["file"].rpartition("/")[2].removesuffix(".json") for row in submissions if chosen_from(row) == number]
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
