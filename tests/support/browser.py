"""Headless Chromium for tests of pages, with the requests and errors of an opened page."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find_browser() -> str | None:
    """Return the path of a Chromium on PATH."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; skip the test if there is none."""
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Opened:
    """An opened page, with its console messages, exceptions and requests."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all visible elements."""
        return [text.strip() for text in self.page.locator(f"{selector}:visible").all_inner_texts()]

    def until(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression is true. It is evaluated from outside, because the page's policy forbids eval."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            self.page.wait_for_timeout(30)


@contextmanager
def opened(browser: Browser, where: Path | str, **options: Any) -> Iterator[Opened]:
    """Open a file, or an address, in a browser without any other network; `options` are those of a new context."""
    view = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
    context = browser.new_context(**{**view, "offline": isinstance(where, Path), **options})
    try:
        found = Opened(context.new_page())
        found.page.set_default_timeout(8000)
        found.page.on("console", lambda message: found.complaints.append(message.text))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(where.as_uri() if isinstance(where, Path) else where)
        yield found
    finally:
        context.close()


def scroll_through(found: Opened) -> None:
    """Scroll to every chart, and wait until it is drawn."""
    for element in found.page.locator(".chart:visible").all():
        element.scroll_into_view_if_needed()
        element.locator("svg").wait_for()
