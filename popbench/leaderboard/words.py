"""Sentences about what a board's numbers mean, for all its outputs."""

from __future__ import annotations

ORDER = (
    "Rows and ranks are in one order: by the number of systems that win most prompts against a system, equal ones by "
    "mean win rate, and none above one that is decided to be better."
)
