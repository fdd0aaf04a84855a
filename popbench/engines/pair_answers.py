"""Which of two videos a pairwise predictor prefers, asked both ways round, outside of a run, as of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from popbench.engines.answer_stream import answers
from popbench.interfaces import PairwisePredictor, balanced
from popbench.records import CompareRequest, Failure, Score, ScoreRequest


def preferences(
    predictor: PairwisePredictor, pairs: Iterable[tuple[str, ScoreRequest, ScoreRequest]], label: str = ""
) -> Iterator[tuple[str, float | Failure]]:
    """Yield for each pair (an id, two videos) how far the first is preferred, from 1 to 0, or why that is not known.

    The mean of both orders is free of a preference for a place. Pairs come in any order, each once. Raises
    ComponentError if the predictor raises, ends early or answers wrongly.
    """
    waiting: dict[str, float | Failure] = {}

    def requests() -> Iterator[CompareRequest]:
        for id_, *sides in pairs:
            for number, (first, second) in enumerate((sides, sides[::-1])):
                key = f"{id_} {number}"
                shown = (replace(side, id=f"{key}-{place}") for place, side in enumerate((first, second), 1))
                yield CompareRequest(key, *shown, key=key)

    for answer in answers(predictor, requests(), Path(), label):
        if not isinstance(answer, Score | Failure):
            continue  # what was submitted: the answer follows
        id_, _, number = answer.id.rpartition(" ")
        given = answer if isinstance(answer, Failure) else answer.value
        if id_ not in waiting:
            waiting[id_] = given
            continue
        other = waiting.pop(id_)
        if isinstance(given, Failure) or isinstance(other, Failure):
            yield id_, given if isinstance(given, Failure) else other
        else:
            yield id_, balanced(other, given) if number == "1" else balanced(given, other)
