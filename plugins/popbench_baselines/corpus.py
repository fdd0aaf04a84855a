"""The made-up corpus: ten partitions of invented videos, so that prompt enhancement runs without a data set.

`build_corpus.py` makes it. Its numbers say nothing about real popularity.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import popbench
from popbench.video import sha256
from popbench_baselines.build_corpus import FILE

_PARTS = ("train", "valid", "test")


class DemoCorpus(popbench.Corpus):
    """Invented videos with invented popularity."""

    version = "1"
    demo = True

    def content(self) -> str:
        """Hash the data."""
        return sha256(FILE)

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        """Yield the rows of one part, or of all three, in the order of the file."""
        if part not in (*_PARTS, "all"):
            raise ValueError(f"no part {part!r} in the corpus: expected {', '.join(_PARTS)} or all")
        return self._rows(part)

    @staticmethod
    def _rows(part: str) -> Iterator[popbench.Reference]:
        with FILE.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if part in ("all", row["part"]):
                    yield popbench.Reference(
                        id=row["video_id"],
                        title=row["title_en"],
                        description=row["cover_desc"],
                        caption=row["caption_en"],
                        tag=row["partition"],
                        popularity=row["comment_count"],
                    )
