"""The page of `popbench view` in a real browser: while a run is at work, after a kill, and when it is finished."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from browser import Opened, chromium, opened
from hostile_cases import TEXTS
from popbench_runs import start
from run_folders import SYSTEMS, make_run
from view_server import Served, served, tree

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ODD = "a b#c%20é?&=+'\"<b>"
ODD_ADDRESS = f"#/run?{urlencode({'run': ODD})}"
COMMAND = [
    "eval", "--llm", "faulty", "--gen", "gated", "--predictor", "faulty", "--mode", "basic",
    "--task", "popcorn_concrete", "--corpus", "demo", "--limit", "8", "--out", "runs/study",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A finished run of six systems, and one with texts that attack the page."""
    folder = tmp_path_factory.mktemp("page")
    make_run(folder / "six", prompts=20)
    texts = iter([*TEXTS.values()] * 10)

    def attack(values: dict[str, Any]) -> None:
        values |= {"title": next(texts), "prompt": next(texts), "video_prompt": next(texts), "status": "error"}
        values |= {"error": next(texts), "notes": (next(texts),)}

    def rename(values: dict[str, Any]) -> None:
        values["prompt_id"] += " #&?%20|é"

    make_run(folder / ODD, systems=(f"{'x' * 200}|pe[k=5]|{'g' * 150}", "human"), change=rename)
    make_run(folder / "hostile", systems=SYSTEMS[:2], change=attack)
    with served(folder) as server:
        yield server


@pytest.fixture
def page(browser: Browser, made: Served) -> Iterator[Opened]:
    with opened(browser, made.address) as found:
        yield found
        assert found.complaints == []
        assert all(url.startswith((made.address, "data:")) for url in found.requests)


def sequence(found: Opened, *steps: tuple[str, str]) -> None:
    """Wait for texts, one after the other: (selector, part of its text)."""
    for selector, text in steps:
        found.page.locator(selector).filter(has_text=text).first.wait_for()


@pytest.mark.slow
def test_a_run_at_work_is_followed_until_it_is_killed_and_after_it_went_on(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    gate = tmp_path / "gate"
    gate.write_text("0", encoding="ascii")

    def clips(found: Opened, number: int) -> None:
        images = "[...document.querySelectorAll('#newest img')].filter((image) => image.naturalWidth === 48)"
        found.until(f"{images}.length === {number}", 20)

    with served(folder) as server, opened(browser, server.address) as found:
        found.page.get_by_text("Start one, such as popbench eval").wait_for()
        process = start(COMMAND, tmp_path)
        found.page.set_default_timeout(20_000)
        found.page.get_by_role("link", name="study").click()
        sequence(found, (".pill", "at work"), ("table.stages tr", "8 of 8"), ("table.stages tr", "0 of 8"))
        gate.write_text("2", encoding="ascii")
        sequence(found, ("table.stages tr", "2 of 8"))
        clips(found, 2)
        gate.write_text("6", encoding="ascii")
        sequence(found, ("table.stages tr", "5 of 8"), ("#errors li", "1 item: HTTP 429: slow down"))
        clips(found, 5)
        sequence(found, ("#samples .count-line", "8 samples"), ("#samples .thumb", "clip to come"))
        assert found.page.locator("table.stages").inner_text().count("/") >= 2  # rates
        # A sample that is not done yet can be looked at.
        found.page.locator("#samples .thumb").filter(has_text="clip to come").first.click()
        sequence(found, (".screen", "The clip is to come"), ("#clip-a h4", ""))
        found.page.go_back()
        sequence(found, (".pill", "at work"))

        process.kill()
        process.join(20)
        sequence(found, (".pill", "killed"), (".state", "the same command goes on with it"))
        before = tree(folder)
        found.page.reload()
        sequence(found, (".pill", "killed"), ("table.stages tr", "5 of 8"), ("#samples .count-line", "8 samples"))
        clips(found, 5)
        found.page.locator("#newest .thumb").first.click()
        sequence(found, ("#clip-a .unit", "score to come"))
        assert tree(folder) == before

        found.page.go_back()
        gate.write_text("999", encoding="ascii")
        process = start(COMMAND, tmp_path)
        sequence(found, (".pill", "incomplete"), ("#samples .thumb", "no result"), ("#samples .thumb", "likes"))
        process.join(20)
        assert found.page.locator("#newest").is_hidden()
        assert found.complaints == []


def test_a_run_shows_a_picture_of_each_clip_and_clips_play(page: Opened) -> None:
    page.page.get_by_role("link", name="six").click()
    page.page.locator("#samples .thumb").first.wait_for()
    assert page.page.locator("#samples .thumb").count() == 30
    page.until("[...document.querySelectorAll('#samples .thumb img')].slice(0, 5).every((i) => i.naturalWidth === 48)")
    page.page.locator("#samples .thumb").first.click()
    page.page.locator("#clip-b video").wait_for()
    video = "document.querySelector('#clip-a video')"
    assert page.page.evaluate(f"{video}.poster").endswith("posters/clip.mp4?run=six")
    assert page.page.evaluate(f"{video}.paused")
    page.page.get_by_role("button", name="Play both").click()
    page.until("[...document.querySelectorAll('.duel video')].every((one) => one.currentTime > 0)")
    first = page.page.url
    page.page.keyboard.press("j")
    page.page.wait_for_url(lambda url: url != first)
    page.page.keyboard.press("k")
    page.until(f"location.href.startsWith({first.partition('&b=')[0]!r})")


def test_a_key_counts_while_the_sample_of_the_key_before_is_loading(page: Opened, made: Served) -> None:
    page.page.goto(f"{made.address}#/run?run=six")
    page.page.locator("#samples .thumb").first.wait_for()
    listed = page.page.evaluate("[...document.querySelectorAll('#samples .thumb')].map((card) => card.href)")
    page.page.locator("#samples .thumb").first.click()
    page.page.locator("#clip-a h4").wait_for()
    # All in one turn of the page, in which nothing can load.
    visited = page.page.evaluate(
        """[..."jjjkjjkkk"].map((key) => {
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            return location.href;
        })"""
    )
    assert visited == [listed[number] for number in (1, 2, 3, 2, 3, 4, 3, 2, 1)]
    sequence(page, ("#clip-a h4", page.page.evaluate("popbench.list.rows[1].title")))
    page.page.go_back()
    page.until(f"location.href === {listed[2]!r}")
    sequence(page, ("#clip-a h4", page.page.evaluate("popbench.list.rows[2].title")))


def test_filters_and_pages_are_in_the_address(page: Opened, made: Served) -> None:
    page.page.goto(f"{made.address}#/run?run=six")
    page.page.get_by_label("System").select_option("gpt|pe|ltx")
    page.page.get_by_label("Task").select_option("abstract")
    page.page.get_by_text("20 samples").wait_for()
    page.page.get_by_label("Search").fill("show abstract-0007")
    page.page.get_by_text("1 sample", exact=True).wait_for()
    assert page.texts("#samples .thumb .title") == ["The 7th wonder of gpt"]
    address = page.page.url
    page.page.goto("about:blank")
    page.page.goto(address)
    page.page.get_by_text("1 sample", exact=True).wait_for()
    assert page.page.get_by_label("System").input_value() == "gpt|pe|ltx"
    page.page.get_by_label("Search").fill("")
    page.page.get_by_label("System").select_option("")
    page.page.get_by_label("Order").select_option("highest")
    page.page.get_by_text("120 samples").wait_for()
    page.page.get_by_role("button", name="Next").click()
    page.page.get_by_text("page 2 of 4").wait_for()
    page.until("location.hash.includes('page=2') && location.hash.includes('order=highest')")


def test_a_link_leads_to_a_sample_and_the_system_beside_it(page: Opened, made: Served) -> None:
    place = "run=six&task=concrete&prompt=concrete-0004"
    page.page.goto(f"{made.address}#/sample?{place}&a=gpt|basic|ltx&b=qwen|pe|ltx")
    sequence(page, ("#clip-a h4", "The 4th wonder of gpt"), ("#clip-b h4", "The 4th wonder of qwen"))
    assert page.page.locator(".strip .thumb").count() == 6
    page.page.locator(".strip .thumb").filter(has_text="gpt").filter(has_text="k=50").click()
    sequence(page, ("#clip-b h4", "The 4th wonder of gpt"))
    page.until("decodeURIComponent(location.hash).includes('b=gpt|pe[k=50]|ltx')")
    page.page.get_by_role("button", name="Swap A and B").click()
    page.until("document.querySelector('#clip-a select').value === 'gpt|pe[k=50]|ltx'")
    page.until("document.querySelectorAll('.won').length === 1")


def test_hostile_texts_stay_texts(page: Opened, made: Served) -> None:
    page.page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
    page.page.goto(f"{made.address}#/run?run=hostile")
    page.page.locator("#samples .thumb").first.wait_for()
    assert TEXTS["script"] in page.page.locator("#samples").inner_text()
    assert page.page.locator("#samples script, #samples svg, #samples img[onerror]").count() == 0
    for number in range(0, 30, 6):
        page.page.goto(f"{made.address}#/run?run=hostile")
        page.page.locator("#samples .thumb").nth(number).click()
        page.page.locator("#clip-a h4").wait_for()
        assert page.page.locator("main script, main svg, main style").count() == 0


def test_names_may_hold_anything_and_be_long(page: Opened, made: Served) -> None:
    page.page.get_by_role("link", name=ODD).click()
    page.page.locator("#samples .thumb").nth(3).click()
    page.page.locator("#clip-b h4").wait_for()
    page.page.reload()
    page.page.locator("#clip-b h4").wait_for()
    assert page.texts(".crumbs") == [f"All runs / {ODD}"]
    assert page.page.evaluate("document.documentElement.scrollWidth") == 1280


def test_a_name_that_is_not_there_is_told(page: Opened, made: Served) -> None:
    page.page.goto(f"{made.address}#/run?run=../../etc")
    page.page.get_by_text("This run is no longer in the folder.").wait_for()
    page.complaints[:] = [text for text in page.complaints if not re.search("404", text)]


def test_ages_grow_while_nothing_else_happens(browser: Browser, made: Served) -> None:
    with opened(browser, "about:blank") as found:
        found.page.clock.install()
        found.page.goto(made.address)
        found.page.locator(".run").first.wait_for()
        found.page.evaluate("document.body.append(popbench.ago(Date.now() / 1000))")
        age = found.page.locator("[data-since]")
        assert age.inner_text() == "0 s ago"
        found.page.clock.fast_forward(600_000)
        age.filter(has_text="10 min ago").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_telephone(browser: Browser, made: Served, scheme: str) -> None:
    size = {"width": 390, "height": 800}
    with opened(browser, made.address, viewport=size, color_scheme=scheme) as found:
        for address in (
            "#/",
            "#/run?run=six",
            ODD_ADDRESS,
            "#/sample?run=six&task=concrete&prompt=concrete-0004&a=gpt|pe|ltx",
        ):
            found.page.goto(made.address + address)
            found.page.locator(".run, .thumb, .clip h4").first.wait_for()
            assert found.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert found.complaints == []
