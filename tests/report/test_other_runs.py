"""Pages of runs that are small, large, hostile or without their clips, and of boards, in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from browser import chromium, opened, scroll_through
from popbench.report.page import board_page
from popbench.report.write import write_report
from run_folders import SYSTEMS, TITLES, make_run, results_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


EVIL = "<img src=x onerror=window.hacked=1></script><script>window.hacked=1</script><!--<script>&quot;'`${1}"


@pytest.mark.slow
def test_texts_of_models_and_users_stay_texts(browser: Browser, tmp_path: Path) -> None:
    label = EVIL.replace("|", "")

    def change(values: dict[str, Any]) -> None:
        for name in ("prompt", "title", "video_prompt", "completion", "reasoning", "category"):
            values[name] = f"{name} {EVIL}"
        values |= {"notes": (EVIL,), "references": (EVIL, "constructor"), "error": EVIL}

    systems = (f"{label}|basic|g", f"{label}|pe|g", "__proto__|basic|g")
    run = make_run(tmp_path / "run", systems=systems, predictors=[EVIL, "__proto__"], tasks=(EVIL,), change=change)
    results = results_of(run)
    results |= {"incomplete": EVIL, "notes": {EVIL: EVIL}, "remarks": [EVIL]}
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    write_report(run, title=EVIL)
    with opened(browser, run / "report.html") as found:
        scroll_through(found)
        found.page.locator("#clip-a h4", has_text="title <img").wait_for()
        for summary in found.page.locator("summary").all():
            summary.click()
        found.page.locator("table.matrix:visible td[data-pair]").first.hover()
        found.page.select_option("#predictor", "__proto__")
        assert EVIL in found.page.locator("#clip-a").inner_text()
        assert found.page.evaluate("window.hacked") is None
        assert found.page.locator("img").count() == 0
        assert found.page.locator("h1").inner_text() == EVIL
        assert found.complaints == []
        assert all(url.startswith(("file:", "data:")) for url in found.requests)


@pytest.mark.slow
def test_a_video_that_leads_elsewhere_is_not_asked_for(browser: Browser, tmp_path: Path) -> None:
    paths = iter(["http://example.invalid/x.mp4", "../../secret.mp4", "/etc/passwd", "javascript:alert(1)"] * 9)
    run = make_run(tmp_path / "run", SYSTEMS[:2], prompts=2, change=lambda values: values.update(video=next(paths)))
    write_report(run)
    with opened(browser, run / "report.html") as found:
        found.page.locator("#prompts").focus()
        for _ in range(4):
            found.page.locator("#clip-b h4").wait_for()
            found.page.keyboard.press("ArrowDown")
        asked = {url.removeprefix(run.as_uri()) for url in found.requests}
        assert all(url.startswith("/") and ".." not in url for url in asked), asked


@pytest.mark.slow
def test_a_clip_that_is_not_there_is_told_in_its_place(browser: Browser, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", SYSTEMS[:2], prompts=2, clip=False)
    write_report(run)
    with opened(browser, run / "report.html") as found:
        found.page.get_by_text("Clip not found: videos/clip.mp4").first.wait_for()
        assert "The 0th wonder" in found.page.locator("#clip-a").inner_text()


@pytest.mark.slow
def test_embedded_clips_play_without_their_files(browser: Browser, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", SYSTEMS[:2], prompts=2)
    page = write_report(run, tmp_path / "alone.html", embed=1)
    shutil.rmtree(run)
    with opened(browser, page) as found:
        found.page.click("#play")
        found.until("document.querySelector('video').currentTime > 0.1")
        assert all(url.startswith("data:") or url == page.as_uri() for url in found.requests)
        assert found.complaints == []


@pytest.mark.slow
def test_one_system_has_nothing_to_compare_and_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", SYSTEMS[:1], tasks=("concrete",), prompts=3, predictors=("mmra",))
    write_report(run)
    with opened(browser, run / "report.html") as found:
        scroll_through(found)
        assert found.texts("#win-rates .empty") == ["There is one system only, and nothing to compare it with."]
        assert found.texts("#enhancement .empty")[0].startswith("No mode has its basic counterpart")
        assert found.texts("#leaderboard .count")[0] == "3"
        assert found.page.locator(".controls label:visible").count() == 0
        assert found.complaints == []


@pytest.mark.slow
def test_systems_whose_intervals_reach_invalid_samples_leave_the_chart_whole(browser: Browser, tmp_path: Path) -> None:
    invalid = {SYSTEMS[0]: "0123456", SYSTEMS[1]: "012"}

    def change(values: dict[str, Any]) -> None:
        if values["prompt_id"][-1] in invalid.get(values["system"], ""):
            values |= {"status": "invalid", "scores": dict.fromkeys(values["scores"], 0.0), "video": None}

    run = make_run(tmp_path / "run", SYSTEMS[:3], change=change)
    medians = [row["median"] for row in results_of(run)["systems"]]
    assert any(median["value"] == 0 for median in medians)
    assert any(median["low"] == 0 < median["value"] for median in medians)
    write_report(run)
    with opened(browser, run / "report.html") as found:
        scroll_through(found)
        assert "NaN" not in found.page.locator("#popularity svg").first.inner_html()
        marks = found.page.locator("#popularity svg path[transform]").all()
        assert len({mark.get_attribute("transform") for mark in marks}) == 3
        assert found.complaints == []


@pytest.mark.slow
def test_a_board_has_the_same_page_without_what_needs_samples(browser: Browser, tmp_path: Path) -> None:
    run, page = make_run(tmp_path / "run"), tmp_path / "index.html"
    text = board_page(results_of(run), "Our board", ["kept by <us>"])
    assert text == board_page(results_of(run), "Our board", ["kept by <us>"])
    page.write_text(text, encoding="utf-8")
    with opened(browser, page) as found:
        scroll_through(found)
        assert found.texts("h2") == [*TITLES, "What this rests on"]
        assert "kept by <us>" in found.texts("#about li")
        assert found.page.locator("video, #clips, #costs").count() == 0
        assert found.complaints == []
        assert found.requests[:1] == [page.as_uri()]


@pytest.mark.slow
def test_a_run_of_six_thousand_samples_loads_only_what_is_looked_at(browser: Browser, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", SYSTEMS, tasks=("concrete",), prompts=1000, predictors=("mmra",))
    write_report(run)
    with opened(browser, run / "report.html") as found:
        found.page.locator("#clip-a h4").wait_for()
        assert found.page.locator("#count").inner_text() == "1,000 of 1,000 prompts"
        assert found.page.locator("video").count() == 2
        assert found.page.locator("#prompts .option").count() < 30
        assert found.page.evaluate("document.getElementsByTagName('*').length") < 3000
        assert "lanterns" not in (run / "report.html").read_text(encoding="utf-8")
        found.page.locator("#prompts").focus()
        found.page.keyboard.press("End")
        found.page.locator("#clip-a h4", has_text="The 999th").wait_for()
        assert found.page.locator("#prompts .option").count() < 30
        assert found.complaints == []
