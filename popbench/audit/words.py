"""What an audit found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from popbench.errors import counted

FEW_PROMPTS = 10
NOISE = 0.05
"""The share of variance from which on re-encoding alone is worth a warning."""


def share(interval: Mapping[str, Any] | None) -> str:
    """Write a share with its interval: `61 % [55, 67]`."""
    if interval is None:
        return "–"
    if interval["low"] is None:
        return f"{_percent(interval['value'])} %"
    return f"{_percent(interval['value'])} % [{_percent(interval['low'])}, {_percent(interval['high'])}]"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}".replace("-0", "0") if abs(value) < 0.005 else f"{100 * value:.0f}"


def verdict(entry: Mapping[str, Any]) -> str:
    """Say what moves the scores, and whether that is titles or videos; and what that does to the order of systems."""
    rows = {row["change"]: row["reordered"] for row in entry["rows"]}
    told = _of_scores(entry)
    if rows["title"] is None or rows["video"] is None:
        return told
    return (
        f"{told} Another title changes the winner of {share(rows['title'])} of the pairs of systems on a prompt, "
        f"another video that of {share(rows['video'])}."
    )


def _of_scores(entry: Mapping[str, Any]) -> str:
    by_change = {row["change"]: row for row in entry["rows"]}
    title, video = (by_change[part]["share"] for part in ("title", "video"))
    if title is None or video is None:
        scored = entry["variance"] is not None
        return "All scores are equal: nothing moves them." if scored else "Swapped titles and videos have no scores."
    told = (
        f"Titles explain {share(title)} of the variance of the scores, videos {share(video)}, and "
        f"{share(entry['remainder'])} is what the two share or do together"
    )
    gap = entry["difference"]
    if gap["low"] is None:
        return f"{told}; with so few prompts, which of them ranks the systems is open."
    if gap["low"] > 0:
        return f"{told}: the scores follow the title more than the video."
    if gap["high"] < 0:
        return f"{told}: the scores follow the video more than the title."
    return f"{told}; which of them the scores follow more is open."


def warnings(entry: Mapping[str, Any]) -> Iterator[str]:
    """Warn of what makes the shares doubtful, one line each; novelty has its own."""
    stored, prompts = entry["stored"], entry["samples"]["prompts"]
    if stored is not None and stored["differ"]:
        yield (
            f"{stored['differ']:,} of {stored['compared']:,} unchanged samples scored otherwise than in the run, by up "
            f"to {100 * stored['largest']:.2g} %: the predictor does not repeat its scores, and shares hold that too."
        )
    if prompts < FEW_PROMPTS:
        yield f"There are only {prompts} prompts: the intervals are wide, and from so few not to be relied on."
    for row in entry["rows"]:
        if row["failed"]:
            yield f"{SHORT[row['change']].capitalize()}: {counted(row['failed'], 'score')} failed and are left out."
        if row["ended"]:
            yield f"{SHORT[row['change']].capitalize()}: the predictor ended early ({row['ended']})."
    control = next(row["share"] for row in entry["rows"] if row["change"] == "control")
    if control is not None and control["value"] > NOISE:
        yield (
            f"Re-encoding alone moves the scores by {share(control)} of their variance: the predictor sees "
            "compression, and what reversed and still videos do less than that is not told apart from it."
        )


LABELS = {
    "title": "titles of other samples",
    "video": "videos of other samples",
    "remainder": "remainder: 1 - titles - videos",
    "shared": "in it: what title and video share",
    "together": "less: what only both together do",
    "black": "a black video",
    "empty_title": "an empty title",
    "control": "re-encoded, otherwise unchanged",
    "reversed": "reversed, against re-encoded",
    "still": "middle frame only, against re-encoded",
}
"""The rows of an audit in their order."""

PARTS = ("remainder", "shared", "together")
"""The rows after those of titles and videos: the remainder is what they share less what only both together do."""

SHORT = {
    "title": "other titles",
    "video": "other videos",
    "remainder": "remainder",
    "shared": "+ shared",
    "together": "- together",
    "black": "black video",
    "empty_title": "empty title",
    "control": "re-encoded",
    "reversed": "reversed",
    "still": "still",
}

COVARIATES = {"title_length": "title's length", "duration": "video's duration"}

STAGES = {
    "title": "swapped titles and videos",
    "black": "black videos",
    "empty_title": "empty titles",
    "control": "re-encoded videos",
    "reversed": "reversed videos",
    "still": "still videos",
}
"""What progress calls the rounds of questions."""
