"""A table of titles whose counts follow a known law of their words, for tests of predictors of titles."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

WORDS = {"volcano": 3.0, "kitten": 1.5, "stairs": -1.5, "receipt": -3.0}
"""What a title's word adds to log2 of its count."""
_PLACES = ("harbour", "desert", "museum", "village", "station")

Row = tuple[str, str, object, str, str]


def draw(count: int, noise: float = 0.5, seed: int = 0) -> list[Row]:
    """Draw rows of id, title, count, category and part (70 % train, 10 % valid, 20 % test)."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for number in range(count):
        word, place = str(rng.choice(list(WORDS))), str(rng.choice(_PLACES))
        views = max(1, round(2 ** (10 + WORDS[word] + noise * rng.standard_normal())))
        part = ("train", "valid", "test")[int(np.searchsorted([0.7, 0.8], (number + 0.5) / count))]
        rows.append((f"v{number}", f"a {word} in the {place}, part {number}", views, place, part))
    return rows


def write(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as CSV with the columns id, title, views, category and part."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "title", "views", "category", "part"), *rows])
    return path


def spec(table: Path, *, parts: bool = True) -> str:
    """Return the spec of such a table, with or without its parts."""
    whole = f'table,path="{table}",id=id,title=title,popularity=views,tag=category,name=made'
    return f"{whole},parts=part" if parts else whole
