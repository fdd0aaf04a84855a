"""Predictors that are trained on a corpus: MMRA, the paper's, and `titles`, a light one of titles alone.

`popbench predictor train` trains a model on a corpus with videos, `popbench predictor import` imports a released
checkpoint, and `--predictor mmra,path=FOLDER` scores clips with either. `popbench predictor train titles` needs no
videos, and `--predictor titles,model=FOLDER` scores with its model. `popbench_mmra.MMRA` is the model alone, a
torch module. Heavy libraries are imported only when they are used.
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
    """Register the predictors."""
    register("mmra", "popbench_mmra.predictor:MMRAPredictor")
    register("titles", "popbench_mmra.titles.predictor:TitlesPredictor")


def __getattr__(name: str) -> Any:
    if name != "MMRA":
        raise AttributeError(f"module 'popbench_mmra' has no attribute {name!r}")
    from popbench_mmra.model import MMRA

    return MMRA
