"""The corpus of the paper: MicroLens-100k, from its raw files or from the hub, with the split of MMRA's training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pydantic

import popbench
from popbench.errors import UsageError
from popbench.local import user_path
from popbench.specs import make_label
from popbench.video import sha256
from popbench_microlens import split
from popbench_microlens.base import DataCorpus
from popbench_microlens.hub import HubData
from popbench_microlens.lines import read_ids, unreadable
from popbench_microlens.raw import LIKES, Counted, RawFolder, Record
from popbench_microlens.tally import Tally
from popbench_microlens.values import count, folder_problem, is_there, popularity, text, video_names

DATA_SET = "junchenfu/microlens_rag"
"""The data set on the hub that was made of the raw files."""

UNVERIFIED = (
    "split unverified: the hub data set does not say the order that MMRA's split was drawn over, so that its parts may "
    "hold videos of other parts; give ids=FILE, or the raw files with path=FOLDER"
)
_NUMBERS = {str(number): None for number in range(1, split.VIDEOS + 1)}
"""The ids of MicroLens-100k: its videos are numbered."""
_COLUMNS = ("video_id", "title_en", "cover_desc", "caption_en", "partition")
_NUMBER_COLUMNS = {"comments": "comment_count", "views": "views", "likes": "likes"}


class MicroLensOptions(popbench.CorpusOptions):
    """The options of `microlens`."""

    path: str | None = pydantic.Field(
        None, min_length=1, description="the folder of the raw files; without it, the data set on the hub"
    )
    revision: str | None = pydantic.Field(
        None, min_length=1, description="a commit, branch or tag of the data set on the hub"
    )
    ids: str | None = pydantic.Field(
        None,
        min_length=1,
        description="a file with the ids of all videos in the order of the raw files, over which the split is drawn",
    )
    popularity: Counted = pydantic.Field("comments", description="what a video's popularity is the number of")
    videos: str | None = popbench.runtime(None, min_length=1, description="the folder of the <video_id>.mp4 files")

    @pydantic.model_validator(mode="after")
    def _together(self) -> MicroLensOptions:
        if self.path is not None and self.revision is not None:
            raise ValueError("revision is for the data set on the hub: leave it out, or leave out path")
        return self


class MicroLens(DataCorpus):
    """MicroLens-100k, the paper's: 19,738 videos, their comments counted.

    They have titles and captions, and lie in the parts that MMRA was trained with.
    Without `path` it is the hub's `junchenfu/microlens_rag`. The raw files hold no description of covers but the
    title itself, so that `description` is empty there.
    """

    Options: ClassVar[type[popbench.Options]] = MicroLensOptions
    location_options = frozenset({"path", "ids"})
    known_as = "microlens"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        given = self.options
        self._raw = None if given.path is None else RawFolder(user_path(given.path))
        self._hub = HubData(DATA_SET, given.revision, "train", "give path=FOLDER (the raw files), or use --corpus demo")
        if self._raw is None and given.ids is None:
            self.note = UNVERIFIED

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Identify the rows. `popularity=comments` is left out, as it was before the option existed."""
        base = super().fingerprint()
        if self.options.popularity != "comments":
            return base
        # The option is newer than the corpus: runs and indexes made without it have the same rows.
        options = {name: value for name, value in base["options"].items() if name != "popularity"}
        return {**base, "options": options}

    def label(self) -> str:
        """Return a label without the paths of files."""
        fields = MicroLensOptions.model_fields
        return make_label(
            "microlens",
            {
                name: value
                for name, value in self.options.determining().items()
                if name not in self.location_options and value != fields[name].default
            },
        )

    def check(self) -> list[str]:
        """List what is missing: raw files, the hub's data set, the list of ids, the folder of videos."""
        problems = [self._hub.problem if self._raw is None else self._raw.problem]
        if self.options.ids is not None and not is_there(user_path(self.options.ids)):
            problems.append(f"ids={self.options.ids}: there is no such file; {LIKES} of the raw files is one")
        problems.append(folder_problem("videos", self.options.videos))
        return [line for line in problems if line is not None]

    def content(self) -> str:
        """Return a hash of the raw files or the hub's commit, with the list of ids and the version of the split."""
        contents = [f"split {split.SPLIT_VERSION}"]
        if self.options.popularity != "comments":
            contents.append(f"popularity {self.options.popularity}")
        try:
            if self.options.ids is not None:
                contents.append(f"ids {sha256(user_path(self.options.ids))}")
        except (OSError, ValueError) as error:
            raise unreadable(user_path(self.options.ids), error) from error
        if self._raw is not None:
            contents.append(f"raw {self._raw.digest()}")
        elif self._hub.commit is not None:
            contents.append(f"hub {self._hub.commit}")
        else:
            raise UsageError(str(self._hub.problem))
        return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:32]

    def _rows(self, part: str, tally: Tally) -> Iterator[popbench.Reference]:
        parts, records = self._split(tally)
        folder = self._videos()
        names = frozenset() if folder is None else video_names(folder)
        for record in records:
            own_part = parts.get(record.id)
            if own_part is None:
                tally.add("ids", "video", "that the list lacks left out", f"video {record.id}")
            elif not record.title or not record.tag:
                lacks = "partition" if record.title else "title"
                tally.add(record.source[lacks], "video", f"without a {lacks} left out", f"video {record.id}")
            elif record.popularity is None:
                fate = f"whose number of {self.options.popularity} cannot be read left out"
                tally.add(record.source["number"], "video", fate, f"video {record.id}")
            elif part in (own_part, "all"):
                name = f"{record.id}.mp4"
                video = folder / name if folder is not None and name in names else None
                yield popbench.Reference(
                    record.id, record.title, record.description, record.caption, record.tag, record.popularity, video
                )

    def _split(self, tally: Tally) -> tuple[dict[str, str], Iterator[Record]]:
        """Return the part of every id, drawn over the best known order, and all videos."""
        order = None if self.options.ids is None else read_ids(user_path(self.options.ids), tally, "\t,", fields=1)
        if self._raw is not None:
            ids = self._raw.ids(tally)
            order, records = order or ids, self._raw.records(ids, tally, self.options.popularity)
        else:
            order, records = order or self._order_of_hub(), self._of_hub(tally)
        part_of = split.parts(order)
        for line in split.selection_remark(part_of):
            tally.add_line(line)
        return part_of, records

    def _order_of_hub(self) -> list[str]:
        """Return the likely order of all ids: the hub lacks some videos, but if ids are numbers, the gaps are known."""
        try:
            ids = list(dict.fromkeys(text(row["video_id"]) for row in self._hub.rows(["video_id"])))
        except ValueError as error:
            raise UsageError(f"hub data set {DATA_SET}: video_id {error}") from None
        return list(_NUMBERS) if all(id_ in _NUMBERS for id_ in ids) else ids

    def _of_hub(self, tally: Tally) -> Iterator[Record]:
        seen: set[str] = set()
        source = dict.fromkeys(("title", "partition", "number"), DATA_SET)
        column = _NUMBER_COLUMNS[self.options.popularity]
        for number, row in enumerate(self._hub.rows([*_COLUMNS, column]), 1):
            try:
                id_, title, cover, caption, tag = (text(row[name]) for name in _COLUMNS)
            except ValueError as error:
                raise UsageError(f"hub data set {DATA_SET}: row {number:,}: {error}") from None
            try:
                # likes and views come from a raw file with malformed lines; comments were counted
                amount = popularity(row[column]) if column == "comment_count" else count(row[column])
            except ValueError as error:
                raise UsageError(
                    f"hub data set {DATA_SET}: row {number:,} (video {id_ or 'without an id'}): {column} {error}"
                ) from None
            if not id_ or id_ in seen:
                fate = "of a video that stands there already skipped" if id_ else "without a video_id skipped"
                tally.add(DATA_SET, "row", fate, f"row {number:,}")
                continue
            seen.add(id_)
            yield Record(id_, title, cover, caption, tag, amount, source)

    def _videos(self) -> Path | None:
        if self.options.videos is not None:
            return user_path(self.options.videos)
        beside = None if self._raw is None else self._raw.folder / "videos"
        return beside if beside is not None and is_there(beside, Path.is_dir) else None
