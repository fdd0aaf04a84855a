"""A corpus from any table of videos, in a file or on the hub. Options name its columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import ClassVar

import popbench
from popbench.errors import UsageError, unknown
from popbench.local import user_path
from popbench.specs import make_label
from popbench.tables import (
    FORMATS,
    NumberedRow,
    PointWatch,
    TableFile,
)
from popbench.video import sha256
from popbench_microlens.base import DataCorpus
from popbench_microlens.faults import Faults
from popbench_microlens.hub import HubData
from popbench_microlens.lines import unreadable
from popbench_microlens.microlens import DATA_SET, MicroLens
from popbench_microlens.table_options import LATER, TableOptions
from popbench_microlens.table_rows import Quotes, Row, TableRows
from popbench_microlens.tag_names import ENDINGS, read_names
from popbench_microlens.tally import Tally
from popbench_microlens.values import folder_problem, is_there

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_DEFAULT_TAG = "all"
"""The tag of rows without one."""


class Table(DataCorpus):
    """Any table of videos: CSV, TSV, JSONL, Parquet or a hub data set.

    Options name its columns.     Without `parts` every row is in part `test`, which retrieval uses.
    """

    Options: ClassVar[type[popbench.Options]] = TableOptions
    location_options = frozenset({"path", "tag_names"})

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        given = self.options
        self._path = user_path(given.path)
        self.known_as = given.name or self._own_name()
        self._hub = HubData(given.path, given.revision, given.split or "train", "give path=FILE")

    @property
    def _local(self) -> bool:
        path = self._path
        return is_there(path, Path.exists) or path.suffix.lower() in FORMATS or not _HUB_ID.fullmatch(self.options.path)

    def _own_name(self) -> str:
        if not self._local and self.options.path.lower() == DATA_SET.lower():  # the hub ignores case
            return MicroLens.known_as
        path = PurePath(self.options.path)
        return path.stem if self._local else path.name

    @property
    def part(self) -> str:
        """Return the part that references come from; `all` for MicroLens without `parts`.

        Without `parts`, all rows are read as `test`, which counts as unseen by predictors. Predictors were trained on
        other parts of MicroLens, so its rows must not count as unseen.
        """
        part = super().part
        unsorted = self.known_as == MicroLens.known_as and self.options.parts is None
        return "all" if unsorted and part == "test" else part

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Identify the rows. Options that are newer than the corpus are left out where they have their defaults."""
        base = super().fingerprint()
        fields = TableOptions.model_fields
        options = {
            name: value for name, value in base["options"].items() if name not in LATER or value != fields[name].default
        }
        return {**base, "options": options}

    def label(self) -> str:
        """Return a label with the data's name, without the columns."""
        part = {} if self.options.part == "test" else {"part": self.options.part}
        return make_label("table", {"data": self.known_as, **part}).replace("|", "/")

    def check(self) -> list[str]:
        """List what is missing: the file or the hub's data set, a column, the folder of videos."""
        problems = [self._file_problem() if self._local else self._hub.problem]
        if problems == [None]:
            problems = [self._content_problem()]
        if self.options.tag_names is not None:
            problems.append(self._names_problem(self.options.tag_names))
        problems.append(folder_problem("videos", self.options.videos))
        return [line for line in problems if line is not None]

    def content(self) -> str:
        """Return the SHA-256 of the file, or the hub's commit; with that of the names of tags, if they are given.

        What this version of the corpus reads otherwise than the first has another content: quotes in a TSV file, and
        class labels.
        """
        names = self.options.tag_names
        if not self._local:
            if self._hub.commit is None:
                raise UsageError(str(self._hub.problem))
            parts = [self._hub.commit]
        else:
            problem = self._file_problem()
            if problem is not None:
                raise UsageError(problem)
            parts = [self._sum(self._path)]
            if self._reads_quotes_as_text() or TableFile(self._path).labelled() & set(self.options.columns.values()):
                parts.append("2")
        return " ".join([*parts, *([] if names is None else [f"tags {self._sum(user_path(names))}"])])

    @staticmethod
    def _sum(path: Path) -> str:
        try:
            return sha256(path)
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error

    @property
    def _has_plain_quotes(self) -> bool:
        """Whether quotes are ordinary characters, since the file is TSV and nothing else was said."""
        return self._local and self._path.suffix.lower() == ".tsv" and self.options.quoting is None

    def _reads_quotes_as_text(self) -> bool:
        if not self._has_plain_quotes:
            return False
        with self._path.open("rb") as file:
            return any(b'"' in block for block in iter(lambda: file.read(2**20), b""))

    @staticmethod
    def _names_problem(names: str) -> str | None:
        if not is_there(user_path(names)):
            return f"tag_names={names}: there is no such file"
        if user_path(names).suffix.lower() not in ENDINGS:
            return f"tag_names={names}: cannot be read as names of tags (possible: {', '.join(ENDINGS)})"
        try:
            read_names(user_path(names))
        except UsageError as error:
            return str(error)
        return None

    def _file_problem(self) -> str | None:
        given = self.options
        possible = ", ".join(FORMATS)
        if is_there(self._path, Path.is_dir):
            return f"path={given.path}: a folder: give one file ({possible})"
        if not is_there(self._path):
            return f"path={given.path}: there is no such file, and it is no data set of the hub (owner/name)"
        if self._path.suffix.lower() not in FORMATS:
            return f"path={given.path}: cannot be read as a table (possible: {possible})"
        if given.split is not None or given.revision is not None:
            option = "split" if given.split is not None else "revision"
            return f"path={given.path}: {option} is for data sets on the hub; leave it out for a file"
        if given.quoting is not None and FORMATS[self._path.suffix.lower()] != "csv":
            return f"path={given.path}: quoting is for CSV and TSV: leave it out"
        return None

    def _content_problem(self) -> str | None:
        """Return a problem with the names of columns; other problems are found when rows are read."""
        try:
            columns = list(filter(None, self._file().columns())) if self._local else self._hub.columns
            if columns is None:  # not downloaded yet
                return None
            if not columns:
                return f"{self.options.path}: no rows"
            for option, column in self.options.columns.items():
                if column not in columns:
                    return f"{self.options.path}: {option}={column}: {unknown('column', column, columns)}"
            faults = Faults(self.options.path)
            if self._local and next(self._numbered(faults), None) is None:
                return str(faults.error(0)) if faults else f"{self.options.path}: no rows"
        except UsageError as error:
            return str(error)
        return None

    def _file(self) -> TableFile:
        return TableFile(self._path, self.options.quoting)

    def _numbered(self, faults: Faults) -> Iterator[NumberedRow]:
        """Yield the rows with their numbers; those that cannot be read at all are told to `faults`."""
        columns = list(dict.fromkeys(self.options.columns.values()))
        if not self._local:
            return enumerate(self._hub.rows(columns), 1)
        return self._file().rows(columns, faults.add)

    def _rows(self, part: str, tally: Tally) -> Iterator[popbench.Reference]:
        given = self.options
        names = None if given.tag_names is None else read_names(user_path(given.tag_names))
        rows = TableRows(given, self._numbered)
        chosen = rows.chosen() if given.dedupe else None
        faults, folder, watch = Faults(given.path), self._folder(), PointWatch(given.form, counts=True)
        seen: dict[str, int] = {}
        quotes = Quotes()
        for row in rows.valid(faults, watch):
            if self._has_plain_quotes:
                quotes.see(row.values.values())
            if chosen is not None:
                if chosen.get(row.id) != row.number:
                    fate = f"left out for another of the same id (dedupe={given.dedupe})"
                    tally.add(given.path, "row", fate, f"row {row.number:,}")
                    continue
            elif given.id is not None and seen.setdefault(row.id, row.number) != row.number:
                twice = f"id {row.id!r} stands in rows {seen[row.id]:,} and {row.number:,}"
                advice = "dedupe=max, last or first takes one"
                faults.add(row.number, f"{given.id} is that of an earlier row", f"{twice}: {advice}")
            if faults and given.on_error == "fail":
                continue  # the rows that follow are read for their faults
            if seen.get(row.id, row.number) != row.number:
                continue
            if self._has_text(row.number, row.values, tally) and part in (row.part, "all"):
                yield self._reference(row, names, folder, tally)
        if (problem := watch.problem()) is not None:
            raise UsageError(f"{given.path}: {given.popularity} {problem}")
        if faults and (given.on_error == "fail" or not rows.number):
            raise faults.error(rows.number)
        faults.report(tally)
        if quotes.are_of_csv:
            tally.add_line(f"{given.path}: its quotes look like those of CSV: quoting=strict reads them so")
        if not rows.number:
            raise UsageError(f"{given.path}: no rows")

    def _reference(
        self, row: Row, names: Mapping[str, str] | None, folder: Path | None, tally: Tally
    ) -> popbench.Reference:
        values, tag = row.values, row.values.get("tag")
        place = f"row {row.number:,}"
        if tag == "":
            tally.add(self.options.path, "row", f"without a tag given the tag {_DEFAULT_TAG!r}", place)
        elif tag is not None and names is not None:
            if tag not in names:
                fate = f"with a tag that {Path(str(self.options.tag_names)).name} does not name kept with its id as tag"
                tally.add(self.options.path, "row", fate, place)
            tag = names.get(tag, tag)
        return popbench.Reference(
            id=row.id,
            title=values["title"],
            description=values.get("description", ""),
            caption=values.get("caption", ""),
            tag=tag or _DEFAULT_TAG,
            popularity=row.popularity,
            video=self._video(folder, row.id, values.get("video")),
        )

    def _has_text(self, number: int, values: Mapping[str, str], tally: Tally) -> bool:
        """Return whether a row has any text; count it if it has no title."""
        if values["title"]:
            return True
        kept = bool(values.get("description") or values.get("caption"))
        fate = "without a title kept" if kept else "without title, description and caption skipped"
        tally.add(self.options.path, "row", fate, f"row {number:,}")
        return kept

    def _folder(self) -> Path | None:
        """Return the folder of video files: the given one, else that of the table."""
        if self.options.videos is not None:
            return user_path(self.options.videos)
        return self._path.parent if self._local and self.options.video is not None else None

    @staticmethod
    def _video(folder: Path | None, id_: str, given: str | None) -> Path | None:
        name = Path(f"{id_}.mp4" if given is None else given)
        if given == "" or (folder is None and not (given and name.is_absolute())):
            return None
        path = name if folder is None else folder / name
        return path if is_there(path) else None
