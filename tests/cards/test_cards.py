"""Cards are computed, read and checked, those of earlier versions too; what a plugin keeps by that name is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import made_cards
import popbench
from popbench.cards.card import agreement_of, card_of, checked, read_card
from popbench.cards.measure import measure_part
from popbench.cards.text import metrics_lines, pair_tables
from popbench.errors import UsageError
from popbench.planning.systems import as_part
from popbench.registry import Registry

EARLIER = {
    "videos": 6, "pairs": 15, "value": 0.7, "low": 0.4, "high": 0.9,
    "by_difference": [
        {"from": 0.0, "to": 0.5, "videos": 6, "pairs": 7, "value": 0.62, "low": 0.3, "high": 0.8},
        {"from": 0.5, "to": None, "videos": 6, "pairs": 8, "value": 0.58, "low": 0.35, "high": 0.95},
    ],
    "by_category": [{"category": "x", "videos": 6, "pairs": 15, "value": 0.7, "low": 0.4, "high": 0.9}],
}  # fmt: skip
"""The pairs of a card of earlier: it told videos by difference, and did not make the shares rise."""


def earlier() -> dict[str, Any]:
    found = made_cards.document()
    found["metrics"]["pairs"] = EARLIER
    return found


def test_a_card_of_earlier_is_read_and_its_curve_does_not_fall() -> None:
    card = card_of(earlier())
    assert card is not None
    assert [row["value"] for row in card["by_difference"]] == [0.62, 0.58]
    curve = agreement_of(card)
    assert (np.diff(curve.value) >= 0).all()
    assert curve.at([0.1, 99.0])[1].tolist() == [0.3, 0.35]
    assert "between categories" not in dict(pair_tables(earlier()["metrics"]))


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": None}, {"metrics": {}}, {"corpus": None}, {"target": 3}, {"metrics": {"pairs": []}},
    ],
)  # fmt: skip
def test_what_has_no_pairs_is_no_card(change: dict[str, Any]) -> None:
    assert card_of({**made_cards.document(), **change}) is None
    assert card_of({}) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"by_difference": []}, "by_difference: it is empty"),
        ({"measure": 3}, "measure: "),
        ({"scale": "log"}, "scale: "),
        ({"accuracy": {"pairs": 3, "value": 0.5, "low": 0.6, "high": 0.7}}, "not between the ends of its interval"),
        ({"accuracy": {"pairs": 3, "value": float("nan"), "low": 0.6, "high": 0.7}}, "not between the ends"),
        ({"accuracy": {"pairs": 0, "value": 0.5, "low": 0.4, "high": 0.7}}, "not between the ends"),
    ],
)
def test_a_card_that_is_none_is_refused_in_a_line(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked({**made_cards.measured(), **change})


@pytest.mark.parametrize("limits", [[(0.0, 1.0), (2.0, None)], [(0.0, 1.0), (1.0, 3.0)], [(0.5, None)], [(0.0, 0.0)]])
def test_differences_go_from_0_to_no_end_without_a_gap(limits: list[tuple[float, float | None]]) -> None:
    card = made_cards.measured()
    rows = [{**card["by_difference"][0], "from": least, "to": most} for least, most in limits]
    with pytest.raises(ValueError, match="from 0 on"):
        checked({**card, "by_difference": rows})


def test_measures_of_predictions_are_whole() -> None:
    metrics = made_cards.document(0.6)["metrics"]
    pairs = metrics["pairs"]
    assert sum(row["pairs"] for row in pairs["by_difference"]) == pairs["pairs"]
    shares = [row["value"] for row in pairs["by_difference"]]
    assert shares == sorted(shares)
    assert pairs["between_categories"]["categories"] == 5
    assert pairs["between_categories"]["pairs"] == 10
    assert len(pairs["by_category"]) == 5
    text = "\n".join(metrics_lines(metrics, "their mean"))
    for part in ("| SRC |", "predicted to differ by a factor", "within category", "between categories", "their mean"):
        assert part in text


def test_scores_that_are_no_counts_have_no_error() -> None:
    metrics = made_cards.document(0.6, real=True)["metrics"]
    assert "mean" not in metrics
    assert set(metrics["model"]) == {"n", "src"}
    text = "\n".join(metrics_lines(metrics, "their mean"))
    assert "MAE" not in text
    assert "factor" not in text


def test_where_there_is_no_order_there_are_no_pairs() -> None:
    ones, rising = np.ones(9), np.arange(9.0)
    assert "pairs" not in measure_part("test", ones, rising, 0.0, ["a"] * 9)
    assert "pairs" not in measure_part("test", rising, ones, 0.0, ["a"] * 9)
    assert "pairs" not in measure_part("test", rising[:2], rising[:2], 0.0, ["a"] * 2)
    few = measure_part("test", rising[:3], rising[:3], 0.0, ["a"] * 3)
    assert few["pairs"]["pairs"] == 3
    tied = measure_part("test", np.array([1.0, 1, 1, 2]), np.arange(4.0), 0.0, ["a"] * 4)["pairs"]
    assert (tied["pairs"], tied["equal"], len(tied["by_difference"])) == (3, 3, 1)


def test_a_given_card_is_that_of_the_predictor(tmp_path: Path) -> None:
    document = {**made_cards.document(), "predictor": {"digest": "d", "label": "judge"}}
    (tmp_path / "card.json").write_text(json.dumps(document), encoding="utf-8")
    assert read_card(tmp_path, "d", "judge") == read_card(tmp_path / "card.json", "d", "judge") == card_of(document)
    with pytest.raises(UsageError, match="the card of another predictor"):
        read_card(tmp_path, "e", "judge")
    for text in ("{", "[]", json.dumps({"predictor": None})):
        (tmp_path / "card.json").write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match="not a card"):
            read_card(tmp_path, "d", "judge")
    (tmp_path / "card.json").write_text(json.dumps({**document, "metrics": None}), encoding="utf-8")
    with pytest.raises(UsageError, match="no pairs of videos"):
        read_card(tmp_path, "d", "judge")


class Plain(popbench.Predictor):
    """Scores nothing."""

    version = "1"

    def score(self, items: Any) -> Iterator[popbench.Score]:
        """Yield nothing."""
        yield from ()


class OwnAttribute(Plain):
    """A plugin of earlier, which keeps something of its own under the name."""

    card: ClassVar[Any] = {"colour": "red"}


class OwnMethod(Plain):
    """Another one."""

    def card(self) -> Any:
        """Return something of its own."""
        return Path("card.png")


class Says(Plain):
    """Says its card."""

    def card(self) -> popbench.PredictorCard:
        """Return it."""
        return made_cards.measured()


class Wrong(Plain):
    """Says what is none."""

    def card(self) -> Any:
        """Return rows without an end."""
        return {**made_cards.measured(), "by_difference": [{}]}


def part(cls: type[popbench.Predictor]) -> Any:
    registry = Registry()  # of its own: names of the shared one are listed by other tests
    return as_part(registry.resolve("predictor", registry.adopt("predictor", cls)))


def test_a_predictor_says_its_card_and_its_fingerprint_does_not_depend_on_it() -> None:
    assert part(Plain).card is part(OwnAttribute).card is part(OwnMethod).card is None
    assert part(Says).card == made_cards.measured()
    assert set(part(Says).fingerprint) == set(part(Plain).fingerprint)
    with pytest.raises(UsageError, match="predictor Wrong: its card\\(\\) is not one"):
        part(Wrong)
