"""What the two corpora share: contents stand for places in fingerprints, and what is wrong is told in one line."""

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
    places: ClassVar[frozenset[str]] = frozenset()
    """The options that say where the data are, and so are in no fingerprint: `content()` says what they are."""

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._tally = Tally()

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Say what the rows are, wherever they lie; the content is None where they are not to be had."""
        found = dict(popbench.Component.fingerprint(self))
        unsaid = set(self.places)
        try:
            content = self.content()
            unsaid.add("revision")  # another name of the commit, which is in the content
        except UsageError:  # check() tells, together with what other components lack
            content = None
        options = {name: value for name, value in self.options.determining().items() if name not in unsaid}
        return {**found, "options": options, "content": content}

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        """Yield the rows of one part; raises ValueError for another, UsageError for data that cannot be read."""
        if part not in (*PARTS, "all"):
            raise ValueError(f"no part {part!r} in the corpus: expected {', '.join(PARTS)} or all")
        return self._told(part)

    def _told(self, part: str) -> Iterator[popbench.Reference]:
        for line in self.check():
            raise UsageError(line)
        self._tally = tally = Tally()
        yield from self._rows(part, tally)

    @abstractmethod
    def _rows(self, part: str, tally: Tally) -> Iterator[popbench.Reference]:
        """Yield the rows of one part and count what is skipped or mended."""

    def remarks(self) -> list[str]:
        """Tell what was skipped or mended in the rows read last."""
        return self._tally.lines()
