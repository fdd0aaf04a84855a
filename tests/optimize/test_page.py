"""The page of a search: what it says, what it shows in a browser, and files of which none can be made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import faults
import knob_world
from browser import chromium, opened
from command_line import Run, in_process
from made_search import HOOK, SHORT, made_search
from popbench.errors import UsageError
from popbench.optimize.differences import differences, folded
from popbench.optimize.page import optimize_page, write_page
from popbench.optimize.tree import tree_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faults.install()
    folder = made_search(tmp_path_factory.mktemp("made"))
    write_page(folder)
    return folder


@pytest.fixture
def changed(made: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """Return a folder with a changed optimize.json, and no proof beside it."""

    def change(edit: Callable[[dict[str, Any]], object]) -> Path:
        content = json.loads((made / "optimize.json").read_text(encoding="utf-8"))
        edit(content)
        (tmp_path / "optimize.json").write_text(json.dumps(content), encoding="utf-8")
        return tmp_path

    return change


def test_the_page_shows_verdict_proof_changes_drafts_and_lineage(browser: Browser, made: Path) -> None:
    with opened(browser, made / "index.html") as page:
        assert page.texts("h1") == ["Proved for P, not for Q: the search exploited the predictor"]
        (told,) = page.texts(".told")
        assert "c6 wins 80.0 % [61.0, 93.0] of 10 prompts" in told
        assert "50.0 % [24.0, 76.0] by faulty, which did not" in told
        assert page.texts("#proof .verdict") == ["proved", "not proved"]
        assert page.texts(".diff ins") == [f"{HOOK}\n{SHORT}"]
        assert page.texts(".diff del") == []
        assert page.texts(".settings ins") == ["dry"]
        assert page.page.locator(".pair-of video").count() == 2 * 5
        page.until("[...document.querySelectorAll('video')].every((video) => video.readyState > 0 && video.poster)")
        assert page.page.locator("svg.tree circle").count() == 8
        assert page.page.locator("svg.tree path").count() == 8
        assert page.page.locator("svg.tree path.marked").count() == 4, "both parents of a merge lead to it"
        page.page.locator("#gain").scroll_into_view_if_needed()
        page.until("document.querySelectorAll('.chart svg .mark-symbol path').length === 3")
        assert page.page.locator(".chart.failed").count() == 0
        assert page.complaints == []
        assert all(url.startswith(("file:", "blob:", "data:")) for url in page.requests)
        page.page.set_viewport_size({"width": 380, "height": 800})
        page.until("document.documentElement.scrollWidth <= 380")


def test_what_an_llm_wrote_is_shown_as_text(made: Path) -> None:
    page = (made / "index.html").read_text(encoding="utf-8")
    assert "Capitals &lt;b&gt;draw&lt;/b&gt; the eye." in page
    assert "<b>draw</b>" not in page


def test_a_search_at_work_has_a_page_without_a_verdict(changed: Callable[..., Path], browser: Browser) -> None:
    def early(content: dict[str, Any]) -> None:
        content |= {"state": "search", "selection": None, "proof": None, "verdict": None, "best": None, "rounds": []}
        content["candidates"] = content["candidates"][:1]

    folder = changed(early)
    with opened(browser, write_page(folder)) as page:
        assert page.texts("h1") == ["No verdict yet"]
        assert page.texts(".notice.incomplete") == [
            "Not finished. The search goes on: nothing is selected or proved yet."
        ]
        assert page.complaints == []


def test_a_search_that_found_nothing_says_so(changed: Callable[..., Path], browser: Browser) -> None:
    def nothing(content: dict[str, Any]) -> None:
        content |= {"proof": None, "verdict": "not proved", "best": None}
        content["selection"]["chosen"] = "c0"
        for row in content["rounds"]:
            row |= {"incumbent": "c0", "gain": None}

    with opened(browser, write_page(changed(nothing))) as page:
        assert page.texts("h1") == ["Not proved"]
        assert "nothing better than the start" in page.texts(".told")[0]
        page.page.locator("#gain").scroll_into_view_if_needed()
        page.until("document.querySelectorAll('.chart svg .mark-symbol path').length === 3")
        assert page.complaints == []


def test_a_search_whose_proof_is_gone_has_a_page_without_drafts(changed: Callable[..., Path]) -> None:
    page = optimize_page(changed(lambda content: content))
    assert "Before and after" not in page
    assert "80.0" in page


def test_a_proof_outside_of_the_folder_is_not_read(changed: Callable[..., Path], made: Path) -> None:
    folder = changed(lambda content: content["proof"].update(run=str(made / "proof")))
    assert "Before and after" not in optimize_page(folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.pop("candidates"),
        lambda content: content.update(candidates=[]),
        lambda content: content.update(rounds=7),
        lambda content: content["candidates"][3].update(parents=["c9"]),
        lambda content: content["candidates"][3].update(win_rate="much"),
        lambda content: content["proof"].update(predictors=[]),
        lambda content: content["best"].update(id="c99"),
        lambda content: content["candidates"][6].update(options="tone"),
    ],
)
def test_a_damaged_file_is_one_line(edit: Callable[[dict[str, Any]], object], changed: Callable[..., Path]) -> None:
    folder = changed(edit)
    with pytest.raises(UsageError, match=r"optimize\.json: it makes no page") as caught:
        optimize_page(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_report_makes_the_page_of_a_search(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    popbench: Run = in_process(monkeypatch, capsys, tmp_path)
    folder = shutil.copytree(made, tmp_path / made.name)
    (folder / "index.html").unlink()
    assert popbench("report", made.name).status == 0
    assert (folder / "index.html").read_bytes() == (made / "index.html").read_bytes()
    assert popbench("report", made.name, "--out", "page.html").status == 0
    assert "proof/videos" not in (tmp_path / "page.html").read_text(encoding="utf-8"), "clips are in the page"
    assert "--title belongs to a run's page" in popbench("report", made.name, "--title", "x").line
    assert "a page's name ends in .html" in popbench("report", made.name, "--out", "page.txt").line
    (folder / "optimize.json").write_text("{")
    assert "cannot be read" in popbench("report", made.name).line


@pytest.mark.slow
def test_the_command_leaves_the_page_of_its_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], browser: Browser
) -> None:
    knob_world.install()
    done = in_process(monkeypatch, capsys, tmp_path)(*knob_world.command(tmp_path))
    assert done.status == 0, done.err
    (file,) = tmp_path.rglob("index.html")
    assert f"Page: {file}" in done.out
    content = json.loads((file.parent / "optimize.json").read_text(encoding="utf-8"))
    with opened(browser, file) as page:
        assert page.texts("h1")[0].lower() == content["verdict"].lower()
        assert page.page.locator("svg.tree circle").count() == len(content["candidates"])
        assert page.page.locator(".pair-of video").count() == 2 * 5
        page.page.locator("#gain").scroll_into_view_if_needed()
        page.until(f"document.querySelectorAll('.chart svg .mark-symbol path').length === {len(content['rounds'])}")
        assert page.complaints == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("one\ntwo\nthree\n", "one\ntwo\nthree\n"),
        ("Write a title.\nBe brief.\n", "Write a short title.\nBe brief.\nSay why.\n"),
        ("a\n" * 40 + "b", "a\n" * 40 + "c"),
        ("nothing alike", "Entirely other words, and more of them\nin two lines"),
        ("x" * 5000, "y" * 5000),
    ],
)
def test_differences_lead_from_one_text_to_the_other(before: str, after: str) -> None:
    pieces = differences(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "new") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "gone") == after


def test_a_word_that_changed_is_marked_and_its_line_is_not() -> None:
    pieces = differences("Write one title.\n", "Write one short title.\n")
    assert [tuple(piece) for piece in pieces] == [
        ("same", "Write one "), ("new", "short "), ("same", "title.\n"),
    ]  # fmt: skip


def test_long_parts_that_are_the_same_are_folded_and_lines_beside_changes_are_not() -> None:
    text = "".join(f"line {number}\n" for number in range(40))
    pieces = folded(differences(text, text + "end\n"))
    assert [piece.kind for piece in pieces] == ["folded", "same", "new"]
    assert pieces[0].text == "37 lines are the same"
    assert pieces[1].text == "line 37\nline 38\nline 39\n"


def test_a_tree_of_many_candidates_has_each_at_a_place_of_its_own_right_of_its_parents() -> None:
    candidates: list[dict[str, Any]] = [{"id": "c0", "parents": [], "round": 0, "status": "start"}]
    candidates += [
        {"id": f"c{n}", "parents": [f"c{(n - 1) // 3}"], "round": 1 + n // 10, "status": "kept"} for n in range(1, 60)
    ]
    candidates = [one for one in candidates if one["round"] < 7]
    tree = tree_of(candidates, "c40", {f"c{n}": (f"c{n}", "") for n in range(60)})
    places = {node.id: (node.x, node.y) for node in tree.nodes}
    assert len(set(places.values())) == len(candidates)
    assert all(0 < x < tree.width and 0 < y < tree.height for x, y in places.values())
    assert [node.id for node in tree.nodes if node.on_path] == ["c0", "c1", "c4", "c13", "c40"]
