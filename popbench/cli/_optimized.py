"""Prints what a search came to: its rounds, what was chosen, and the proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from popbench.leaderboard.plain_tables import plain_table
from popbench.optimize.budget import Allowance
from popbench.optimize.output import use_command
from popbench.optimize.verdict import PROVED
from popbench.progress.console import make_console
from popbench.text import counted


def show(content: Mapping[str, Any], out: Path) -> None:
    """Print the tables, the verdict and how the result is used."""
    console = make_console()
    console.print(_rounds(content))
    for line in _chosen(content):
        console.print(line, soft_wrap=True)
    if content["proof"] is not None:
        console.print(_proof(content["proof"]))
        for line in _beside(content["proof"]):
            console.print(line, soft_wrap=True)
    verdict = content["verdict"]
    console.print(Text(f"Verdict: {verdict}", "bold green" if verdict == PROVED else "bold yellow"))
    for line in content["remarks"]:
        console.print(Text(line[0].upper() + line[1:]), soft_wrap=True)
    if content["demo"]:
        console.print(Text("Demo scores: they show that the machinery works and say nothing about real popularity.",
                           "yellow"))  # fmt: skip
    best = content["best"]
    if best is not None:
        console.print(f"To use it: {use_command(content)}", soft_wrap=True)
    console.print(f"{counted(len(content['candidates']), 'candidate')} in {out}: optimize.json, candidates, search"
                  + (", proof" if content["proof"] else "") + (", best.j2, best.json" if best else ""),
                  soft_wrap=True)  # fmt: skip


def _rounds(content: Mapping[str, Any]) -> Any:
    by_id = {row["id"]: row for row in content["candidates"]}
    budget = Allowance(content["budget"]["kind"], content["budget"]["limit"])
    table = plain_table(
        f"Search from {content['options']['start']}",
        [("round", "r"), ("tried", "r"), ("leads", "l"), ("what it changes", "l"), ("over the start, %", "r"),
         ("n", "r"), ("spent", "r")],
    )  # fmt: skip
    for row in content["rounds"]:
        gain = row["gain"]
        table.add_row(
            str(row["round"]),
            str(len(row["candidates"])),
            Text(row["incumbent"]),
            Text(changes(by_id[row["incumbent"]])),
            "–" if gain is None else _interval(gain),
            "–" if gain is None else str(gain["n"]),
            budget.text(row["spent"]),
        )
    return table


def changes(row: Mapping[str, Any]) -> str:
    """Return what a candidate changes, in a few words."""
    shown = []
    for name, value in row["changes"].items():
        kind, _, rest = name.partition(".")
        shown.append("the template" if kind == "template" else f"+{rest}" if kind == "sentence" else f"{rest}={value}")
    return ", ".join(shown) or "nothing"


def _interval(rate: Mapping[str, Any]) -> str:
    return f"{100 * rate['value']:.1f} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"


def _chosen(content: Mapping[str, Any]) -> Iterator[Text]:
    chosen = content["selection"]["chosen"]
    row = next(row for row in content["candidates"] if row["id"] == chosen)
    n = content["selection"]["n"]
    how = f"on {n} other prompts" if n else "by the search alone"
    yield Text(f"Chosen of {', '.join(content['selection']['candidates'])}, {how}: {chosen} ({changes(row)})")
    if row["why"]:
        yield Text(f"Why, by {content['options']['reflect']}: {row['why']}")


def _proof(proof: Mapping[str, Any]) -> Any:
    table = plain_table(
        f"Proof: {proof['candidate']} against the start, once, on prompts that the search never saw",
        [("predictor", "l"), ("win rate, %", "r"), ("wins", "r"), ("ties", "r"), ("losses", "r"), ("proved", "l"),
         ("equal titles, %", "r")],
    )  # fmt: skip
    for row in proof["predictors"]:
        equal = (proof["audits"].get(row["predictor"]) or {}).get("equal_titles")
        table.add_row(
            Text(f"{row['role']}: {row['predictor']}"),
            _interval(row["win_rate"]),
            *(str(row[name]) for name in ("wins", "ties", "losses")),
            "yes" if row["proved"] else "no",
            "–" if equal is None else _interval(equal["win_rate"]),
        )
    return table


def _beside(proof: Mapping[str, Any]) -> Iterator[Text]:
    start, best = proof["drafts"]["start"], proof["drafts"]["best"]
    parts = []
    for name, words in (("compliance", "compliance"), ("copy_rate", "copies")):
        if best[name] is not None and start[name] is not None:
            parts.append(f"{words} {100 * best[name]:.0f} % (start {100 * start[name]:.0f} %)")
    for name, words in (("title_chars", "titles of"), ("video_prompt_chars", "video prompts of")):
        if best[name] is not None and start[name] is not None:
            parts.append(f"{words} {best[name]:.0f} characters (start {start[name]:.0f})")
    parts.append(f"invalid {best['invalid']} (start {start['invalid']})")
    yield Text("Its drafts: " + "; ".join(parts))
    for label, audit in proof["audits"].items():
        share = audit["title_share"]
        if share is not None:
            yield Text(f"Of {label}'s variance, titles make {100 * share['value']:.0f} %")
