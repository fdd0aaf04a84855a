"""`popbench best`: one idea, several drafts and clips, the winner, and what its lead is worth."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import judging_components
import popbench_runs
import priced_components
from command_line import Done, Run, in_process
from made_tasks import task_file
from popbench.best.idea import LONGEST, MOST
from popbench.registry import Plugin, load_registry
from popbench.runs.run_json import read_run_json
from popbench.runs.samples import read_jsonl
from popbench.tasks.loading import load_task
from popbench.video import sha256

IDEA = "a cat learns to skate"
QUICK = ("--gen", "faulty", "--predictor", "faulty", "--n", "4")


@pytest.fixture
def best(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    call = in_process(monkeypatch, capsys, tmp_path)

    def with_idea(*options: object, idea: str = IDEA) -> Done:
        return call("best", idea, "--out", "run", *options)

    return with_idea


@pytest.fixture
def result(tmp_path: Path) -> Any:
    return lambda: json.loads((tmp_path / "run" / "best.json").read_text(encoding="utf-8"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return what counting components were asked for since the last call."""
    log = tmp_path / "log.txt"
    monkeypatch.setenv("POPBENCH_TEST_LOG", str(log))

    def since() -> int:
        count = len(log.read_text().splitlines()) if log.exists() else 0
        log.unlink(missing_ok=True)
        return count

    return since


def test_the_idea_alone_gives_a_clip_a_page_and_says_that_it_is_a_demonstration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = in_process(monkeypatch, capsys, tmp_path)("best", IDEA, "--n", 3)
    assert done.status == 0, done.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("best-a-cat-learns-to-skate-")
    told = json.loads((folder / "best.json").read_text(encoding="utf-8"))
    samples = list(read_jsonl(folder / "samples.jsonl"))
    top = max(samples, key=lambda sample: sample.popularity or 0)
    assert (told["title"], told["video_prompt"], told["score"]) == (top.title, top.video_prompt, top.popularity)
    assert sha256(folder / "best.mp4") == told["video_sha256"] == top.video_sha256
    assert len({sample.video_prompt for sample in samples}) == 3
    assert told["demo"]
    assert "Demo scores" in done.out
    assert "Demo scores" in (folder / "index.html").read_text(encoding="utf-8")
    assert told["title"] in done.out
    assert told["worth"] is None
    assert "not known" in done.out
    assert [of["luck"] for of in told["worth_if_luck"]] == [0.2, 0.5, 0.8]


def test_repeats_render_the_same_drafts_again_and_ask_no_llm(
    best: Run, result: Any, asked: Any, tmp_path: Path
) -> None:
    counting = ("--llm", "counting", "--gen", "counting,width=64,height=64,frames=4", "--predictor", "counting")
    assert best(*counting, "--n", 3).status == 0
    assert asked() == 9
    first = result()
    assert best(*counting, "--n", 3, "--repeats", 3).status == 0
    assert asked() == 6 + 6, "two more clips of each draft, and their scores"
    told = result()
    assert [len(draft["clips"]) for draft in told["drafts"]] == [3, 3, 3]
    assert {draft["title"] for draft in told["drafts"]} == {draft["title"] for draft in first["drafts"]}
    assert len({clip["video"] for draft in told["drafts"] for clip in draft["clips"]}) == 9
    worth = told["worth"]
    assert worth["expected"]["low"] <= worth["expected"]["value"] <= worth["expected"]["high"]
    assert 0 < worth["probability_best"] <= 1
    samples = list(read_jsonl(tmp_path / "run" / "samples.jsonl"))
    assert sum(sample.attempts for sample in samples) == 3, "a draft that is rendered again is paid for once"

    assert best(*counting, "--n", 5, "--repeats", 3).status == 0
    assert asked() == 2 + 6 + 6, "two more drafts, and three clips of each"


def test_what_was_done_is_not_done_again(best: Run, result: Any, asked: Any, tmp_path: Path) -> None:
    counting = (
        "--llm",
        "counting",
        "--gen",
        "counting,width=64,height=64,frames=4",
        "--predictor",
        "counting",
        "--n",
        2,
    )
    assert best(*counting).status == 0
    asked()
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("best.mp4", "best.json", "index.html")}
    assert best(*counting).status == 0
    assert asked() == 0
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in before}


def test_drafts_that_are_word_for_word_the_same_count_as_clips_of_one(best: Run, result: Any) -> None:
    done = best("--llm", "verbatim", *QUICK)
    assert done.status == 0, done.err
    assert "word for word the same" in done.out
    (draft,) = result()["drafts"]
    assert (draft["numbers"], len(draft["clips"])) == ([1, 2, 3, 4], 4)
    assert result()["worth"] is None


def test_one_draft_has_nothing_to_be_compared_with(best: Run) -> None:
    done = best("--n", 1, "--gen", "faulty")
    assert done.status == 0
    assert "nothing to compare" in done.out


def test_several_predictors_the_first_chooses_and_the_others_are_told(best: Run, result: Any) -> None:
    assert best("--gen", "faulty", "--predictor", "faulty", "--predictor", "demo", "--n", 3).status == 0
    told = result()
    assert [of["name"] for of in told["predictors"]] == ["faulty", "demo"]
    assert told["score"] == max(clip["scores"]["faulty"] for draft in told["drafts"] for clip in draft["clips"])
    assert set(told["scores"]) == {"faulty", "demo"}


def test_a_run_of_an_idea_is_one_that_eval_can_go_on_with(best: Run, tmp_path: Path) -> None:
    assert best(*QUICK).status == 0
    task = load_task(tmp_path / "run" / "idea" / "idea.yaml")
    run_json: Any = read_run_json(tmp_path / "run")
    assert run_json["tasks"]["idea"]["hash"] == task.hash
    assert run_json["config"]["task"] == [str(tmp_path / "run" / "idea" / "idea.yaml")]
    assert {prompt.text for prompt in task.prompts} == {IDEA}
    assert len(task.prompts) == MOST
    import popbench

    settings: dict[str, Any] = {"llm": "shotlist", "gen": "faulty", "predictor": "faulty", "mode": "basic", "limit": 4}
    again = popbench.evaluate(**settings, task=str(tmp_path / "run" / "idea"), out=tmp_path / "run")
    assert (again.n, again.complete) == (4, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--llm", "nosuch"), "unknown llm 'nosuch'"),
        (("--gen", "kinetc"), "did you mean 'kinetic'"),
        (("--predictor", "nosuch"), "unknown predictor"),
        (("--mode", "nosuch"), "unknown mode"),
        (("--task", "nosuch"), "unknown task"),
        (("--n", 0), "0 is not in the range"),
        (("--n", MOST + 1), "is not in the range"),
        (("--repeats", 0), "0 is not in the range"),
        (("--out", "https://example.org/x"), "looks like a URL"),
        (("--max-cost", "nan"), "no number of USD"),
        (("--llm", "lacking"), "MOON_KEY"),
        (("--llm", "verbatim", "--llm", "shotlist"), "2 are given: choose one by --llm"),
        (("--gen", "kinetic", "--gen", "kinetic,fps=12"), "2 are given: choose one by --gen"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line_and_leaves_nothing(
    options: tuple[object, ...], told: str, best: Run, tmp_path: Path
) -> None:
    done = best(*options)
    assert done.status == 2
    assert told in done.line
    assert not (tmp_path / "run" / "samples.jsonl").exists()


@pytest.mark.parametrize(
    ("idea", "told"),
    [
        ("", "empty"),
        (" \n\u200b ", "empty"),
        ("\u3164\u2800", "empty"),
        ("x" * (LONGEST + 1), "fewer words"),
        ("caf\udce9", "the idea has bytes in it that are no valid text: give it in UTF-8"),
    ],
)
def test_an_idea_that_is_none_is_refused(idea: str, told: str, best: Run, tmp_path: Path) -> None:
    done = best(idea=idea)
    assert done.status == 2
    assert told in done.line
    assert not (tmp_path / "run").exists()


def test_a_folder_with_anything_else_is_left_alone(best: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("dear")
    done = best()
    assert done.status == 2
    assert "other files" in done.line
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["letter.txt"]
    shutil.rmtree(tmp_path / "run")
    assert best(*QUICK).status == 0
    done = best(*QUICK, idea="a dog learns to swim")
    assert done.status == 2
    assert "another idea (a cat learns to skate)" in done.line
    done = best(*QUICK, "--seed", 7)
    assert done.status == 2
    assert "seed 42" in done.line


def test_clips_that_are_all_invalid_are_one_line_and_leave_no_earlier_winner(best: Run, tmp_path: Path) -> None:
    assert best(*QUICK).status == 0
    assert (tmp_path / "run" / "best.mp4").exists()
    done = best("--llm", "faulty,fault=always-nonsense", *QUICK)
    assert done.status == 1
    last = done.err.splitlines()[-1]
    assert "none of 4 clips has a score" in last
    assert "no usable draft" in last
    assert not list((tmp_path / "run").glob("best.*"))
    assert not (tmp_path / "run" / "index.html").exists()


def test_an_invalid_draft_is_left_out_told_and_not_written_again(best: Run, result: Any) -> None:
    done = best("--llm", "faulty,fault=refusal,at=1", *QUICK, "--repeats", 2)
    assert done.status == 0, done.err
    assert "1 of 4 drafts came to nothing: refused (1)" in done.out
    (draft,) = result()["drafts"]
    assert (draft["numbers"], len(draft["clips"])) == ([1, 3, 4], 6)
    assert result()["invalid"] == {"refused": 1}


def test_a_draft_of_which_one_clip_is_invalid_has_the_others(best: Run, result: Any) -> None:
    done = best("--gen", "faulty,fault=black,at=1", "--predictor", "faulty", "--n", 3, "--repeats", 3)
    assert done.status == 0, done.err
    assert sum(len(draft["clips"]) for draft in result()["drafts"]) == 7
    assert sum(result()["invalid"].values()) + len(result()["drafts"]) == 3


def test_errors_leave_what_there_is_and_the_same_command_goes_on(best: Run, result: Any, tmp_path: Path) -> None:
    once = f"faulty,fault=failure,at=1,once={tmp_path / 'once'}"
    done = best("--gen", once, "--predictor", "faulty", "--n", 4, "--repeats", 2)
    assert done.status == 1
    assert "1 of 4 samples has no result" in done.err
    assert len(result()["drafts"]) == 3
    assert result()["errors"] == 1
    done = best("--gen", once, "--predictor", "faulty", "--n", 4, "--repeats", 2)
    assert done.status == 0, done.err
    assert sum(len(draft["clips"]) for draft in result()["drafts"]) == 8


def test_scores_of_any_sign_are_averaged_as_they_are(best: Run, result: Any) -> None:
    registry = load_registry()
    if not any(plugin.name == "judges" for plugin in registry.plugins):
        registry.add(judging_components, Plugin("judges", "popbench-judges", "1", "judging_components"))
    done = best("--gen", "faulty", "--predictor", "arbiter,shift=-4", "--n", 6, "--repeats", 2)
    assert done.status == 0, done.err
    told = result()
    assert told["predictors"][0]["scale"] == "real"
    means = [draft["mean"] for draft in told["drafts"]]
    assert told["mean_of_drafts"] == pytest.approx(sum(means) / len(means))
    assert told["mean_of_drafts"] < 0
    assert told["worth"]["expected"]["value"] == told["score"], "this judge sees the title alone: no luck of a seed"
    assert "the seed of a clip changed nothing" in done.out


def test_further_fields_of_a_draft_are_told(best: Run, result: Any, tmp_path: Path) -> None:
    task = task_file(tmp_path / "task", draft={"fields": {"hashtags": "array", "mood": "string"}})
    done = best(*QUICK, "--task", task)
    assert done.status == 0, done.err
    assert set(result()["extra"]) == {"hashtags", "mood"}
    assert "hashtags: " in done.out
    assert "hashtags" in (tmp_path / "run" / "index.html").read_text(encoding="utf-8")


def test_a_file_with_settings_for_several_models_is_one_line(best: Run, tmp_path: Path) -> None:
    (tmp_path / "popbench.toml").write_text('gen = ["kinetic", "kinetic,fps=12"]\nlimit = 3\nuntil = "best"\n')
    assert "2 are given: choose one by --gen" in best().line
    assert best(*QUICK).status == 0, "what is for studies of many prompts does not count"


def test_a_budget_is_for_all_clips_together(best: Run, result: Any) -> None:
    priced_components.install()
    priced_components.Account.clear()
    options = ("--llm", "shotlist", "--gen", "studio", "--predictor", "faulty", "--n", 3)
    assert best(*options, "--max-cost", 6).status == 0
    limit = priced_components.Account.spent + 2.5
    done = best(*options, "--repeats", 5, "--max-cost", limit)
    assert done.status == 1
    assert "stopped by --max-cost" in done.err
    assert priced_components.Account.spent <= limit
    told = result()
    assert len(told["drafts"]) == 3
    assert 3 < sum(len(draft["clips"]) for draft in told["drafts"]) < 15
    assert "no result yet" in done.out
    assert best(*options, "--repeats", 5, "--max-cost", 99).status == 0
    assert sum(len(draft["clips"]) for draft in result()["drafts"]) == 15


def test_a_dry_run_writes_nothing(best: Run, tmp_path: Path) -> None:
    done = best(*QUICK, "--repeats", 2, "--dry-run")
    assert done.status == 0
    assert "1 more clip of each draft" in done.out
    assert not (tmp_path / "run").exists()


def test_json_is_what_best_json_holds(best: Run, result: Any) -> None:
    done = best(*QUICK, "--json")
    told = json.loads(done.out)
    assert {name: told[name] for name in result()} == result()
    assert told["complete"]


@pytest.mark.parametrize("idea", ['猫 "hi" <script>alert(1)</script>', "-x {{ 7*7 }}\ncafé"])
def test_an_idea_may_be_any_text(idea: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    call = in_process(monkeypatch, capsys, tmp_path)
    done = call("best", *QUICK, "--", idea)
    assert done.status == 0, done.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert json.loads((folder / "best.json").read_text(encoding="utf-8"))["idea"] == idea
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert call("best", *QUICK, "--", idea).status == 0


@pytest.mark.slow
def test_a_command_killed_at_random_moments_loses_and_repeats_nothing(tmp_path: Path) -> None:
    arguments = [
        "best", IDEA, "--llm", "counting", "--gen", "counting,width=96,height=64", "--predictor", "counting",
        "--n", "6", "--repeats", "2", "--out", "run",
    ]  # fmt: skip
    rng, kills, starts = random.Random(5), 0, 0
    while True:
        before = popbench_runs.committed(tmp_path / "run")
        log = tmp_path / f"asked-{starts}.txt"
        starts += 1
        process = popbench_runs.start(arguments, tmp_path, log)
        process.join(rng.uniform(0.3, 2.5) if kills < 3 else 60)
        if process.is_alive():
            assert process.pid is not None
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
        process.join(60)
        asked = log.read_text().split() if log.exists() else []
        assert len(asked) == len(set(asked))
        assert not before & set(asked), "a committed call was repeated"
        if process.exitcode == 0:
            break
        assert starts < 20
    told = json.loads((tmp_path / "run" / "best.json").read_text(encoding="utf-8"))
    assert [len(draft["clips"]) for draft in told["drafts"]] == [2] * 6
    other = tmp_path / "other"
    process = popbench_runs.start(arguments, other)
    process.join(60)
    assert json.loads((other / "run" / "best.json").read_text(encoding="utf-8")) == told
