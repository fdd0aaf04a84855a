"""Pages of more samples than one holds: a part of them is on it, chosen the same every time, and the page says so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from popbench.report import survey
from popbench.report.survey import Survey
from popbench.report.write import write_report
from popbench.runs.samples import read_jsonl
from run_folders import SYSTEMS, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 6 systems, 2 tasks of 12 prompts in two categories, and 3 repeats."""
    path = make_run(tmp_path_factory.mktemp("big") / "run", SYSTEMS, prompts=12, predictors=("mmra",))
    file = path / "samples.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**line, "repeat": n}) + "\n" for n in range(3) for line in lines))
    return path


def surveyed(run: Path, shown: int) -> Survey:
    about: Any = json.loads((run / "run.json").read_text())
    return Survey(run / "samples.jsonl", about, shown)


def test_as_many_samples_as_a_page_holds_are_all_on_it(run: Path) -> None:
    found = surveyed(run, 6 * 24 * 3)
    assert (found.told, found.n) == ("", 432)
    assert found.samples == list(read_jsonl(run / "samples.jsonl"))


def test_repeats_are_left_out_before_prompts(run: Path) -> None:
    found = surveyed(run, 6 * 24 * 3 - 1)
    assert found.told == "288 of the 432 samples are on this page (2 of 3 repeats)"
    assert found.samples == [sample for sample in read_jsonl(run / "samples.jsonl") if sample.repeat < 2]


def test_some_prompts_of_every_category_are_shown_with_all_their_systems(run: Path) -> None:
    found = surveyed(run, 6 * 5)
    assert found.told == "30 of the 432 samples are on this page (5 of 24 prompts, 1 of 3 repeats)"
    assert {sample.repeat for sample in found.samples} == {0}
    assert len({(sample.task, sample.category) for sample in found.samples}) == 4
    by_prompt: dict[tuple[str, str], set[str]] = {}
    for sample in found.samples:
        by_prompt.setdefault((sample.task, sample.prompt_id), set()).add(sample.system)
    assert list(by_prompt.values()) == [set(SYSTEMS)] * 5
    assert found.samples == surveyed(run, 6 * 5).samples
    assert len(surveyed(run, 1).samples) == 6  # one prompt at least


def test_what_is_not_in_the_gallery_is_in_all_numbers_of_the_page(run: Path) -> None:
    every = list(read_jsonl(run / "samples.jsonl"))
    found = surveyed(run, 30)
    assert found.took == surveyed(run, 6 * 24 * 3).took
    assert found.categories == {sample.category for sample in every}
    assert [row.popularity for row in found.scores[0].rows] == [sample.scores["mmra"] for sample in every]


def test_a_page_says_that_it_holds_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_run(tmp_path / "run", SYSTEMS[:2], prompts=12, predictors=("mmra",))
    monkeypatch.setattr(survey.Survey.__init__, "__defaults__", (30,))
    page = write_report(whole).read_text(encoding="utf-8")
    assert "30 of the 48 samples are on this page (15 of 24 prompts); everything else on it is of all samples" in page
    (blob,) = re.findall(r'<script[^>]*id="json-samples"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert len(json.loads(blob)["prompts"]) == 15
    assert "48 samples" in page
