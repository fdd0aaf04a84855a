"""Published videos, and the vectors that references are found with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from popbench.interfaces.component import Component
from popbench.options import Options
from popbench.records import JSON, Reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Options = Options


class Embedder(Component, ABC):
    """Turns texts into vectors; texts of similar meaning have a small distance.

    Texts of a corpus, its titles and its tags' names go through `encode`, users' prompts through `encode_queries`.

    >>> import numpy as np
    >>> import popbench
    >>> class Letters(popbench.Embedder):
    ...     "Counts letters."
    ...
    ...     version = "1"
    ...
    ...     def encode(self, texts):
    ...         rows = [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
    ...         counts = np.array(rows, np.float32).reshape(len(texts), 26)
    ...         lengths = np.linalg.norm(counts, axis=1, keepdims=True)
    ...         return counts / np.where(lengths > 0, lengths, 1)
    """

    kind = "embedder"

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 (len(texts), d); rows have length 1, or 0 for an empty text."""

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return what `encode` does, of texts that something is searched with.

        The default is `encode`. Override it for a model that is trained to tell queries from what they find, for
        instance by instructions before each; rows of both are compared.
        """
        return self.encode(texts)

    @property
    def tells_queries(self) -> bool:
        """Whether `encode_queries` gives other rows than `encode`; by default, whether a class overrides it."""
        return type(self).encode_queries is not Embedder.encode_queries


PARTS = ("train", "valid", "test")
"""The parts of a corpus; `all` is their union."""

CorpusPart = Literal["train", "valid", "test", "all"]


class CorpusOptions(Options):
    """The options of a corpus of which users may choose a part; subclass it to add others."""

    part: CorpusPart = pydantic.Field("test", description="the part that references and human videos come from")


class Corpus(Component, ABC):
    """A collection of published videos with their popularity: for prompt enhancement and the human baseline.

    >>> import popbench
    >>> class Shelf(popbench.Corpus):
    ...     "Two videos, of which one is left for references."
    ...
    ...     version = "1"
    ...
    ...     def rows(self, part):
    ...         if part not in ("train", "valid", "test", "all"):
    ...             raise ValueError(f"no part {part!r}")
    ...         if part in ("train", "all"):
    ...             yield popbench.Reference("a", "A cat", "a cat on a sofa", "my cat #cat", "pets", 12)
    ...         if part in ("test", "all"):
    ...             yield popbench.Reference("b", "A dog", "a dog in snow", "winter", "pets", 480)
    """

    kind = "corpus"
    Options: ClassVar[type[_Options]] = CorpusOptions
    known_as: str = ""
    """The name that a predictor's `trained_on()` gives it; if empty, the name it is registered under."""

    @property
    def part(self) -> str:
        """The part that references and human videos come from; predictors are not trained on `test`, the default."""
        return str(self.options.part) if isinstance(self.options, CorpusOptions) else "test"

    @abstractmethod
    def rows(self, part: str) -> Iterator[Reference]:
        """Yield the rows of a part, `train`, `valid`, `test` or `all`; a part may be larger than memory.

        Raises ValueError for any other part, UsageError for data that cannot be used.
        """

    def content(self) -> str:
        """Return a text that identifies the rows and changes with any of them; indexes are cached under it.

        The default is a hash of all rows, part by part, independent of their order. With many rows, a revision or a
        file's hash is faster.
        """
        import hashlib

        total = 0
        for part in PARTS:
            for row in self.rows(part):
                values = (part, row.id, row.title, row.description, row.caption, row.tag, row.popularity)
                shown = repr(values).encode()  # which escapes lone surrogates
                total += int.from_bytes(hashlib.sha256(shown).digest(), "big")
        return f"{total % 2**128:032x}"

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add `content()`."""
        return {**super().fingerprint(), "content": self.content()}

    def remarks(self) -> list[str]:
        """Return what was skipped or repaired in the rows read last, one line each, with how many and where."""
        return []
