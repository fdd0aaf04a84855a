"""The page of a ballot in a real browser, from file://: a voter's way through it, and what it must not tell or ask."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ballot_runs import SYSTEMS, key_of, make_ballot_run
from browser import Opened, chromium, opened
from popbench.ballot.add import add_votes
from popbench.ballot.make import make_ballot

if TYPE_CHECKING:
    from playwright.sync_api import Browser

KEYS = {"left": "ArrowLeft", "right": "ArrowRight", "tie": "ArrowDown", "skip": "s"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and the page of its ballot, of which each test gets a copy."""
    folder = tmp_path_factory.mktemp("made")
    make_ballot(make_ballot_run(folder / "run", prompts=5), 20, folder / "vote.html")
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


@pytest.fixture
def page(browser: Browser, run: Path, tmp_path: Path) -> Iterator[Opened]:
    with opened(browser, tmp_path / "vote.html") as found:
        yield found


def shown_first(tab: Opened, key: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the pair that the page shows, and which side of its key stands first."""
    answered = json.loads(tab.page.evaluate("state.file()"))["votes"]
    number = tab.page.evaluate("ballot.pairs.findIndex((pair) => !state.choice(pair.id))")
    assert number == len(answered)
    pair = key["pairs"][number]
    first = tab.page.evaluate(f"state.clips(ballot.pairs[{number}])[0].id")
    return pair, "left" if first == pair["left"]["id"] else "right"


def answer(tab: Opened, key: dict[str, Any], count: int) -> None:
    """Answer pairs by keyboard, as one who prefers earlier systems; ties where a clip stands against itself."""
    for _ in range(count):
        pair, first = shown_first(tab, key)
        assert tab.page.locator("#stage video").count() == 2
        if pair["check"] == "same":
            tab.page.keyboard.press(KEYS["tie"])
            continue
        sides = (first, "right" if first == "left" else "left")
        order = [len(SYSTEMS) if pair[of]["system"] is None else SYSTEMS.index(pair[of]["system"]) for of in sides]
        tab.page.keyboard.press(KEYS["left" if order[0] < order[1] else "right"])


@pytest.mark.slow
def test_a_voter_goes_through_all_pairs_by_keyboard_comes_back_and_sends_the_votes(
    page: Opened, run: Path, tmp_path: Path
) -> None:
    key = key_of(run)
    page.page.keyboard.press("Tab")  # the theme
    page.page.keyboard.press("Tab")
    page.page.keyboard.type("Ada Lovelace")
    page.page.keyboard.press("Enter")
    answer(page, key, 9)
    assert page.texts("#count") == ["9 of 22"]

    page.page.wait_for_timeout(500)  # Chromium hands what is kept to another process first
    page.page.reload()
    assert page.texts("#kept") == ["You have answered 9 of 22 pairs, which this browser has kept."]
    assert page.page.locator("#name").input_value() == "Ada Lovelace"
    page.page.locator("#name").focus()
    page.page.keyboard.press("Enter")
    answer(page, key, 13)
    assert page.texts("h1") == ["Thank you"]
    assert page.texts("#summary") == ["You have answered all 22 pairs."]

    page.page.keyboard.press("Tab")
    with page.page.expect_download() as saved:
        page.page.keyboard.press("Enter")
    assert saved.value.suggested_filename.startswith(f"votes-{key['ballot']}-")
    saved.value.save_as(tmp_path / "votes.json")
    added = add_votes(run, [tmp_path / "votes.json"])
    assert (added.votes, added.refused) == (20, ())
    lines = [json.loads(line) for line in (run / "votes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["name"] for line in lines} == {"Ada Lovelace"}
    for line in lines:
        other = "right" if line["choice"] == "left" else "left"
        assert SYSTEMS.index(line[line["choice"]]) < SYSTEMS.index(line[other])
    assert page.complaints == []
    assert {url.partition(":")[0] for url in page.requests} <= {"file", "blob", "data"}
    assert {url for url in page.requests if url.startswith("file:")} == {(tmp_path / "vote.html").as_uri()}


def test_neither_what_is_shown_nor_what_is_asked_of_a_browser_tells_a_system(page: Opened, run: Path) -> None:
    page.page.locator("#go").click()
    seen = ""
    for _ in range(22):
        seen += page.page.content() + page.page.title() + page.page.evaluate("JSON.stringify(localStorage)")
        page.page.keyboard.press(KEYS["tie"])
    seen += " ".join(page.requests) + page.page.evaluate("state.file()")
    for word in ("secret", "gemma", "qwen", "ltx", "basic|", "concrete", "abstract", '"check"'):
        assert word not in seen.lower().replace(str(run.parent).lower(), "")


def test_everything_has_a_name_for_those_who_do_not_see_it(page: Opened) -> None:
    page.page.get_by_label("Your name, if you like").fill("Ada")
    page.page.get_by_role("button", name="Begin").click()
    for name in ("First", "Second", "Equal", "Skip", "Back", "Play again", "Save so far", "Light or dark"):
        assert page.page.get_by_role("button", name=name, exact=True).count() == 1, name
    assert page.page.get_by_role("progressbar", name="Answered pairs").count() == 1
    labels = [video.get_attribute("aria-label") or "" for video in page.page.locator("video").all()]
    assert [label.partition(": ")[0] for label in labels] == ["First video", "Second video"]
    assert (page.page.locator("[role=status]").text_content() or "").startswith("Pair 1 of 22. First: A wonder, take ")
    assert page.page.evaluate("document.activeElement.id") == "question"
    assert page.page.get_by_role("heading", level=1).all_inner_texts() == [
        "Which of the two would you rather watch and comment on?"
    ]
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("ArrowUp")
    pressed = page.page.locator(".choice[aria-pressed=true]")
    assert (pressed.count(), pressed.get_attribute("data-choice")) == (1, "left")
    assert page.page.locator("button:not([type])").count() == 0


def test_votes_can_be_changed_skipped_and_saved_before_the_end(page: Opened) -> None:
    page.page.locator("#go").click()
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("S")
    page.page.keyboard.press("ArrowUp")
    page.page.keyboard.press("ArrowUp")
    page.page.keyboard.press("ArrowUp")
    page.page.keyboard.press("ArrowRight")
    assert page.texts("#count") == ["2 of 22"]
    page.page.keyboard.press("Control+ArrowLeft")
    assert page.texts("#count") == ["2 of 22"]
    with page.page.expect_download() as saved:
        page.page.get_by_role("button", name="Save so far").click()
    votes = json.loads(saved.value.path().read_text(encoding="utf-8"))["votes"]
    assert [vote["choice"] for vote in votes] == ["right", "skip"]


def test_a_held_key_votes_once(page: Opened) -> None:
    page.page.locator("#go").click()
    for _ in range(5):
        page.page.keyboard.down("ArrowLeft")
    assert page.texts("#count") == ["1 of 22"]


def test_clips_play_one_after_the_other_and_again(page: Opened) -> None:
    page.page.emulate_media(reduced_motion="no-preference")
    page.page.locator("#go").click()
    page.until("document.querySelectorAll('video')[1].ended")
    assert page.page.evaluate("document.querySelectorAll('video')[0].ended")
    assert page.page.evaluate("[...document.querySelectorAll('video')].every((video) => !video.muted)")
    page.page.keyboard.press("p")
    page.until("!document.querySelectorAll('video')[0].paused")
    assert page.page.evaluate("document.querySelectorAll('video')[1].paused")
    page.until("document.querySelectorAll('video')[1].ended")
    assert page.page.locator(".broken:visible").count() == 0


def test_half_of_the_voters_see_pairs_the_other_way_round(page: Opened, run: Path) -> None:
    key = key_of(run)
    for voter, side in (("0" * 16, "left"), ("0" * 15 + "f", "right")):
        kept = json.dumps(json.dumps({"voter": voter, "name": "", "votes": {}}))
        # Before the page's own scripts: what is stored just before a page is left may come too late for the next.
        page.page.add_init_script(f"localStorage.setItem('popbench-ballot-{key['ballot']}', {kept})")
        page.page.reload()
        assert [shown_first(page, key)[1]] == [side]


@pytest.mark.parametrize("kept", ["{", "[]", "3", '{"voter": "me", "votes": {}}', '{"voter": "0000000000000000"}'])
def test_what_a_browser_kept_and_was_damaged_does_not_stop_a_voter(page: Opened, run: Path, kept: str) -> None:
    place = f"popbench-ballot-{key_of(run)['ballot']}"
    page.page.evaluate("(kept) => localStorage.setItem(kept[0], kept[1])", [place, kept])
    page.page.reload()
    page.page.locator("#go").click()
    page.page.keyboard.press("ArrowLeft")
    assert page.texts("#count") == ["1 of 22"]
    assert page.complaints == []


def test_a_browser_that_keeps_nothing_says_so_and_takes_votes(browser: Browser, run: Path, tmp_path: Path) -> None:
    with opened(browser, tmp_path / "vote.html") as found:
        found.page.add_init_script(
            "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
        )
        found.page.reload()
        assert "This browser keeps nothing for this page" in found.texts("#unkept")[0]
        found.page.locator("#go").click()
        found.page.keyboard.press("ArrowLeft")
        assert found.texts("#count") == ["1 of 22"]
        assert found.complaints == []


@pytest.mark.parametrize("size", [(96, 54), (54, 96)], ids=["upright", "wide"])
@pytest.mark.parametrize("width", [360, 1280])
def test_clips_are_whole_and_nothing_is_wider_than_the_window(
    browser: Browser, tmp_path: Path, size: tuple[int, int], width: int
) -> None:
    run = make_ballot_run(tmp_path / "run", SYSTEMS[:2], prompts=1, size=size)
    make_ballot(run, 2, tmp_path / "vote.html")
    with opened(browser, tmp_path / "vote.html") as found:
        found.page.set_viewport_size({"width": width, "height": 740})
        found.page.locator("#go").click()
        found.until("[...document.querySelectorAll('video')].every((video) => video.videoWidth)")
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [box for video in found.page.locator("video").all() if (box := video.bounding_box())]
        beside = width == 1280 or size[0] > size[1]
        assert (boxes[0]["y"] == boxes[1]["y"]) == beside
        assert all(box["height"] <= 740 * 0.6 and box["width"] > 140 for box in boxes)


def test_another_person_can_vote_in_the_same_browser(page: Opened) -> None:
    page.page.locator("#go").click()
    for _ in range(22):
        page.page.keyboard.press("ArrowDown")
    first = page.page.evaluate("state.voter")
    page.page.once("dialog", lambda dialog: dialog.accept())
    page.page.get_by_role("button", name="Another person votes here").click()
    page.page.locator("#go").click()
    assert page.texts("#count") == ["0 of 22"]
    assert page.page.evaluate("state.voter") != first
