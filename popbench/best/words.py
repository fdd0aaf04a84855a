"""What an outcome means, in sentences, for the terminal and the page."""

from __future__ import annotations

import json
from collections.abc import Iterator

from popbench.best.outcome import Outcome
from popbench.leaderboard.shown import number, percent
from popbench.records import JSON
from popbench.stats.winner import Worth
from popbench.text import counted

DEMO = "Demo scores: they show that the machinery works and say nothing about real popularity."
PREDICTED = (
    "All of this is about what the predictor says. How far the predictor is from people is another matter, which no "
    "number of clips can tell: see popbench ballot and popbench labels."
)


def score(outcome: Outcome) -> str:
    """Say what the winner scores, and what the drafts score on average."""
    predictor, winner = outcome.predictors[0], outcome.winner
    line = f"{number(float(winner.popularity or 0))} {predictor['unit']} by predictor {predictor['name']}"
    if len(outcome.drafts) > 1:
        line += f"; the mean of {counted(len(outcome.drafts), 'draft')} is {number(outcome.mean)}"
    return line + "."


def worth(outcome: Outcome) -> list[str]:
    """Say what the winner's lead is worth."""
    drafts = len(outcome.drafts)
    if drafts == 1 and len(outcome.drafts[0].numbers) > 1:
        times = len(outcome.drafts[0].numbers)
        return [f"All {times} drafts are word for word the same: the best of its clips leads by the luck of its seed."]
    if drafts == 1:
        return ["There is one draft with a score, so there is nothing to compare it with."]
    if outcome.worth is None:
        return [*_unknown(outcome)]
    of = outcome.worth
    low, high = (number(outcome.in_unit(x)) for x in (of.low, of.high))
    share, lowest, highest = (percent(1 - x) for x in of.draft_share)
    clips = sum(len(draft.clips) for draft in outcome.drafts)
    lines = [
        f"Rendered again with other seeds, this draft is expected to score {_again(outcome, of)} [{low}, {high}]; "
        f"its clips so far score {number(outcome.of(outcome.drafts[0]))} on average: {_kept(of)}.",
        f"It is truly the best of the {drafts} with a probability of {percent(of.best)} %.",
    ]
    if lowest == highest:
        seed_alone = "the seed of a clip changed nothing" if share == "0.0" else "nothing changed the score"
        return [*lines, f"In {clips} clips, {seed_alone}."]
    return [
        *lines,
        f"Of the differences between clips, {share} % [{highest}, {lowest}] is luck of the seed, by {clips} clips.",
    ]


def _again(outcome: Outcome, of: Worth) -> str:
    return number(outcome.in_unit(of.expected))


def _kept(of: Worth) -> str:
    if of.kept is None:
        return "it has no lead"
    return f"{percent(of.kept)} % of its lead over the mean draft is expected to last"


def _unknown(outcome: Outcome) -> Iterator[str]:
    drafts = len(outcome.drafts)
    yield (
        "What its lead is worth is not known: each draft has one clip, and the highest of "
        f"{drafts} scores is the highest in part by the luck of its seed."
    )
    (luck, first), *more = ((percent(luck).removesuffix(".0"), of) for luck, of in outcome.assumed)
    yield (
        f"If {luck} % of the differences between clips is luck, it would score {_again(outcome, first)} when it is "
        f"rendered again, and is truly the best with a probability of {percent(first.best)} %; "
        + "; ".join(f"if {luck} %: {_again(outcome, of)} and {percent(of.best)} %" for luck, of in more)
        + "."
    )
    yield (
        f"--repeats 3 renders each draft twice more, which is {counted(2 * drafts, 'clip')}, and tells how much it is."
    )


def field(value: JSON) -> str:
    """Return a further field of a draft as text."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def left_out(outcome: Outcome) -> list[str]:
    """Say what drafts have no score, and why."""
    lines = []
    if outcome.invalid:
        why = "; ".join(f"{reason} ({count})" for reason, count in outcome.invalid.items())
        lines.append(f"{sum(outcome.invalid.values())} of {counted(outcome.wanted, 'draft')} came to nothing: {why}")
    same = sum(len(draft.numbers) - 1 for draft in outcome.drafts)
    if same and len(outcome.drafts) > 1:
        one = same == 1
        lines.append(
            f"{counted(same, 'draft')} {'is' if one else 'are'} word for word {'another' if one else 'others'}, and "
            f"{'counts as a further clip of it' if one else 'count as further clips of these'}"
        )
    if outcome.errors:
        one = outcome.errors == 1
        lines.append(f"{counted(outcome.errors, 'sample')} {'has' if one else 'have'} no result yet")
    return lines
