"""Pages of runs in a real browser, from file://: what they show, how they are used, and what they must not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from browser import Opened, chromium, opened, scroll_through
from popbench.leaderboard.shown import ranked
from popbench.report.write import write_report
from run_folders import SYSTEMS, TITLES, make_run, results_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OF_RUNS = ["Time, memory and money", "Clips"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six systems on two tasks with two predictors, one sample invalid and one that ties."""

    def change(values: dict[str, Any]) -> None:
        at = (values["system"], values["prompt_id"])
        if at == ("gpt|pe|ltx", "abstract-0001"):
            values |= {"status": "invalid", "scores": dict.fromkeys(values["scores"], 0.0), "title": None}
            values |= {"video": None, "error": "no usable draft in 3 answers"}
        if values["prompt_id"] == "abstract-0003":
            values["scores"] = dict.fromkeys(values["scores"], 12.0)

    folder = make_run(tmp_path_factory.mktemp("page") / "run", change=change)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def tab(browser: Browser, run: Path) -> Iterator[Opened]:
    with opened(browser, run / "report.html") as found:
        yield found


@pytest.fixture
def page(tab: Opened) -> Opened:
    """The run's page, opened anew in one tab: a new one takes three times as long."""
    tab.page.set_viewport_size({"width": 1280, "height": 900})
    tab.page.emulate_media(color_scheme="light", reduced_motion="reduce")
    tab.page.evaluate("localStorage.clear()")
    tab.page.evaluate("scrollTo(0, 0)")
    tab.complaints.clear()
    tab.requests.clear()
    tab.page.goto(tab.page.url.partition("#")[0])
    return tab


# -- what it shows


@pytest.mark.slow
def test_a_page_draws_everything_without_complaints_and_asks_for_nothing_but_its_videos(
    page: Opened, run: Path
) -> None:
    scroll_through(page)
    page.page.locator("#clips video").first.wait_for()
    assert page.texts("h2") == [*TITLES, *OF_RUNS, "What this rests on"]
    assert page.page.locator(".chart:visible").count() == page.page.locator(".chart:visible svg").count() == 5
    assert page.page.locator(".chart.failed").count() == 0
    assert page.complaints == []
    assert {url for url in page.requests if not url.startswith("data:")} == {
        (run / "report.html").as_uri(),
        (run / "videos/clip.mp4").as_uri(),
    }


def test_the_leaderboard_has_the_numbers_of_the_results(page: Opened, run: Path) -> None:
    rows = ranked(results_of(run), "mmra", "both")
    cells = [row.split("\t") for row in page.texts("#leaderboard tbody tr")]
    assert [cell[2].split()[0] + cell[2].split()[1] for cell in cells] == [
        "".join(row["system"].split("|")[:2]) for row in rows
    ]
    for cell, row in zip(cells, rows, strict=True):
        low, high = row["mean_win_rate_interval"]
        assert cell[0].strip() == str(row["rank"]["value"])
        assert [cell[3], cell[4].strip()] == [
            f"{100 * row['mean_win_rate']:.1f}",
            f"[{100 * low:.1f}, {100 * high:.1f}]",
        ]
        assert [*cell[-5:-3], cell[-1]] == ["20", str(row["invalid"]), "0"]
        assert cell[-3] == f"{100 * row['valid_win_rate']['value']:.1f}"


def test_another_task_and_predictor_show_their_own_tables(page: Opened, run: Path) -> None:
    before = page.texts("#leaderboard tbody tr")
    page.page.select_option("#predictor", "second")
    page.page.select_option("#task", "abstract")
    rows = ranked(results_of(run), "second", "abstract")
    shown = page.texts("#leaderboard tbody tr")
    assert shown != before
    assert len(shown) == len(SYSTEMS)
    assert shown[0].split("\t")[3] == f"{100 * rows[0]['mean_win_rate']:.1f}"
    assert "abstract, 10 prompts" in page.texts("#leaderboard .lead")[0]
    scroll_through(page)
    assert page.complaints == []


def test_undecided_pairs_are_grey_and_decided_ones_coloured_by_side(page: Opened, run: Path) -> None:
    cells = page.page.locator("table.matrix:visible td[data-pair]")
    kinds = [(cell.get_attribute("class") or "?")[0] for cell in cells.all()]
    pairs = [pair for pair in results_of(run)["pairs"] if (pair["predictor"], pair["task"]) == ("mmra", "both")]
    decided = sum(pair["verdict"] != "undecided" for pair in pairs)
    assert 0 < decided < len(pairs)
    assert (kinds.count("b"), kinds.count("w"), kinds.count("o")) == (decided, decided, 2 * (len(pairs) - decided))


# -- how it is used


def test_a_cell_tells_its_intervals_and_counts_on_hover_and_on_focus(page: Opened) -> None:
    tooltip = page.page.locator("#tooltip")
    cells = page.page.locator("table.matrix:visible td[data-pair]")
    cells.nth(1).hover()
    tooltip.wait_for()
    hovered = tooltip.inner_text()
    assert "over all pairs" in hovered
    assert "wins, ties, losses" in hovered
    page.page.mouse.move(0, 0)
    cells.nth(0).focus()
    page.page.keyboard.press("ArrowRight")
    assert tooltip.inner_text() == hovered
    page.page.keyboard.press("ArrowDown")
    assert tooltip.inner_text() != hovered
    page.page.keyboard.press("Escape")
    assert tooltip.is_hidden()


def test_a_cell_and_its_mirror_tell_the_same(page: Opened) -> None:
    rows = page.page.locator("table.matrix:visible tbody tr")
    told = []
    for row, column in ((0, 5), (5, 0)):
        rows.nth(row).locator("td").nth(column).hover()
        told.append(page.page.locator("#tooltip").inner_text())
    assert "Decided: the row is better." in told[0]
    assert "Decided: the row is worse." in told[1]
    values = [float(text.split("win rate, %")[1].split()[0]) for text in told]
    assert sum(values) == pytest.approx(100, abs=0.11)


def count(page: Opened) -> str:
    return page.page.locator("#count").inner_text()


def test_filters_narrow_the_prompts_by_task_category_verdict_and_words(page: Opened) -> None:
    assert count(page) == "20 of 20 prompts"
    page.page.select_option("#f-task", "abstract")
    assert count(page) == "10 of 20 prompts"
    page.page.select_option("#f-category", "Game")
    assert count(page) == "5 of 20 prompts"
    page.page.select_option("#f-verdict", "tie")
    assert count(page) == "1 of 20 prompts"
    assert page.texts("#prompts .option") == ["=\nShow me something abstract about number 3."]
    page.page.select_option("#f-verdict", "")
    page.page.fill("#f-text", "NUMBER 7")
    assert count(page) == "1 of 20 prompts"
    page.page.fill("#f-text", "nowhere")
    assert count(page) == "No prompt fits: change the filters."
    assert page.texts(".duel") == []
    assert not page.page.locator("#prompts").is_visible()  # an empty box would be all that is left
    page.page.fill("#f-text", "")
    page.page.select_option("#f-category", "")
    page.page.select_option("#f-task", "")
    assert len(page.texts("#prompts .option")) > 5


def test_every_prompt_has_one_verdict(page: Opened) -> None:
    found = 0
    for verdict in ("a", "b", "tie", "error"):
        page.page.select_option("#f-verdict", verdict)
        found += int(count(page).split()[0].replace("No", "0"))
    assert found == 20


def test_an_invalid_sample_says_why_it_scores_nothing(page: Opened) -> None:
    page.page.select_option("#system-a", "gpt|pe|ltx")
    page.page.select_option("#f-verdict", "invalid")
    assert count(page) == "1 of 20 prompts"
    page.page.get_by_text("no usable draft in 3 answers").wait_for()
    assert "invalid" in page.texts("#clip-a .score")[0]
    assert page.texts("#clip-a .screen") == ["No clip"]


def test_two_systems_stand_side_by_side_with_titles_scores_prompts_references_and_reasoning(page: Opened) -> None:
    page.page.select_option("#system-a", "qwen|pe|ltx")
    page.page.select_option("#system-b", "gpt|basic|ltx")
    page.page.locator("#clip-b h4", has_text="The 0th wonder of gpt").wait_for()
    left = page.page.locator("#clip-a")
    assert left.locator("h4").inner_text() == "The 0th wonder of qwen"
    assert "comments" in left.locator(".score").inner_text()
    assert "lanterns swaying" in left.locator("dl").inner_text()
    left.get_by_text("References shown (10)").click()
    assert left.locator(".references li").count() == 10
    left.get_by_text("Reasoning", exact=True).click()
    assert "lanterns" in left.locator("pre:visible").inner_text()
    higher = page.texts("#clip-a .won") + page.texts("#clip-b .won")
    assert higher == ["higher"]


def test_a_picture_from_within_a_clip_stands_for_it_until_it_is_played(page: Opened) -> None:
    videos = "[...document.querySelectorAll('.duel video')]"
    page.until(f"{videos}.length === 2 && {videos}.every((v) => Math.abs(v.currentTime - 0.5) < 0.01 && v.paused)")
    page.page.evaluate(f"{videos}[0].play()")
    page.until(f"{videos}[0].currentTime > 0 && {videos}[0].currentTime < 0.4")


def test_clips_play(page: Opened) -> None:
    page.page.click("#play")
    playing = "(v) => v.readyState >= 2 && v.currentTime > 0.15 && !v.paused"
    page.until(f"[...document.querySelectorAll('.duel video')].filter({playing}).length === 2")
    page.page.click("#play")
    page.until("[...document.querySelectorAll('.duel video')].every((v) => v.paused)")


def test_a_frame_from_the_middle_stands_for_a_clip_and_it_plays_from_its_start(page: Opened) -> None:
    page.until(
        "[...document.querySelectorAll('.duel video')]"
        ".every((video) => video.readyState >= 2 && video.currentTime > 0.3 * video.duration)"
    )
    page.page.evaluate("document.querySelector('.duel video').play()")
    page.until("document.querySelector('.duel video').currentTime < 0.3 * document.querySelector('video').duration")


def test_the_gallery_is_used_with_the_keyboard_alone(page: Opened) -> None:
    page.page.locator("#prompts").focus()
    selected = page.page.locator("#prompts [aria-selected=true]")
    assert selected.get_attribute("aria-posinset") == "1"
    page.page.keyboard.press("ArrowDown")
    assert selected.get_attribute("aria-posinset") == "2"
    assert page.page.locator("#prompts").get_attribute("aria-activedescendant") == selected.get_attribute("id")
    page.page.keyboard.press("End")
    assert selected.get_attribute("aria-posinset") == "20"
    assert selected.is_visible()
    page.page.keyboard.press("k")
    assert selected.get_attribute("aria-posinset") == "19"
    before = page.page.locator("#system-a").input_value(), page.page.locator("#system-b").input_value()
    page.page.keyboard.press("x")
    assert (page.page.locator("#system-b").input_value(), page.page.locator("#system-a").input_value()) == before


def test_keys_do_nothing_while_words_are_typed(page: Opened) -> None:
    page.page.locator("#f-text").press_sequentially("something xjk")
    assert page.page.locator("#f-text").input_value() == "something xjk"
    assert page.page.locator("#system-a").input_value() != page.page.locator("#system-b").input_value()
    page.page.fill("#f-text", "")
    assert page.page.locator("#prompts [aria-selected=true]").get_attribute("aria-posinset") == "1"


def test_all_systems_of_a_prompt_are_listed_and_can_be_picked(page: Opened) -> None:
    page.page.locator("#everyone summary").click()
    page.until(f"document.querySelectorAll('#everyone tbody tr').length === {len(SYSTEMS)}")
    page.page.get_by_role("button", name="Show gpt · pe[k=50] · ltx as B").click()
    assert page.page.locator("#system-b").input_value() == "gpt|pe[k=50]|ltx"


# -- readable for all

CONTRAST = """
(selector) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = rgb(getComputedStyle(element).backgroundColor);
      if (colour[3] === 255) return colour;
    }
  };
  const shown = [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
  return Math.min(...shown.map((element) => {
    const [x, y] = [light(rgb(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    return (x + 0.05) / (y + 0.05);
  }));
}
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out_in_both_themes(page: Opened, theme: Literal["light", "dark"]) -> None:
    page.page.emulate_media(color_scheme=theme)
    page.until(f"document.documentElement.dataset.theme === '{theme}'")
    scroll_through(page)
    chosen = ("td[data-pair]", "td", "th", ".lead", ".note", "nav a", "p, li, label, option, .sign")
    least = {selector: page.page.evaluate(CONTRAST, selector) for selector in chosen}
    assert min(least.values()) >= 4.5, least
    assert page.complaints == []


def test_the_theme_can_be_switched_and_stays_so(page: Opened) -> None:
    page.page.emulate_media(color_scheme="dark")
    page.until("document.documentElement.dataset.theme === 'dark'")  # the page follows when it is told
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.page.evaluate(ground)
    page.page.click("#theme")
    assert page.page.evaluate(ground) != dark
    page.page.reload()
    assert page.page.evaluate("document.documentElement.dataset.theme") == "light"


def test_a_narrow_screen_needs_no_sideways_scrolling(page: Opened) -> None:
    page.page.set_viewport_size({"width": 400, "height": 800})
    page.page.reload()
    scroll_through(page)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_table_that_goes_on_to_the_right_fades_there_until_it_is_scrolled_to_its_end(page: Opened) -> None:
    board = page.page.locator("#leaderboard .scroll:visible")
    faded = "getComputedStyle(document.querySelector('#leaderboard .scroll')).maskImage !== 'none'"
    page.until(f"!({faded})")
    page.page.set_viewport_size({"width": 400, "height": 800})
    page.until(faded)
    board.evaluate("(element) => { element.scrollLeft = element.scrollWidth; }")
    page.until(f"!({faded})")


def test_what_is_operated_has_a_name_and_tables_have_captions_and_scopes(page: Opened) -> None:
    unnamed = page.page.evaluate(
        "[...document.querySelectorAll('button, select, input')].filter((e) => e.checkVisibility()"
        " && !e.labels?.length && !e.ariaLabel && !e.textContent.trim()).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    assert page.page.evaluate("[...document.querySelectorAll('main table')].every((table) => table.caption)")
    assert page.page.evaluate("[...document.querySelectorAll('main th')].every((head) => head.scope)")
    assert page.page.locator("main, header, nav").count() == 3
    levels = page.page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].filter((e) => e.checkVisibility()).map((e) => +e.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
