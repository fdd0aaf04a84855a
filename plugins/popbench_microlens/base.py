"""Shared by the two corpora: fingerprints that hold the content instead of its path, and counts of skipped lines."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar

import popbench
from popbench.errors import UsageError
from popbench.interfaces import PARTS
from popbench_microlens.tally import Tally


class DataCorpus(popbench.Corpus):
    """A corpus that is read from files or from the hub."""

    version = "1"
    location_options: ClassVar[frozenset[str]] = frozenset()
    """Options that say where the data are. The fingerprint has `content()` instead of them."""

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._tally = Tally()

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Identify the rows by their content, the same in any folder; the content is None if they are missing."""
        base = dict(popbench.Component.fingerprint(self))
        left_out = set(self.location_options)
        try:
            content = self.content()
            left_out.add("revision")  # the content holds the commit that it names
        except UsageError:  # check() reports it, together with problems of other components
            content = None
        options = {name: value for name, value in self.options.determining().items() if name not in left_out}
        return {**base, "options": options, "content": content}

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        """Yield the rows of a part; raises ValueError for an unknown part, UsageError for unreadable data."""
        if part not in (*PARTS, "all"):
            raise ValueError(f"no part {part!r} in the corpus: expected {', '.join(PARTS)} or all")
        return self._rows_of_part(part)

    def _rows_of_part(self, part: str) -> Iterator[popbench.Reference]:
        for line in self.check():
            raise UsageError(line)
        self._tally = tally = Tally()
        yield from self._rows(part, tally)

    @abstractmethod
    def _rows(self, part: str, tally: Tally) -> Iterator[popbench.Reference]:
        """Yield the rows of one part, and count what is skipped or repaired."""

    def remarks(self) -> list[str]:
        """Return what was skipped or repaired in the rows read last, one line each."""
        return self._tally.lines()
