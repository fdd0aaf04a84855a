"""Writes an audit as text: sentences, and markdown for a run's board and audit.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from popbench.leaderboard.markdown import DEMO
from popbench.leaderboard.markup import code, escaped, table
from popbench.leaderboard.shown import number, percent, rate_interval
from popbench.text import counted

FEW_PROMPTS = 10
NOISE = 0.05
"""The share of variance explained by re-encoding alone that is worth a warning."""


def share(interval: Mapping[str, Any] | None) -> str:
    """Return a share with its interval: `61 % [55, 67]`."""
    if interval is None:
        return "–"
    if interval["low"] is None:
        return f"{_whole_percent(interval['value'])} %"
    return (
        f"{_whole_percent(interval['value'])} % [{_whole_percent(interval['low'])}, {_whole_percent(interval['high'])}]"
    )


def _whole_percent(value: float) -> str:
    return f"{100 * value:.0f}".replace("-0", "0") if abs(value) < 0.005 else f"{100 * value:.0f}"


def verdict(entry: Mapping[str, Any]) -> str:
    """Return sentences about what moves the scores, titles or videos, and what that does to the order of systems."""
    rows = {row["change"]: row["reordered"] for row in entry["rows"]}
    text, parts = _of_scores(entry), _parts(entry)
    if len(parts) == 1 or any(rows[part] is None for part in parts):
        return text
    first, *others = parts
    more = "".join(f", another {ONE[part]} that of {share(rows[part])}" for part in others)
    winners = f"changes the winner of {share(rows[first])} of the pairs of systems on a prompt{more}"
    return f"{text} Another {ONE[first]} {winners}."


def _parts(entry: Mapping[str, Any]) -> list[str]:
    """Return the parts of samples that were swapped: what the predictor uses."""
    return [part for part in SWAPPED if part in entry.get("uses", ("title", "video"))]


def _of_scores(entry: Mapping[str, Any]) -> str:
    parts = _parts(entry)
    shares = {row["change"]: row["share"] for row in entry["rows"]}
    if any(shares[part] is None for part in parts):
        scored = entry["variance"] is not None
        swapped = stage_of_swaps(parts)
        return "All scores are equal: nothing moves them." if scored else f"{swapped.capitalize()} have no scores."
    if len(parts) == 1:
        return f"The predictor sees {SWAPPED[parts[0]]} and nothing else: they decide the scores alone."
    first, *others = parts
    explained = "".join(f", {SWAPPED[part]} {share(shares[part])}" for part in others)
    text = (
        f"{SWAPPED[first].capitalize()} explain {share(shares[first])} of the variance of the scores{explained}, and "
        f"{share(entry['remainder'])} is what {'the two' if len(parts) == 2 else 'they'} share or do together"
    )
    if len(parts) > 2:
        return f"{text}."
    gap, (one, other) = entry["difference"], (ONE[part] for part in parts)
    if gap["low"] is None:
        return f"{text}; with so few prompts, which of them ranks the systems is open."
    if gap["low"] > 0:
        return f"{text}: the scores follow the {one} more than the {other}."
    if gap["high"] < 0:
        return f"{text}: the scores follow the {other} more than the {one}."
    return f"{text}; which of them the scores follow more is open."


def stage_of_swaps(parts: Sequence[str]) -> str:
    """Return what is scored after these parts are swapped: `swapped titles and videos`."""
    *before, last = (SWAPPED[part] for part in parts)
    return f"swapped {', '.join(before)} and {last}" if before else f"swapped {last}"


def warnings(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each reason to doubt the shares; novelty has its own warnings."""
    stored, prompts = entry["stored"], entry["samples"]["prompts"]
    if stored is not None and stored["differ"]:
        yield (
            f"{stored['differ']:,} of {stored['compared']:,} unchanged samples scored otherwise than in the run, by "
            f"up to {100 * stored['largest']:.2g} %{' of their spread' if _is_real(entry) else ''}: the predictor does "
            "not repeat its scores, and shares hold that too."
        )
    if prompts < FEW_PROMPTS:
        yield f"There are only {prompts} prompts: the intervals are wide, and from so few not to be relied on."
    for row in entry["rows"]:
        if row["failed"]:
            yield f"{SHORT[row['change']].capitalize()}: {counted(row['failed'], 'score')} failed and are left out."
        if row["ended"]:
            yield f"{SHORT[row['change']].capitalize()}: the predictor ended early ({row['ended']})."
    equal = entry.get("equal_titles") or {"failed": 0, "ended": None}
    if equal["failed"]:
        yield f"Equal titles: {counted(equal['failed'], 'score')} failed, and prompts without all scores are left out."
    if equal["ended"]:
        yield f"Equal titles: the predictor ended early ({equal['ended']})."
    control = next((row["share"] for row in entry["rows"] if row["change"] == "control"), None)
    if control is not None and control["value"] > NOISE:
        yield (
            f"Re-encoding alone moves the scores by {share(control)} of their variance: the predictor sees "
            "compression, and what reversed and still videos do less than that is not told apart from it."
        )


SWAPPED = {
    "title": "titles",
    "video": "videos",
    "prompt": "prompts",
    "video_prompt": "video prompts",
    "category": "categories",
    "task": "tasks",
    "extra": "extra fields",
}
"""The parts of samples that may be swapped, in their order."""
ONE = {
    "title": "title",
    "video": "video",
    "prompt": "prompt",
    "video_prompt": "video prompt",
    "category": "category",
    "task": "task",
    "extra": "set of extra fields",
}

LABELS = {
    **{part: f"{several} of other samples" for part, several in SWAPPED.items()},
    "remainder": "remainder: 1 - {parts}",
    "shared": "in it: what {both} share",
    "together": "less: what only both together do",
    "black": "a black video",
    "empty_title": "an empty title",
    "control": "re-encoded, otherwise unchanged",
    "reversed": "reversed, against re-encoded",
    "still": "middle frame only, against re-encoded",
}
"""The rows of an audit; `parts` are those that were swapped, and `both` is one of each."""

PARTS = ("remainder", "shared", "together")
"""The rows after those of swapped parts: of two, the remainder is what they share less what only both together do."""

SHORT = {
    **{part: f"other {several}" for part, several in SWAPPED.items()},
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
    "black": "black videos",
    "empty_title": "empty titles",
    "control": "re-encoded videos",
    "reversed": "reversed videos",
    "still": "still videos",
}
"""Names of the stages in the progress display."""


TITLE = "What moves the scores"
_SWAPS = (
    "Titles and videos are swapped between samples of different prompts; the remainder is negative where the two do "
    "more together than each alone."
)
_OTHER_SWAPS = (
    "What a predictor sees is swapped part by part between samples of different prompts; the remainder is negative "
    "where the parts do more together than each alone."
)
_EXPLANATION = (
    "Share: of the variance of the log2 scores, what a change takes away or scrambles (after Jansen 1999); 0 where the "
    "scores stay as they are or all shift alike. {swaps} Factor: what a change does to a sample's popularity, in the "
    "median. Reordered: the share of pairs of systems on one prompt whose order is another one after both are changed. "
    "Reversed and still videos are re-encoded and compared with videos that are re-encoded only. Brackets hold 95 % "
    "intervals (bootstrap over prompts)."
)


def _explanation(audits: Sequence[Mapping[str, Any]]) -> str:
    others = any("uses" in entry for entry in audits)
    explanation = _EXPLANATION.format(swaps=_OTHER_SWAPS if others else _SWAPS)
    return f"{explanation} {REAL}" if any(map(_is_real, audits)) else explanation


REAL = (
    "On a real scale scores are taken as they are, without a logarithm, and instead of a factor there is a shift: what "
    "a change adds to a sample's score, in the median."
)


def section(results: Mapping[str, Any]) -> list[str]:
    """Return the lines of a section for a run's board; none if results.json holds no audit."""
    audits = results.get("audit") or []
    if not audits:
        return []
    lines = [f"## {TITLE}", ""]
    many = len(results.get("predictors", audits)) > 1
    for entry in audits:
        lines += _entry(entry, many=many)
    return [*lines, _explanation(audits), ""]


def _is_real(entry: Mapping[str, Any]) -> bool:
    """Return whether an audit is of a predictor with a real scale."""
    return entry.get("scale") == "real"


def document(audits: Mapping[str, Any]) -> str:
    """Return audit.md, from the content of audit.json."""
    lines = [f"# {TITLE}", ""]
    if audits["demo"]:
        lines += ["> [!WARNING]", f"> {DEMO}", ""]
    for label, note in audits["notes"].items():
        lines += [f"> {escaped(label)}: {escaped(note)}", ""]
    for entry in audits["audits"]:
        lines += _entry(entry, many=True)
    return "\n".join([*lines, _explanation(audits["audits"])]) + "\n"


def _entry(entry: Mapping[str, Any], *, many: bool) -> Iterator[str]:
    if many:
        yield f"**Predictor {escaped(entry['predictor'])}**, fingerprint {code(str(entry['digest']))}"
        yield ""
    yield verdict(entry)  # computed again: the text in audit.json may be a stranger's
    yield ""
    for line in entry["warnings"]:
        yield f"> {escaped(line)}"
        yield ""
    head = ["Change", "Share of variance, %", effect(entry), "Pairs reordered, %", "n", "Failed"]
    yield from table(head, "lrrrrr", list(rows(entry, LABELS)))
    yield ""
    for line in further(entry, escaped):
        yield line
        yield ""
    if entry.get("equal_titles", {}).get("systems"):
        yield _AT_EQUAL.format(**equal_titles_counts(entry))
        yield ""
        head = ["System", "Mean win rate, %", "At equal titles, %"]
        yield from table(head, "lrr", [[escaped(name), *rest] for name, *rest in equal_titles(entry)])
        yield ""


_AT_EQUAL = (
    "**At equal titles**: on {prompts}, the videos of all systems are scored with the same titles, those of {titles} "
    "for each prompt, so that a system wins by its video alone."
)


def equal_titles_counts(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return in words the prompts of win rates at equal titles, and the systems whose titles each of them has."""
    found = entry["equal_titles"]
    return {"prompts": counted(found["n"], "prompt"), "titles": counted(found["titles"], "system")}


def equal_titles(entry: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield a system's id and its mean win rates as scored and at equal titles; the best at equal titles first."""
    for row in sorted(entry["equal_titles"]["systems"], key=lambda row: -row["at_equal_titles"]["value"]):
        rates = (row["as_scored"], row["at_equal_titles"])
        yield [row["system"], *(rate_interval(rate["value"], (rate["low"], rate["high"])) for rate in rates)]


def effect(entry: Mapping[str, Any]) -> str:
    """Return what a change's effect on a score is called: a factor, on a real scale a shift."""
    return "Shift" if _is_real(entry) else "Factor"


def rows(entry: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield the cells of every row: the changes, with the remainder after the parts."""
    parts = _parts(entry)
    last, both = parts[-1], " and ".join(map(ONE.__getitem__, parts))
    for row in entry["rows"]:
        yield [
            labels[row["change"]],
            _percent(row["share"]),
            _factor(row[effect(entry).lower()]),
            _percent(row["reordered"]),
            f"{row['n']:,}",
            f"{row['failed']:,}",
        ]
        if row["change"] == last and len(parts) > 1:
            for name in PARTS[: 1 if len(parts) > 2 else None]:
                label = labels[name].format(parts=" - ".join(map(SWAPPED.__getitem__, parts)), both=both)
                yield [label, _percent(entry[name]), "–", "–", "–", "–"]


def further(entry: Mapping[str, Any], name: Callable[[str], str]) -> Iterator[str]:
    """Yield sentences about covariates, novelty and the samples; `name` formats a system's id."""
    explained = []
    for row in entry["covariates"]:
        squared = "the same for all" if row["constant"] else share(row["r_squared"])
        explained.append(f"the {COVARIATES[row['name']]} {squared}")
    if explained:
        yield f"Of that variance a straight line explains (R²): {', '.join(explained)}."
    for part, summary in (entry["novelty"] or {}).items():
        beyond = ", ".join(f"{share(summary[key])} beyond {limit}" for key, limit in _BEYOND)
        worst = max(summary["by_system"].items(), key=lambda item: item[1]["beyond_99"]["value"])
        yield (
            f"Distance of {part}s from the training items, as a quantile of their own: {summary['median']:.2f} in the "
            f"median, {beyond}; most by {name(worst[0])}, {share(worst[1]['beyond_99'])} beyond 0.99 and "
            f"{worst[1]['median']:.2f} in the median."
        )
    yield _scored(entry)


_BEYOND = (("beyond_95", "0.95"), ("beyond_99", "0.99"))


def _scored(entry: Mapping[str, Any]) -> str:
    of, stored = entry["samples"], entry["stored"]
    text = (
        f"{counted(of['n'], 'sample')} of {counted(len(of['systems']), 'system')} on {counted(of['prompts'], 'prompt')}"
        f"{' (limited)' if entry['limit'] is not None else ''}, swapped {counted(entry['shuffles'], 'time')}, seed "
        f"{entry['seed']:d}"
    )
    if of["failed"]:
        text += f"; {of['failed']:,} could not be scored unchanged"
    if stored is None:
        return f"{text}; the run has no scores of this predictor to compare with."
    if not stored["differ"]:
        return f"{text}; unchanged, all score as in the run."
    return f"{text}; unchanged, {stored['differ']:,} score otherwise than in the run."


def _percent(interval: Mapping[str, Any] | None) -> str:
    if interval is None:
        return "–"
    value = _unsigned(percent(interval["value"]))
    if interval["low"] is None:
        return f"{value} [–]"
    return f"{value} [{_unsigned(percent(interval['low']))}, {_unsigned(percent(interval['high']))}]"


def _unsigned(text: str) -> str:
    """Return a number as text without the sign of a zero."""
    return "0.0" if text == "-0.0" else text


def _factor(interval: Mapping[str, Any] | None) -> str:
    if interval is None:
        return "–"
    if interval["low"] is None:
        return f"{number(interval['value'])} [–]"
    return f"{number(interval['value'])} [{number(interval['low'])}, {number(interval['high'])}]"
