"""The paper's own numbers and what they decide: against scipy, by hand, and as the board that is committed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from scipy import stats as scipy_stats

from markdown_tables import tables_are_whole
from popbench.paper.contrasts import Contrast, contrasts, fewest_wins, of_table, published_rates
from popbench.paper.forest import ForestLine, forest
from popbench.paper.published import MODES, PROMPTS, paper, published
from popbench.paper.reanalysis import board, files

BOARD = Path(__file__).parents[2] / "leaderboards" / "paper"
SVG = "{http://www.w3.org/2000/svg}"


# -- what was published


def test_every_table_has_all_its_numbers() -> None:
    counts = {number: len(published(number).entries) for number in range(2, 11)}
    assert counts == {2: 8, 3: 30, 4: 6, 5: 4, 6: 80, 7: 24, 8: 8, 9: 5, 10: 8}
    assert published_rates() == 6 + 4 + 80 + 24


@pytest.mark.parametrize(
    ("number", "key", "value"),
    [
        (2, ("human", "abstract"), 0.71),
        (3, ("ChatGPT-4o", "Delicacy", "concrete"), 1.24),
        (4, ("DeepSeek-V3", "abstract"), 49),
        (5, ("LTX-Video", "abstract"), 61),
        (6, ("DeepSeek-R1", "Qwen-2.5-72B", "concrete", "pe"), 66),
        (7, ("CogVideoX-5B", "LTX-Video", "concrete", "pe"), 38),
        (8, (100, "abstract"), 0.99),
        (9, ("HunyuanVideo",), 12016),
        (10, ("Llama-3.3-70B", 50), 49662),
        (4, ("DeepSeek-R1", "abstract"), None),
        (6, (None, "Qwen-2.5-72B", "concrete", "pe"), None),
    ],
)
def test_a_number_is_found_by_what_it_is_of(number: int, key: tuple[str | int | None, ...], value: float) -> None:
    assert published(number).value(*key) == value


def test_both_directions_of_pairs_add_up_except_where_the_paper_s_own_do_not() -> None:
    odd = []
    for number in (6, 7):
        table = published(number)
        for (a, b, prompts, mode), (rate,) in table.entries.items():
            reverse = table.value(b, a, prompts, mode)
            assert reverse is not None
            if rate + reverse != 100:
                odd.append((a, b, prompts, mode, rate, reverse))
    assert sorted(odd) == [
        ("ChatGPT-4o", "Llama-3.3-70B", "abstract", "pe", 46, 53),
        ("Llama-3.3-70B", "ChatGPT-4o", "abstract", "pe", 53, 46),
    ]


# -- what it decides


def test_each_pair_is_one_comparison_whichever_way_it_is_printed() -> None:
    assert [len(of_table(number)) for number in (4, 5, 6, 7)] == [6, 4, 5 * 4 // 2 * 4, 3 * 4]
    keys = {(item.table, frozenset((item.a, item.b)), item.prompts, item.mode) for item in contrasts()}
    assert len(keys) == len(contrasts()) == 62
    assert {item.mode for item in contrasts()} == {None, *MODES}
    assert {item.prompts for item in contrasts()} == set(PROMPTS)


def test_intervals_and_p_values_are_scipy_s() -> None:
    for item in contrasts():
        wins, bonferroni = item.rate, 1 - 0.05 / len(of_table(item.table))
        test = scipy_stats.binomtest(wins, 100)
        for interval, level in ((item.interval, 0.95), (item.simultaneous, bonferroni)):
            exact = test.proportion_ci(level, "exact")
            assert interval == pytest.approx((exact.low, exact.high), abs=1e-9)
        if not item.disagrees:
            assert item.p == pytest.approx(test.pvalue, abs=1e-12)
        if item.reverse is not None:
            other = scipy_stats.binomtest(item.reverse, 100).proportion_ci(0.95, "exact")
            assert item.reverse_interval == pytest.approx((other.low, other.high), abs=1e-9)


def test_holm_s_correction_is_as_by_hand_within_tables_and_over_all() -> None:
    def by_hand(items: list[Contrast]) -> dict[int, float]:
        adjusted, highest = {}, 0.0
        for place, item in enumerate(sorted(items, key=lambda item: item.p)):
            highest = max(highest, min(1.0, (len(items) - place) * item.p))
            adjusted[id(item)] = highest
        return adjusted

    everywhere = by_hand(list(contrasts()))
    for number in (4, 5, 6, 7):
        items = of_table(number)
        within = by_hand(items)
        for item in items:
            assert item.p_holm == pytest.approx(within[id(item)])
            assert item.p_holm_all == pytest.approx(everywhere[id(item)])


def test_six_are_decided_alone_and_none_among_all_of_their_table() -> None:
    decided = {(i.table, i.a, i.b, i.prompts, i.mode): i.alone for i in contrasts() if i.alone != "undecided"}
    assert decided == {
        (5, "LTX-Video, PE", "LTX-Video, basic", "abstract", None): "better",
        (6, "DeepSeek-V3", "Qwen-2.5-72B", "concrete", "pe"): "better",
        (6, "DeepSeek-R1", "Qwen-2.5-72B", "concrete", "pe"): "better",
        (7, "CogVideoX-5B", "LTX-Video", "concrete", "pe"): "worse",
        (7, "CogVideoX-5B", "LTX-Video", "abstract", "pe"): "worse",
        (7, "CogVideoX-5B", "HunyuanVideo", "concrete", "pe"): "worse",
    }
    assert {item.holm for item in contrasts()} == {item.holm_all for item in contrasts()} == {"undecided"}
    assert {item.bonferroni for item in contrasts()} == {"undecided"}


def test_verdicts_and_intervals_never_disagree() -> None:
    for item in contrasts():
        for verdict, (low, high) in ((item.alone, item.interval), (item.bonferroni, item.simultaneous)):
            assert verdict == ("better" if low > 0.5 else "worse" if high < 0.5 else "undecided")
        if item.holm == "undecided":
            assert item.bonferroni == "undecided"  # Holm decides at least as much


def test_the_fewest_wins_that_decide_are_those_of_the_binomial_distribution() -> None:
    fewest, size = fewest_wins(100)
    assert fewest == 61
    assert size == pytest.approx(2 * scipy_stats.binom.sf(60, 100, 0.5))
    assert 2 * scipy_stats.binom.sf(59, 100, 0.5) > 0.05
    assert fewest_wins(20)[0] == 15


# -- the board


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return files()


def test_the_committed_board_is_what_popbench_makes(made: dict[str, str]) -> None:
    assert sorted(made) == ["README.md", "board.json", "index.html", "intervals.svg"]
    for name, text in made.items():
        assert (BOARD / name).read_text(encoding="utf-8") == text, f"popbench leaderboard build {BOARD}"


def test_the_board_is_the_same_in_another_process(made: dict[str, str]) -> None:
    code = "import sys; from popbench.paper.reanalysis import files; sys.stdout.write(repr(sorted(files().items())))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert told.stdout == repr(sorted(made.items()))


def test_the_readme_says_how_many_are_decided_and_its_tables_are_whole(made: dict[str, str]) -> None:
    text = made["README.md"]
    assert "**Of the 62 comparisons by win rate in tables 4 to 7 of the paper, six are decided" in text
    assert "and none after Holm's correction" in text
    assert "2.2 of 62 would be decided by chance" in text
    assert "is 53 % \\[42.8, 63.1\\], and ChatGPT-4o over Llama-3.3-70B is 46 % \\[36.0, 56.3\\]" in text
    assert "| DeepSeek-R1 | Qwen-2.5-72B | 56 [45.7, 65.9] | **66** [55.8, 75.2] |" in text
    assert "(intervals.svg)" in text
    assert tables_are_whole(text)


def test_board_json_holds_every_comparison_and_every_published_number(made: dict[str, str]) -> None:
    content = json.loads(made["board.json"])
    assert content == board()
    assert (content["kind"], len(content["comparisons"])) == ("paper", 62)
    numbers = {number: len(table["entries"]) for number, table in content["published"].items()}
    assert numbers == {str(number): len(published(number).entries) for number in range(2, 11)}
    assert {"llm": "DeepSeek-V3", "prompts": "concrete", "median": 0.56} in content["published"]["2"]["entries"]
    one = next(item for item in content["comparisons"] if item["win_rate"]["value"] == 0.66)
    assert (one["verdict_alone"], one["verdict"], one["win_rate"]["reverse"]) == ("better", "undecided", 0.34)
    assert sum(table["decided_alone"] for table in content["tables"]) == 6


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_asks_nothing_of_the_network(made: dict[str, str]) -> None:
    found = _Tags()
    found.feed(made["index.html"])
    assert found.addresses
    assert all(address.startswith("#") for address in found.addresses)
    assert not found.tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"url\(|@import", made["index.html"])
    assert paper()["arxiv"] in made["index.html"]


def test_the_picture_has_an_interval_for_every_comparison(made: dict[str, str]) -> None:
    root = ET.fromstring(made["intervals.svg"])
    groups = root.findall(f"{SVG}g")
    assert len(groups) == 62
    assert sum(len(group.findall(f"{SVG}circle")) for group in groups) == 63  # one has a second reading
    thick = [line for group in groups for line in group.findall(f"{SVG}line") if line.get("stroke-width") == "4"]
    assert len(thick) == 62
    assert sum(line.get("stroke") == "#2f81f7" for line in thick) == 6
    ends = [float(thick[0].get(name) or "") for name in ("x1", "x2")]
    low, high = (372 + 440 * (100 * end - 15) / 70 for end in max(of_table(4), key=lambda item: item.rate).interval)
    assert ends == pytest.approx([low, high], abs=0.01)


def test_a_picture_takes_no_name_for_markup() -> None:
    text = forest([("<b>", [ForestLine("a & <script>", 50, (40, 60), (30, 70), False)])], "</title><script>")
    assert "<script" not in text
    assert [item.text for item in ET.fromstring(text).iter(f"{SVG}text")][-2:] == ["a & <script>", "50"]
