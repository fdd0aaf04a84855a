"""An embedder without a model: words and pieces of words, hashed into a vector.

Texts are near each other when they share words, or parts of words ("cook", "cooking"). It knows no synonyms;
it is there so that retrieval runs offline and gives the same answer everywhere.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pydantic

import popbench

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COMMON_WORDS = """
a an and are as at be by for from has have in into is it its of on or over that the their this to under was
were who will with
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_GRAMS = (3, 4)
_WHOLE, _COMMON_WORD = 1.0, 0.1
"""Weights of a word as a whole; its pieces share as much again between them."""


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in re.findall(r"[^\W_]+", text.lower()):
        weight = _COMMON_WORD if word in _COMMON else _WHOLE
        yield word, weight
        if weight == _WHOLE:
            edged = f"<{word}>"
            grams = [edged[i : i + n] for n in _GRAMS for i in range(len(edged) - n + 1)]
            for gram in grams:
                yield f"#{gram}", weight / len(grams) ** 0.5


class Hashing(popbench.Embedder):
    """Hashed words and character n-grams, with damped counts, as unit vectors."""

    version = "1"

    class Options(popbench.Options):
        """`dim` is the length of the vectors: the longer, the fewer words share a place by chance."""

        dim: int = pydantic.Field(512, ge=16, le=65536)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts, each for itself; one without a letter or digit becomes a row of zeros."""
        import numpy as np

        dim = self.options.dim
        vectors = np.zeros((len(texts), dim), np.float64)
        for vector, text in zip(vectors, texts, strict=True):
            counts: Counter[str] = Counter()
            weights: dict[str, float] = {}
            for feature, weight in _features(text):
                counts[feature] += 1
                weights[feature] = max(weight, weights.get(feature, 0.0))
            for feature, count in counts.items():
                code = zlib.crc32(feature.encode())
                # the sign lets collisions cancel out on average instead of adding up
                sign = 1.0 if code >> 31 else -1.0
                vector[code % dim] += sign * weights[feature] * (1 + math.log(count))
            length = math.sqrt(math.fsum(value * value for value in vector.tolist()))
            if length > 0:
                vector /= length
        return vectors.astype(np.float32)
