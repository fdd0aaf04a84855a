"""Checks popularity predictors, with small videos that the kit makes."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from popbench.cards.card import checked
from popbench.interfaces import PairwisePredictor, Predictor
from popbench.interfaces.models import is_real
from popbench.interfaces.uses import DEFAULT_USES, read_uses
from popbench.records import JSON, CompareRequest, Scale, Score, ScoreRequest, checked_parts
from popbench.testing.components import check_component, find_subject, require
from popbench.testing.requests import (
    bad_score_requests,
    compare_request,
    sample_compare_requests,
    sample_score_requests,
)
from popbench.testing.rules import Book, Report
from popbench.testing.streams import Asker, Failed, Outcomes, Traits, check_stream

TOLERANCE = 1e-6
"""The largest relative difference between two scores of one item."""
_TIE = 0.5


@dataclass(frozen=True, slots=True)
class _Scored:
    value: float
    parts: Mapping[str, float]


def check_predictor(
    predictor: str | Predictor | type[Predictor],
    *,
    count: int | None = None,
    repeatable: bool = True,
    other_options: Mapping[str, JSON] | None = None,
) -> Report:
    """Check a predictor: every rule of components and of streams, and that one bad item spoils no other.

    A pairwise predictor is asked about pairs, each both ways round.

    `count` asks only the first so many of the sample requests: a slow or a paid model does with two.
    `repeatable=False` makes notes of scores that differ from call to call. `other_options` gives values to try where
    the kit cannot guess one, for the fingerprint rules. Raises ConformanceError, an AssertionError with all breaches;
    UsageError for a spec that does not resolve and for a predictor that cannot run here.
    """
    subject = find_subject("predictor", predictor)
    book = Book("predictor", subject.name, repeatable and subject.component.repeatable is not False)
    missing = check_component(book, subject, other_options or {})
    component = subject.component
    unit = component.unit
    book.expect("unit", isinstance(unit, str) and bool(unit.strip()), f"unit is {unit!r}")
    book.texts("trained_on", "trained_on()", component.trained_on)
    book.look("uses")
    try:
        uses = read_uses(component.uses)
    except ValueError as error:
        book.breach("uses", str(error))
        uses = DEFAULT_USES
    require(book, missing)
    known = isinstance(component.scale, str) and component.scale in get_args(Scale)
    book.expect("scale", known, f"scale is {component.scale!r}")
    card = book.attempt("card", "card()", component.card)
    if card is not None:
        try:
            checked(card)
        except ValueError as error:
            book.breach("card", f"card(): {error}")
    pairwise = isinstance(component, PairwisePredictor)
    if pairwise:
        book.expect("scale", component.scale == "real", f"scale is {component.scale!r}, and a share of wins may be 0")
        most = component.opponents
        book.expect("opponents", most is None or (type(most) is int and most > 0), f"opponents is {most!r}")
    judge = partial(_judge, real=is_real(component), pairwise=pairwise)
    call = (lambda scorer, items: scorer.compare(items)) if pairwise else (lambda scorer, items: scorer.score(items))
    traits = Traits(call, judge, _differ, _rename_pair if pairwise else _rename)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        items: Sequence[ScoreRequest | CompareRequest]
        items = (sample_compare_requests if pairwise else sample_score_requests)(folder, uses)[:count]
        first = check_stream(book, traits, subject, items)
        for rule, item in _bad(folder, items[0], uses).items():
            _check_bad(book, traits, component, rule, items, item, first)
        book.attempt("close", "close() at the end", component.close)
    _note_scores(book, first)
    if pairwise:
        _note_place(book, first)
    return book.conclude()


def _bad(
    folder: Path, item: ScoreRequest | CompareRequest, uses: frozenset[str]
) -> Mapping[str, ScoreRequest | CompareRequest]:
    """Return requests that are hard to answer, by the rule that they test; of a pair, the second is bad."""
    if isinstance(item, ScoreRequest):
        return bad_score_requests(folder, item, uses)
    bad = bad_score_requests(folder, item.second, uses)
    return {rule: compare_request(item.first, second) for rule, second in bad.items()}


def _judge(book: Book, item: Any, answer: Any, *, real: bool, pairwise: bool) -> _Scored | None:
    book.look("popularity", "parts")
    if not book.expect("type", isinstance(answer, Score), f"yielded {type(answer).__name__}", item.id):
        return None
    try:
        value = float(answer.value)
    except (TypeError, ValueError):
        value = math.nan
    fine = math.isfinite(value) and (value > 0 or real)
    book.expect("popularity", fine, f"popularity is {answer.value!r}", item.id)
    if pairwise:
        book.expect("preference", not fine or 0 <= value <= 1, f"value is {answer.value!r}", item.id)
    try:
        parts = checked_parts(answer.parts)
    except ValueError as error:
        book.breach("parts", str(error), item.id)
        return None
    return _Scored(value, parts) if fine else None


def _differ(one: _Scored, two: _Scored) -> str | None:
    if not math.isclose(one.value, two.value, rel_tol=TOLERANCE):
        return f"popularity {one.value!r} became {two.value!r}"
    for name in dict.fromkeys((*one.parts, *two.parts)):
        before, after = one.parts.get(name, math.nan), two.parts.get(name, math.nan)
        if not math.isclose(before, after, rel_tol=TOLERANCE):
            return f"part {name!r}: {one.parts.get(name)!r} became {two.parts.get(name)!r}"
    return None


def _rename(item: ScoreRequest) -> ScoreRequest:
    """Return the request with its video under another name; scores must not depend on file names."""
    path = item.path
    if path != Path():  # without it, no video is used
        path = item.path.with_name(f"other-{item.path.name}")
        shutil.copyfile(item.path, path)
    return replace(item, id=f"other-{item.id}", path=path)


def _rename_pair(item: CompareRequest) -> CompareRequest:
    """Return the request with both videos under other names."""
    return replace(item, id=f"other-{item.id}", first=_rename(item.first), second=_rename(item.second))


def _check_bad(
    book: Book,
    traits: Traits,
    component: Predictor,
    rule: str,
    items: Sequence[ScoreRequest | CompareRequest],
    bad: ScoreRequest | CompareRequest,
    first: Outcomes,
) -> None:
    """Check a bad item between good ones, in a separate book: anything that goes wrong breaks `rule`."""
    aside = Book(book.kind, book.name, book.repeatable)
    asker = Asker(aside, traits)
    outcomes = asker.ask(component, [items[0], bad, *items[1:2]])
    steady = {id_: value for id_, value in first.items() if ("repetition", id_) not in book.breaches}
    asker.compare(rule, steady, outcomes, f"next to {bad.id}")
    book.look(rule)
    for key, breach in aside.breaches.items():
        if key not in book.breaches:
            book.breach(rule, f"{breach.rule}: {breach.seen}", breach.item)
    if rule == "broken_video" and bad.id in outcomes and not isinstance(outcomes[bad.id], Failed):
        book.note("a file that is no video got a score, not a Failure")


def _note_scores(book: Book, first: Outcomes) -> None:
    """Note equal scores, and parts that only some items have: the tables of parts leave out where one is missing."""
    scored = [value for value in first.values() if isinstance(value, _Scored)]
    values = {score.value for score in scored}
    if len(first) > 1 and len(values) == 1:
        book.note(f"every item has the same popularity, {values.pop()}")
    names = dict.fromkeys(name for score in scored for name in score.parts)
    for name in names:
        missing = sum(name not in score.parts for score in scored)
        if missing:
            book.note(f"part {name!r} is missing in {missing} of {len(scored)} scores")


def _note_place(book: Book, first: Outcomes) -> None:
    """Note that every answer prefers the same place: the mean of both orders is then a tie."""
    values = [value.value for value in first.values() if isinstance(value, _Scored)]
    for place, always in (("first", min(values, default=0.0) > _TIE), ("second", max(values, default=1.0) < _TIE)):
        if always and len(values) > 1:
            book.note(f"every answer prefers the {place} video, whichever it is")
