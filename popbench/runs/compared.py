"""What run.json says of predictors that compare pairs, and what readers of a board have to know about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NotRequired, cast

import pydantic
from typing_extensions import TypedDict  # pydantic reads no other TypedDict before Python 3.12

if TYPE_CHECKING:
    from popbench.planning.plan import Plan

_Count = Annotated[int, pydantic.Field(ge=0, le=10**12)]
_Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class ComparisonsEntry(TypedDict):
    """What a predictor that compares pairs was asked: `comparisons` of so many systems, by `opponents` each if not all.

    Of the `pairs` with both answers: how often the clip that was shown `first` was chosen, 1/2 without a preference,
    with an interval, and the share of pairs on which both answers `agree`.
    """

    systems: _Count
    comparisons: _Count
    opponents: NotRequired[_Count]
    pairs: NotRequired[_Count]
    first: NotRequired[_Share]
    first_interval: NotRequired[Annotated[list[_Share], pydantic.Field(min_length=2, max_length=2)]]
    agree: NotRequired[_Share]


def entries(plan: Plan) -> dict[str, ComparisonsEntry]:
    """Return what run.json says of the predictors of a plan that compare pairs, by label."""
    systems = len(plan.systems) + (plan.human is not None)
    found: dict[str, ComparisonsEntry] = {}
    for part in plan.comparers:
        compared = plan.compared.get(part.label)
        if compared is None:
            comparisons = sum(len(pair.samples) for pair in plan.comparisons(part))
            compared = {"systems": systems, "comparisons": comparisons}
        found[part.label] = cast("ComparisonsEntry", compared)
    return found


def remarks(predictor: str, entry: ComparisonsEntry) -> Iterator[str]:
    """Yield what scores by comparisons are, and how strongly the predictor prefers a place."""
    others = "all others" if entry.get("opponents") is None else f"{entry['opponents']} others on each prompt"
    yield (
        f"{predictor}: scores are win shares among the {entry['systems']} systems of this run, each compared with "
        f"{others}, both ways round; they do not compare with those of other runs"
    )
    if entry.get("pairs"):
        low, high = entry["first_interval"]
        yield (
            f"{predictor}: the clip that is shown first is chosen in {100 * entry['first']:.0f} % of its answers "
            f"[{100 * low:.0f}, {100 * high:.0f}], which cancels in the mean of both orders; both orders agree on who "
            f"is better in {100 * entry['agree']:.0f} % of {entry['pairs']:,} pairs"
        )
