"""Ballots of runs: which pairs they have, what the page may not tell, and runs of which none can be made."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import av
import filelock
import pytest

from ballot_runs import SYSTEMS, TASKS, key_of, make_ballot_run, no_scores
from command_line import Run, in_process
from popbench.ballot.make import QUESTION, make_ballot
from popbench.errors import UsageError
from popbench.video import is_black
from run_folders import results_of

CLIP = re.compile(r'<script type="text/plain" id="clip-([0-9a-f]{16})">([^<]+)</script>')


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ballot_run(tmp_path_factory.mktemp("made") / "run-of-secrets")


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of a run that tells its systems wherever a run can."""
    return shutil.copytree(made, tmp_path / made.name)


def edit_results(run: Path, verdict: str, rate: float, *, a: str, b: str) -> None:
    """Let the results decide one pair of systems, and leave the others undecided."""
    results = results_of(run)
    for row in results["pairs"]:
        one = {row["a"], row["b"]} == {a, b}
        row["verdict"], row["win_rate"]["value"] = (verdict, rate) if one else ("undecided", 0.5)
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")


def test_nothing_in_the_page_tells_a_system_or_a_sample(run: Path, tmp_path: Path) -> None:
    ballot = make_ballot(run, 30, tmp_path / "vote.html")
    page = ballot.page.read_text(encoding="utf-8")
    clips = [base64.b64decode(clip) for _, clip in CLIP.findall(page)]
    assert len(clips) > 30
    words = {"secret", "gemma", "qwen", "ltx", "wan|", "|pe|", "basic", "mmra", "videos/", "concrete", "abstract"}
    words |= {f"-{number:04d}" for number in range(8)} | {f"{number:04d}.mp4" for number in range(60)}
    for text in (re.sub(r">[A-Za-z0-9+/=]{200,}<", "><", page), *(clip.decode("latin-1") for clip in clips)):
        assert [word for word in words if word in text.lower()] == []
    for clip in clips:
        assert b"x264" not in clip
        assert b"Lavf" not in clip


def test_clips_have_the_pictures_that_they_have_in_the_run(run: Path, tmp_path: Path) -> None:
    page = make_ballot(run, 48, tmp_path / "vote.html").page.read_text(encoding="utf-8")
    clips = dict(CLIP.findall(page))
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    files = {(row["system"], row["prompt_id"]): row["video"] for row in samples}

    def pictures(file: Any) -> list[bytes]:
        with av.open(file, "r") as container:
            return [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)]

    for pair in key_of(run)["pairs"][:6]:
        for shown in (pair["left"], pair["right"]):
            seen = pictures(io.BytesIO(base64.b64decode(clips[shown["id"]])))
            if shown["system"] is not None:
                assert seen == pictures(str(run / files[shown["system"], pair["prompt_id"]]))


def test_checks_are_a_clip_against_itself_and_a_black_clip_that_look_like_other_pairs(
    run: Path, tmp_path: Path
) -> None:
    ballot = make_ballot(run, 20, tmp_path / "vote.html")
    page = ballot.page.read_text(encoding="utf-8")
    clips = dict(CLIP.findall(page))
    key = key_of(run)
    assert Counter(pair["check"] for pair in key["pairs"]) == {None: 20, "same": 1, "black": 1}
    assert (ballot.pairs, ballot.checks) == (20, 2)
    (same,) = (pair for pair in key["pairs"] if pair["check"] == "same")
    (black,) = (pair for pair in key["pairs"] if pair["check"] == "black")
    assert same["left"]["id"] != same["right"]["id"]
    assert clips[same["left"]["id"]] == clips[same["right"]["id"]]
    dark = next(shown["id"] for shown in (black["left"], black["right"]) if shown["system"] is None)
    with av.open(io.BytesIO(base64.b64decode(clips[dark])), "r") as container:
        import numpy as np

        assert is_black(np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]))
    shown = json.loads(page.partition('id="ballot">')[2].partition("</script>")[0])
    assert {frozenset(pair) for pair in shown["pairs"]} == {frozenset({"id", "question", "clips"})}
    titles = {pair["id"]: [clip["title"] for clip in pair["clips"]] for pair in shown["pairs"]}
    assert len(set(titles[black["id"]])) == len(set(titles[same["id"]])) == 1


def test_undecided_pairs_of_systems_come_first_and_decided_ones_when_there_are_no_others(run: Path) -> None:
    a, b, c = sorted(SYSTEMS)
    edit_results(run, "better", 0.95, a=a, b=b)

    def compared(pairs: int, name: str) -> Counter[frozenset[str]]:
        make_ballot(run, pairs, run / name)
        key = key_of(run)
        (run / f"ballots/{key['ballot']}.json").unlink()
        of_systems = [pair for pair in key["pairs"] if pair["check"] is None]
        return Counter(frozenset((pair["left"]["system"], pair["right"]["system"])) for pair in of_systems)

    assert compared(20, "a.html") == {frozenset((a, c)): 10, frozenset((b, c)): 10}
    assert compared(40, "b.html") == {frozenset((a, c)): 16, frozenset((b, c)): 16, frozenset((a, b)): 8}


def test_prompts_categories_and_sides_are_balanced(run: Path, tmp_path: Path) -> None:
    make_ballot(run, 24, tmp_path / "vote.html")
    pairs = [pair for pair in key_of(run)["pairs"] if pair["check"] is None]
    prompts = Counter((pair["task"], pair["prompt_id"]) for pair in pairs)
    assert (len(prompts), max(prompts.values())) == (16, 2)
    assert set(Counter((pair["task"], pair["category"]) for pair in pairs).values()) == {6}
    for task in TASKS:
        for one in SYSTEMS:
            for other in SYSTEMS:
                sides = [
                    pair["left"]["system"] == one
                    for pair in pairs
                    if pair["task"] == task and {pair["left"]["system"], pair["right"]["system"]} == {one, other}
                ]
                assert one == other or abs(2 * sum(sides) - len(sides)) <= 1


def test_the_same_seed_chooses_the_same_pairs_under_other_ids(run: Path, tmp_path: Path) -> None:
    def chosen(seed: int, name: str) -> tuple[list[list[Any]], set[str]]:
        make_ballot(run, 12, tmp_path / name, seed=seed)
        key = key_of(run)
        (run / f"ballots/{key['ballot']}.json").unlink()
        rows = [[p["prompt_id"], p["left"]["system"], p["right"]["system"], p["check"]] for p in key["pairs"]]
        return rows, {pair["id"] for pair in key["pairs"]}

    (first, ids), (again, others), (third, _) = chosen(1, "a.html"), chosen(1, "b.html"), chosen(2, "c.html")
    assert first == again
    assert first != third
    assert not ids & others


def test_a_question_is_the_tasks_own_or_the_one_that_is_given(run: Path, tmp_path: Path) -> None:
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    about["tasks"]["abstract"]["draft"] = {"question": "Which is odder?"}
    (run / "run.json").write_text(json.dumps(about), encoding="utf-8")
    page = make_ballot(run, 20, tmp_path / "a.html").page.read_text(encoding="utf-8")
    assert key_of(run)["questions"] == {"abstract": "Which is odder?", "concrete": QUESTION}
    assert "Which is odder?" in page
    page = make_ballot(run, 20, tmp_path / "b.html", question="<b>Which?</b>").page.read_text(encoding="utf-8")
    assert "Which is odder?" not in page
    assert "<b>" not in page


def test_clips_can_be_judged_that_no_predictor_has_seen(run: Path, tmp_path: Path) -> None:
    no_scores(run)
    assert make_ballot(run, 10, tmp_path / "vote.html").pairs == 10


def test_samples_without_a_clip_are_left_out_and_missing_clips_told(run: Path, tmp_path: Path) -> None:
    for number in range(0, 16):
        (run / f"videos/{number:04d}.mp4").write_bytes(b"no video")
    (run / "videos/0020.mp4").unlink()
    (run / "videos/0021.mp4").unlink()
    (run / "videos/0021.mp4").symlink_to("/etc/passwd")
    told: list[str] = []
    ballot = make_ballot(run, 48, tmp_path / "vote.html", tell=told.append)
    assert ballot.pairs == 14
    assert "18 clips cannot be read" in told[0]
    assert "the run has 14 pairs of clips to compare" in told[1]


def test_runs_of_which_no_ballot_can_be_made_are_told_in_a_line(popbench: Run, run: Path, tmp_path: Path) -> None:
    name = run.name

    def line(*arguments: object) -> str:
        done = popbench("ballot", "make", *arguments)
        assert done.status == 2
        return done.line

    assert "no such folder" in line("nothing")
    assert "looks like a URL" in line(name, "--out", "https://there/vote.html")
    assert "ends in .html" in line(name, "--out", "vote.txt")
    (tmp_path / "mine.html").write_text("mine", encoding="utf-8")
    assert "is there already" in line(name, "--out", "mine.html")
    assert "expected text on one line" in line(name, "--question", "a\nb")
    with filelock.FileLock(run / ".lock"):
        assert "is in use by" in line(name)
    results = (run / "results.json").read_text(encoding="utf-8")
    for damaged in ("[" * 9000, "[]", '{"predictors": [], "pairs": [1]}', '{"pairs": 3}'):
        (run / "results.json").write_text(damaged, encoding="utf-8")
        assert "results.json: cannot be read" in line(name)
    (run / "results.json").write_text(results, encoding="utf-8")
    samples = (run / "samples.jsonl").read_text(encoding="utf-8")
    (run / "samples.jsonl").write_text("".join(samples.splitlines(keepends=True)[:16]), encoding="utf-8")
    assert "nothing to compare" in line(name)
    (run / "samples.jsonl").unlink()
    assert "samples.jsonl is missing" in line(name)
    about = (run / "run.json").read_text(encoding="utf-8")
    (run / "run.json").write_text(about.replace('"finished": true', '"finished": false'), encoding="utf-8")
    assert "stopped before it was done" in line(name)
    assert not (run / "ballots").exists()
    assert list(tmp_path.glob("ballot-*.html")) == []


def test_more_clips_than_browsers_open_are_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("popbench.ballot.make._LARGEST", 20_000)
    with pytest.raises(UsageError, match=r"give --pairs \d+, and make several ballots"):
        make_ballot(run, 40, tmp_path / "vote.html")


def test_the_command_says_what_it_made(popbench: Run, run: Path, tmp_path: Path) -> None:
    done = popbench("ballot", "make", run.name, "--pairs", 12)
    assert (done.status, done.err) == (0, "")
    (page,) = tmp_path.glob("ballot-*.html")
    assert done.out.startswith(f"{page.name} (0.")
    assert "12 pairs of clips, 6 comparisons of systems, 2 attention checks; ballot " in done.out
    assert [file.stem for file in (run / "ballots").iterdir()] == [page.stem.removeprefix("ballot-")]


def test_a_run_in_place_of_a_command_is_what_a_ballot_is_made_of(popbench: Run, run: Path, tmp_path: Path) -> None:
    done = popbench("ballot", run, "--pairs", "2", "--out", tmp_path / "vote.html")
    assert done.status == 0, done.err
    assert (tmp_path / "vote.html").exists()
    done = popbench("ballot", "no-folder")
    assert (done.status, done.out) == (2, "")
    assert "no-folder: neither a command (add, make) nor the directory of a run" in done.line
