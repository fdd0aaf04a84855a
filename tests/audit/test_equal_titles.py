"""Win rates at equal titles: what a system owes to its titles is gone, what it owes to its videos stays."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import known_law_components
from popbench.audit.clips import Variant
from popbench.audit.equal_titles import equal_titles
from popbench.audit.run import audit
from popbench.audit.scorer import Scored
from popbench.records import Sample

SYSTEMS = ("loud|basic|g", "plain|basic|g", "shiny|basic|g")


def made(n_prompts: int = 40, repeats: int = 1, systems: Iterable[str] = SYSTEMS) -> tuple[list[Sample], list[Variant]]:
    """Samples whose titles and videos are named by their system, prompt and repeat."""
    samples, plain = [], []
    for system in systems:
        for prompt in range(n_prompts):
            for repeat in range(repeats):
                samples.append(
                    Sample(
                        system=system, llm=system.split("|")[0], mode="basic", generator="g", task="t",
                        prompt_id=f"p{prompt}", prompt="x", category="ab"[prompt % 2], repeat=repeat, status="ok",
                    )
                )  # fmt: skip
                plain.append(Variant(f"{system} {prompt} {repeat}", Path(f"{system} {prompt} {repeat}.mp4")))
    return samples, plain


def noise(*of: object) -> float:
    return float(np.random.default_rng(zlib.crc32(repr(of).encode())).normal())


def law(title: float, video: float) -> Any:
    """A score in which loud titles and shiny videos count, with what a prompt's texts and videos add at random."""

    def score(variants: Iterable[Variant]) -> Scored:
        found = Scored()
        for variant in variants:
            of_title = title * (variant.title.startswith("loud") + 0.5 * noise(variant.title))
            of_video = video * (variant.video.name.startswith("shiny") + 0.5 * noise(variant.video.name))
            found.popularity[variant] = float(np.exp(of_title + of_video))
        return found

    return score


def found(score: Any, samples: Any, plain: Any, titles: int = 3) -> dict[str, Any]:
    result = equal_titles(samples, plain, score(plain), score, titles=titles, seed=1, real=False)
    assert result is not None
    return result


def rates(result: dict[str, Any], which: str) -> dict[str, float]:
    return {row["system"]: row[which]["value"] for row in result["systems"]}


def test_a_lead_by_titles_is_gone_and_one_by_videos_stays() -> None:
    result = found(law(4, 1), *made())
    assert max(rates(result, "as_scored"), key=lambda name: rates(result, "as_scored")[name]) == SYSTEMS[0]
    at_equal = rates(result, "at_equal_titles")
    assert max(at_equal, key=at_equal.__getitem__) == SYSTEMS[2]
    assert at_equal[SYSTEMS[0]] < 0.55
    for row in result["systems"]:
        for rate in (row["at_equal_titles"], row["as_scored"]):
            assert rate["low"] <= rate["value"] <= rate["high"]


def test_where_titles_count_for_nothing_the_rates_stay_the_same() -> None:
    result = found(law(0, 1), *made(repeats=2))
    assert rates(result, "at_equal_titles") == rates(result, "as_scored")
    assert result["n"] == 40


def test_where_titles_count_alone_all_pairs_tie() -> None:
    result = found(law(1, 0), *made(), titles=2)
    assert set(rates(result, "at_equal_titles").values()) == {0.5}
    assert {pair["verdict"] for pair in result["pairs"]} == {"undecided"}
    assert result["titles"] == 2


def test_known_scores_are_not_asked_for_again() -> None:
    samples, plain = made(5)
    asked: list[Variant] = []

    def score(variants: Iterable[Variant]) -> Scored:
        asked.extend(variants)
        return law(1, 1)(asked)  # type: ignore[no-any-return]

    equal_titles(samples, plain, law(1, 1)(plain), score, titles=9, seed=1, real=False)
    assert not set(asked) & set(plain)
    assert len(asked) == 5 * (9 - 3)  # each video with the two titles that are not its own


def test_prompts_that_a_system_lacks_and_failed_scores_are_left_out() -> None:
    samples, plain = made(12)
    del samples[0], plain[0]
    score = law(1, 1)

    def fails(variants: Iterable[Variant]) -> Scored:
        result: Scored = score(variants)
        for variant in list(result.popularity):
            if variant.video.name.startswith("shiny|basic|g 5 "):
                result.failures[variant] = "no"
                del result.popularity[variant]
        return result

    result = equal_titles(samples, plain, score(plain), fails, titles=3, seed=1, real=False)
    assert result is not None
    assert result["n"] == 10
    assert result["failed"] == 2


def test_a_prompt_without_the_score_of_a_sample_as_it_is_is_left_out() -> None:
    samples, plain = made(systems=(*SYSTEMS, "bright|basic|g", "dull|basic|g"))
    lost = plain[3]

    def fails(variants: Iterable[Variant]) -> Scored:
        result: Scored = law(1, 1)(variants)
        if result.popularity.pop(lost, None) is not None:
            result.failures[lost] = "no"
        return result

    for seed in range(6):  # with some of them, the sample's own title is not among those that its prompt has
        result = equal_titles(samples, plain, fails(plain), fails, titles=2, seed=seed, real=False)
        assert result is not None
        assert result["n"] == 39


def test_that_the_predictor_ended_before_any_prompt_was_complete_is_kept() -> None:
    samples, plain = made(3)
    ended = Scored(ended="out of memory")
    result = equal_titles(samples, plain, law(1, 1)(plain), lambda _: ended, titles=3, seed=1, real=False)
    assert result == {"n": 0, "titles": 3, "failed": 0, "ended": "out of memory", "systems": [], "pairs": []}


def test_one_system_or_no_shared_prompt_has_none() -> None:
    samples, plain = made(5, systems=SYSTEMS[:1])
    score = law(1, 1)
    assert equal_titles(samples, plain, score(plain), score, titles=2, seed=1, real=False) is None
    samples, plain = made(2, systems=SYSTEMS[:2])
    assert equal_titles(samples[:3], plain[:3], score(plain), score, titles=2, seed=1, real=False) is not None
    assert equal_titles(samples[1:3], plain[1:3], score(plain), score, titles=2, seed=1, real=False) is None


@pytest.mark.slow
def test_boards_and_files_show_them_for_predictors_of_titles_and_videos(tmp_path: Path) -> None:
    known_law_components.install()
    run = tmp_path / "run"
    known_law_components.evaluate(run, "law,title=1,level=1,label=both", 'sum,label=one,weights={"title": 1}')
    both, one = audit(run, shuffles=2)["audits"]
    assert "equal_titles" not in one
    assert len(both["equal_titles"]["systems"]) == 2
    for name in ("leaderboard.md", "audit.md"):
        text = (run / name).read_text(encoding="utf-8")
        assert text.count("| At equal titles, % |") == 1
        assert "with the same titles, those of 2 systems for each prompt" in text
