"""Corpora of published videos: MicroLens-100k, and any table of videos.

`microlens` reads the raw files of MicroLens-100k, or the data set on the hub that was made of them. `table` reads a
CSV, TSV, JSONL or Parquet file, or any data set of the hub. Heavy libraries are imported only when rows are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import popbench

if TYPE_CHECKING:
    from popbench.hookspecs import Register


@popbench.hookimpl
def register_corpora(register: Register) -> None:
    """Register the corpus of the paper and the one for other data."""
    register("microlens", "popbench_microlens.microlens:MicroLens")
    register("table", "popbench_microlens.table:Table")
