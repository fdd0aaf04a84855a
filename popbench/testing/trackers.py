"""Checks trackers: hands made-up runs over to them, for which they need a place of their own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from popbench.files import sha256
from popbench.interfaces import Metric, TrackedClip, TrackedRun, Tracker
from popbench.records import JSON
from popbench.testing.components import check_component, check_used, find_subject, fingerprint_before, require
from popbench.testing.requests import AWKWARD, PLAIN, bars, drift
from popbench.testing.rules import Book, Report
from popbench.video import write_mp4

_SYSTEMS = ("shotlist|pe,k=20|kinetic", "org/model:free|basic|a b", "雨の夜|b|c", "../..|'%s'|" + "x" * 300)
"""Labels as users may choose them."""


def check_tracker(tracker: str | Tracker | type[Tracker], *, other_options: Mapping[str, JSON] | None = None) -> Report:
    """Check a tracker: every rule of components, and that it takes runs, odd ones and grown ones too.

    It hands over a few made-up runs called `popbench-kit`, for good: give the tracker a folder or a project for that.
    `other_options` gives values to try where the kit cannot guess one. Raises ConformanceError, an AssertionError with
    all breaches; UsageError for a spec that does not resolve, and for a tracker that cannot run here.
    """
    subject = find_subject("tracker", tracker)
    book = Book("tracker", subject.name)
    require(book, check_component(book, subject, other_options or {}))
    before = fingerprint_before(subject.component)
    with tempfile.TemporaryDirectory(prefix="popbench-kit-") as name:
        run = sample_tracked_run(Path(name))
        files = {path: sha256(path) for path in Path(name).iterdir()}
        _hand_over(book, "tracked", subject.component, run)
        _hand_over(book, "tracked_again", subject.component, run, "the same again")
        grown = replace(
            run,
            params={**run.params, "llm": "verbatim, shotlist, third"},
            metrics=(*run.metrics, *_metrics("third|a|b")),
        )
        _hand_over(book, "tracked_again", subject.component, grown, "grown")
        bare = replace(run, id="0" * 32, metrics=(), clips=(), params={}, state="3 of 8 samples have no result yet")
        _hand_over(book, "bare", subject.component, bare)
        kept = {path: sha256(path) for path in Path(name).iterdir()}
        book.expect("handed", kept == files, "files of the run were changed")
    check_used(book, subject.component, before)
    book.attempt("close", "close() after use", subject.component.close)
    return book.conclude()


def sample_tracked_run(folder: Path) -> TrackedRun:
    """Write the files of a small made-up run into `folder`, with labels of all sorts, and return it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    board, results, samples = (folder / name for name in ("leaderboard.md", "results.json", "samples.parquet"))
    board.write_text(f"# A board\n\n{AWKWARD}\n", encoding="utf-8")
    results.write_text(json.dumps({"schema": 1, "systems": list(_SYSTEMS)}), encoding="utf-8")
    rows = [
        {"system": system, "prompt": PLAIN, "title": None, "popularity": 10.5 + number, "notes": ["one"]}
        for number, system in enumerate(_SYSTEMS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), samples)
    clips = []
    for number, system in enumerate(_SYSTEMS[:2]):
        path = folder / f"{number}.mp4"
        write_mp4((bars if number else drift)(48, 64), 8, path)
        clips.append(TrackedClip(path, system, "cats", "p/1", 0, AWKWARD, 3.5))
    return TrackedRun(
        id="4b1d" * 8,
        name="popbench-kit",
        demo=True,
        state="complete",
        params={"llm": "verbatim, shotlist", "seed": 42, "demo": True, "temperature": 0.5, "task_hash/a|b/c": "1f"},
        metrics=tuple(metric for system in _SYSTEMS for metric in _metrics(system)),
        board=board,
        results=results,
        samples=samples,
        clips=tuple(clips),
    )


def _metrics(system: str) -> tuple[Metric, ...]:
    of: tuple[Any, ...] = ("cats", "demo", system)
    pair = ("cats", "demo", system, "human")
    return (
        Metric("median", of, 12.5, 10.0, 17.25),
        Metric("n", of, 200.0),
        Metric("rank", of, 1.0, 1.0, None),
        Metric("win_rate", pair, 0.675, 0.6, 0.74),
    )


def _hand_over(book: Book, rule: str, tracker: Tracker, run: TrackedRun, item: str = "") -> None:
    line: Any = book.attempt(rule, "track()", lambda: tracker.track(run), item)
    if (rule, item) not in book.breaches:
        fine = isinstance(line, str) and bool(line.strip()) and line.isprintable()
        book.expect(rule, fine, f"track() returned {line!r}", item)
