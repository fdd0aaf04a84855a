"""MMRA, the popularity predictor of the paper: the model, its training, its features, and scores from all of them.

`popbench predictor train` makes a model from a corpus with videos, `popbench predictor import` takes over a released
checkpoint, and `--predictor mmra,path=FOLDER` scores clips with either. `popbench_mmra.MMRA` is the model alone, a
torch module. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import popbench

if TYPE_CHECKING:
    from popbench.hookspecs import Register
    from popbench_mmra.model import MMRA

__all__ = ["MMRA"]


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    """Register the predictor."""
    register("mmra", "popbench_mmra.predictor:MMRAPredictor")


def __getattr__(name: str) -> Any:
    if name != "MMRA":
        raise AttributeError(f"module 'popbench_mmra' has no attribute {name!r}")
    from popbench_mmra.model import MMRA

    return MMRA
