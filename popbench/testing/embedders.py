"""Checks text embedders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.errors import one_line
from popbench.interfaces import Embedder
from popbench.records import JSON
from popbench.testing.components import (
    Subject,
    check_component,
    check_used,
    find_subject,
    fingerprint_before,
    require,
)
from popbench.testing.requests import sample_texts
from popbench.testing.rules import Book, Report

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME = 1e-5
"""The largest difference between two embeddings of one text, in any element."""

NEAR_ONE = 1e-3
"""The largest difference of a row's length from 1 or 0."""


def check_embedder(
    embedder: str | Embedder | type[Embedder],
    *,
    texts: Sequence[str] | None = None,
    other_options: Mapping[str, JSON] | None = None,
) -> Report:
    """Check an embedder: every rule of components, and that a text's row depends on the text alone.

    `texts` replaces the sample texts. `other_options` gives values to try where the kit cannot guess one, for the
    fingerprint rules. Raises ConformanceError, an AssertionError with all breaches; UsageError for a spec that
    does not resolve and for an embedder that cannot run here.
    """
    subject = find_subject("embedder", embedder)
    book = Book("embedder", subject.name)
    require(book, check_component(book, subject, other_options or {}))
    before = fingerprint_before(subject.component)
    wanted = sample_texts() if texts is None else list(texts)
    first = _encode(book, subject.component, wanted, "")
    if first is not None:
        _check_norms(book, wanted, first)
        _check_queries(book, subject.component, wanted, first.shape)
        _check_sameness(book, subject, wanted, first)
        none = _encode(book, subject.component, [], "no texts")
        if none is not None:
            width = first.shape[1]
            book.expect(
                "vectors", none.shape == (0, width), f"shape is {none.shape}, expected (0, {width})", "no texts"
            )
    check_used(book, subject.component, before)
    book.attempt("close", "close() after use", subject.component.close)
    return book.conclude()


def _encode(book: Book, embedder: Embedder, texts: Sequence[str], when: str) -> NDArray[np.float32] | None:
    """Embed texts; None with a breach if the result is not a matrix of the right shape."""
    book.look("vectors")
    prefix = f"{when}: " if when else ""
    try:
        rows: Any = embedder.encode(texts)
    except Exception as error:
        book.breach("vectors", f"{prefix}raised {one_line(error)}")
        return None
    if not isinstance(rows, np.ndarray):
        book.breach("vectors", f"{prefix}encode() returned {type(rows).__name__}")
        return None
    book.expect("vectors", rows.dtype == np.float32, f"{prefix}is {rows.dtype}", "dtype")
    shape = rows.ndim == 2 and len(rows) == len(texts)
    if not book.expect("vectors", shape, f"{prefix}is {rows.shape} for {len(texts)} texts", "shape"):
        return None
    book.expect("vectors", bool(np.isfinite(rows).all()), f"{prefix}are not all finite", "values")
    return rows.copy()


def _check_norms(book: Book, texts: Sequence[str], rows: NDArray[np.float32]) -> None:
    book.look("norms")
    for text, length in zip(texts, np.linalg.norm(rows.astype(np.float64), axis=1), strict=True):
        if abs(length - 1) > NEAR_ONE and abs(length) > NEAR_ONE:
            book.breach("norms", f"length {length:.6g}", _name(text))


def _check_queries(book: Book, embedder: Embedder, texts: Sequence[str], shape: tuple[int, ...]) -> None:
    book.look("queries")
    if not embedder.tells_queries:
        return
    try:
        rows, again = (np.asarray(embedder.encode_queries(texts)) for _ in range(2))
    except Exception as error:
        book.breach("queries", f"raised {one_line(error)}")
        return
    if not book.expect("queries", rows.shape == shape, f"is {rows.shape}, and {shape} by encode()", "shape"):
        return
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    apart = np.minimum(np.abs(lengths - 1), lengths)
    book.expect("queries", bool((apart <= NEAR_ONE).all()), "rows are not of length 1 or 0", "length")
    same = again.shape == rows.shape and bool((np.abs(rows.astype(np.float64) - again) <= SAME).all())
    book.expect("queries", same, "differs when it is repeated", "repetition")


def _check_sameness(book: Book, subject: Subject, texts: Sequence[str], first: NDArray[np.float32]) -> None:
    embedder = subject.component
    again = _encode(book, embedder, texts, "again")
    steady = _compare(book, "repetition", texts, first, again, "embedded again")
    wanted, first = [texts[index] for index in steady], first[steady]
    backwards = _encode(book, embedder, tuple(wanted[::-1]), "in reverse")
    turned = backwards[::-1] if backwards is not None else None
    _compare(book, "order", wanted, first, turned, "embedded in reverse")
    alone = [_encode(book, embedder, [text], "alone") for text in wanted]
    whole = [row for row in alone if row is not None]
    if len(whole) == len(wanted) > 0 and len({row.shape for row in whole}) == 1:
        _compare(book, "company", wanted, first, np.concatenate(whole), "embedded alone")
    book.attempt("close", "close()", embedder.close)
    book.attempt("close", "the second close()", embedder.close)
    _compare(book, "reopen", wanted, first, _encode(book, embedder, wanted, "after close()"), "after close()")
    other = book.attempt("fresh", "making another instance", subject.fresh)
    if other is not None:
        rows = _encode(book, other, wanted, "from another instance")
        _compare(book, "fresh", wanted, first, rows, "from another instance")
        book.attempt("close", "close() of another instance", other.close)


def _compare(
    book: Book,
    rule: str,
    texts: Sequence[str],
    first: NDArray[np.float32],
    other: NDArray[np.float32] | None,
    when: str,
) -> list[int]:
    """Compare rows; return the indices of those that are the same."""
    book.look(rule)
    if other is None:
        return []
    if other.shape != first.shape:
        book.breach(rule, f"{when}: shape {first.shape} became {other.shape}")
        return []
    same = []
    for index, text in enumerate(texts):
        apart = float(np.abs(first[index].astype(np.float64) - other[index]).max(initial=0.0))
        if book.expect(rule, apart <= SAME, f"{when}: differs by up to {apart:.2g}", _name(text)):
            same.append(index)
    return same


def _name(text: str) -> str:
    return f"text {text[:24]!r}"
