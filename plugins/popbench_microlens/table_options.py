"""The options of the corpus `table`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic

import popbench
from popbench.tables import Decimal, NumberForm, Quoting, Thousands, sign_word

LATER = ("quoting", "decimal", "thousands", "on_error", "dedupe", "tag_names")
"""Options newer than the corpus: without them, its rows and fingerprint are those of before."""
_COLUMNS = ("title", "popularity", "description", "caption", "tag", "id", "video", "parts")


def _column(content: str) -> Any:
    return pydantic.Field(None, min_length=1, description=f"the column of {content}")


_SIGN = pydantic.BeforeValidator(lambda value: sign_word(value) if isinstance(value, str) else value)


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
    quoting: Quoting | None = pydantic.Field(
        None,
        description="quotes of CSV and TSV: strict, as CSV has them; lenient, the same in any place; none, ordinary "
        "characters [strict; none for TSV]",
    )
    decimal: Annotated[Decimal | None, _SIGN] = pydantic.Field(
        None, description="what parts decimals in texts of popularity [point]"
    )
    thousands: Annotated[Thousands | None, _SIGN] = pydantic.Field(
        None, description="what parts thousands in texts of popularity [nothing]"
    )
    on_error: Literal["fail", "skip"] = pydantic.Field(
        "fail", description="refuse a table with rows that cannot be used, or skip and count them"
    )
    dedupe: Literal["max", "last", "first"] | None = pydantic.Field(
        None, description="which row to take of several with one id: the most popular, the last or the first"
    )
    tag_names: str | None = pydantic.Field(
        None, min_length=1, description="a file of tags' names by id: JSON, as of YouTube's API, or a table"
    )
    videos: str | None = popbench.runtime(None, min_length=1, description="the folder that video files are in")
    name: str | None = popbench.runtime(
        None, min_length=1, description="what predictors trained on it call it; without it, the name of the file"
    )

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns by the option that names them."""
        named = {option: getattr(self, option) for option in _COLUMNS}
        return {option: column for option, column in named.items() if column is not None}

    @property
    def form(self) -> NumberForm:
        """How texts write popularity."""
        return NumberForm(self.decimal, self.thousands)

    @pydantic.model_validator(mode="after")
    def _together(self) -> TableOptions:
        _ = self.form  # raises ValueError for one sign for both
        if self.dedupe is not None and self.id is None:
            raise ValueError(f"dedupe={self.dedupe} is about rows with one id: say with id=COLUMN which column has it")
        if self.tag_names is not None and self.tag is None:
            raise ValueError("tag_names names the tags of a column: say with tag=COLUMN which")
        return self
