"""Counts what LLMs' answers were like: how many gave no usable draft and why, and what components remarked on them.

Reasons and remarks are texts of components, some of them third parties': they are counted and shown as text, a bounded
number of bounded length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from popbench.errors import one_line
from popbench.records import JSON, Sample
from popbench.text import counted

_MAX_KINDS = 1_000
"""Different remarks of a system that are counted: remarks that hold numbers would be without end."""
_MAX_REASONS = 20
_SHOWN = 5
"""Remarks of an LLM that are shown, the commonest."""
_LENGTH = 200
_REASON_LENGTH = 60
_OTHERS = "other"


@dataclass(slots=True)
class _OfSystem:
    llm: str
    mode: str | None
    drafts: int = 0
    answers: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)


class Answers:
    """Collects the answers behind a run's samples, one sample at a time."""

    def __init__(self) -> None:
        self._systems: dict[str, _OfSystem] = {}

    def add(self, sample: Sample) -> None:
        """Count the answers to a sample."""
        if sample.llm is None or not sample.attempts:
            return
        of = self._systems.get(sample.system)
        if of is None:
            of = self._systems[sample.system] = _OfSystem(sample.llm, sample.mode)
        of.drafts += 1
        of.answers += sample.attempts
        for reason in sample.unusable:
            _count(of.reasons, one_line(reason, _REASON_LENGTH) or _OTHERS, _MAX_REASONS)
        for remark in dict.fromkeys(sample.remarks):
            _count(of.remarks, one_line(remark, _LENGTH), _MAX_KINDS)

    def unusable(self, systems: Collection[str] | None = None) -> dict[str, JSON]:
        """Return for each system with unusable answers the number of its `answers`, and of these by `reasons`."""
        return {
            system: {"answers": of.answers, "reasons": dict(sorted(of.reasons.items(), key=_commonest))}
            for system, of in sorted(self._systems.items())
            if of.reasons and (systems is None or system in systems)
        }

    def remarks(self, systems: Collection[str] | None = None) -> Iterator[str]:
        """Yield lines of what components remarked: `LLM: 5 of 20 drafts: REMARK`.

        The systems of an LLM and a mode share their drafts, so the drafts of one of them are counted.
        """
        one_of: dict[tuple[str, str | None], _OfSystem] = {}
        for system, of in self._systems.items():
            if systems is None or system in systems:
                one_of.setdefault((of.llm, of.mode), of)
        for llm in dict.fromkeys(llm for llm, _ in one_of):
            drafts, remarks = 0, Counter[str]()
            for of in one_of.values():
                if of.llm == llm:
                    drafts += of.drafts
                    remarks.update(of.remarks)
            ordered = sorted(remarks.items(), key=_commonest)
            for remark, number in ordered[:_SHOWN]:
                yield f"{llm}: {number:,} of {counted(drafts, 'draft')}: {remark}"
            if len(ordered) > _SHOWN:
                yield f"{llm}: {counted(len(ordered) - _SHOWN, 'other remark')} in samples.jsonl"


def _commonest(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _count(counts: Counter[str], text: str, most: int) -> None:
    counts[text if text in counts or len(counts) < most else _OTHERS] += 1


def unusable_lines(unusable: Mapping[str, Mapping[str, JSON]], most: int | None = None) -> Iterator[str]:
    """Yield a line for each system about its answers without a usable draft, for `most` systems if it is given."""
    for system, of in islice(unusable.items(), most):
        reasons, answers = of["reasons"], of["answers"]
        why = ", ".join(f"{reason} ({_share(number, answers)})" for reason, number in reasons.items())
        lost = f"{sum(reasons.values()):,} of {counted(answers, 'answer')}"
        yield f"{system}: {lost} gave no usable draft: {why}"
    if most is not None and len(unusable) > most:
        yield f"so it is with {counted(len(unusable) - most, 'other system')} too, see results.json"


def _share(number: int, of: int) -> str:
    return f"{number:,}, {100 * number / of:.1f} %" if of else f"{number:,}"
