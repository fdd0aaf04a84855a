"""Puts into words what people say of the pairs of a board, for all its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from popbench.leaderboard.markup import escaped, table
from popbench.leaderboard.pairs import FEWEST_FOR_VERDICTS, flipped
from popbench.leaderboard.people import KEY, flipped_people
from popbench.leaderboard.people_data import OUTCOMES, VOTES
from popbench.leaderboard.shown import number, percent, ranked, rate_interval
from popbench.stats import FEWEST_LABELLED
from popbench.text import counted

HEAD = ("Pair", "Prompts", "Votes", "Predicted, %", "Labels only, %", "Corrected, %", "By people", "By predictor")
MEDIANS = ("System", "Prompts", "Labels only", "Corrected")
_DECIDED = ("better", "worse")
_NAMED = 3
"""Pairs that a sentence names at most."""
Row = Mapping[str, Any]


def sources_of(results: Mapping[str, Any], predictor: str | None, task: str) -> list[tuple[Row, list[dict[str, Any]]]]:
    """Return the sources that say something of a table, each with its rows: real outcomes first.

    Pairs are in the order of the board, the higher system first; without a board as they are.
    """
    people = results.get(KEY) or {"sources": [], "pairs": []}
    systems = ranked(results, predictor, task) if predictor is not None else []
    place = {row["system"]: index for index, row in enumerate(systems)}
    found = []
    for source in people["sources"]:
        rows = [
            row if place.get(row["a"], 0) <= place.get(row["b"], 0) else flipped_people(row)
            for row in people["pairs"]
            if (row["source"], row["predictor"], row["task"]) == (source["source"], predictor, task)
        ]
        rows.sort(key=lambda row: (place.get(row["a"], 0), place.get(row["b"], 0)))
        if rows:
            found.append((source, rows))
    return found


def by_pair(results: Mapping[str, Any], predictor: str, task: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what people say of each pair of a table, both ways round: of real outcomes, else of votes.

    Pairs of one voter are left out, since nothing follows from them.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for _, rows in sources_of(results, predictor, task):
        for row in rows:
            if row["corrected"] is not None and (row["a"], row["b"]) not in found:
                found[row["a"], row["b"]] = row
                found[row["b"], row["a"]] = flipped_people(row)
    return found


def people_rate(row: Row, name: str) -> str:
    """Show one of the three rates of a row in percent, with its interval if it has one."""
    of = row[name]
    if of is None:
        return "–"
    return percent(of["value"]) if of["low"] is None else rate_interval(of["value"], (of["low"], of["high"]))


def cells(results: Mapping[str, Any], rows: Sequence[Row]) -> list[list[str]]:
    """Return the cells of a table of pairs, as `HEAD` names them."""
    predicted = _by_predictor(results)
    return [
        [
            f"{row['a']} over {row['b']}",
            f"{row['labelled']:,} of {row['n']:,}",
            f"{row['count']:,}" + (f" by {row['voters']:,}" if "voters" in row else ""),
            *(people_rate(row, name) for name in ("predicted", "labels", "corrected")),
            row["verdict"] or "–",
            predicted.get((row["predictor"], row["task"], row["a"], row["b"])) or "–",
        ]
        for row in rows
    ]


def _by_predictor(results: Mapping[str, Any]) -> dict[tuple[str, str, str, str], str | None]:
    """Return the predictor's verdict on every pair, both ways round."""
    sides = (side for pair in results.get("pairs", []) for side in (pair, flipped(pair)))
    return {(side["predictor"], side["task"], side["a"], side["b"]): side["verdict"] for side in sides}


def medians_of(results: Mapping[str, Any], predictor: str | None, task: str) -> list[list[str]]:
    """Return the cells of a table of medians of real outcomes, as `MEDIANS` names them; none without any."""
    systems = ranked(results, predictor, task) if predictor is not None else []
    place = {row["system"]: index for index, row in enumerate(systems)}
    rows = [
        row
        for row in (results.get(KEY) or {}).get("medians", [])
        if (row["predictor"], row["task"]) == (predictor, task)
    ]
    rows.sort(key=lambda row: place.get(row["system"], 0))
    return [
        [row["system"], f"{row['labelled']:,} of {row['n']:,}", _median(row["labels"]), _median(row["corrected"])]
        for row in rows
    ]


def _median(of: Row) -> str:
    low, high = ("…" if of[end] is None else number(of[end]) for end in ("low", "high"))
    return f"{number(of['value'])} [{low}, {high}]"


def median_title(results: Mapping[str, Any]) -> str:
    """Return the title of that table: `Median views divided by days of posted clips`."""
    source = next(of for of in results[KEY]["sources"] if of["source"] == OUTCOMES)
    return f"Median {_measured(source)} of posted clips"


def _measured(source: Row) -> str:
    exposure = source["exposure_in"]
    return f"{source['measure']} divided by {exposure}" if exposure else str(source["measure"])


def what(source: Row, rows: Sequence[Row]) -> str:
    """Say what a source is: `160 votes by 8 voters`."""
    count = sum(row["count"] for row in rows)
    if source["source"] == VOTES:
        return f"{counted(count, 'vote')} by {counted(source['voters'], 'voter')}"
    return f"{counted(count, 'comparison')} of posted clips by {_measured(source)}"


def head(source: Row) -> tuple[str, ...]:
    """Return `HEAD` for a source: outcomes are no votes."""
    return HEAD if source["source"] == VOTES else tuple("Comparisons" if name == "Votes" else name for name in HEAD)


def leads(results: Mapping[str, Any], predictor: str, task: str) -> Iterator[str]:
    """Yield a sentence for each source about which pairs people decide: the headline of a table with labels."""
    systems = len(ranked(results, predictor, task))
    for source, rows in sources_of(results, predictor, task):
        decided = [row for row in rows if row["verdict"] in _DECIDED]
        ones = [row if row["verdict"] == "better" else flipped_people(row) for row in decided]
        named = "; ".join(f"{row['a']} over {row['b']}, {people_rate(row, 'corrected')} %" for row in ones[:_NAMED])
        more = f"; and {len(ones) - _NAMED} more" if len(ones) > _NAMED else ""
        told = f"{len(decided) or 'none'} of the {len(rows)} pairs {'is' if len(decided) < 2 else 'are'} decided"
        if len(rows) == 1:
            judged = (
                "undecided" if rows[0]["verdict"] else "not judged, by labels on so few prompts or of so few people"
            )
            told = f"the one pair is {'decided' if decided else judged}"
        yield (
            f"By people ({what(source, rows)}, on {len(rows)} of {counted(systems * (systems - 1) // 2, 'pair')}): "
            f"{told}{f': {named}{more}' if ones else ''}."
        )
    if sources_of(results, predictor, task):
        yield "Ranks, and verdicts on pairs without labels, are by the predictor, and about it only."


def notes(results: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    """Yield sentences about a table of pairs: how much labels and predictions weigh, and whether they agree."""
    judged = [row for row in rows if row["corrected"] is not None]
    if judged and judged[0]["predictor"] is not None:
        yield _weights(judged)
        yield from _agreement(results, rows)
    if any(row["verdict"] is None for row in judged):
        yield f"Without a verdict: pairs with labels on fewer than {FEWEST_FOR_VERDICTS} prompts."
    if len(judged) < len(rows):
        yield "Without an interval: one voter tells nothing about others."


def meaning(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences about what rates over people are, for all tables of a board; none without labels."""
    people = results.get(KEY) or {"pairs": []}
    pairs, rows = people["pairs"], [*people["pairs"], *people.get("medians", [])]
    if not pairs:
        pass
    elif any(row["predictor"] is not None for row in pairs):
        yield (
            "Win rates over people: from labels only, each category by its prompts; corrected, less the part of the "
            "labels' error that the predictor can see (prediction-powered inference). Both are about people whatever "
            "the predictor is worth; the predicted rate, and verdicts by the predictor, are about the predictor only. "
            "They are of the prompts for which both systems have a clip with a score"
            + (", taken in rounds by what the predictor says." if "sequential" in results else ".")
        )
        yield (
            "A pair is decided by people where its corrected interval stays on one side of 50 %, even when those of "
            "all pairs with labels are widened until they hold together with 95 % (Bonferroni)."
        )
    else:
        yield "Win rates over people are from labels only, each category by its prompts."
    for source in people.get("sources", []):
        if any(row["source"] == source["source"] for row in rows):
            yield from _of_votes(source) if source["source"] == VOTES else _of_outcomes(source)


def _weights(rows: Sequence[Row]) -> str:
    weights = [row["weight"] for row in rows]
    if not any(weights):
        return (
            "Labels carry all the weight (lambda is 0): the scores do not help to tell what people prefer here, so "
            "corrected rates are those from labels only."
        )
    narrower = [100 * (1 - _width(row["corrected"]) / _width(row["labels"])) for row in rows]
    effective = [[row[name]["effective"] for row in rows] for name in ("corrected", "labels")]
    return (
        f"Labels carry the weight: predictions count with {_span(weights, '.2f')} of 1 (lambda), make intervals "
        f"{_span(narrower, '.1f')} % narrower, and the corrected rate of a pair tells as much as "
        f"{_span(effective[0], '.0f')} independent labels, where labels only are worth {_span(effective[1], '.0f')}."
    )


def _width(rate: Row) -> float:
    return float(rate["high"] - rate["low"])


def _span(values: Sequence[float], digits: str) -> str:
    low, high = (f"{abs(end):{digits}}" for end in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _agreement(results: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    predicted = _by_predictor(results)
    both = [
        (row, verdict)
        for row in rows
        if row["verdict"] in _DECIDED
        and (verdict := predicted.get((row["predictor"], row["task"], row["a"], row["b"]))) in _DECIDED
    ]
    opposed = [f"{row['a']} and {row['b']}" for row, verdict in both if row["verdict"] != verdict]
    if both:
        told = f", otherwise: {'; '.join(opposed[:_NAMED])}" if opposed else ""
        yield (
            f"People and the predictor both decide {counted(len(both), 'pair')}, {len(both) - len(opposed) or 'none'} "
            f"of them alike{told}."
        )


def _of_votes(source: Row) -> Iterator[str]:
    first = source["first"]
    if first is not None and first["low"] is not None:
        effect = "" if first["low"] <= 0.5 <= first["high"] else ", an order effect"
        yield (
            f"The clip shown first was chosen in {rate_interval(first['value'], (first['low'], first['high']))} % of "
            f"votes without a tie{effect}; sides are balanced, and what is left of it is taken out."
        )


def _of_outcomes(source: Row) -> Iterator[str]:
    exposure = "" if source["exposure_in"] else ", whatever their exposure"
    yield (
        f"Of two posted clips of a prompt, the one with the larger number of {_measured(source)}{exposure} wins, ties "
        "half. What else differs between two postings, such as their time, counts as the clip's. Medians of real "
        f"outcomes are corrected from {FEWEST_LABELLED} posted prompts on; … is an end that so few do not tell."
    )


def remarks(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for what was left out, and for files that could not be read."""
    for source in (results.get(KEY) or {"sources": []})["sources"]:
        if "problem" in source:
            yield f"What people said is left out, as a file of it cannot be read: {source['problem']}"
        elif source["left_out"]:
            name = "vote" if source["source"] == VOTES else "real outcome"
            which = "is about clips" if source["left_out"] == 1 else "are about clips"
            yield f"{counted(source['left_out'], name)} {which} that the run no longer has, and left out."


def opposites(results: Mapping[str, Any], predictor: str | None, task: str) -> Iterator[str]:
    """Yield a sentence about pairs that votes and real outcomes decide in opposite ways."""
    verdicts: dict[tuple[str, str], set[str]] = {}
    for _, rows in sources_of(results, predictor, task):
        for row in rows:
            verdicts.setdefault((row["a"], row["b"]), set()).add(row["verdict"])
    opposed = [f"{a} and {b}" for (a, b), of in verdicts.items() if of >= set(_DECIDED)]
    if opposed:
        yield f"Votes and real outcomes decide in opposite ways: {'; '.join(opposed[:_NAMED])}."


def title(source: Row, rows: Sequence[Row]) -> str:
    """Return the title of a source's table."""
    name = "What became of posted clips" if source["source"] == OUTCOMES else "What people say"
    return f"{name}: {what(source, rows)}"


def people_markdown(results: Mapping[str, Any], predictor: str, task: str) -> Iterator[str]:
    """Yield the lines of a table's sections about people; none without labels."""
    for source, rows in sources_of(results, predictor, task):
        yield f"**{escaped(title(source, rows))}**; brackets hold 95 % intervals."
        yield ""
        body = [[escaped(cell) for cell in line] for line in cells(results, rows)]
        yield from table(list(head(source)), "lrrrrrll", body)
        yield ""
        yield escaped(" ".join(notes(results, rows)))
        yield ""
    if medians := medians_of(results, predictor, task):
        yield f"**{escaped(median_title(results))}**; brackets hold 95 % intervals."
        yield ""
        yield from table(list(MEDIANS), "lrrr", [[escaped(cell) for cell in line] for line in medians])
        yield ""
    for line in opposites(results, predictor, task):
        yield from (escaped(line), "")


def people_view(results: Mapping[str, Any], predictor: str, task: str) -> dict[str, Any] | None:
    """Return what a page shows of people about a table; None without labels."""
    sources = [
        {
            "title": title(source, rows),
            "head": head(source),
            "rows": cells(results, rows),
            "notes": list(notes(results, rows)),
        }
        for source, rows in sources_of(results, predictor, task)
    ]
    medians = medians_of(results, predictor, task)
    if medians:
        sources.append({"title": median_title(results), "head": MEDIANS, "rows": medians, "notes": []})
    told = [*opposites(results, predictor, task), *meaning(results)]
    return {"leads": list(leads(results, predictor, task)), "sources": sources, "notes": told} if sources else None
