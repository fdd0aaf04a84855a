"""Checks corpora."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from popbench.errors import one_line
from popbench.interfaces import PARTS, Corpus
from popbench.records import JSON, Reference
from popbench.testing.components import check_component, check_used, find_subject, fingerprint_before, require
from popbench.testing.rules import Book, Report

_TEXTS = ("title", "description", "caption", "tag")


def check_corpus(corpus: str | Corpus | type[Corpus], *, other_options: Mapping[str, JSON] | None = None) -> Report:
    """Check a corpus: every rule of components, and its rows part by part.

    `other_options` gives values to try where the kit cannot guess one, for the fingerprint rules. Raises
    ConformanceError, an AssertionError with all breaches; UsageError for a spec that does not resolve and for a
    corpus that cannot be read here.
    """
    subject = find_subject("corpus", corpus)
    book = Book("corpus", subject.name)
    require(book, check_component(book, subject, other_options or {}))
    component: Corpus = subject.component
    before = fingerprint_before(component)
    content = _check_content(book, component)
    book.expect("known_as", isinstance(component.known_as, str), f"known_as is {component.known_as!r}")
    parts = {part: _read(book, component, part) for part in (*PARTS, "all")}
    read = {part: rows for part, rows in parts.items() if rows is not None}
    for part, rows in read.items():
        _check_rows(book, part, rows)
        _compare(book, "repetition", part, rows, _read(book, component, part))
        book.texts("remarks", "remarks()", component.remarks)
    if len(read) == len(parts):
        _check_union(book, read)
    _check_unknown(book, component)
    book.attempt("close", "close()", component.close)
    book.attempt("close", "the second close()", component.close)
    if "train" in read:
        _compare(book, "reopen", "train", read["train"], _read(book, component, "train"))
    other = book.attempt("fresh", "making another instance", subject.fresh)
    if other is not None:
        book.texts("remarks", "remarks() before any read", other.remarks)
        _same_content(book, content, other, "from another instance")
        if "all" in read:
            _compare(book, "fresh", "all", read["all"], _read(book, other, "all"))
        book.attempt("close", "close() of another instance", other.close)
    _same_content(book, content, component, "after use")
    check_used(book, component, before)
    book.attempt("close", "close() at the end", component.close)
    return book.conclude()


def _check_content(book: Book, corpus: Corpus) -> Any:
    """Check that the fingerprint holds the content of the rows; return the content, None if it cannot be had."""
    content: Any = book.attempt("content", "content()", corpus.content)
    if content is None:
        book.breach("content", "content() returned None")  # if it raised, `attempt` has recorded the breach already
        return None
    fine = isinstance(content, str) and bool(content.strip())
    if not book.expect("content", fine, f"content() returned {content!r}"):
        return None
    try:
        held = corpus.fingerprint().get("content")
    except Exception:  # another rule reports it
        return content
    seen = f"is {content!r}, and fingerprint() has {held!r} for content"
    book.expect("content", held == content, seen, "fingerprint()")
    return content


def _same_content(book: Book, content: Any, corpus: Corpus, when: str) -> None:
    if content is not None:
        again: Any = book.attempt("content", f"content() {when}", corpus.content, when)
        book.expect("content", again in (content, None), f"was {content!r} before, is {again!r}", when)


def _read(book: Book, corpus: Corpus, part: str) -> list[Any] | None:
    try:
        return list(corpus.rows(part))
    except Exception as error:
        book.breach("rows", f"raised {one_line(error)}", f"part {part}")
        return None


def _check_rows(book: Book, part: str, rows: list[Any]) -> None:
    book.look("rows", "unique_ids")
    if not rows:
        book.note(f"part {part} is empty")
    for number, row in enumerate(rows):
        wrong = _wrong(row)
        if wrong:
            book.breach("rows", f"row {number}: {wrong}", f"part {part}")
    counts = Counter(row.id for row in rows if isinstance(row, Reference))
    for id_ in [id_ for id_, count in counts.items() if count > 1]:
        book.breach("unique_ids", f"id {id_!r} occurs {counts[id_]} times", f"part {part}")


def _wrong(row: Any) -> str | None:
    if not isinstance(row, Reference):
        return f"is a {type(row).__name__}"
    if not (isinstance(row.id, str) and row.id):
        return f"id is {row.id!r}"
    for name in _TEXTS:
        if not isinstance(getattr(row, name), str):
            return f"{name} of {row.id!r} is {getattr(row, name)!r}"
    value: Any = row.popularity
    if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
        return f"popularity of {row.id!r} is {value!r}"
    return None if row.popular is None else f"popular of {row.id!r} is {row.popular!r}, which retrieval sets"


def _compare(book: Book, rule: str, part: str, rows: list[Any], others: list[Any] | None) -> None:
    book.look(rule)
    if others is not None:
        at = next((i for i, (one, two) in enumerate(zip(rows, others, strict=False)) if one != two), None)
        seen = f"{len(rows)} rows became {len(others)}" if at is None else f"row {at} differs between two reads"
        book.expect(rule, rows == others, seen, f"part {part}")


def _check_union(book: Book, parts: Mapping[str, list[Any]]) -> None:
    whole = {row.id: row for row in parts["all"] if isinstance(row, Reference)}
    book.expect("union", bool(whole), "part all is empty")
    single: dict[str, Any] = {}
    for part in PARTS:
        for row in parts[part]:
            if not isinstance(row, Reference):
                continue
            if row.id in single:
                book.note(f"id {row.id!r} is in more than one part: a predictor trained on one has seen the other")
            single[row.id] = row
            if row.id not in whole:
                book.breach("union", f"row {row.id!r} of {part} is not in all", f"part {part}")
            elif row != whole[row.id]:
                book.breach("union", f"row {row.id!r} of {part} reads otherwise in all", f"part {part}")
    for id_ in [id_ for id_ in whole if id_ not in single]:
        book.breach("union", f"row {id_!r} is in no part", "part all")


def _check_unknown(book: Book, corpus: Corpus) -> None:
    book.look("unknown_part")
    try:
        rows = list(corpus.rows("no-such-part"))
    except ValueError:
        return
    except Exception as error:
        book.breach("unknown_part", f"raised {one_line(error)}")
        return
    book.breach("unknown_part", f"yielded {len(rows)} rows and raised nothing")
