"""The options of modes with references, as in `--mode pe,k=50,tags=2`."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

from popbench.options import Options
from popbench.records import JSON

RETRIEVAL_VERSION = 1
"""Raise this when the same options give other references. It is part of the fingerprint of modes with references."""


class RetrievalOptions(Options):
    """How references are chosen; the defaults are those of the paper's released code (arXiv 2502.12945)."""

    k: int = pydantic.Field(10, ge=1, le=1000, description="references, unpopular ones included (the paper's RAG size)")
    tags: int = pydantic.Field(1, ge=1, description="tags whose videos are searched: those nearest to the prompt")
    negative_ratio: float = pydantic.Field(
        0.1, ge=0, le=1, description="the share of unpopular videos among the references, and of what counts as such"
    )
    per_tag: bool = pydantic.Field(
        False, description="k references of each tag, as the paper words it, not of all tags together"
    )
    tag_by: Literal["name", "profile", "none"] = pydantic.Field(
        "name",
        description="compare prompts with tags' names or with the mean of their videos; or search the whole corpus",
    )
    diversity: float = pydantic.Field(
        0, ge=0, le=1, description="weight of unlikeness to references chosen before (maximal marginal relevance)"
    )
    order: Literal["nearest", "farthest", "popular"] = pydantic.Field(
        "nearest", description="what comes first among the popular references, and among the unpopular ones"
    )

    popular_from: int | float | None = pydantic.Field(
        None,
        gt=0,
        description="the least popularity of popular references; videos below it are the unpopular ones. Without it, "
        "those are the least popular share of the tags",
    )

    def determining(self) -> dict[str, JSON]:
        """Return the options that results depend on; `popular_from`, newer than old runs, only if it is given."""
        options = super().determining()
        if self.popular_from is None:
            del options["popular_from"]
        return options

    @pydantic.model_validator(mode="after")
    def _tags_are_chosen(self) -> Self:
        if self.tag_by == "none" and (self.tags != 1 or self.per_tag):
            raise ValueError("tag_by=none searches the whole corpus: leave out tags and per_tag")
        return self
