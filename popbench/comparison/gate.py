"""Fails a comparison for a lab's CI: which rows fail, in one line for the terminal and as a JUnit file.

Only primary tables count. Their verdicts hold together, so that a change without any effect is called worse somewhere
in at most 5 of 100 comparisons, however many systems and tasks there are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from popbench.errors import RunError, one_line
from popbench.files import write_whole
from popbench.leaderboard.families import EXPLORATORY
from popbench.leaderboard.shown import p_value, rate_interval
from popbench.text import counted, visible

FailIf = Literal["worse", "worse-or-undecided"]
FAIL_IF: tuple[FailIf, ...] = ("worse", "worse-or-undecided")
_NO_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def failures(comparison: Mapping[str, Any], fail_if: FailIf) -> list[Mapping[str, Any]]:
    """Return the rows of a comparison's primary tables that fail.

    With `worse-or-undecided` these are all that are not decided to be better, those without a verdict for want of
    prompts too. Systems whose scores are the same before and after never fail.
    """
    passing = (None, "better", "undecided") if fail_if == "worse" else ("better",)
    return [
        row
        for row in comparison["contrasts"]
        if not row["identical"] and row["verdict"] not in passing and _is_primary(comparison, row)
    ]


def told(failed: Sequence[Mapping[str, Any]], comparison: Mapping[str, Any]) -> str:
    """Return one line about what failed."""
    rows = [row for row in comparison["contrasts"] if _is_primary(comparison, row)]
    first = failed[0]
    return (
        f"{len(failed):,} of {counted(len(rows), 'comparison')} in primary tables failed, such as {_system(first)} on "
        f"{first['task']}, which is {first['verdict'] or 'not judged'}: win rate after the change {_rate(first)} %"
    )


def write_junit(path: Path, comparison: Mapping[str, Any], fail_if: FailIf) -> None:
    """Write a comparison as a JUnit file: a suite for each table, and a case for each system.

    Cases of exploratory tables are skipped. Raises RunError if the disk refuses.
    """
    failed = failures(comparison, fail_if)
    root = ElementTree.Element("testsuites", name="popbench compare", failures=str(len(failed)))
    total = 0
    for predictor, task in dict.fromkeys((row["predictor"], row["task"]) for row in comparison["contrasts"]):
        rows = [row for row in comparison["contrasts"] if (row["predictor"], row["task"]) == (predictor, task)]
        suite = ElementTree.SubElement(root, "testsuite", name=_text(f"{task}, predictor {predictor}"))
        skipped = 0
        for row in rows:
            case = ElementTree.SubElement(suite, "testcase", classname=_text(f"{task}.{predictor}"), name=_system(row))
            case.set("time", "0")
            if any(row is of for of in failed):
                verdict = row["verdict"] or "not judged"
                failure = ElementTree.SubElement(case, "failure", type=verdict, message=f"{verdict}: {_rate(row)} %")
                failure.text = _details(row)
            elif not _is_primary(comparison, row):
                skipped += 1
                ElementTree.SubElement(case, "skipped", message=f"exploratory table: {row['verdict'] or 'not judged'}")
            else:
                ElementTree.SubElement(case, "system-out").text = _details(row)
        of_suite = sum(any(row is of for of in failed) for row in rows)
        for name, number in (("tests", len(rows)), ("failures", of_suite), ("skipped", skipped), ("errors", 0)):
            suite.set(name, str(number))
        total += len(rows)
    root.set("tests", str(total))
    ElementTree.indent(root, " ")
    data = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({one_line(error)})") from error


def _is_primary(comparison: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Return whether a row's table is primary; one in which nothing was tested has no family, and fails nothing."""
    families = {(of["predictor"], of["task"]): of["family"] for of in comparison["families"]}
    return families.get((row["predictor"], row["task"])) != EXPLORATORY


def _details(row: Mapping[str, Any]) -> str:
    if row["identical"]:
        return "The scores are the same before and after."
    return (
        f"win rate after the change {_rate(row)} %, verdict {row['verdict'] or 'none'}, {row['wins']} wins, "
        f"{row['ties']} ties, {row['losses']} losses on {counted(row['n'], 'prompt')}, p adjusted "
        f"{p_value(row['p_adjusted'])}"
    )


def _rate(row: Mapping[str, Any]) -> str:
    rate = row["win_rate"]
    return rate_interval(rate["value"], (rate["low"], rate["high"]))


def _system(row: Mapping[str, Any]) -> str:
    before, after = row["systems"]["before"], row["systems"]["after"]
    return _text(before if before == after else f"{before} → {after}")


def _text(text: str) -> str:
    """Return a text without what XML cannot hold."""
    return _NO_XML.sub("\ufffd", visible(" ".join(text.split())))
