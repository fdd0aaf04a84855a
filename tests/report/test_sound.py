"""Clips with sound in the gallery: marked in words, heard when the reader plays them, and one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from browser import Opened, chromium, opened
from faults import tone
from popbench.report.gallery import is_heard
from popbench.report.write import write_report
from popbench.video import write_mp4
from run_folders import SYSTEMS, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LOUD, LOUD_TOO, SILENT = SYSTEMS[0], SYSTEMS[1], SYSTEMS[2]
VIDEOS = "[...document.querySelectorAll('.duel video')]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def change(values: dict[str, Any]) -> None:
        loud = values["system"] in (LOUD, LOUD_TOO)
        values["video"] = "videos/loud.mp4" if loud else "videos/silent.mp4"

    folder = make_run(tmp_path_factory.mktemp("sound") / "run", change=change, clip=False)
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 255, (24, 96, 128, 3), np.uint8)
    write_mp4(frames, 8, folder / "videos/loud.mp4", sound=tone(3), sample_rate=24_000)
    write_mp4(frames, 8, folder / "videos/silent.mp4")
    write_report(folder)
    return folder


@pytest.fixture
def page(browser: Browser, run: Path) -> Iterator[Opened]:
    with opened(browser, run / "report.html") as found:
        yield found


def show(page: Opened, a: str, b: str) -> None:
    page.page.locator("#prompts .option").first.click()
    page.page.select_option("#system-a", a)
    page.page.select_option("#system-b", b)
    page.until(f"{VIDEOS}.length === 2 && {VIDEOS}.every((v) => v.readyState >= 1)")


def test_a_clip_with_sound_is_marked_in_words_and_for_screen_readers(page: Opened) -> None:
    show(page, LOUD, SILENT)
    assert page.texts("#clip-a .body > .note") == ["With sound"]
    assert page.texts("#clip-b .body > .note") == []
    labels = page.page.evaluate(f"{VIDEOS}.map((v) => v.getAttribute('aria-label'))")
    assert labels == ["Clip of A, with sound", "Clip of B"]
    page.page.click("#swap")
    page.until(f"{VIDEOS}[1]?.getAttribute('aria-label') === 'Clip of B, with sound'")
    assert page.complaints == []


def test_no_clip_starts_by_itself_and_one_with_soundis_heard_when_it_is_played(page: Opened) -> None:
    show(page, LOUD, SILENT)
    assert page.page.evaluate(f"{VIDEOS}.map((v) => [v.paused, v.autoplay, v.controls])") == [[True, False, True]] * 2
    assert page.page.evaluate(f"{VIDEOS}.map((v) => v.muted)") == [False, True]
    page.page.click("#play")
    page.until(f"{VIDEOS}[0].webkitAudioDecodedByteCount > 0 && {VIDEOS}[0].currentTime > 0.2")
    assert page.page.evaluate(f"{VIDEOS}[0].webkitVideoDecodedByteCount") > 0
    assert page.page.evaluate(f"{VIDEOS}.map((v) => v.muted)") == [False, True]
    assert page.page.evaluate(f"{VIDEOS}[1].webkitAudioDecodedByteCount") == 0
    assert page.page.evaluate(f"{VIDEOS}[0].duration") == pytest.approx(3, abs=0.03)
    assert page.complaints == []


def test_of_two_clips_with_sound_that_are_played_together_oneis_heard(page: Opened) -> None:
    show(page, LOUD, LOUD_TOO)
    assert page.page.evaluate(f"{VIDEOS}.map((v) => v.muted)") == [False, False]
    page.page.click("#play")
    page.until(f"{VIDEOS}.every((v) => v.currentTime > 0.1)")
    assert page.page.evaluate(f"{VIDEOS}.map((v) => v.muted)") == [False, True]
    page.page.click("#play")
    assert page.page.evaluate(f"{VIDEOS}.map((v) => v.paused)") == [True, True]


def test_a_clip_in_the_page_itself_has_its_sound(browser: Browser, run: Path, tmp_path: Path) -> None:
    write_report(run, out=tmp_path / "alone.html", embed=3)
    with opened(browser, tmp_path / "alone.html") as page:
        show(page, LOUD, SILENT)
        assert page.page.evaluate(f"{VIDEOS}[0].src").startswith("data:video/mp4")
        page.page.click("#play")
        page.until(f"{VIDEOS}[0].webkitAudioDecodedByteCount > 0")


@pytest.mark.parametrize(
    "video", ["../elsewhere.mp4", "/etc/hostname", "videos/gone.mp4", "videos/nul\0.mp4", "videos"]
)
def test_a_clip_that_is_not_in_the_run_is_not_opened(video: str, run: Path) -> None:
    assert not is_heard(video, run)


def test_a_link_out_of_the_run_is_not_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes((run / "videos/loud.mp4").read_bytes())
    (run / "videos/link.mp4").symlink_to(tmp_path / "film.mp4")
    assert is_heard("videos/loud.mp4", run)
    assert not is_heard("videos/link.mp4", run)
