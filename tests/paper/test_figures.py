"""Figures 3 to 8: whole SVG with a mark for every number, hollow where the paper's stands beside it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import made_paper_scores
from made_paper_scores import look, paper_rows, systems
from popbench.leaderboard.shown import percent
from popbench.paper import figures, tables
from popbench.paper.document import standalone
from popbench.paper.entries import Lookup

SVG = "{http://www.w3.org/2000/svg}"
LLMS = ("gpt-4o", "deepseek-v3", "mine")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Lookup:
    names = [*systems(LLMS, ("cogvideox-5b", "ltx")), "deepseek-v3|pe[k=50]|ltx", "human"]
    return look(tmp_path_factory.mktemp("whole"), paper_rows(names, prompts=40))


def shapes(svg: str | None, kind: str) -> list[ET.Element]:
    """The marks of one kind, wherever they are."""
    assert svg is not None
    root = ET.fromstring(svg)
    found = [group for group in root.iter(f"{SVG}g") if group.get("aria-roledescription") == f"{kind} mark container"]
    return [mark for group in found for mark in group]


def texts(svg: str | None) -> list[str]:
    assert svg is not None
    return [item.text or "" for item in ET.fromstring(svg).iter(f"{SVG}text")]


def counts(svg: str | None) -> tuple[int, int, int]:
    """How many filled points, hollow points and intervals there are."""
    points = shapes(svg, "symbol")
    hollow = sum(point.get("fill") in (None, "none", "transparent") for point in points)
    return len(points) - hollow, hollow, len(shapes(svg, "rule"))


def test_figure_3_has_every_prompt_of_every_llm_and_the_human_s(whole: Lookup) -> None:
    svg = figures.popularity(tables.medians(whole), whole)
    assert counts(svg) == (2 * 4, 2 * 3, 2 * 4)
    assert svg is not None
    ticks = [group for group in ET.fromstring(svg).iter(f"{SVG}g") if "mark-rect" in (group.get("class") or "")]
    assert sum(len(group) for group in ticks) == 2 * 4 * 40
    assert {"gpt-4o", "mine", "human (matched)", "Concrete", "Abstract"} <= set(texts(svg))


def test_figure_4_has_every_category_of_every_llm(whole: Lookup) -> None:
    svg = figures.by_category(tables.categories(whole), whole)
    assert counts(svg) == (2 * 5 * 3, 2 * 5 * 2, 2 * 5 * 3)
    assert set(made_paper_scores.CATEGORIES) <= set(texts(svg))


def test_figure_5_has_llms_and_generators(whole: Lookup) -> None:
    svg = figures.enhancement([tables.enhancement_by_llm(whole), tables.enhancement_by_generator(whole)])
    assert counts(svg) == (2 * 3 + 2 * 2, 2 * 2 + 2, 2 * 3 + 2 * 2 + 2)  # and the two lines at one half


def test_figures_6_and_7_say_every_rate_with_its_interval_and_the_paper_s(whole: Lookup) -> None:
    table = tables.llm_pairs(whole)
    shown = texts(figures.pairwise(table))
    for _, entries in table.rows:
        for entry in entries:
            assert entry.value is not None
            assert percent(entry.value) in shown
            assert f"[{percent(entry.low)}, {percent(entry.high)}]" in shown
    assert sum(text.startswith("◇ ") for text in shown) == 2 * 4
    assert "◇ 60" in shown  # DeepSeek-V3 over ChatGPT-4o, abstract, PE
    assert sum(text.startswith("[") for text in texts(figures.pairwise(tables.generator_pairs(whole)))) == 2 * 4


def test_undecided_pairs_are_grey(tmp_path: Path) -> None:
    rows = paper_rows(systems(("a", "b", "c"), ("x",), ("basic",)), prompts=60)
    for row in rows:
        row["popularity"] *= 50 if row["system"].startswith("a") else 1
    found = look(tmp_path, rows)
    svg = figures.pairwise(tables.llm_pairs(found))
    colours = [cell.get("fill") for cell in shapes(svg, "rect")]
    assert len(colours) == 2 * 6
    assert {colours.count(colour) for colour in (figures.BLUE, figures.ORANGE, figures.QUIET)} == {2 * 2}


def test_figure_8_has_a_point_for_every_rag_size(whole: Lookup) -> None:
    assert counts(figures.by_rag_size(tables.rag_sizes(whole), whole)) == (2 * 3, 2 * 3, 2 * 3)


def test_many_systems_make_a_heat_map_without_numbers(tmp_path: Path) -> None:
    found = look(tmp_path, paper_rows(systems([f"m{n:02d}" for n in range(9)], ("x",), ("basic",)), prompts=10))
    svg = figures.pairwise(tables.llm_pairs(found))
    assert len(shapes(svg, "rect")) == 2 * 9 * 8
    assert not [text for text in texts(svg) if text.startswith("[")]


def test_invalid_samples_do_not_break_the_logarithmic_axes(tmp_path: Path) -> None:
    rows = paper_rows(systems(("a", "b"), ("x",), ("basic", "pe")))
    for row in rows:
        if row["system"].startswith("a"):
            row |= {"popularity": 0, "status": "invalid"}
    found = look(tmp_path, rows)
    assert found.zeros()
    assert counts(figures.popularity(tables.medians(found), found))[0] == 2  # of b alone: the medians of a are 0
    assert counts(figures.by_rag_size(tables.rag_sizes(found), found)) in ((0, 0, 0), (4, 0, 4))


def test_what_is_not_covered_is_not_drawn(tmp_path: Path) -> None:
    found = look(tmp_path, paper_rows(["a|basic|x"]))
    assert figures.pairwise(tables.llm_pairs(found)) is None
    assert figures.enhancement([tables.enhancement_by_llm(found), tables.enhancement_by_generator(found)]) is None


def test_names_cannot_become_markup_and_the_network_is_not_asked(tmp_path: Path) -> None:
    nasty = '<script>alert("1")</script>&'
    found = look(tmp_path, paper_rows(systems((nasty, "b"), ("x",), ("basic",)), prompts=10))
    for svg in (figures.popularity(tables.medians(found), found), figures.pairwise(tables.llm_pairs(found))):
        assert svg is not None
        assert "<script" not in svg
        assert nasty in texts(svg)
        assert "href" not in svg.replace("xmlns:xlink", "")
        assert "url(" not in svg  # identifiers would clash between the pictures of one page


def test_a_picture_of_its_own_has_a_background(whole: Lookup) -> None:
    svg = figures.by_rag_size(tables.rag_sizes(whole), whole)
    assert svg is not None
    assert "currentColor" in svg
    root = ET.fromstring(standalone(svg))
    assert root.get("style") == "background:#fff;color:#1f2328"
