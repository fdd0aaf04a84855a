"""Titles, prompts, answers and labels of a stranger: text on pages, in markdown and on terminals, and nothing more."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from browser import chromium, opened, scroll_through
from command_line import Run, in_process
from hostile_cases import STEERING, TEXTS, check_end, harmless, outside
from made_scores import write
from popbench.report.page import board_page
from popbench.report.write import write_report
from popbench.text import visible
from run_folders import make_run, results_of

LABELS = [text.replace("|", "/").replace("\n", " ") for text in TEXTS.values()]


def hostile_run(folder: Path) -> Path:
    """A run in which every text that a page shows is hostile, each prompt with another one."""
    texts = itertools.cycle(TEXTS.values())

    def change(values: dict[str, Any]) -> None:
        text = next(texts)
        prompt = list(TEXTS.values())[int(values["prompt_id"].rpartition("-")[2])]
        for name in ("title", "video_prompt", "completion", "reasoning", "error"):
            values[name] = text
        values |= {"prompt": prompt, "category": prompt, "notes": (text,), "references": (text, text)}

    systems = [f"{TEXTS['handler']}|basic|{TEXTS['script']}", f"{TEXTS['ansi']}|pe|{TEXTS['attribute']}"]
    return make_run(folder, systems, (TEXTS["svg"],), len(TEXTS), [TEXTS["comment"]], change=change)


@pytest.mark.slow
def test_a_page_of_hostile_texts_runs_nothing_asks_for_nothing_and_complains_of_nothing(tmp_path: Path) -> None:
    run = hostile_run(tmp_path / "run")
    results = results_of(run)
    more = {"incomplete": TEXTS["script"], "notes": dict.fromkeys(LABELS, TEXTS["handler"]), "remarks": LABELS}
    (run / "results.json").write_text(json.dumps({**results, **more}), encoding="utf-8")
    with harmless(outside(tmp_path / "outside")):
        write_report(run, title=TEXTS["script-end"])
    with chromium() as browser, opened(browser, run / "report.html") as found:
        dialogs: list[str] = []

        def dismissed(dialog: Any) -> None:
            dialogs.append(dialog.message)
            dialog.dismiss()

        found.page.on("dialog", dismissed)
        scroll_through(found)
        found.page.locator("#prompts").focus()
        for _ in TEXTS:
            found.page.evaluate("document.querySelectorAll('.clip details').forEach((e) => { e.open = true; })")
            found.page.keyboard.press("ArrowDown")
        shown = {text.strip() for text in found.page.locator("#prompts .words").all_text_contents()}
        turned = {
            re.sub("[\u202a-\u202e\u2066-\u2069]", lambda sign: f"\\u{ord(sign[0]):04x}", text)
            for text in TEXTS.values()
        }
        assert shown <= {text.strip() for text in turned}
        assert found.page.locator("h1").inner_text() == TEXTS["script-end"]
        for made in ("img", "svg[onload]", "[onmouseover]", "[onfocus]", "[onerror]", "a[href^=javascript]"):
            assert found.page.locator(made).count() == 0, made
        assert found.page.locator("main").evaluate("(e) => getComputedStyle(e).display") != "none"
        assert (dialogs, found.complaints) == ([], [])
        assert {url.partition(":")[0] for url in found.requests} <= {"file", "data"}
        assert all(url.startswith(("data:", run.as_uri())) for url in found.requests)


def test_what_a_page_holds_as_data_is_what_it_was_and_ends_no_script(tmp_path: Path) -> None:
    results = results_of(hostile_run(tmp_path / "run"))
    page = board_page({**results, "remarks": LABELS}, TEXTS["style"], LABELS)
    blobs = re.findall(r'<script type="application/json" id="json-data">(.*?)</script>', page, re.DOTALL)
    (view, *_) = json.loads(blobs[0])["views"]
    assert (view["predictor"], view["task"]) == (TEXTS["comment"], TEXTS["svg"])
    assert all("<" not in blob for blob in blobs)
    for text in TEXTS.values():
        assert not re.search(r"[<>\"']", text) or text not in page.replace(blobs[0], "")


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def test_labels_of_a_stranger_steer_no_terminal(popbench: Run, tmp_path: Path) -> None:
    drawn = [TEXTS[name] for name in ("script", "handler", "svg", "style", "ansi", "bidi", "separators")]
    for number, (name, labels) in enumerate({"before": LABELS, "after": LABELS, "drawn": drawn}.items()):
        rows = [
            {"system": f"{label}|basic|g", "task": "concrete", "prompt_id": prompt, "popularity": 3 + number}
            for label in labels
            for prompt in "abc"
        ]
        write(tmp_path / f"{name}.jsonl", rows)
    told = {
        "compare": popbench("compare", "before.jsonl", "after.jsonl"),
        "paper": popbench("report", "drawn.jsonl", "--paper", "--out", "paper"),
        "build": popbench("leaderboard", "build", "before.jsonl", "--out", "board"),
        "unknown": popbench("compare", "before.jsonl", "after.jsonl", "--system", TEXTS["title"]),
        "missing": popbench("report", f"no{TEXTS['ansi']}"),
    }
    for name, done in told.items():
        check_end(done)
        assert (name, done.status) == (name, 2 if name in ("unknown", "missing") else 0)
    assert "\\x1b]0;owned" in told["compare"].out.replace("\n", "")
    assert "[bold red]" in told["build"].out.replace("\n", "")
    for file in (tmp_path / "paper").rglob("*.md"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(?<!\\)<(script|img|svg|/style)", text)
        assert not STEERING.search(text)
    for kind in ("*.html", "*.svg"):
        for page in (tmp_path / "paper").rglob(kind):
            for name in ("script", "handler", "svg", "style"):
                assert TEXTS[name] not in page.read_text(encoding="utf-8"), page


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_shown_steers_no_terminal_and_says_what_it_was(name: str) -> None:
    shown = visible(TEXTS[name])
    assert not STEERING.search(shown)
    assert visible(shown) == shown
    assert len(shown) >= len(TEXTS[name])


def test_letters_of_all_scripts_and_emoji_are_shown_as_they_are() -> None:
    for text in ("Größe, naïve", "日本語", "👩‍👩‍👧 family", "नमस्ते", "a\nb", "עברית"):
        assert visible(text) == text
