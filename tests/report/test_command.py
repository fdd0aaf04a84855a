"""`popbench report`: the file it writes, and every refusal in one line with nothing lost."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filelock
import pytest

from command_line import Run, in_process
from popbench.report import charts
from run_folders import SYSTEMS, make_run, results_of


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "run", SYSTEMS[:2], prompts=3, predictors=("mmra",))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_page_lies_in_its_run_and_the_same_run_gives_the_same_page(popbench: Run, run: Path) -> None:
    done = popbench("report", "run")
    assert done.status == 0
    size = (run / "report.html").stat().st_size
    assert done.out == f"run/report.html ({size / 1e6:,.1f} MB)\n"
    first = (run / "report.html").read_bytes()
    assert b'"folder":"./"' in first
    assert popbench("report", "run").status == 0
    assert (run / "report.html").read_bytes() == first


def test_a_page_elsewhere_finds_the_clips_of_its_run(popbench: Run, run: Path, tmp_path: Path) -> None:
    (tmp_path / "pages of mine").mkdir()
    done = popbench("report", "run", "--out", "pages of mine/one.html", "--title", "My <run>", "--embed", "1")
    assert done.status == 0
    text = (tmp_path / "pages of mine/one.html").read_text(encoding="utf-8")
    assert '"folder":"../run/"' in text
    assert "<h1>My &lt;run&gt;</h1>" in text
    assert '"embedded":[0' in text
    assert not (run / "report.html").exists()


@pytest.mark.slow
def test_a_demo_with_an_audit_says_both(popbench: Run, tmp_path: Path) -> None:
    command = ["eval", "--limit", "2", "--task", "popcorn_concrete", "--llm", "verbatim", "--out", "demo"]
    assert popbench(*command, "--gen", "kinetic,width=96,height=64", "--corpus", "demo").status == 0
    assert popbench("predictor", "audit", "demo", "--shuffles", "1").status == 0
    assert popbench("report", "demo").status == 0
    text = (tmp_path / "demo/report.html").read_text(encoding="utf-8")
    assert "<strong>Demo scores.</strong>" in text
    assert "What moves the scores of demo" in text
    assert "Titles explain" in text
    assert "Limited run: popcorn_concrete to 2 of 100 prompts." in text
    assert "verbatim: repeats the request" in text


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        ("run.json", {"finished": False}, "the run was stopped before it was done: give its command again first"),
        (
            "run.json",
            {"config": {"seed": 42, "repeats": 1, "stop_after": "render"}},
            "the run stopped after render, so it has no scores",
        ),
        ("run.json", {"config": None}, "run.json cannot be read (config: expected"),
        ("results.json", {"schema": 2}, "schema is 2, expected 1"),
        ("results.json", {"pairs": None}, "pairs is no list"),
        ("results.json", {"systems": []}, "it has no systems"),
        ("results.json", {"systems": [{"system": 1}]}, "a system's system is missing or no text"),
        ("results.json", {"minimum_detectable_win_rate": []}, "make no report (something is missing)"),
        ("results.json", {"resamples": None}, "make no report (a value is of another kind"),
    ],
)
def test_a_run_that_makes_no_page_is_refused_in_one_line(
    popbench: Run, run: Path, file: str, changes: dict[str, Any], told: str
) -> None:
    (run / "report.html").write_text("an earlier page", encoding="utf-8")
    edit(run / file, **changes)
    done = popbench("report", "run")
    assert done.status == 2
    assert told in done.line
    assert (run / "report.html").read_text(encoding="utf-8") == "an earlier page"


def test_what_is_missing_or_damaged_is_named(popbench: Run, run: Path, tmp_path: Path) -> None:
    assert "nowhere: no such folder" in popbench("report", "nowhere").line
    (tmp_path / "empty").mkdir()
    assert "not a run directory (run.json is missing)" in popbench("report", "empty").line
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    (run / "samples.jsonl").write_text("\n".join([*lines[:2], lines[2][:50]]), encoding="utf-8")
    assert "samples.jsonl: line 3 is no sample" in popbench("report", "run").line
    (run / "results.json").write_text("{", encoding="utf-8")
    assert "results.json cannot be read" in popbench("report", "run").line
    (run / "results.json").unlink()
    assert "results.json is missing" in popbench("report", "run").line


def test_samples_that_are_not_those_of_the_results_make_no_page(popbench: Run, run: Path) -> None:
    told = "results.json is not what samples.jsonl gives"
    whole = (run / "samples.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in whole.splitlines()]

    def line(change: dict[str, Any], at: int = 1) -> str:
        edited = [{**row, **change} if number == at else row for number, row in enumerate(rows)]
        (run / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in edited), encoding="utf-8")
        return popbench("report", "run").line

    (run / "samples.jsonl").write_text("", encoding="utf-8")
    assert "samples.jsonl is empty, and results.json is not" in popbench("report", "run").line
    (run / "samples.jsonl").write_text("".join(whole.splitlines(keepends=True)[:-1]), encoding="utf-8")
    assert told in popbench("report", "run").line
    assert f"{told}: prompts of" in line({"status": "error", "scores": {"mmra": None}, "popularity": None})
    assert f"{told}: invalid of" in line({"status": "invalid", "scores": {"mmra": 0}, "popularity": 0})
    assert told in line({"scores": {"mmra": 1e6}})
    assert not (run / "report.html").exists()
    (run / "samples.jsonl").write_text(whole, encoding="utf-8")
    assert popbench("report", "run").status == 0


def test_clips_that_are_missing_from_those_to_embed_are_counted(popbench: Run, run: Path) -> None:
    (run / "samples.jsonl").write_text(
        (run / "samples.jsonl").read_text(encoding="utf-8").replace("videos/clip.mp4", "videos/gone.mp4", 1), "utf-8"
    )
    done = popbench("report", "run", "--embed", 5)
    assert done.status == 0
    assert "1 clip to embed is missing (videos/gone.mp4: No such file" in done.line
    assert "1 of 5 are in the page" in done.line
    assert popbench("report", "run", "--embed", 0).err == ""


def test_where_a_page_cannot_go_is_said_and_nothing_is_overwritten(popbench: Run, run: Path) -> None:
    before = (run / "samples.jsonl").read_bytes()
    assert "a page's name ends in .html" in popbench("report", "run", "--out", "run/samples.jsonl").line
    assert (run / "samples.jsonl").read_bytes() == before
    assert "nofolder: no such folder" in popbench("report", "run", "--out", "nofolder/page.html").line
    (run / "mine.html").write_text("<p>mine", encoding="utf-8")
    (run / "link.html").symlink_to("/dev/full")
    for name in ("mine.html", "link.html"):
        done = popbench("report", "run", "--out", f"run/{name}")
        assert (done.status, f"{name} is no page of popbench's" in done.line) == (2, True)
    assert (run / "mine.html").read_text(encoding="utf-8") == "<p>mine"
    (run / "report.html").mkdir()
    done = popbench("report", "run")
    assert (done.status, "cannot be written" in done.line) == (1, True)
    assert not list(run.glob(".*.part"))


@pytest.mark.parametrize("file", ["run.json", "results.json"])
def test_damaged_json_is_told_in_plain_words(popbench: Run, run: Path, file: str) -> None:
    for content in ("{}", "[", "{" * 9000, '{"finished": ' + "9" * 5000 + "}", "\x00", '{"config": 1, "finished": 1}'):
        (run / file).write_text(content, encoding="utf-8")
        assert not re.search(r"[A-Z]\w*(Error|Exception|Iteration)\b", popbench("report", "run").line)


@pytest.mark.parametrize("value", [float("inf"), -1, True, 1e301])
def test_a_median_that_no_popularity_is_is_refused_without_a_warning_of_numpy(
    popbench: Run, run: Path, value: float
) -> None:
    results = results_of(run)
    results["systems"][0]["median"]["value"] = value
    (run / "results.json").write_text(json.dumps(results).replace("Infinity", "1e400"), encoding="utf-8")
    assert "median is no number that a popularity can be" in popbench("report", "run").line


def test_a_run_in_progress_is_refused(popbench: Run, run: Path) -> None:
    with filelock.FileLock(run / ".lock"):
        assert "is in use by" in popbench("report", "run").line


def test_several_runs_make_no_page(popbench: Run) -> None:
    assert "a page is made of one run" in popbench("report", "run", "other").line


def test_half_characters_of_models_do_not_stop_a_page(popbench: Run, run: Path) -> None:
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.dumps({**json.loads(line), "title": "\ud83d", "prompt": "\udc00"}) for line in lines]
    (run / "samples.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert popbench("report", "run").status == 0


def test_the_scripts_of_charts_can_stand_in_a_page() -> None:
    script = charts.javascript()
    assert "</script" not in script.lower()
    assert "<!--" not in script
    assert "\r" not in script


def test_what_charts_are_drawn_with_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither altair nor vl-convert is imported again: together they take longer than all else of a page."""
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path))
    charts.specifications.cache_clear()
    charts.specifications()
    (tmp_path / f"charts-{version('vl-convert-python')}.js").write_text("kept", encoding="utf-8")
    call = "import sys; from popbench.report import charts; charts.specifications(); print(charts.javascript())"
    told = subprocess.run(
        [sys.executable, "-c", f"{call}; print({{'altair', 'vl_convert'}} & set(sys.modules))"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert told.split("\n")[:2] == ["kept", "set()"]


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [b"", b"\xff", b'{"distribution": '])
def test_specifications_that_were_kept_and_damaged_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bytes
) -> None:
    from popbench.report.vega import specifications as written

    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path))
    for _ in range(2):
        charts.specifications.cache_clear()
        assert charts.specifications() == written()
        (kept,) = tmp_path.glob("charts-*.json")
        kept.write_bytes(damaged)
