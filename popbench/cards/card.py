"""The card of a predictor, as runs and boards keep it; and how it is read from the card.json of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, cast

from typing_extensions import TypedDict  # pydantic reads no other TypedDict before Python 3.12

from popbench.errors import UsageError, damage, one_line
from popbench.files import read_json

if TYPE_CHECKING:
    from popbench.stats import OrderAgreement

FILE = "card.json"
KIND = "measured"
"""The kind of a card.json of `popbench predictor eval --predictor`: of a predictor that has no folder of its own."""


class Share(TypedDict):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


class Accuracy(Share):
    """The share of pairs of videos in the true order, of those that are predicted to differ; true ties count half."""

    pairs: int


ByDifference = TypedDict(
    "ByDifference",
    {"from": float, "to": float | None, "pairs": int, "value": float, "low": float, "high": float},
)
"""An `Accuracy` of the pairs whose predictions differ by `from` up to `to`, None for no limit."""


class BetweenCategories(Accuracy):
    """The share of pairs of categories of which the one that is predicted to win more videos does so in truth."""

    categories: int


class PredictorCard(TypedDict):
    """How far a predictor's order carries to a real measure, by held-out real videos.

    `measure` is what was counted, such as `comments`; `data` says of which videos, and `digest` identifies them with
    their counts. `scale` is that of the scores: on the positive one, differences are of log2 of scores. `src` is
    Spearman's rank correlation. `remarks` are lines on what makes a card better or worse than the truth.
    """

    measure: str
    data: str
    digest: str
    scale: Literal["positive", "real"]
    videos: int
    src: NotRequired[Share]
    accuracy: Accuracy
    by_difference: list[ByDifference]
    between_categories: NotRequired[BetweenCategories]
    remarks: NotRequired[list[str]]


def checked(card: object) -> PredictorCard:
    """Return what a predictor gives as its card, checked; raises ValueError that says in one line what is wrong."""
    import pydantic

    try:
        found: PredictorCard = _adapter().validate_python(card, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {one_line(first['msg'], 100)}") from None
    rows = found["by_difference"]
    if not rows:
        raise ValueError("by_difference: it is empty")
    ends = [0.0, *(row["to"] for row in rows)]
    if [row["from"] for row in rows] != ends[:-1] or ends[-1] is not None or _falls(ends[:-1]):
        raise ValueError("by_difference: from 0 on, each row begins where the one before ends, and the last has no end")
    for share in (found["accuracy"], *rows, *([found["between_categories"]] if "between_categories" in found else [])):
        if not 0 <= share["low"] <= share["value"] <= share["high"] <= 1 or share["pairs"] < 1:
            raise ValueError("a share of pairs is not between the ends of its interval, these between 0 and 1")
    return found


def _falls(ends: list[Any]) -> bool:
    return any(end is None or not isfinite(end) for end in ends) or any(b <= a for a, b in pairwise(ends))


@cache
def _adapter() -> Any:
    import pydantic

    return pydantic.TypeAdapter(PredictorCard)


def card_of(document: Mapping[str, Any]) -> PredictorCard | None:
    """Return the card in a card.json, of a trained predictor or a measured one; None if it has no pairs of videos."""
    try:
        metrics, corpus = document["metrics"], document["corpus"]
        pairs, part = metrics["pairs"], metrics["part"]
        card: dict[str, Any] = {
            "measure": document["target"],
            "data": f"{metrics['model']['n']:,} videos of corpus {corpus['label']}, part {part}",
            "digest": corpus["parts"][part],
            "scale": pairs.get("scale", "positive"),
            "videos": metrics["model"]["n"],
            "accuracy": _of(pairs),
            "by_difference": [{"from": row["from"], "to": row["to"], **_of(row)} for row in pairs["by_difference"]],
        }
        if metrics["model"]["src"]["value"] is not None:
            card["src"] = {name: metrics["model"]["src"][name] for name in ("value", "low", "high")}
        if between := pairs.get("between_categories"):
            card["between_categories"] = {"categories": between["categories"], **_of(between)}
        if remarks := metrics.get("remarks"):
            card["remarks"] = list(remarks)
        return checked(card)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def _of(share: Mapping[str, Any]) -> dict[str, Any]:
    return {name: share[name] for name in ("pairs", "value", "low", "high")}


def read_card(path: Path, digest: str, label: str) -> PredictorCard:
    """Read the card that `popbench predictor eval --predictor` wrote, from its folder or its card.json.

    `digest` is that of the fingerprint of the predictor that it has to be of, and `label` its name in messages. Raises
    UsageError for a file that is no card, or that of another predictor.
    """
    again = "give the folder that `popbench predictor eval --predictor ... --out FOLDER` wrote"
    file = path / FILE if path.is_dir() else path
    try:
        document = read_json(file)
        of, card = document["predictor"]["digest"], card_of(document)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UsageError(f"predictor {label}: card={path}: not a card ({damage(error)}): {again}") from error
    if card is None:
        raise UsageError(f"predictor {label}: card={path}: it has no pairs of videos: measure on more of them")
    if of != digest:
        raise UsageError(
            f"predictor {label}: card={path}: the card of another predictor ({document['predictor'].get('label')}), or "
            "of other options: their fingerprints differ; measure this one with `popbench predictor eval --predictor`"
        )
    return card


def agreement_of(card: PredictorCard) -> OrderAgreement:
    """Return a card's accuracy by difference as a curve that does not fall; its intervals stay as they are."""
    import numpy as np
    from scipy.optimize import isotonic_regression

    from popbench.stats import OrderAgreement

    rows = cast("list[dict[str, Any]]", card["by_difference"])
    value, low, high, pairs = (np.array([row[name] for row in rows]) for name in ("value", "low", "high", "pairs"))
    edges = np.array([*(row["from"] for row in rows), np.inf], dtype=np.float64)
    return OrderAgreement(edges, isotonic_regression(value, weights=pairs).x, low, high, pairs, card["videos"])
