"""The rules by name, and the book in which a check records breaches, notes and the rules that it checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from popbench.errors import one_line

T = TypeVar("T")

RULES: Mapping[str, str] = {
    # every component
    "docstring": "the class has a docstring, whose first line `popbench plugins` shows",
    "options": "options are a popbench.Options that refuses unknown keys",
    "spec": "options survive JSON and pickle, and make the same component again anywhere",
    "label": "label() is None, or text on one line without '|'",
    "check": "check() returns a list of str",
    "estimate": "estimate() of a number of requests is None, or USD: a finite number of at least 0",
    "needs": "needs() returns popbench.Needs with finite numbers of at least 0",
    "close": "close() may be called before any use, and twice",
    "version": "version is text",
    "repeatable": "repeatable is True or False, and True for embedders and corpora",
    "fingerprint": "fingerprint() is a JSON object, the same for equal options, and not changed by use",
    "determining": "an option that results depend on changes the fingerprint",
    "runtime": "an option declared with popbench.runtime does not change the fingerprint",
    # what LLMs, generators and predictors share
    "raises": "what goes wrong with one item is a Failure of that item, not an exception",
    "once": "every request is answered exactly once",
    "ids": "an answer carries the id of a request that was asked",
    "type": "an answer is of the type that belongs to the component, or a Failure",
    "failure": "a Failure says why, as text, and its reason is text",
    "answered": "ordinary requests are answered, not all failed",
    "measures": "seconds and peak_memory_mb are None or numbers of at least 0, notes a tuple of str",
    "usage": "usage is None or numbers of at least 0 by kind: str to int or float",
    "cost": "cost() of a usage is None, or USD: a finite number of at least 0",
    "empty": "no requests, no answers",
    "stop": "the iterator can be closed after any answer",
    "job": "a job is JSON, submitted before the answer; another instance that gets it answers, and makes no other job",
    # answers depend on the request alone; the first five hold for embedders too, repetition and fresh for corpora
    "repetition": "the same request gives the same answer in a later call, unless the class says repeatable = False",
    "fresh": "the same request gives the same answer from another instance with equal options",
    "order": "the same request gives the same answer in any order",
    "company": "the same request gives the same answer alone and among others",
    "reopen": "after close() a later call gives the same answers",
    "identity": "the answer does not depend on the request's id, nor on the name of a file",
    # LLMs
    "text": "a completion's text is str, its reasoning str or None, its remarks a tuple of str, its cut a bool",
    "fits": "fits() is True or False: True of a short chat, and of every chat that is shorter than one that fits",
    # generators
    "frames": "frames are uint8 (frames, height, width, 3) that can be encoded, or path is a video file",
    "fps": "a clip with frames has a positive fps",
    "sound": "sound is floats (samples, channels) from -1 to 1, as long as the clip, and makes_sound = True says so",
    "black": "a clip of an ordinary prompt is not black throughout",
    # predictors
    "popularity": "a score's value, its popularity, is a finite number, above 0 unless the scale is real",
    "preference": "a pairwise predictor's value is from 1, the first video, to 0, the second",
    "opponents": "opponents, of a pairwise predictor, is None or a number of at least 1",
    "parts": "parts are finite numbers by names: at most 100, each name text on one line of at most 60 characters",
    "scale": "scale is 'positive' or 'real'",
    "card": "card() is None, or a popbench.PredictorCard",
    "unit": "unit is text that says what a score counts",
    "trained_on": "trained_on() returns a list of str",
    "uses": "uses is a set of names of what a predictor can see, and not empty",
    "broken_video": "a file that is no video gets a Failure or a Score, and the other items are answered as before",
    "empty_title": "an empty title gets a Failure or a Score, and the other items are answered as before",
    "no_video_prompt": "video_prompt None, as of human-made videos, gets a Failure or a Score, the others as before",
    "no_extra": "an empty extra gets a Failure or a Score, and the other items are answered as before",
    # modes
    "ending": "write() yields turns, and a usable draft at the end",
    "turns": "turns is about the number of calls: at least 1, and a mode makes no more than 50, or than it says",
    "odd_answers": "an answer that is empty or not what was asked for, or a missing draft, is no exception",
    # embedders
    "vectors": "encode() returns finite float32 of shape (number of texts, d), also for no texts",
    "norms": "a row has length 1, or 0 for a text with nothing in it",
    "queries": "encode_queries() returns rows like encode()'s: as wide, of length 1 or 0, the same when repeated",
    # corpora
    "rows": "rows() yields popbench.Reference with text fields, popular=None and a finite popularity of at least 0",
    "unique_ids": "an id occurs once in a part",
    "union": "part 'all' holds the rows of train, valid and test, and at least one",
    "unknown_part": "rows() of an unknown part raises ValueError",
    "content": "content() is text, the same in every call and instance, and fingerprint() holds it as 'content'",
    "remarks": "remarks() returns a list of str",
    "known_as": "known_as is a str, which predictors' trained_on() may name",
    # trackers
    "tracked": "track() takes a run with labels of all sorts, and returns a line that says where it is now",
    "tracked_again": "track() takes a run with the same id again, also one that has grown",
    "bare": "track() takes a run without metrics, settings and clips",
    "handed": "track() leaves the files of a run as they are",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that an item breaks; `item` is empty if the rule is about the whole component."""

    rule: str
    seen: str
    item: str = ""

    def __str__(self) -> str:
        where = f"{self.item}: " if self.item else ""
        return f"{self.rule}: {where}{self.seen} (rule: {RULES[self.rule]})"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a check: the rules that were checked, breaches, and notes on what breaks no rule."""

    kind: str
    name: str
    rules: tuple[str, ...]
    breaches: tuple[Breach, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Say whether no rule is broken."""
        return not self.breaches

    def __str__(self) -> str:
        broken = len({breach.rule for breach in self.breaches})
        verdict = f"breaks {broken} of {len(self.rules)} rules" if broken else f"keeps all {len(self.rules)} rules"
        lines = [f"{self.kind} {self.name}: {verdict} ({self.seconds:.1f} s)"]
        lines += [f"  {breach}" for breach in self.breaches]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


class ConformanceError(AssertionError):
    """A component breaks rules. The message lists all breaches; `report` holds them."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


@dataclass
class Book:
    """Collects the results of a check. With `repeatable=False`, answers that differ are notes instead of breaches."""

    kind: str
    name: str
    repeatable: bool = True
    breaches: dict[tuple[str, str], Breach] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rules: dict[str, None] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def look(self, *rules: str) -> None:
        """Record that these rules are checked."""
        self.rules.update(dict.fromkeys(rules))

    def breach(self, rule: str, seen: str, item: str = "") -> None:
        """Record a breach; of several for one rule and item, the first."""
        self.look(rule)
        self.breaches.setdefault((rule, item), Breach(rule, one_line(seen), item))

    def expect(self, rule: str, kept: bool, seen: str, item: str = "") -> bool:
        """Check a rule, and record a breach unless it is `kept`; return `kept`."""
        self.look(rule)
        if not kept:
            self.breach(rule, seen, item)
        return kept

    def differs(self, rule: str, seen: str, item: str) -> None:
        """Record that an answer differs from the first one: a breach if the component is repeatable."""
        if self.repeatable:
            self.breach(rule, seen, item)
        else:
            self.note(f"{item}: {seen}")

    def attempt(self, rule: str, what: str, call: Callable[[], T], item: str = "") -> T | None:
        """Call a function that must not raise; if it does, record a breach and return None."""
        self.look(rule)
        try:
            return call()
        except Exception as error:
            self.breach(rule, f"{what} raised {one_line(error)}", item)
            return None

    def texts(self, rule: str, what: str, call: Callable[[], Any]) -> list[str]:
        """Call a function that must return a list of str; if it does not, record a breach and return an empty list."""
        self.look(rule)
        try:
            lines = call()
        except Exception as error:
            self.breach(rule, f"{what} raised {one_line(error)}")
            return []
        fine = isinstance(lines, list) and all(isinstance(item, str) for item in lines)
        return list(lines) if self.expect(rule, fine, f"{what} returned {lines!r}") else []

    def note(self, text: str) -> None:
        """Record something worth knowing that breaks no rule."""
        line = one_line(text)
        if line not in self.notes:
            self.notes.append(line)

    def conclude(self) -> Report:
        """Return the report; raises ConformanceError if there are breaches."""
        report = Report(
            self.kind,
            self.name,
            tuple(self.rules),
            tuple(self.breaches.values()),
            tuple(self.notes),
            time.perf_counter() - self.started,
        )
        if not report.ok:
            raise ConformanceError(report)
        return report
