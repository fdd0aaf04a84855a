"""An embedder without a model: words and pieces of words are hashed into a vector.

Texts are near each other if they share words, or parts of words ("cook", "cooking"). It knows no synonyms. With it,
retrieval runs offline and gives the same result on every machine.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
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
"""Weights of a whole word, and of a common word. The pieces of a word have the same weight together."""


_CACHED_WORDS = 2**17
"""The number of words whose features are cached: enough for the common words of any language."""


@lru_cache(maxsize=_CACHED_WORDS)
def _features(word: str) -> tuple[tuple[str, float, int], ...]:
    """Return the features of a word: text, weight and hash of each."""
    weight = _COMMON_WORD if word in _COMMON else _WHOLE
    parts = [(word, weight)]
    if weight == _WHOLE:
        edged = f"<{word}>"
        grams = [edged[i : i + n] for n in _GRAMS for i in range(len(edged) - n + 1)]
        parts += [(f"#{gram}", weight / len(grams) ** 0.5) for gram in grams]
    return tuple((feature, share, zlib.crc32(feature.encode())) for feature, share in parts)


class Hashing(popbench.Embedder):
    """Hashed words and n-grams as unit vectors; no model.

    N-grams are of characters, and counts are damped.
    """

    version = "1"

    class Options(popbench.Options):
        """`dim` is the length of the vectors: the longer, the fewer words share a place by chance."""

        dim: int = pydantic.Field(512, ge=16, le=65536)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts independently. A text without a letter or digit becomes a row of zeros."""
        import numpy as np

        rows = np.zeros((len(texts), self.options.dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            values = self._encode(text)
            row[list(values)] = list(values.values())
        return rows

    def _encode(self, text: str) -> dict[int, float]:
        """Return the non-zero entries of a text's vector by index."""
        counts: dict[str, int] = {}
        weights: dict[str, tuple[float, int]] = {}
        for word, times in Counter(re.findall(r"[^\W_]+", text.lower())).items():
            for feature, weight, code in _features(word):
                counts[feature] = counts.get(feature, 0) + times
                if feature not in weights or weight > weights[feature][0]:
                    weights[feature] = weight, code
        dim = self.options.dim
        vector: dict[int, float] = {}
        for feature, count in counts.items():
            weight, code = weights[feature]
            # with random signs, collisions cancel out on average
            value = (weight if code >> 31 else -weight) * (1 + math.log(count))
            vector[code % dim] = vector.get(code % dim, 0.0) + value
        length = math.sqrt(math.fsum(value * value for value in vector.values()))
        return {place: value / length for place, value in vector.items()} if length > 0 else {}
