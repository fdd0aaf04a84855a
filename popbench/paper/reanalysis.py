"""Makes the board `leaderboards/paper`: the paper's published results, and which of their differences are decided.

The files are the same on every machine: sorted as published, rounded, without a date or measured fonts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from popbench import stats
from popbench.paper.contrasts import LEVEL, TABLES, contrasts, decided, of_table
from popbench.paper.document import Block, Bullets, Code, Document, Heading, as_html, as_markdown, standalone
from popbench.paper.findings import PICTURE, alone, disagreements, findings, picture, power
from popbench.paper.published import paper, published
from popbench.paper.published_tables import costs, medians, rates
from popbench.paper.together import pooled_as_json, text_and_tables, text_as_json, together
from popbench.records import JSON

TITLE = "LLMPopcorn's published results, reanalysed"


def files() -> dict[str, str]:
    """Return the generated files of the board by name: README.md, index.html, board.json and the picture."""
    document = reanalysis()
    return {
        "README.md": as_markdown(document),
        "board.json": json.dumps(board(), indent=1, ensure_ascii=False) + "\n",
        "index.html": as_html(document),
        PICTURE: standalone(picture()),
    }


def board() -> dict[str, JSON]:
    """Return board.json: every comparison with its intervals and verdicts, and every published number."""
    return {
        "schema": 1,
        "kind": "paper",
        "title": TITLE,
        "source": paper(),
        "level": LEVEL,
        "tables": [_family(number) for number in TABLES],
        "comparisons": [item.as_json() for item in contrasts()],
        "pooled": pooled_as_json(),
        "text_and_tables": text_as_json(),
        "published": {
            str(number): {"about": published(number).subject, "entries": list(published(number).records())}
            for number in range(2, 11)
        },
    }


def _family(number: int) -> dict[str, JSON]:
    items, n = of_table(number), int(paper()["prompts"])
    return {
        "table": number,
        "about": published(number).subject,
        "comparisons": len(items),
        "decided_alone": decided(items, "alone"),
        "decided_bonferroni": decided(items, "bonferroni"),
        "decided_holm": decided(items, "holm"),
        "decided_holm_all": decided(items, "holm_all"),
        "minimum_detectable_win_rate": {
            "one": _detects(n, 1),
            "all": _detects(n, len(items)),
        },
    }


def _detects(n: int, comparisons: int) -> float | None:
    rate = stats.minimum_detectable_win_rate(n, comparisons)
    return None if rate is None else float(f"{rate:.10g}")


def reanalysis() -> Document:
    """Return the page of the board."""
    facts = paper()
    parts = (findings, together, power, alone, disagreements, text_and_tables, rates, medians, costs, _method)
    return Document(
        TITLE,
        [block for part in parts for block in part()],
        footer=[
            f"Numbers: tables 2 to 10 of {facts['name']}, arXiv {facts['arxiv']}, as published. This page is not by "
            "its authors.",
            ["All of it as data: ", Code("board.json"), "."],
            "What popbench leaderboard check shows: these files are, to the byte, what popbench makes of the published "
            "numbers. What it cannot show: that these are true, which takes the paper's own runs.",
        ],
    )


def _method() -> Iterator[Block]:
    n = int(paper()["prompts"])
    yield Heading("How, and with what reservations", "method")
    yield Bullets(
        [
            f"A rate of r % is taken as r wins and {n} − r losses on {n} prompts. Ties are taken to be none: "
            "predictions are real numbers, of which two are hardly ever equal.",
            "Intervals are Korn-Graubard's for one stratum, which without ties are Clopper and Pearson's exact "
            "binomial intervals. Each holds its true rate in at least 95 of 100 repetitions.",
            "p-values are those of the exact two-sided sign test; p is at most 0.05 exactly where the interval leaves "
            "out 50 %. Verdicts are better, worse or undecided.",
            "Two corrections within each table, both of which keep the chance of even one wrong verdict at 5 %: "
            "Bonferroni's, which the wider intervals show, and Holm's, which decides at least as much.",
            "The paper's prompts come in five categories. With scores prompt by prompt the intervals could be "
            "stratified, and be narrower where categories differ. Only rates are published, so they are not.",
            "The prompts are taken as a sample of those that might have been asked. Rendering, sampling and the "
            f"predictor's own errors are not in these intervals; every number is popularity as {paper()['predictor']} "
            "predicts it, not popularity.",
            "The comparisons of a table share systems and prompts, so they are not independent. Both corrections hold "
            "all the same.",
        ]
    )
