"""Reads the raw files of MicroLens-100k: five text files without headers in one folder.

Rows come in the order of the file of likes and views, over which the split is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from popbench.errors import UsageError
from popbench.video import sha256
from popbench_microlens.lines import count_rows, read_fields, read_ids, read_pairs, unreadable
from popbench_microlens.tally import Tally
from popbench_microlens.values import count, is_there

LIKES = "MicroLens-100k_likes_and_views.txt"
TITLES = "MicroLens-100k_title_en.csv"
CAPTIONS = "Microlens100K_captions_en.csv"
COMMENTS = "MicroLens-100k_comment_en.txt"
TAGS = "tags_to_summary.csv"
FILES = (LIKES, TITLES, CAPTIONS, COMMENTS, TAGS)

Counted = Literal["comments", "views", "likes"]
"""The count that a video's popularity is."""
_FIELDS = {"likes": 1, "views": 2}


@dataclass(frozen=True, slots=True)
class Record:
    """One video of the data. `popularity` is None if its number cannot be read.

    `source` names the file or column of `title`, `partition` and `number`, for messages about missing ones.
    """

    id: str
    title: str
    description: str
    caption: str
    tag: str
    popularity: int | float | None
    source: Mapping[str, str]


class RawFolder:
    """A folder with the five files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def problem(self) -> str | None:
        """Return in one line why the folder cannot be read, and what to do; None if it can."""
        if not is_there(self.folder, Path.is_dir):
            return f"path={self.folder}: there is no such folder; give the one that holds {LIKES} and the others"
        missing = [name for name in FILES if not is_there(self.folder / name)]
        if missing:
            return f"path={self.folder}: the folder lacks {', '.join(missing)}: download or copy what is missing"
        return None

    def digest(self) -> str:
        """Hash the five files; raises UsageError if one is missing."""
        if self.problem is not None:
            raise UsageError(self.problem)
        hasher = hashlib.sha256()
        for name in FILES:
            try:
                hasher.update(f"{name} {sha256(self.folder / name)}\n".encode())
            except OSError as error:
                raise unreadable(self.folder / name, error) from error
        return hasher.hexdigest()[:32]

    def ids(self, tally: Tally) -> list[str]:
        """Return the ids of all videos, in the order over which the split is drawn."""
        return read_ids(self.folder / LIKES, tally)

    def records(self, ids: list[str], tally: Tally, counted: Counted = "comments") -> Iterator[Record]:
        """Yield every video of `ids`, also incomplete ones. Texts are read first, comments are counted by line."""
        wanted = frozenset(ids)
        titles = read_pairs(self.folder / TITLES, ",", wanted, tally)
        captions = read_pairs(self.folder / CAPTIONS, "\t", wanted, tally)
        tags = read_pairs(self.folder / TAGS, ",", wanted, tally)
        if not any(titles.get(id_) and tags.get(id_) for id_ in ids):
            raise UsageError(f"{self.folder}: no video has a title in {TITLES} and a partition in {TAGS}")
        numbers = self._numbers(ids, tally, counted)
        source = {"title": TITLES, "partition": TAGS, "number": LIKES}
        for id_ in ids:
            title, caption, tag = (texts.get(id_, "") for texts in (titles, captions, tags))
            yield Record(id_, title, "", caption, tag, numbers.get(id_), source)

    def _numbers(self, ids: list[str], tally: Tally, counted: Counted) -> Mapping[str, int | None]:
        if counted == "comments":
            return count_rows(self.folder / COMMENTS, ids, tally)
        # reading `ids` has counted this file's malformed lines already
        fields = read_fields(self.folder / LIKES, Tally())
        return {id_: count(cells[_FIELDS[counted]]) for id_, cells in fields.items()}
