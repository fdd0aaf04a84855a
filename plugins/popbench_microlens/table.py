"""A corpus from any table of videos, in a file or on the hub. Options name its columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, ClassVar

import pydantic

import popbench
from popbench.errors import UsageError, unknown
from popbench.local import user_path
from popbench.specs import make_label
from popbench.video import sha256
from popbench_microlens.base import DataCorpus
from popbench_microlens.files import FORMATS, NumberedRow, TableFile
from popbench_microlens.hub import HubData
from popbench_microlens.lines import unreadable
from popbench_microlens.microlens import DATA_SET, MicroLens
from popbench_microlens.tally import Tally
from popbench_microlens.values import folder_problem, is_there, popularity, text

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_PARTS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
_DEFAULT_TAG = "all"
"""The tag of rows without one."""
_COLUMNS = ("title", "popularity", "description", "caption", "tag", "id", "video", "parts")


def _column(content: str) -> Any:
    return pydantic.Field(None, min_length=1, description=f"the column of {content}")


class TableOptions(popbench.CorpusOptions):
    """The options of `table`."""

    path: str = pydantic.Field(min_length=1, description="a CSV, TSV, JSONL or Parquet file, or owner/name of the hub")
    title: str = pydantic.Field(min_length=1, description="the column of titles")
    popularity: str = pydantic.Field(min_length=1, description="the column of popularity, for instance of comments")
    description: str | None = _column("descriptions")
    caption: str | None = _column("captions")
    tag: str | None = _column("tags; without it all rows have the tag `all`")
    id: str | None = _column("ids; without it rows are numbered from 1")
    video: str | None = _column("video files; without it they are called <id>.mp4")
    parts: str | None = _column("parts (train, valid or validation, test); without it all rows are in `test`")
    split: str | None = pydantic.Field(None, min_length=1, description="the split of a data set on the hub [train]")
    revision: str | None = pydantic.Field(None, min_length=1, description="a commit, branch or tag of it")
    videos: str | None = popbench.runtime(None, min_length=1, description="the folder that video files are in")
    name: str | None = popbench.runtime(
        None, min_length=1, description="what predictors trained on it call it; without it, the name of the file"
    )


class Table(DataCorpus):
    """Any table of videos: a CSV, TSV, JSONL or Parquet file, or a data set on the hub, columns named by options.

    Without `parts` every row is in part `test`, which retrieval uses.
    """

    Options: ClassVar[type[popbench.Options]] = TableOptions
    location_options = frozenset({"path"})

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

    def label(self) -> str:
        """Return a label with the data's name, without the columns."""
        part = {} if self.options.part == "test" else {"part": self.options.part}
        return make_label("table", {"data": self.known_as, **part}).replace("|", "/")

    def check(self) -> list[str]:
        """List what is missing: the file or the hub's data set, a column, the folder of videos."""
        problems = [self._file_problem() if self._local else self._hub.problem]
        if problems == [None]:
            problems = [self._content_problem()]
        problems.append(folder_problem("videos", self.options.videos))
        return [line for line in problems if line is not None]

    def content(self) -> str:
        """Return the SHA-256 of the file, or the hub's commit."""
        if not self._local:
            if self._hub.commit is None:
                raise UsageError(str(self._hub.problem))
            return self._hub.commit
        problem = self._file_problem()
        if problem is not None:
            raise UsageError(problem)
        try:
            return sha256(self._path)
        except OSError as error:
            raise unreadable(self._path, error) from error

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
        return None

    def _content_problem(self) -> str | None:
        """Return a problem with the names of columns; other problems are found when rows are read."""
        try:
            columns = TableFile(self._path).columns() if self._local else self._hub.columns
            if columns is None:  # not downloaded yet
                return None
            if not columns:
                return f"{self.options.path}: no rows"
            for option, column in self._named_columns().items():
                if column not in columns:
                    return f"{self.options.path}: {option}={column}: {unknown('column', column, columns)}"
            if self._local and next(TableFile(self._path).rows(list(self._named_columns().values())), None) is None:
                return f"{self.options.path}: no rows"
        except UsageError as error:
            return str(error)
        return None

    def _named_columns(self) -> Mapping[str, str]:
        """Return the columns by the option that names them."""
        named = {option: getattr(self.options, option) for option in _COLUMNS}
        return {option: column for option, column in named.items() if column is not None}

    def _rows(self, part: str, tally: Tally) -> Iterator[popbench.Reference]:
        wanted = self._named_columns()
        columns = list(dict.fromkeys(wanted.values()))
        rows: Iterator[NumberedRow] = (
            TableFile(self._path).rows(columns) if self._local else enumerate(self._hub.rows(columns), 1)
        )
        folder = self._folder()
        seen: dict[str, int] = {}
        number = 0
        for number, row in rows:
            values = {option: self._text(number, option, row.get(column)) for option, column in wanted.items()}
            try:
                count = popularity(row.get(wanted["popularity"]))
            except ValueError as error:
                raise self._row_error(number, f"{wanted['popularity']} {error}") from None
            id_ = values.get("id", str(number))
            if not id_:
                raise self._row_error(number, f"{wanted['id']} is empty: every row needs an id")
            if "id" in wanted and seen.setdefault(id_, number) != number:
                raise UsageError(f"{self.options.path}: id {id_!r} stands in rows {seen[id_]:,} and {number:,}")
            own_part = self._part(number, values)
            if not self._has_text(number, values, tally) or part not in (own_part, "all"):
                continue
            if values.get("tag") == "":
                tally.add(self.options.path, "row", f"without a tag given the tag {_DEFAULT_TAG!r}", f"row {number:,}")
            yield popbench.Reference(
                id=id_,
                title=values["title"],
                description=values.get("description", ""),
                caption=values.get("caption", ""),
                tag=values.get("tag") or _DEFAULT_TAG,
                popularity=count,
                video=self._video(folder, id_, values.get("video")),
            )
        if number == 0:
            raise UsageError(f"{self.options.path}: no rows")

    def _text(self, number: int, option: str, value: Any) -> str:
        if option == "popularity":
            return ""
        try:
            return text(value)
        except ValueError as error:
            raise self._row_error(number, f"{getattr(self.options, option)} {error}") from None

    def _row_error(self, number: int, problem: str) -> UsageError:
        return UsageError(f"{self.options.path}: row {number:,}: {problem}")

    def _part(self, number: int, values: Mapping[str, str]) -> str:
        if "parts" not in values:
            return "test"
        part = _PARTS.get(values["parts"].lower())
        if part is None:
            problem = f"{self.options.parts} {values['parts']!r} is no part (possible: {', '.join(_PARTS)})"
            raise self._row_error(number, problem)
        return part

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
