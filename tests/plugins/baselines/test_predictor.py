"""The demonstration predictor ranks unseen videos, scores items independently, and says that it is a demonstration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import popbench
from kinetic_frames import pictures
from popbench.video import write_mp4
from popbench_baselines.corpus import DemoCorpus
from popbench_baselines.kinetic import Kinetic
from popbench_baselines.predictor import WEIGHTS, DemoPredictor


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[popbench.Reference, Path]]:
    folder = tmp_path_factory.mktemp("clips")
    rows = list(DemoCorpus().rows("test"))[::3]
    found = []
    requests = [popbench.VideoRequest(row.id, row.caption, 99) for row in rows]
    for row, clip in zip(rows, Kinetic().generate(requests), strict=True):
        path = folder / f"{row.id}.mp4"
        write_mp4(pictures(clip), 8, path)
        found.append((row, path))
    return found


def scores(items: list[popbench.ScoreRequest]) -> dict[str, float]:
    found = {}
    for score in DemoPredictor().score(items):
        assert isinstance(score, popbench.Score), score
        assert np.log2(score.popularity) == pytest.approx(score.extra["log2"])
        found[score.id] = score.popularity
    return found


@pytest.mark.slow
def test_the_predictor_ranks_rows_it_has_not_seen(clips: list[tuple[popbench.Reference, Path]]) -> None:
    from scipy.stats import spearmanr

    found = scores([popbench.ScoreRequest(row.id, row.title, path) for row, path in clips])
    predicted = np.array([found[row.id] for row, _ in clips])
    comments = np.array([row.popularity for row, _ in clips])
    assert np.isfinite(predicted).all()
    assert (predicted > 0).all()
    assert len(set(predicted)) == len(predicted)
    assert spearmanr(predicted, comments).statistic > 0.3
    wrong = np.log2(predicted) - np.log2(comments)
    flat = np.log2(comments) - np.log2([row.popularity for row in DemoCorpus().rows("train")]).mean()
    assert np.abs(wrong).mean() < np.abs(flat).mean()


def test_a_score_does_not_depend_on_its_company(clips: list[tuple[popbench.Reference, Path]]) -> None:
    items = [popbench.ScoreRequest(row.id, row.title, path) for row, path in clips[:12]]
    together = scores(items)
    assert together == scores(items[::-1])
    assert all(scores([item])[item.id] == together[item.id] for item in items[:4])


@pytest.mark.slow
def test_a_score_depends_on_title_and_on_video(clips: list[tuple[popbench.Reference, Path]]) -> None:
    paths = [path for _, path in clips[:10]]
    by_video = scores([popbench.ScoreRequest(str(i), "A fox", path) for i, path in enumerate(paths)])
    assert len(set(by_video.values())) == len(paths)
    assert max(by_video.values()) > 1.3 * min(by_video.values())
    titles = ["A fox", "Another fox", "Would you trust a fox?", "I cried over this fox", "", "狐" * 300]
    by_title = scores([popbench.ScoreRequest(title, title, paths[0]) for title in titles])
    assert len(set(by_title.values())) == len(titles)
    assert by_title["I cried over this fox"] > by_title["A fox"]


def test_a_broken_video_fails_alone(clips: list[tuple[popbench.Reference, Path]], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    items = [
        popbench.ScoreRequest("broken", "t", broken),
        popbench.ScoreRequest("missing", "t", tmp_path / "missing.mp4"),
        popbench.ScoreRequest("fine", "t", clips[0][1]),
    ]
    found = {result.id: result for result in DemoPredictor().score(items)}
    for name in ("broken", "missing"):
        failure = found[name]
        assert isinstance(failure, popbench.Failure)
        assert not failure.invalid
        assert name in failure.error
        assert "\n" not in failure.error
    assert isinstance(found["fine"], popbench.Score)


def test_small_and_short_videos_can_be_scored(tmp_path: Path) -> None:
    for index, shape in enumerate([(1, 2, 2, 3), (2, 16, 130, 3), (3, 300, 20, 3)]):
        path = tmp_path / f"{index}.mp4"
        write_mp4(np.full(shape, 200, np.uint8), 8, path)
        assert scores([popbench.ScoreRequest("s", "tiny", path)])["s"] > 0


def test_the_predictor_says_what_it_is() -> None:
    predictor = DemoPredictor()
    assert predictor.demo
    assert predictor.unit == "comments"
    assert predictor.trained_on() == ["demo/train", "demo/valid"]
    assert len(str(predictor.fingerprint()["sha256"])) == 64


def test_the_weights_were_trained_on_the_corpus_as_it_is() -> None:
    from safetensors import safe_open

    with safe_open(WEIGHTS, "numpy") as file:
        assert file.metadata() == {"corpus": DemoCorpus().content()}
