"""Writes a board as GitHub markdown, and its sentences for other outputs too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from popbench.leaderboard import compact_markdown, sequential, words
from popbench.leaderboard.carries_text import card_words, carries_markdown
from popbench.leaderboard.compact import headlines
from popbench.leaderboard.families import p_words, role_words
from popbench.leaderboard.luck_text import luck_markdown, unseparated
from popbench.leaderboard.markup import code, escaped, table
from popbench.leaderboard.matrix_markdown import matrix
from popbench.leaderboard.pairs import FEWEST_FOR_VERDICTS
from popbench.leaderboard.panel_text import panel_markdown
from popbench.leaderboard.people_text import by_pair, leads, meaning, people_markdown, people_rate
from popbench.leaderboard.people_text import remarks as people_remarks
from popbench.leaderboard.reference import against, reference_of
from popbench.leaderboard.shown import (
    are_enhancement,
    knows_valid,
    median_interval,
    p_value,
    pair_rate,
    percent,
    rank_set,
    ranked,
    rate_interval,
    strength,
    tau_shown,
    valid_rate,
)
from popbench.prompting.originality import COPY
from popbench.records import parts_of
from popbench.scores.answers import unusable_lines

DEMO = (
    "**Demo scores.** A demonstration predictor or corpus took part. These numbers show that the machinery works; "
    "they say nothing about the popularity of any video, model or prompt."
)


def remarks(results: Mapping[str, Any]) -> list[str]:
    """Return the remarks of a board: the components' notes, the run's remarks, and whether prompts are missing."""
    lines = [f"{label}: {note}" for label, note in results.get("notes", {}).items()]
    lines += [*results.get("remarks", []), *people_remarks(results)]
    limited = ", ".join(f"{task} to {n} of {total}" for task, (n, total) in results.get("limited", {}).items())
    return [*lines, f"Limited run: {limited} prompts. It is no result of the whole task."] if limited else lines


def knows_copies(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a table has a column of copies: whether references were shown to any of its systems."""
    return any(row["copy_rate"] is not None for row in rows)


def decided(results: Mapping[str, Any], predictor: str, task: str) -> str:
    """Return one sentence about how many pairs of a table are decided; empty if there are no pairs."""
    verdicts = [pair["verdict"] for pair in results["pairs"] if (pair["predictor"], pair["task"]) == (predictor, task)]
    if not verdicts:
        return ""
    if None in verdicts:
        return f"Fewer than {FEWEST_FOR_VERDICTS} prompts: no pair is judged."
    count = sum(verdict != "undecided" for verdict in verdicts)
    if len(verdicts) == 1:
        return f"The one pair is {'decided' if count else 'undecided'} by this predictor."
    return f"{count or 'None'} of the {len(verdicts)} pairs {'is' if count < 2 else 'are'} decided by this predictor."


def decides(results: Mapping[str, Any], predictor: str, task: str) -> str:
    """Return one sentence about the win rates that the number of prompts can detect, or how prompts were taken."""
    if "sequential" in results:
        return sequential.sentence(results["sequential"])
    detectable = next(
        row for row in results["minimum_detectable_win_rate"] if (row["predictor"], row["task"]) == (predictor, task)
    )
    n, pairs = detectable["n"], detectable["pairs"]
    one, every = detectable["one_pair"], detectable["all_pairs"]
    if one is None:
        return f"With {n} prompt{'s' * (n != 1)} no win rate is detectable at the 95 % level, not even all wins."
    sentence = f"With {n} prompts a single comparison detects (80 % power) a win rate of {percent(one)} % or more"
    if pairs > 1:
        whole = f"{percent(every)} % or more" if every is not None else "no win rate at all"
        sentence += f", and all {pairs} comparisons at once {whole}"
    return sentence + ": smaller differences often stay open."


def agreements(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line about how far two predictors agree on the order of the systems; of more, one line about all."""
    pairs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in results.get("agreement", []):
        if row["tau"] is not None:
            pairs.setdefault((row["a"], row["b"]), []).append(row)
    if len(pairs) > 1:
        yield _of_all(list(pairs.values()))
        return
    for (a, b), (first, *others) in pairs.items():
        further = "".join(f"; {row['task']} {words.agreement(row)}" for row in others)
        yield (
            f"Predictors {a} and {b} agree on the order of the {first['systems']} systems with Kendall's tau "
            f"{words.agreement(first)}" + (f" on {first['task']}{further}" if others else "")
        )


def _of_all(pairs: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """Return a line about the agreement of several predictors, by each two's first table."""
    rows = sorted((rows[0] for rows in pairs), key=lambda row: float(row["tau"]["value"]))
    least, most = (f"{tau_shown(row)} ({row['a']} and {row['b']})" for row in (rows[0], rows[-1]))
    predictors = {row[side] for row in rows for side in ("a", "b")}
    line = (
        f"{len(predictors)} predictors agree on the order of the systems with Kendall's tau from {least} to {most}, "
        f"{median(row['tau']['value'] for row in rows):.2f} in the median of all two"
    )
    counts = [row["decided"] for row in rows if "decided" in row]
    if not counts:
        return line
    both, alike = (sum(count[name] for count in counts) for name in ("both", "alike"))
    return f"{line}; of {both:,} pairs of systems that two of them decide, {alike:,} are decided alike"


def markdown(
    results: Mapping[str, Any], title: str = "Leaderboard", footer: Sequence[str] = (), more: Sequence[str] = ()
) -> str:
    """Return results.json as a board in markdown; `more` is markdown below the tables, `footer` are more last lines."""
    lines = [f"# {title}", ""]
    if results["demo"]:
        lines += ["> [!WARNING]", f"> {DEMO}", ""]
    for remark in remarks(results):
        lines += [f"> {escaped(remark)}", ""]
    if results.get("incomplete"):
        lines += ["> [!CAUTION]", f"> **Incomplete.** {escaped(results['incomplete'])}", ""]
    many = len(results["predictors"]) > 1
    for predictor, task in headlines(results):
        lines += [f"## {escaped(task)}" + (f" · predictor {escaped(predictor)}" if many else ""), ""]
        lines += [*_board(results, predictor, task), *luck_markdown(results, predictor, task)]
    lines += compact_markdown.side_by_side(results)
    for line in agreements(results):
        lines += [escaped(line), ""]
    lines += panel_markdown(results)
    lines += compact_markdown.parts(results)
    if unusable := list(unusable_lines(results.get("unusable") or {})):
        lines += ["**Answers without a usable draft**, and why", "", *(f"- {escaped(line)}" for line in unusable), ""]
    lines += [*more, *_footer(results, footer)]
    return "\n".join(lines) + "\n"


def _board(results: Mapping[str, Any], predictor: str, task: str) -> Iterator[str]:
    rows = ranked(results, predictor, task)
    unit = next(item["unit"] for item in results["predictors"] if item["name"] == predictor)
    copies, valid = knows_copies(rows), knows_valid(rows)
    reference = reference_of(results, predictor, task)
    over = against(results, predictor, task, reference) if reference else {}
    if lead := list(leads(results, predictor, task)):
        yield from (" ".join([*(f"**{escaped(line)}**" for line in lead[:-1]), escaped(lead[-1])]), "")
    yield from table(
        [
            "#",
            "Rank",
            "LLM",
            "Mode",
            "Generator",
            "Mean win rate, %",
            *([f"Win rate against {escaped(reference)}, %"] if reference else []),
            "Bradley-Terry",
            f"Median {escaped(unit)}",
            "n",
            "Invalid",
            *(["Among valid, %"] if valid else []),
            "Errors",
            "Compliance, %",
            *(["Copies, %"] if copies else []),
        ],
        "rrlllrrrrrrr" + "r" * (valid + copies + bool(reference)),
        [
            [
                str(position),
                rank_set(row["rank"]),
                *map(escaped, parts_of(row["system"]) or (row["system"], "–", "–")),
                rate_interval(row["mean_win_rate"], row["mean_win_rate_interval"]),
                *([pair_rate(over.get(row["system"]))] if reference else []),
                strength(row["bradley_terry"]),
                median_interval(row["median"]),
                str(row["n"]),
                str(row["invalid"]),
                *([" ".join(valid_rate(row)).strip()] if valid else []),
                str(row["errors"]),
                rate_interval(row["compliance"], row["compliance_interval"]),
                *([rate_interval(row["copy_rate"], row["copy_rate_interval"])] if copies else []),
            ]
            for position, row in enumerate(rows, 1)
        ],
    )
    yield ""
    sentences = [of(results, predictor, task) for of in (decided, role_words, decides)]
    yield " ".join(("Brackets hold 95 % intervals, paired by prompt.", *filter(None, sentences)))
    yield ""
    if len(rows) > 1:
        yield words.estimand(reference and escaped(reference))
        yield ""
    yield from carries_markdown(results, predictor, task)
    yield from people_markdown(results, predictor, task)
    yield from matrix(results, predictor, task, rows)
    yield from _contrasts(results, predictor, task)
    if "sequential" in results:
        yield from ("**When pairs were decided**", "")
        yield from (f"- {escaped(line)}" for line in sequential.when_decided(results))
        yield ""
    yield from _categories(rows)


def _contrasts(results: Mapping[str, Any], predictor: str, task: str) -> Iterator[str]:
    rows = [row for row in results["enhancement"] if (row["predictor"], row["task"]) == (predictor, task)]
    if not rows:
        return
    what = "Prompt enhancement" if are_enhancement(rows) else "Other modes"
    of_pairs = by_pair(results, predictor, task)
    people = {pair: of_pairs[pair] for row in rows if (pair := (row["a"], row["b"])) in of_pairs}
    yield f"**{what} against basic**, same LLM and generator."
    yield ""
    yield from table(
        [
            "LLM",
            "Generator",
            "Mode",
            "Win rate over basic, %",
            "Exact interval",
            "Verdict",
            "Wins",
            "Ties",
            "Losses",
            "p",
            "p, adjusted",
            *(["By people, %", "Verdict by people"] if people else []),
        ],
        "lllrrlrrrrr" + "rl" * bool(people),
        [
            [
                escaped(row["llm"]),
                escaped(row["generator"]),
                escaped(row["mode"]),
                rate_interval(row["win_rate"]["value"], (row["win_rate"]["low"], row["win_rate"]["high"])),
                f"[{percent(row['win_rate']['exact'][0])}, {percent(row['win_rate']['exact'][1])}]",
                row["verdict"] or "–",
                str(row["wins"]),
                str(row["ties"]),
                str(row["losses"]),
                p_value(row["p"]),
                p_value(row["p_adjusted"]),
                *(_of_people(people.get((row["a"], row["b"]))) if people else []),
            ]
            for row in rows
        ],
    )
    yield ""


def _of_people(row: Mapping[str, Any] | None) -> list[str]:
    return ["–", "–"] if row is None else [people_rate(row, "corrected"), row["verdict"] or "–"]


def _categories(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = list(rows[0]["by_category"]) if rows else []
    if len(names) < 2:
        return
    counts = {name: prompts_of(rows, name) for name in names}
    yield "<details><summary>Medians by category</summary>"
    yield ""
    yield from table(
        ["System", *(f"{escaped(name)} (n = {counts[name]})" for name in names)],
        "l" + "r" * len(names),
        [
            [
                escaped(row["system"]),
                *(
                    median_interval(row["by_category"][name]["median"]) if name in row["by_category"] else "–"
                    for name in names
                ),
            ]
            for row in rows
        ],
    )
    yield ""
    yield "</details>"
    yield ""


def prompts_of(rows: Sequence[Mapping[str, Any]], category: str) -> str:
    """Show the prompts of a category: of systems that got no more in a later round, the fewest and the most."""
    numbers = [row["by_category"][category]["n"] for row in rows if category in row["by_category"]]
    return f"{min(numbers)}" if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def _footer(results: Mapping[str, Any], more: Sequence[str]) -> Iterator[str]:
    yield "---"
    yield ""
    yield (
        f"Win rate: the share of prompts on which a system's score is higher, ties half; {words.intervals(results)}; "
        "medians have Woodruff intervals. Invalid samples (the model's own failure) score 0 and lose."
        + (f" {words.VALID}" if knows_valid(results["systems"]) else "")
        + (f" {of_samples}" if (of_samples := words.medians(results)) else "")
        + (f" {escaped(of_reals)}" if (of_reals := on_real_scales(results)) else "")
        + (f" {sentence}" if (sentence := unseparated(results)) else "")
    )
    yield ""
    if results["pairs"]:
        yield (
            "A pair is decided by a predictor (better or worse) where its interval stays on one side of 50 % even when "
            "all intervals of the table are widened until they hold together with 95 %. "
            f"{words.ORDER} In brackets beside a rank, the ranks that the verdicts leave open. "
            "Bradley-Terry: log-odds, 0 for the average system."
            + (f" {p_words(results)}" if results["enhancement"] else "")
        )
        yield ""
    if of_people := list(meaning(results)):
        yield from (escaped(" ".join(of_people)), "")
    if knows_copies(results["systems"]):
        yield (
            "A copy is a draft whose title (by character trigrams) or video prompt (by word 4-grams) is at least "
            f"{100 * COPY:.0f} % like one of the references it was shown; the rate is that of drafts with references."
        )
        yield ""
    for task in results["tasks"]:
        identity = f"hash {code(task['hash'])}" if task["hash"] else "hash unknown"
        yield f"- task {escaped(task['name'])}: {identity}"
    for predictor in results["predictors"]:
        identity = f"fingerprint {code(predictor['digest'])}" if predictor["digest"] else "fingerprint unknown"
        told = card_words(predictor, demo=results["demo"])
        yield f"- predictor {escaped(predictor['name'])}: {identity}" + (f"; {escaped(told)}" if told else "")
    for of in results.get("references", []):
        yield (
            f"- references: corpus {escaped(of['corpus'])}, part {escaped(of['part'])}, {of['videos']:,} videos, "
            f"found with {escaped(of['embedder'])}"
        )
    if results["restricted_to_common"]:
        yield "- restricted to the prompts that all systems have"
    yield from (f"- {line}" for line in more)


def on_real_scales(results: Mapping[str, Any]) -> str:
    """Return a sentence about predictors on a real scale; empty if there are none."""
    real = [item["name"] for item in results["predictors"] if item.get("scale") == "real"]
    if not real:
        return ""
    return f"On a real scale ({', '.join(real)}), where 0 is a score, they have none and rank below every score."
