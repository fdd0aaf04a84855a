"""The page of the best clip in a real browser, from file://: it plays, asks nothing of the network, and is complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import faults
from browser import Opened, chromium, opened
from popbench.best.make import make_best, prepare
from popbench.progress import Progress

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faults.install()
    folder = tmp_path_factory.mktemp("made") / "run"
    settings = {"gen": "kinetic,width=64,height=64,frames=4", "out": str(folder)}
    make_best(prepare("a cat learns to skate", 3, 2, settings), Progress())
    return folder


@pytest.fixture
def page(browser: Browser, made: Path) -> Iterator[Opened]:
    with opened(browser, made / "index.html") as found:
        yield found


def result(folder: Path) -> Any:
    return json.loads((folder / "best.json").read_text(encoding="utf-8"))


def test_the_page_shows_the_winner_and_all_drafts_and_asks_nothing_of_the_network(page: Opened, made: Path) -> None:
    told = result(made)
    assert page.texts("#title") == [told["title"]]
    assert page.texts("#prompt") == [told["video_prompt"]]
    assert page.texts(".drafts tbody th") == [draft["title"] for draft in told["drafts"]]
    page.until("[...document.querySelectorAll('video')].every((video) => video.readyState > 0 && video.poster)")
    assert page.page.locator("video").count() == 1 + 3 * 2
    assert page.complaints == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in page.requests)


def test_a_small_clip_plays_by_keyboard(page: Opened) -> None:
    small = page.page.locator(".more video").first
    small.focus()
    page.page.keyboard.press("Enter")
    page.until("!document.querySelector('.more video').paused")


def test_the_page_is_whole_without_its_folder(browser: Browser, made: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.html"
    alone.write_bytes((made / "index.html").read_bytes())
    with opened(browser, alone) as page:
        page.until("[...document.querySelectorAll('video')].every((video) => video.readyState > 0)")


def test_nothing_is_wider_than_a_telephone(browser: Browser, made: Path) -> None:
    with opened(browser, made / "index.html") as page:
        page.page.set_viewport_size({"width": 360, "height": 740})
        page.until("document.documentElement.scrollWidth <= 360")
