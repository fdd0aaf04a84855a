"""Writes a run's page, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from popbench.errors import UsageError
from popbench.files import opened, write_files
from popbench.report.page import run_page
from popbench.runs.directory import check_free

FILE = "report.html"


def _is_page(file: Path) -> bool:
    """Return whether a file is a page of popbench's, which may be replaced."""
    try:
        with opened(file) as there:
            return b'name="generator" content="popbench' in there.read(4096)
    except OSError:
        return False


def checked_page(usual: Path, out: Path | None) -> Path:
    """Return the file of a page: `out`, or the usual one. Raises UsageError for one that no page can be written to."""
    file = out or usual
    if file.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{file}: a page's name ends in .html: choose another --out")
    if out is not None and not file.parent.is_dir():
        raise UsageError(f"{file.parent}: no such folder: make it first, or choose another --out")
    if out is not None and (file.is_symlink() or (file.exists() and not _is_page(file))):
        raise UsageError(f"{file} is no page of popbench's, and would be lost: remove it, or choose another --out")
    return file


def write_report(
    run: Path,
    out: Path | None = None,
    title: str | None = None,
    embed: int = 0,
    corpus: str | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Path:
    """Write the page of a run, into its directory or to `out`; returns its path.

    `embed` clips are put into the page; the texts of references are looked up in the corpus of the spec `corpus`.
    `tell` is called with a line if clips or these texts are missing.

    Raises UsageError if the run makes no page, RunError if the disk refuses; then an earlier page stays as it was.
    """
    if run.is_dir():
        check_free(run)
    file = checked_page(run / FILE, out)
    page = run_page(run, title, page=file.parent, embed=embed, corpus=corpus, tell=tell)
    write_files(file.parent, {file.name: page})
    return file
