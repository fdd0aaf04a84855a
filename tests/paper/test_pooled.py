"""Pooled win rates of the paper: recomputed from the tables, with p-values by enumeration, and what the page says."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from markdown_tables import tables_are_whole
from popbench.paper import pooled
from popbench.paper.contrasts import of_table
from popbench.paper.pooled import clearest_split, condition_rates, enhancement, enhancement_of_shared_drafts, systems
from popbench.paper.published import MODES, PROMPTS, published
from popbench.paper.reanalysis import board, files

BOARD = Path(__file__).parents[2] / "leaderboards" / "paper"
LEADING = ("DeepSeek-V3", "DeepSeek-R1")


def mean_rate(number: int, group: tuple[str, ...]) -> float:
    table = published(number)
    rates = [rate for (a, b, _, _), (rate,) in table.entries.items() if a in group and b not in group]
    return float(np.mean(rates)) / 100


def test_the_pooled_rates_are_the_means_of_the_published_ones() -> None:
    generators, llms, pe = clearest_split(7), clearest_split(6), enhancement()
    assert (generators.a, llms.a) == (("CogVideoX-5B",), LEADING)
    assert generators.rate == pytest.approx(mean_rate(7, generators.a)) == pytest.approx(0.43375)
    assert llms.rate == pytest.approx(mean_rate(6, LEADING)) == pytest.approx(0.545)
    rates = [rate for number in (4, 5) for (rate,) in published(number).entries.values()]
    assert pe.rate == pytest.approx(np.mean(rates) / 100) == pytest.approx(0.537)
    assert [item.comparisons for item in (generators, llms, pe)] == [8, 24, 10]


def test_of_two_readings_the_one_nearer_to_one_half_is_pooled() -> None:
    llama = systems(6)[0]
    assert llama.a == ("Llama-3.3-70B",)
    forward = mean_rate(6, llama.a)
    backward = 1 - float(np.mean([r for (_, b, _, _), (r,) in published(6).entries.items() if b == llama.a[0]])) / 100
    assert sorted([forward, backward])[1] == pytest.approx(llama.rate)
    assert abs(forward - backward) == pytest.approx(1 / 1600)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 2), (1, 4), (2, 3)])
def test_wins_on_a_prompt_are_those_of_all_orders_of_its_videos(m: int, n: int) -> None:
    counts = np.zeros(m * n + 1)
    for order in permutations(range(m + n)):
        counts[sum(order[a] > order[b] for a in range(m) for b in range(m, m + n))] += 1
    assert pooled._orders(m, n) == pytest.approx(counts / counts.sum())


def test_p_values_are_close_to_those_of_the_normal_distribution() -> None:
    for item in (clearest_split(6), clearest_split(7), *systems(6), *systems(7)):
        m, n = len(item.a), len(item.b)
        # Two indicators that share a video have the correlation 1/3; those of two videos each, 0.
        sd = np.sqrt(0.25 * (1 + (m + n - 2) / 3) / (m * n) / 400)
        assert item.p == pytest.approx(
            2 * scipy_stats.norm.sf((abs(item.rate - 0.5) - 0.5 / (400 * m * n)) / sd), rel=0.06
        )


def test_enhancement_without_shared_drafts_is_a_sign_test_and_shared_drafts_weaken_it() -> None:
    pe = enhancement()
    assert pe.p == pytest.approx(scipy_stats.binomtest(537, 1000).pvalue)
    shared, largest = enhancement_of_shared_drafts()
    assert pe.p < shared < largest < pe.p_worst
    sd = np.sqrt(0.25 * (3 + 2**2) / 25 / 200)
    assert shared == pytest.approx(2 * scipy_stats.norm.sf((0.037 - 0.5 / 1000) / sd), rel=0.05)


def test_the_worst_case_is_one_comparison_on_the_prompts_of_both_sets() -> None:
    for item in (clearest_split(6), clearest_split(7), enhancement(), *systems(6), *systems(7)):
        low, high = item.worst_interval
        assert (item.p_worst <= 0.05) == (low > 0.5 or high < 0.5)
        assert low < item.rate < high
        assert item.p <= item.p_worst
    assert clearest_split(7).p_worst == pytest.approx(scipy_stats.binomtest(87, 200).pvalue)
    assert clearest_split(6).p_worst == pytest.approx(scipy_stats.binomtest(109, 200).pvalue)


def test_no_dependence_within_prompts_is_worse_than_the_worst_case() -> None:
    """Equal systems, comparisons of a prompt dependent in ways of all kinds: p is at most .05 in 5 % of samples."""
    rng = np.random.default_rng(3)
    for alike in (0.0, 0.5, 0.9, 1.0):
        rejected = 0
        for _ in range(500):
            one = rng.random((200, 1)) < 0.5
            each = np.where(rng.random((200, 4)) < alike, one, rng.random((200, 4)) < 0.5)
            wins = int(each.sum())
            rejected += pooled._pooled("7", ("a",), ("b",), 8, wins, pooled._coins([1])).p_worst <= 0.05
        assert rejected / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_the_choice_of_a_division_is_allowed_for() -> None:
    assert (clearest_split(6).groupings, clearest_split(7).groupings, enhancement().groupings) == (15, 3, 1)
    for number in (6, 7):
        best = clearest_split(number)
        assert best.p == min(item.p for item in (best, *systems(number)))
        assert best.p_chosen == pytest.approx(best.groupings * best.p)


def test_rates_by_condition_are_the_columns_of_the_table() -> None:
    r1 = list(condition_rates(6, "DeepSeek-R1"))
    assert len(r1) == len(PROMPTS) * len(MODES)
    assert r1 == pytest.approx([0.53, 0.5975, 0.535, 0.48])
    assert np.mean(list(condition_rates(7, "CogVideoX-5B"))) == pytest.approx(clearest_split(7).rate)


def test_the_page_says_both_assumptions_and_that_it_is_post_hoc() -> None:
    text = files()["README.md"]
    assert tables_are_whole(text)
    assert "Post hoc: chosen after the tables were seen." in text
    assert "CogVideoX-5B over the others 43.4 %, DeepSeek-V3 and DeepSeek-R1 over the others 54.5 %" in text
    assert "Decided at the 95 % level: three of three if the videos of a prompt are exchangeable" in text
    assert "in the worst case none." in text
    assert "| 7: CogVideoX-5B over the others | 8 | 43.4 [36.5, 50.7] | 0.001 | 3 | 0.004 | 0.077 |" in text
    assert "| 4 and 5: PE over basic | 10 | 53.7 [46.3, 60.6] | 0.021 | – | 0.021 | 0.36 |" in text
    assert "| 7: CogVideoX-5B | 46.5 | 38.0 | 44.5 | 44.5 | 43.4 [36.5, 50.7] | 0.001 | 0.077 |" in text


def test_the_page_says_where_text_and_tables_differ() -> None:
    text = files()["README.md"].partition("## Where text and tables differ")[2].partition("\n## ")[0]
    assert "Llama-3.3-70B has 56 % in the text. In table 6 its highest rate there is 55 %, over Qwen-2.5-72B" in text
    assert "it is fourth of five by mean win rate, 48.0 %: it wins 47 against Llama-3.3-70B" in text
    assert "60 against 40 (LTX-Video over HunyuanVideo)" in text
    alone = {item.alone for item in of_table(7) if {item.rate, item.reverse} == {60, 40}}
    assert alone == {"undecided"}


def test_board_json_has_the_pooled_rates_as_data() -> None:
    content = json.loads((BOARD / "board.json").read_text(encoding="utf-8"))
    assert content["pooled"] == board()["pooled"]
    assert content["pooled"]["post_hoc"] is True
    assert [item["win_rate"] for item in content["pooled"]["groupings"]] == [0.43375, 0.545, 0.537]
    assert [item["a"] for item in content["pooled"]["systems"]] == [
        [name] for number in (6, 7) for name in published(number).names(published(number).keys[0])
    ]
    highest, place, gaps = content["text_and_tables"]
    assert (highest["text"], highest["table"]) == (0.56, 0.55)
    assert (place["table"], place["of"], place["win_rate"]) == (4, 5, 0.47)
    assert {(gap["win_rate"], gap["reverse"]) for gap in gaps["table"]} == {(0.6, 0.4)}
