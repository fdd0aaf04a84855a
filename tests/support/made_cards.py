"""Cards of predictors that do not exist, of made real videos or with given numbers, for tests of boards."""

from __future__ import annotations

from typing import Any

import numpy as np

from popbench.cards.card import PredictorCard, card_of, checked
from popbench.cards.measure import measure_part


def document(correlation: float = 0.5, n: int = 400, *, real: bool = False, seed: int = 0) -> dict[str, Any]:
    """Return the card.json of a predictor whose predictions have this correlation with what came of n videos."""
    rng = np.random.default_rng(seed)
    predicted = rng.standard_normal(n)
    true = correlation * predicted + np.sqrt(1 - correlation**2) * rng.standard_normal(n)
    tags = [("cats", "dogs", "cars", "tea", "rain")[number % 5] for number in range(n)]
    metrics = measure_part("test", predicted, true, 0.0, tags, real=real)
    corpus = {"label": "made", "parts": {"test": "0" * 32}}
    return {"target": "views", "metrics": metrics, "corpus": corpus}


def measured(correlation: float = 0.5, n: int = 400, *, real: bool = False) -> PredictorCard:
    """Return the card itself."""
    card = card_of(document(correlation, n, real=real))
    assert card is not None
    return card


def given(values: list[float], limits: list[float], slack: float = 0.05, **more: Any) -> PredictorCard:
    """Return a card with these accuracies between 0, these limits, and no limit."""
    ends = [0.0, *limits, None]
    rows = [
        {"from": least, "to": most, "pairs": 100, "value": value, "low": value - slack, "high": value + slack}
        for value, least, most in zip(values, ends, ends[1:], strict=False)
    ]
    whole = {"pairs": 100 * len(values), "value": 0.7, "low": 0.6, "high": 0.8}
    card = {"measure": "views", "data": "some videos", "digest": "d", "scale": "positive", "videos": 50}
    return checked({**card, "accuracy": whole, "by_difference": rows, **more})
