"""Clips of any shape in the gallery: each is shown whole, in its own aspect, and fits the window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from browser import Opened, chromium, opened
from popbench.report.write import write_report
from popbench.video import write_mp4
from run_folders import SYSTEMS, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHAPES = {
    "tall": (288, 512), "two-thirds": (240, 352), "square": (256, 256), "wide": (512, 288), "film": (512, 224),
    "narrow": (96, 512),
}  # fmt: skip
"""Width and height of each system's clips."""
OF = dict(zip(SYSTEMS, SHAPES, strict=True))
WINDOWS = {"desktop": (1280, 900), "laptop": (1366, 640), "phone": (390, 844), "phone on its side": (844, 390)}
MEASURE = """
[...document.querySelectorAll('.duel video')].map((v) => {
  const box = v.getBoundingClientRect(), card = v.closest('.clip').getBoundingClientRect();
  return {natural: [v.videoWidth, v.videoHeight], width: box.width, height: box.height,
          inside: box.left >= card.left - 1 && box.right <= card.right + 1};
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def change(values: dict[str, Any]) -> None:
        values["video"] = f"videos/{OF[values['system']]}.mp4"
        if values["system"] == SYSTEMS[0] and values["prompt_id"].endswith("-0001"):
            values |= {"status": "invalid", "video": None, "title": None}

    folder = make_run(tmp_path_factory.mktemp("shapes") / "run", change=change, clip=False)
    for name, (width, height) in SHAPES.items():
        write_mp4(np.full((4, height, width, 3), 90, np.uint8), 8, folder / f"videos/{name}.mp4")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(browser: Browser, run: Path) -> Iterator[Opened]:
    with opened(browser, run / "report.html") as found:
        yield found


def show(page: Opened, a: str, b: str) -> None:
    """Show two systems, and wait until the sizes of their clips are known."""
    page.page.locator("#prompts .option").first.click()
    page.page.select_option("#system-a", a)
    page.page.select_option("#system-b", b)
    wanted = [list(SHAPES[OF[system]]) for system in (a, b)]
    page.until(
        "JSON.stringify([...document.querySelectorAll('.duel video')].map((v) => [v.videoWidth, v.videoHeight])) === "
        f"'{str(wanted).replace(' ', '')}'"
    )


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("pair", [(SYSTEMS[0], SYSTEMS[3]), (SYSTEMS[1], SYSTEMS[2]), (SYSTEMS[5], SYSTEMS[4])])
def test_a_clip_is_shown_whole_in_its_own_aspect(page: Opened, pair: tuple[str, str], window: str) -> None:
    width, height = WINDOWS[window]
    page.page.set_viewport_size({"width": width, "height": height})
    show(page, *pair)
    for shown in page.page.evaluate(MEASURE):
        of_clip = shown["natural"][0] / shown["natural"][1]
        assert shown["width"] / shown["height"] == pytest.approx(of_clip, rel=0.01), "neither stretched nor with bars"
        assert shown["inside"], "in its card"
        assert shown["height"] <= height * 0.81, "whole in the window"
        assert shown["width"] >= 0.25 * min(width, 400) * min(1, of_clip), "and not tiny"
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.complaints == []


def test_the_next_clip_of_a_system_has_its_place_before_it_is_read(page: Opened) -> None:
    page.page.set_viewport_size({"width": 1280, "height": 900})
    show(page, SYSTEMS[0], SYSTEMS[3])
    before = [shown["height"] for shown in page.page.evaluate(MEASURE)]
    page.page.evaluate(
        "new MutationObserver((_, o) => { const v = document.querySelector('#clip-a video');"
        " if (v && !v.videoWidth) { window.early = v.getBoundingClientRect().height; o.disconnect(); } })"
        ".observe(document.querySelector('#clip-a .body'), {childList: true})"
    )
    page.page.locator("#prompts .option").nth(2).click()
    page.until("window.early !== undefined")
    assert page.page.evaluate("window.early") == pytest.approx(before[0], abs=1)


def test_a_missing_clip_beside_a_tall_one_keeps_its_own_box(page: Opened) -> None:
    page.page.set_viewport_size({"width": 1280, "height": 900})
    show(page, SYSTEMS[0], SYSTEMS[1])
    page.page.fill("#f-text", "number 1.")
    page.page.locator("#prompts .option").first.click()
    page.page.locator("#clip-a .screen").wait_for()
    box = page.page.locator("#clip-a .screen").bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(16 / 9, rel=0.02)
    page.page.fill("#f-text", "")
