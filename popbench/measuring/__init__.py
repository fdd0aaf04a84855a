"""Measures any predictor on real videos that it has not seen, and writes its card.

Takes a predictor's spec and a part of a corpus; hands on card.json, README.md and scores.jsonl in a folder. `videos`
chooses what is scored, `scoring` asks the predictor, once for each video whatever happens, and `measure` makes the
card. Public: `popbench predictor eval` of a plugin calls `measure_predictor`.
"""

from popbench.measuring.measure import FLAT, measure_predictor
from popbench.measuring.videos import HeldOut

__all__ = ["FLAT", "HeldOut", "measure_predictor"]
