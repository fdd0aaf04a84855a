"""The human baseline: for each prompt the human-made video with the nearest title, scored as everyone's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import corpus_files
import faults
import popbench
import popbench_runs
import using_components
from command_line import Run, in_process
from popbench.errors import UsageError
from popbench.interfaces.uses import POSSIBLE
from popbench.publishing.build import build_board
from popbench.video import sha256
from popbench_baselines.hashing import Hashing

TABLE = corpus_files.rows()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("corpus")
    path = corpus_files.write(folder / "mine.csv", TABLE)
    return corpus_files.spec(path, videos=corpus_files.videos(folder / "videos", TABLE))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    faults.install()
    return in_process(monkeypatch, capsys, tmp_path)


def evaluate(out: Path, corpus: str, **changes: Any) -> popbench.Run:
    return popbench_runs.run_fast(out, corpus=corpus, embedder="hashing", baseline="human", **changes)


def humans(out: Path) -> list[dict[str, Any]]:
    return [row for row in popbench_runs.samples(out) if row["system"] == "human"]


def test_each_prompt_has_the_video_with_the_nearest_title(tmp_path: Path, corpus: str) -> None:
    evaluate(tmp_path / "run", corpus)
    titles = np.asarray(Hashing().encode([str(row["title"]) for row in TABLE]), np.float64)
    found = humans(tmp_path / "run")
    assert len(found) == 5
    for row in found:
        similar = titles @ Hashing().encode([row["prompt"]])[0]
        best = TABLE[int(np.argmax(np.round(similar, 5)))]
        assert (row["title"], row["match"]["id"]) == (best["title"], best["id"])
        assert row["match"]["popularity"] == best["popularity"]
        assert row["match"]["similarity"] == pytest.approx(similar.max(), abs=1e-5)


def test_its_rows_say_that_no_model_took_part_and_its_video_is_the_corpus_s(tmp_path: Path, corpus: str) -> None:
    evaluate(tmp_path / "run", corpus)
    folder = tmp_path / "run"
    for row in humans(folder):
        assert (row["llm"], row["mode"], row["generator"], row["status"]) == (None, None, None, "ok")
        assert (row["video_prompt"], row["references"], row["compliance"], row["originality"]) == (None, [], None, None)
        assert row["popularity"] > 0
        clip = folder / row["video"]
        source = Path(corpus.partition('videos="')[2].rstrip('"')) / f"{row['match']['id']}.mp4"
        assert sha256(clip) == sha256(source) == row["video_sha256"]


def test_the_board_has_its_row_and_prompt_enhancement_leaves_it_out(tmp_path: Path, corpus: str) -> None:
    run = evaluate(tmp_path / "run", corpus, llm="shotlist", mode=["basic", "pe"], predictor="demo")
    assert run.complete
    results = run.results
    assert results is not None
    assert [row["system"] for row in results["systems"]].count("human") == 1
    assert {pair["a"] for pair in results["enhancement"]} == {"shotlist|pe|faulty"}
    assert {name for pair in results["pairs"] for name in (pair["a"], pair["b"])} >= {"human"}
    board = (tmp_path / "run/leaderboard.md").read_text(encoding="utf-8")
    assert "| human | – | – |" in board
    assert "human-made video of table" in board


def test_nothing_is_scored_twice_and_another_predictor_scores_what_is_there(tmp_path: Path, corpus: str) -> None:
    out = tmp_path / "run"
    evaluate(out, corpus)
    first = popbench_runs.outcome(out)
    before = popbench_runs.committed(out)
    evaluate(out, corpus)
    assert popbench_runs.committed(out) == before
    assert popbench_runs.outcome(out) == first
    evaluate(out, corpus, predictor=["faulty", "demo"])
    assert all(set(row["scores"]) == {"faulty", "demo"} for row in humans(out))


def test_repeats_score_the_same_video_once(tmp_path: Path, corpus: str) -> None:
    evaluate(tmp_path / "run", corpus, repeats=2)
    found = humans(tmp_path / "run")
    assert len(found) == 10
    by_prompt: dict[str, set[float]] = {}
    for row in found:
        by_prompt.setdefault(row["prompt_id"], set()).add(row["popularity"])
    assert all(len(values) == 1 for values in by_prompt.values())


def test_predictors_see_the_user_s_prompt_and_no_video_prompt_of_it(tmp_path: Path, corpus: str) -> None:
    using_components.install()
    run = evaluate(tmp_path / "run", corpus, predictor=using_components.seer(*POSSIBLE), limit=2)
    assert run.complete
    wanted = {(row["prompt"], row["title"], None) for row in humans(run.path)}
    seen = {(asked["prompt"], asked["title"], asked["video_prompt"]) for asked in using_components.SEEN}
    assert {each for each in seen if each[2] is None} == wanted
    assert len(seen) == 4


def test_a_video_that_is_gone_from_the_run_is_put_back(tmp_path: Path, corpus: str) -> None:
    out = tmp_path / "run"
    evaluate(out, corpus)
    first = popbench_runs.outcome(out)
    (out / humans(out)[0]["video"]).unlink()
    evaluate(out, corpus)
    assert popbench_runs.outcome(out) == first


def test_who_edits_the_corpus_s_videos_does_not_edit_runs(tmp_path: Path) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    folder = corpus_files.videos(tmp_path / "videos", TABLE)
    evaluate(tmp_path / "run", corpus_files.spec(path, videos=folder))
    first = popbench_runs.outcome(tmp_path / "run")
    for video in folder.iterdir():
        with video.open("r+b") as file:
            file.write(b"something else altogether")
    evaluate(tmp_path / "run", corpus_files.spec(path, videos=folder))
    assert popbench_runs.outcome(tmp_path / "run") == first


def test_runs_with_two_corpora_have_two_human_systems_that_share_no_board(tmp_path: Path, corpus: str) -> None:
    other = corpus_files.rows(per_tag=5)
    path = corpus_files.write(tmp_path / "other.csv", other)
    evaluate(tmp_path / "a", corpus)
    evaluate(tmp_path / "b", corpus_files.spec(path, videos=corpus_files.videos(tmp_path / "videos", other)))
    with pytest.raises(UsageError, match=r"'human' has two fingerprints .*same corpus and embedder"):
        build_board([tmp_path / "a", tmp_path / "b"], tmp_path / "board")


# -- refused before any work


def refused(run: Run, corpus: str, *further: str) -> str:
    options = ["--llm", "faulty", "--gen", "faulty", "--predictor", "faulty", "--mode", "basic", "--limit", "5"]
    done = run("eval", *options, "--corpus", corpus, "--embedder", "hashing", "--out", "run", *further)
    assert (done.status, Path("run").exists()) == (2, False)
    return done.line


def test_a_corpus_without_video_files_is_one_line(run: Run, tmp_path: Path) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    line = refused(run, corpus_files.spec(path), "--baseline", "human")
    assert "has no video files" in line
    assert "videos=DIR" in line


def test_videos_that_no_row_is_called_after_are_one_line(run: Run, tmp_path: Path) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    (tmp_path / "videos").mkdir()
    line = refused(run, corpus_files.spec(path, videos=tmp_path / "videos"), "--baseline", "human")
    assert f"no file in {tmp_path / 'videos'} belongs to a video" in line


def test_missing_and_broken_videos_are_counted_in_one_line(run: Run, tmp_path: Path) -> None:
    table = corpus_files.rows(per_tag=1)
    path = corpus_files.write(tmp_path / "mine.csv", table)
    folder = corpus_files.videos(tmp_path / "videos", table)
    for row in table[1:4]:
        (folder / f"{row['id']}.mp4").unlink()
    (folder / f"{table[4]['id']}.mp4").write_bytes(b"no video")
    line = refused(run, corpus_files.spec(path, videos=folder), "--baseline", "human", "--task", "popcorn")
    assert "cannot be used" in line
    assert "has no file" in line
    assert "corpus build --corpus ... --videos" in line


def test_another_baseline_is_refused_with_what_there_is(run: Run) -> None:
    done = run("eval", "--baseline", "humans")
    assert done.status == 2
    assert "did you mean 'human'" in done.line


def test_a_dry_run_shows_the_matching(run: Run, corpus: str) -> None:
    done = run("eval", "--limit", "5", "--corpus", corpus, "--embedder", "hashing", "--baseline", "human", "--dry-run")
    assert done.status == 0
    assert "match" in done.out
    done = run(
        "eval",
        "--limit",
        "5",
        "--corpus",
        corpus,
        "--embedder",
        "hashing",
        "--baseline",
        "human",
        "--dry-run",
        "--json",
    )
    stages = {row["stage"]: row for row in json.loads(done.out)["stages"]}
    assert stages["match"]["items"] == 10
    assert stages["score"]["items"] == 50


# -- when something changes on the way


def test_a_damaged_copy_is_made_again_from_the_corpus(tmp_path: Path, corpus: str) -> None:
    out = tmp_path / "run"
    evaluate(out, corpus)
    first = popbench_runs.outcome(out)
    clip = out / humans(out)[0]["video"]
    whole = clip.read_bytes()
    clip.unlink()  # it may be the corpus's own file, linked
    clip.write_bytes(whole[: len(whole) // 2])
    evaluate(out, corpus)
    assert popbench_runs.outcome(out) == first


@pytest.mark.slow
def test_other_videos_of_the_same_corpus_are_taken_and_scored(tmp_path: Path) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    folders = [corpus_files.videos(tmp_path / "one", TABLE), corpus_files.videos(tmp_path / "two", TABLE[::-1])]
    for folder in folders:
        evaluate(tmp_path / "run", corpus_files.spec(path, videos=folder), predictor="demo")
        evaluate(tmp_path / folder.name / "run", corpus_files.spec(path, videos=folder), predictor="demo")
        fresh = humans(tmp_path / folder.name / "run")
        assert [(row["video_sha256"], row["popularity"]) for row in humans(tmp_path / "run")] == [
            (row["video_sha256"], row["popularity"]) for row in fresh
        ]


def test_a_video_that_is_settled_is_not_asked_of_the_corpus_again(tmp_path: Path) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    corpus = corpus_files.spec(path, videos=corpus_files.videos(tmp_path / "videos", TABLE))
    evaluate(tmp_path / "run", corpus, limit=1)
    (row,) = humans(tmp_path / "run")
    (tmp_path / "videos" / f"{row['match']['id']}.mp4").unlink()
    evaluate(tmp_path / "run", corpus, limit=1, predictor=["faulty", "demo"])
    assert humans(tmp_path / "run")[0]["scores"]["demo"] > 0


def test_a_video_that_goes_after_it_was_checked_leaves_the_other_systems_their_scores(
    tmp_path: Path, corpus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from popbench.pipeline import human_baseline

    def gone(path: Path) -> str:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(human_baseline, "sha256", gone)
    run = evaluate(tmp_path / "run", corpus)
    assert (run.complete, run.errors) == (False, 5)
    rows = popbench_runs.samples(tmp_path / "run")
    assert {row["status"] for row in rows if row["system"] != "human"} == {"ok"}
    assert all("cannot be read" in row["error"] for row in humans(tmp_path / "run"))
    monkeypatch.undo()
    assert evaluate(tmp_path / "run", corpus).complete


def test_runs_that_share_the_baseline_share_a_board(tmp_path: Path, corpus: str) -> None:
    evaluate(tmp_path / "a", corpus, llm="verbatim")
    evaluate(tmp_path / "b", corpus, llm="shotlist")
    results = build_board([tmp_path / "a", tmp_path / "b"], tmp_path / "board")
    assert [row["system"] for row in results["systems"]].count("human") == 1
    assert len(results["systems"]) == 3
    assert [row["n"] for row in results["systems"]] == [5, 5, 5]


def test_the_baseline_with_other_videos_does_not_share_a_board(tmp_path: Path) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    for name, table in (("a", TABLE), ("b", TABLE[::-1])):
        folder = corpus_files.videos(tmp_path / f"videos-{name}", table)
        evaluate(tmp_path / name, corpus_files.spec(path, videos=folder), predictor="demo")
    with pytest.raises(UsageError, match="system 'human' has two results for prompt"):
        build_board([tmp_path / "a", tmp_path / "b"], tmp_path / "board")


def test_the_board_says_where_references_come_from_and_how_near_human_videos_are(tmp_path: Path, corpus: str) -> None:
    for _ in range(2):  # also when there is nothing left to do
        evaluate(tmp_path / "run", corpus, mode="pe,k=20", predictor="demo")
        board = (tmp_path / "run/leaderboard.md").read_text(encoding="utf-8")
        assert "- references: corpus table\\[data=mine\\], part test, 30 videos, found with hashing" in board
        assert "drafts were shown fewer than 20 references, 6 in the median" in board
        assert "videos for 5 prompts; the similarity of title and prompt is 0." in board


def test_human_videos_and_their_scores_are_taken_from_another_run_before_any_work(
    tmp_path: Path, corpus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A predictor that is asked nothing needs no key, and the prompts are not looked up again."""
    evaluate(tmp_path / "one", corpus, repeats=2)
    monkeypatch.setattr(faults.FaultyPredictor, "check", lambda _: ["no key"], raising=False)
    run = evaluate(tmp_path / "two", corpus, repeats=2, reuse=tmp_path / "one")
    assert run.complete
    assert humans(tmp_path / "two") == humans(tmp_path / "one")
    with pytest.raises(UsageError, match="no key"):
        evaluate(tmp_path / "three", corpus, repeats=2)
