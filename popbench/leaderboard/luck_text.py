"""Puts into words how much of a board is luck, for markdown and pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any

from popbench.leaderboard.markup import escaped, table
from popbench.leaderboard.shown import percent
from popbench.text import counted

NAMES = {
    "system": "systems",
    "prompt": "prompts, the same for all systems",
    "system_prompt": "systems on single prompts",
    "draft": "another draft of the LLM",
    "render": "another render seed",
    "draw": "another draft and render seed",
}
HEAD = ("Part", "Share of variance, %", "Standard deviation")
_NAMED = 5
"""Pairs that are named at most."""
UNSEPARATED = (
    "One repeat per prompt: intervals hold the choice of prompts and the seeds of drafts and clips together, and "
    "do not tell the two apart; repeats do."
)


def unseparated(results: Mapping[str, Any]) -> str:
    """Return a sentence for a board on which every prompt has one repeat; empty for others."""
    rows = results["systems"]
    if results.get("luck"):
        return ""
    return UNSEPARATED if rows and all(row.get("repeats") == 1 for row in rows) else ""


def luck_of(results: Mapping[str, Any], predictor: str, task: str) -> Mapping[str, Any] | None:
    """Return a table's row of `luck`; None if it has none."""
    rows = results.get("luck") or []
    return next((row for row in rows if (row["predictor"], row["task"]) == (predictor, task)), None)


def luck_table(luck: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the components: name, share of the variance in percent, standard deviation, and its interval."""
    return [
        (
            NAMES[name],
            "–" if of["share"] is None else f"{100 * of['share']:.0f}",
            f"{sqrt(of['variance']):.2f}",
            f"[{sqrt(of['low']):.2f}, {sqrt(of['high']):.2f}]",
        )
        for name, of in luck["components"].items()
    ]


def luck_lead(luck: Mapping[str, Any]) -> str:
    """Return what the components are of."""
    of = "the logarithm of popularity (natural)" if luck["scores"] == "log" else "the score"
    without = luck["without_score"]
    lead = (
        f"Variance of {of}, from {luck['repeats']} repeats of {counted(luck['n'], 'prompt')} by "
        f"{counted(luck['systems'], 'system')} whose repeats differ"
    )
    return lead + (f"; {counted(without, 'invalid sample')} left out." if without else ".")


def luck_notes(luck: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences: what is not identified, what this makes of win rates, and which pairs hang on seeds."""
    if "draw" in luck["components"]:
        yield (
            "Draft and render seed are drawn together, once a repeat, and are told apart only where several generators "
            "of a run render the same drafts: here they are not."
        )
    elif "render" in luck["components"]:
        yield (
            "Draft: what clips of one draft have in common. Render seed: all else that a repeat changes, so also what "
            "a draft does in one generator alone."
        )
    rates = luck.get("win_rates")
    if rates:
        of = "the one pair" if rates["pairs"] == 1 else f"a pair, in the mean of {rates['pairs']:,},"
        yield (
            f"The win rate of {of} has a standard deviation of {_points(rates['sd_prompts'])} points from the choice "
            f"of prompts, which no repeat takes away, and of {_points(rates['sd_seeds'])} from the seeds of "
            f"{luck['repeats']} repeats ({_points(rates['sd_seeds_one_repeat'])} from those of one)."
        )
    pairs = luck.get("seed_fragile", [])
    yield from (_fragile(pair, luck["repeats"]) for pair in pairs[:_NAMED])
    if len(pairs) > _NAMED:
        yield f"So {'is' if len(pairs) == _NAMED + 1 else 'are'} {counted(len(pairs) - _NAMED, 'more pair')}."


def _fragile(pair: Mapping[str, Any], repeats: int) -> str:
    rates = sorted(pair["by_repeat"])
    return (
        f"Robust to prompts, fragile to seeds: {pair['a']} over {pair['b']}, {percent(pair['win_rate'])} %, is "
        f"decided with {repeats} repeats, and with one more likely open than not (each alone: {percent(rates[0])} to "
        f"{percent(rates[-1])} %; {_points(pair['sd_prompts'])} points from prompts, "
        f"{_points(pair['sd_seeds_one_repeat'])} from the seeds of one repeat)."
    )


def _points(sd: float) -> str:
    return f"{100 * sd:.1f}"


def luck_view(results: Mapping[str, Any], predictor: str, task: str) -> dict[str, Any] | None:
    """Return what a page shows of a table's luck; None without repeats."""
    luck = luck_of(results, predictor, task)
    if luck is None:
        return None
    return {"lead": luck_lead(luck), "head": HEAD, "rows": luck_table(luck), "notes": list(luck_notes(luck))}


def luck_markdown(results: Mapping[str, Any], predictor: str, task: str) -> Iterator[str]:
    """Yield the lines of a table's section on luck; none without repeats."""
    luck = luck_of(results, predictor, task)
    if luck is None:
        return
    yield f"**How much is luck?** {escaped(luck_lead(luck))}"
    yield ""
    rows = [[name, share, f"{sd} {interval}"] for name, share, sd, interval in luck_table(luck)]
    yield from table(list(HEAD), "lrr", rows)
    yield ""
    yield from (f"- {escaped(line)}" for line in luck_notes(luck))
    yield ""
