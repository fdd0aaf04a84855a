"""Computes how much of the scores and of the win rates is luck: the rows of `luck` in results.json.

They are there for tables with repeats alone: with one repeat, seeds and prompts cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popbench import stats
from popbench.leaderboard.pairs import LEVEL, flipped
from popbench.records import JSON
from popbench.scores.scores import Block

FEWEST_PROMPTS = 10
"""With fewer prompts there are no components, as there are no verdicts."""
_DIGITS = 6
"""Inverted laws differ between versions of scipy in later digits."""


def luck_rows(
    block: Block, strata: Any, pairs: Sequence[dict[str, Any]], drafts: Mapping[str, str], table_of: dict[str, JSON]
) -> Iterator[dict[str, Any]]:
    """Yield the row of a table, if it has repeats.

    Args:
        block: the scores of the table.
        strata: the stratum of each prompt.
        pairs: the rows of `pairs` of this table.
        drafts: by system, a name of the drafts that it renders; the same for systems that render the same ones.
        table_of: `task` and `predictor`.
    """
    n_prompts, n_repeats = block.values.shape[1:]
    if n_repeats < 2 or n_prompts < FEWEST_PROMPTS:
        return
    drawing = _drawing(block.values)
    scores = _scores(block)[drawing]
    names = [drafts.get(block.systems[system], f"\0{system}") for system in np.flatnonzero(drawing)]
    components = stats.variance_components(scores, np.unique(names, return_inverse=True)[1], LEVEL)
    if not components:  # hardly a sample has a score
        return
    total = sum(component.value for component in components.values())
    row: dict[str, Any] = {
        **table_of,
        "n": n_prompts,
        "repeats": n_repeats,
        "systems": int(drawing.sum()),
        "scores": "log" if block.scale == "positive" else "raw",
        "without_score": int(np.isnan(scores).sum()),
        "components": {
            name: {
                "variance": _short(component.value),
                "low": _short(component.low),
                "high": _short(component.high),
                "share": _short(component.value / total) if total else None,
            }
            for name, component in components.items()
        },
    }
    if len(pairs):
        row |= _win_rates(block, strata, pairs)
    yield row


def _drawing(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which systems have repeats that differ anywhere; all, if none has: human videos are not drawn anew."""
    drawing: NDArray[np.bool_] = (values != values[:, :, :1]).any(axis=(1, 2))
    return drawing if drawing.any() else np.ones_like(drawing)


def _scores(block: Block) -> NDArray[np.float64]:
    """Return the logarithms of popularity, on a real scale the scores as they are; NaN for invalid samples."""
    if block.scale == "real":
        return np.where(np.isfinite(block.values), block.values, np.nan)
    return np.log(np.where(block.values > 0, block.values, np.nan))


def _win_rates(block: Block, strata: Any, pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    n, repeats = block.values.shape[1:]
    of = stats.win_rate_variance(block.values, strata, block.scale)

    def sd(variances: Any, samples: int) -> float:
        return _short(float(np.sqrt(np.mean(variances) / samples)))

    fragile = []
    for index, given in enumerate(pairs):
        pair = flipped(given) if given["verdict"] == "worse" else given
        prompts, seeds = float(of.prompts[index]), float(of.seeds[index])
        if _is_fragile(pair, prompts, seeds, repeats):
            fragile.append(
                {
                    "a": pair["a"],
                    "b": pair["b"],
                    "win_rate": pair["win_rate"]["value"],
                    "by_repeat": [
                        _short(rate)
                        for rate in (of.by_repeat[index] if pair is given else 1 - of.by_repeat[index]).tolist()
                    ],
                    "sd_prompts": sd(prompts, n),
                    "sd_seeds": sd(seeds, n * repeats),
                    "sd_seeds_one_repeat": sd(seeds, n),
                }
            )
    return {
        "win_rates": {
            "pairs": len(pairs),
            "sd_prompts": sd(of.prompts, n),
            "sd_seeds": sd(of.seeds, n * repeats),
            "sd_seeds_one_repeat": sd(of.seeds, n),
        },
        "seed_fragile": fragile,
    }


def _is_fragile(pair: Mapping[str, Any], prompts: float, seeds: float, repeats: int) -> bool:
    """Say whether the verdict of a pair, the better one first, holds over prompts and hangs on seeds.

    That is so for a pair that is decided, whose seeds vary more than its prompts, and that one repeat would leave open
    more likely than not: with the same win rate, and the interval of the verdict as much wider as the variance of one
    repeat is larger.
    """
    rate = pair["win_rate"]["value"]
    if pair["verdict"] != "better" or seeds <= prompts:
        return False
    width = rate - pair["win_rate"]["simultaneous"][0]
    return bool(rate - 0.5 <= width * np.sqrt((prompts + seeds) / (prompts + seeds / repeats)))


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
