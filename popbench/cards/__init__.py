"""Cards of predictors: how well one predicts real outcomes of videos that it has not seen.

Takes predictions and real counts, or the card.json of a folder; hands on metrics, the `PredictorCard` that a run keeps
for its boards, and tables. `measure` computes, `card` reads and checks, `text` shows. Public, for plugins too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from popbench.cards.card import PredictorCard, card_of
    from popbench.cards.measure import errors, measure_part, spearman
    from popbench.cards.text import code, metric, metric_table, metrics_lines, pair_tables, plain

_HOME = {
    "card": ("PredictorCard", "card_of"),
    "measure": ("errors", "measure_part", "spearman"),
    "text": ("code", "metric", "metric_table", "metrics_lines", "pair_tables", "plain"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "PredictorCard",
    "card_of",
    "code",
    "errors",
    "measure_part",
    "metric",
    "metric_table",
    "metrics_lines",
    "pair_tables",
    "plain",
    "spearman",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:  # what measures needs numpy, which `import popbench` does not
        raise AttributeError(f"module 'popbench.cards' has no attribute {name!r}")
    return getattr(import_module(f"popbench.cards.{_MODULE_OF[name]}"), name)
