"""Leakage: predictors that were trained on the videos that they judge by. A run refuses them, or boards say so."""

from __future__ import annotations

from collections.abc import Sequence

from popbench.errors import UsageError, one_line
from popbench.interfaces import PARTS, Corpus
from popbench.planning.systems import Part


def leaks(corpus: Part, predictors: Sequence[Part]) -> dict[str, str]:
    """Return the predictors that were trained on the part of a corpus in use, by label, each with how.

    References and human videos come from that part. Corpora are identified by the name that they are registered under,
    or `known_as`. The text is a sentence that begins with the predictor's name. Raises UsageError for a predictor whose
    `trained_on` fails.
    """
    component: Corpus = corpus.resolved.component
    name, part = component.known_as or corpus.resolved.spec.name, component.part
    parts = [f"{name}/{one}" for one in (PARTS if part == "all" else (part,))]
    trained = {}
    for predictor in predictors:
        try:
            seen = list(predictor.resolved.component.trained_on())
        except Exception as error:  # a plugin's code may raise anything
            raise UsageError(f"predictor {predictor.label}: what it was trained on: {one_line(error)}") from error
        shared = [one for one in parts if one in seen or f"{name}/all" in seen]
        if shared:
            trained[predictor.label] = (
                f"was trained on {' and '.join(shared)}, where references and human videos are from"
            )
    return trained
