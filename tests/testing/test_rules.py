"""The rules of the conformance kit: every one has a component that is caught breaking it, and told how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

import popbench
from nonconforming_components import (
    AllIsTrain,
    AnyPart,
    Black,
    Bottomless,
    Centred,
    ContentOfInstance,
    ContentOfUse,
    ContentRaises,
    Drifts,
    EmptyRaises,
    Flat,
    FloatFrames,
    ForgetsContent,
    JudgedRows,
    KeyedParts,
    KnownAsNone,
    ListRows,
    Logarithm,
    LongQueries,
    LongRows,
    NegativeRows,
    NoFile,
    NoFps,
    NoFrames,
    NotANumber,
    NotAVideo,
    NoUnit,
    NumberContent,
    OtherContent,
    ReadsFileName,
    RemarksText,
    RemarksUnread,
    Reordered,
    SameIds,
    Shaky,
    SkipsBrokenVideos,
    TrainedOnRaises,
    TrainedOnText,
    TrustsTitles,
    TrustsVideos,
    TupleRows,
    Unseeded,
    Wide,
)
from nonconforming_llms import (
    AnswersNothing,
    Bare,
    BarLabel,
    CheckRaises,
    CheckText,
    CloseBreaks,
    ClosesOnce,
    CostBelowZero,
    Counts,
    Crowd,
    FingerprintOfFits,
    FingerprintOfInstance,
    FingerprintOfUse,
    FingerprintSet,
    FitsAgain,
    FitsNothing,
    FitsNumber,
    FitsRaises,
    FitsWithSystem,
    Forever,
    ForgetsOptions,
    KeepsRuntime,
    LooseOptions,
    NegativeNeeds,
    NegativeSeconds,
    NoDocstring,
    NoNeeds,
    NotesText,
    NumberReasoning,
    NumberText,
    Position,
    Raises,
    ReadsId,
    Refuses,
    Salted,
    Skips,
    Speechless,
    TextRemarks,
    TextUsage,
    Twice,
    Uninvited,
    Unmade,
    Unstoppable,
    WrongRecord,
)
from nonconforming_modes import Draftless, Endless, Numbering, Remembering, Timeless, Trusting
from popbench import testing
from popbench.testing import (
    RULES,
    ConformanceError,
    check_corpus,
    check_embedder,
    check_generator,
    check_llm,
    check_mode,
    check_predictor,
)


@dataclass(frozen=True)
class Case:
    """A broken component: the rule it breaks, and what its message must hold."""

    rule: str
    check: Callable[..., testing.Report]
    component: type[popbench.Component]
    says: str


CASES = [
    Case("docstring", check_llm, NoDocstring, "NoDocstring has none"),
    Case("options", check_llm, LooseOptions, "no_such_option"),
    Case("spec", check_llm, Unmade, "only once"),
    Case("label", check_llm, BarLabel, "'a|b'"),
    Case("check", check_llm, CheckText, "'a key'"),
    Case("check", check_llm, CheckRaises, "OSError: no key"),
    Case("needs", check_llm, NoNeeds, "returned None"),
    Case("needs", check_llm, NegativeNeeds, "needs().gpus: is -1"),
    Case("close", check_llm, ClosesOnce, "closed already"),
    Case("fingerprint", check_llm, FingerprintSet, "set is not JSON"),
    Case("fingerprint", check_llm, FingerprintOfInstance, "equal options"),
    Case("fingerprint", check_llm, FingerprintOfUse, "after use"),
    Case("fingerprint", check_llm, FingerprintOfFits, "after fits()"),
    Case("determining", check_llm, ForgetsOptions, "style: style='dry-other' left"),
    Case("runtime", check_llm, KeepsRuntime, "threads: threads=2 changed"),
    Case("raises", check_llm, Raises, "KeyError: '猫' after 2 answers"),
    Case("once", check_llm, Twice, "chat-short: answered 2 times"),
    Case("once", check_llm, Forever, "no end of answers"),
    Case("once", check_llm, Skips, "chat-awkward: not answered"),
    Case("ids", check_llm, Uninvited, "'bonus': answered, but was not asked"),
    Case("ids", check_llm, Bare, "yielded str, which has no id"),
    Case("type", check_llm, WrongRecord, "chat-plain: yielded Score"),
    Case("failure", check_llm, Speechless, "chat-awkward: error is ''"),
    Case("answered", check_llm, Refuses, "all 5 failed, for instance: no"),
    Case("measures", check_llm, NegativeSeconds, "chat-plain: seconds is -1.0"),
    Case("measures", check_llm, NotesText, "chat-plain: notes are 'slow'"),
    Case("empty", check_llm, AnswersNothing, "yielded Failure"),
    Case("stop", check_llm, Unstoppable, "RuntimeError: no"),
    Case("repetition", check_llm, Counts, "chat-plain: asked again: text differs from character 7"),
    Case("repetition", check_generator, Unseeded, "clip-plain: asked again: other pixels"),
    Case("repetition", check_predictor, Drifts, "score-bars: asked again: popularity"),
    Case("repetition", check_embedder, Shaky, "text 'Cats': embedded again"),
    Case("repetition", check_corpus, Reordered, "part all: row 0 differs"),
    Case("order", check_llm, Position, "chat-plain: asked in reverse"),
    Case("company", check_llm, Crowd, "chat-plain: asked alone"),
    Case("company", check_embedder, Centred, "embedded alone"),
    Case("fresh", check_llm, Salted, "chat-plain: asked from another instance"),
    Case("reopen", check_llm, CloseBreaks, "chat-plain: asked after close()"),
    Case("identity", check_llm, ReadsId, "chat-plain: asked under another id"),
    Case("identity", check_predictor, ReadsFileName, "score-bars: asked under another id"),
    Case("text", check_llm, NumberText, "chat-plain: text is int"),
    Case("text", check_llm, NumberReasoning, "chat-plain: reasoning is int"),
    Case("text", check_llm, TextRemarks, "chat-plain: remarks are 'cut'"),
    Case("cost", check_llm, CostBelowZero, "cost({'input': 1000, 'output': 100}) is -1.0"),
    Case("usage", check_llm, TextUsage, "chat-plain: usage is {'input': 'many'}"),
    Case("fits", check_llm, FitsNumber, "short chat: fits() returned 2"),
    Case("fits", check_llm, FitsRaises, "chat of 6,400 characters: raised ValueError: too long"),
    Case("fits", check_llm, FitsNothing, "short chat: fits() is False"),
    Case("fits", check_llm, FitsAgain, "chat of 25,600 characters: fits() is False, and True of more text"),
    Case("fits", check_llm, FitsWithSystem, "fits() is False, and True of it after a system message"),
    Case("frames", check_generator, FloatFrames, "clip-plain: frames are float64"),
    Case("frames", check_generator, NoFrames, "clip-plain: clip has neither frames nor a path"),
    Case("frames", check_generator, NoFile, "clip-plain: path nowhere.mp4 is no file"),
    Case("frames", check_generator, NotAVideo, "not a readable video"),
    Case("fps", check_generator, NoFps, "clip-plain: fps is None"),
    Case("black", check_generator, Black, "clip-plain: every frame is black"),
    Case("popularity", check_predictor, Logarithm, "score-bars: popularity is -"),
    Case("popularity", check_predictor, NotANumber, "score-bars: popularity is nan"),
    Case("unit", check_predictor, NoUnit, "unit is ''"),
    Case("trained_on", check_predictor, TrainedOnText, "returned 'demo/train'"),
    Case("trained_on", check_predictor, TrainedOnRaises, "OSError: no card"),
    Case("broken_video", check_predictor, TrustsVideos, "raised VideoError"),
    Case("broken_video", check_predictor, SkipsBrokenVideos, "score-broken-file: once: not answered"),
    Case("empty_title", check_predictor, TrustsTitles, "raised IndexError"),
    Case("repetition", check_mode, Numbering, "chat-plain: played again, turn 2 is another"),
    Case("company", check_mode, Remembering, "chat-plain: played side by side with others, turn 3 is another"),
    Case("ending", check_mode, Draftless, "chat-plain: it ended without a draft: yield it at the end"),
    Case("ending", check_mode, Endless, "chat-plain: no draft after 50 calls of the LLM"),
    Case("turns", check_mode, Timeless, "turns is 0"),
    Case("odd_answers", check_mode, Trusting, "chat-plain, answered with nothing: JSONDecodeError"),
    Case("vectors", check_embedder, Wide, "dtype: is float64"),
    Case("vectors", check_embedder, Flat, "no texts: is (0,)"),
    Case("vectors", check_embedder, ListRows, "returned list"),
    Case("vectors", check_embedder, EmptyRaises, "no texts: raised ValueError"),
    Case("norms", check_embedder, LongRows, "text 'Cats': length 2"),
    Case("queries", check_embedder, LongQueries, "rows are not of length 1 or 0"),
    Case("rows", check_corpus, TupleRows, "part train: row 0: is a tuple"),
    Case("rows", check_corpus, NegativeRows, "popularity of 'tr' is -1.0"),
    Case("rows", check_corpus, JudgedRows, "popular of 'va' is True"),
    Case("unique_ids", check_corpus, SameIds, "part train: id 'tr' occurs 2 times"),
    Case("union", check_corpus, AllIsTrain, "row 'va' of valid is not in all"),
    Case("union", check_corpus, Bottomless, "part all is empty"),
    Case("unknown_part", check_corpus, AnyPart, "yielded 0 rows"),
    Case("unknown_part", check_corpus, KeyedParts, "KeyError"),
    Case("content", check_corpus, NumberContent, "content() returned 3"),
    Case("content", check_corpus, ContentRaises, "content() raised OSError: no such file"),
    Case("content", check_corpus, ForgetsContent, "and fingerprint() has None for content"),
    Case("content", check_corpus, OtherContent, "and fingerprint() has 'three videos' for content"),
    Case("content", check_corpus, ContentOfInstance, "from another instance: was 'content"),
    Case("content", check_corpus, ContentOfUse, "after use: was 'read 0 times' before"),
    Case("remarks", check_corpus, RemarksText, "returned 'one row skipped'"),
    Case("remarks", check_corpus, RemarksUnread, "remarks() before any read raised AttributeError"),
    Case("known_as", check_corpus, KnownAsNone, "known_as is None"),
]

ALSO = {
    "Unmade": {"fingerprint", "fresh"},
    "FingerprintOfInstance": {"runtime"},
    "Bare": {"once"},
    "Position": {"company"},
    "Logarithm": {"empty_title"},
    "NotANumber": {"empty_title"},
    "Reordered": {"fresh"},
    "TupleRows": {"union"},
    "Numbering": {"fresh", "company"},
}
"""Rules that a component breaks besides its own, because one fault has several sides."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.component.__name__}")
def test_a_breach_is_reported_with_its_rule_and_what_was_seen(case: Case) -> None:
    with pytest.raises(ConformanceError) as caught:
        case.check(case.component)
    report = caught.value.report
    lines = [str(breach) for breach in report.breaches if breach.rule == case.rule]
    assert any(case.says in line for line in lines), str(report)
    assert all(line.startswith(f"{case.rule}: ") and RULES[case.rule] in line for line in lines)
    assert not any("\n" in line for line in lines)
    assert {breach.rule for breach in report.breaches} - ALSO.get(case.component.__name__, set()) == {case.rule}
    assert set(report.rules) <= set(RULES)


def test_every_rule_has_a_component_that_breaks_it() -> None:
    assert {case.rule for case in CASES} == set(RULES)
