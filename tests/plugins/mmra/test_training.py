"""Training MMRA: it learns the law of a corpus, is repeatable, resumes after interruptions, and reports its metrics."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import made_corpus
import tiny_mmra
from popbench.cards.measure import errors, measure, spearman
from popbench.progress import Progress
from popbench_mmra import folder as folders
from popbench_mmra import training
from popbench_mmra.features import Extractor
from popbench_mmra.settings import Settings
from tiny_mmra import card, weights
from usage_errors import refusal

pytestmark = pytest.mark.slow


class Interrupting(Progress):
    """Interrupts after so many advances of one stage."""

    def __init__(self, stage: str, after: int) -> None:
        self._wanted, self._left, self._stage = stage, after, ""

    def stage(self, name: str, total: int, done: int) -> None:
        self._stage = name

    def advance(self, count: int = 1, stage: str | None = None) -> None:
        if self._stage.startswith(self._wanted):
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt


# -- what is learnt


def test_it_finds_most_of_what_title_and_video_say() -> None:
    found = card(tiny_mmra.model(good=True))
    made = {one.id: one for one in made_corpus.draw(tiny_mmra.VIDEOS)}
    rows = {row.id: row for row in tiny_mmra.source().corpus.rows("test")}
    truth = np.array([made[id_].log2 for id_ in rows])
    seen = np.log2([row.popularity for row in rows.values()])
    best = float(spearman(truth, seen))
    assert found["metrics"]["model"]["n"] == len(rows) == 60
    assert 0.9 < best < 1  # noise keeps everybody from more
    assert found["metrics"]["model"]["src"]["value"] >= 0.8 * best
    assert found["metrics"]["model"]["mae"]["value"] < 0.6 * found["metrics"]["mean"]["mae"]["value"]


def test_metrics_are_those_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(5, 2, 50)
    predicted = target + rng.normal(0, 1, 50)
    from scipy.stats import spearmanr

    assert float(spearman(predicted, target)) == pytest.approx(spearmanr(predicted, target).statistic)
    mae, nmse = errors(predicted, target)
    assert mae == pytest.approx(np.mean(np.abs(predicted - target)))
    assert nmse == pytest.approx(np.mean((predicted - target) ** 2) / np.var(target))
    found = measure(predicted, target)
    for name, value in (("mae", mae), ("nmse", nmse), ("src", float(spearman(predicted, target)))):
        assert found[name]["value"] == pytest.approx(value)
        assert found[name]["low"] < value < found[name]["high"]


def test_metrics_of_equal_targets_are_unknown_not_wrong() -> None:
    found = measure(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]))
    assert found["src"] == found["nmse"] == {"value": None, "low": None, "high": None}
    rounded = measure(np.zeros(3), np.full(3, np.log2(11)))  # whose variance is not exactly 0
    assert rounded["nmse"]["value"] is None
    assert found["mae"]["value"] == pytest.approx(2 / 3)


def test_intervals_of_metrics_cover() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        target = rng.normal(0, 1, 100)
        found = measure(target + rng.normal(0, 1, 100), target)["mae"]
        covered += found["low"] <= np.sqrt(2 / np.pi) <= found["high"]
    assert covered >= 180


# -- the same again


def test_training_twice_gives_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tiny_mmra.trained_into(tmp_path / "one")
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))  # also of features made anew
    two = tiny_mmra.trained_into(tmp_path / "two")
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    assert (tmp_path / "one" / folders.BANK).read_bytes() == (tmp_path / "two" / folders.BANK).read_bytes()
    assert one == two
    other = tiny_mmra.trained_into(tmp_path / "three", Settings(1e-3, 16, 3, retrieved=3, seed=1))
    assert other["files"][folders.WEIGHTS] != one["files"][folders.WEIGHTS]


@pytest.mark.parametrize(("stage", "after"), [("features", 1), ("features", 4), ("train", 1), ("train", 2)])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    stage: str, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_mmra.model()
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(training, "_SAVE_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        tiny_mmra.trained_into(tmp_path / "mmra", progress=Interrupting(stage, after))
    assert not (tmp_path / "mmra" / folders.CARD).exists()
    assert (tmp_path / "mmra" / ".training.pt").exists() == (stage == "train")

    class Resuming(Progress):
        done = 0

        def stage(self, name: str, total: int, done: int) -> None:
            self.done = done if name.startswith("train") else self.done

    progress = Resuming()
    tiny_mmra.trained_into(tmp_path / "mmra", progress=progress)
    assert progress.done == (after if stage == "train" else 0)
    assert weights(tmp_path / "mmra") == weights(whole)
    assert not (tmp_path / "mmra" / ".training.pt").exists()


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))
    table, clips = tiny_mmra.corpus(40)
    command = [
        "predictor", "train", "--corpus", made_corpus.spec(table), "--videos", str(clips), "--out", "mmra",
        "--learning-rate", "1e-3", "--batch-size", "16", "--epochs", "3", "--retrieved", "3", "--device", "cpu",
        *tiny_mmra.flags(),
    ]  # fmt: skip
    kept = tmp_path / "cache" / "mmra" / "features.sqlite"

    def start() -> subprocess.Popen[str]:
        """Start it in a process of its own, which has the cache of this test."""
        words = [sys.executable, "-m", "popbench", *command]
        return subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    known = 0
    for _ in range(2):  # each time after some more features
        with start() as process:
            until = time.monotonic() + 120
            while process.poll() is None and _kept(kept) <= known and time.monotonic() < until:
                time.sleep(0.005)
            process.kill()
        known = _kept(kept)
    assert known > 0
    with start() as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "other"))
    tiny_mmra.trained_into(tmp_path / "whole")
    assert weights(tmp_path / "mmra") == weights(tmp_path / "whole")


def _kept(file: Path) -> int:
    """Count the features that are kept, also while another process writes them."""
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM features").fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


def test_a_finished_training_is_not_done_again_and_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_mmra.model(tmp_path / "m")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

    class Telling(Progress):
        def __init__(self) -> None:
            self.notices: list[str] = []

        def notice(self, line: str) -> None:
            self.notices.append(line)

    progress = Telling()
    monkeypatch.setattr(training, "_epoch", lambda *_: pytest.fail("it trains again"))
    assert tiny_mmra.trained_into(folder, progress=progress) == card(folder)
    assert f"{folder} holds this training already, finished: nothing was done" in progress.notices
    told = refusal(lambda: tiny_mmra.trained_into(folder, Settings(epochs=2, retrieved=3)))
    assert "holds a model of other data or settings: choose another --out" in told
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_disk_that_keeps_no_state_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:815] . PytorchStreamWriter failed writing file")

    class Telling(Progress):
        problems: tuple[str, ...] = ()

        def problem(self, line: str) -> None:
            self.problems = (*self.problems, line)

    monkeypatch.setattr(training, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr("torch.save", full)
    progress = Telling()
    tiny_mmra.trained_into(tmp_path, progress=progress)
    assert weights(tmp_path) == weights(tiny_mmra.model())
    assert all("cannot be kept" in line for line in progress.problems)
    assert progress.problems
    assert not list(tmp_path.glob("*.part"))


def test_files_have_the_modes_that_the_user_wants(tmp_path: Path) -> None:
    tiny_mmra.trained_into(tmp_path / "m")
    (tmp_path / "plain").write_text("", encoding="utf-8")
    modes = {path.stat().st_mode for path in (tmp_path / "m").glob("*.*") if not path.name.startswith(".")}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_the_state_of_another_training_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SAVE_EVERY", 0.0)
    out = tmp_path / "mmra"
    with pytest.raises(KeyboardInterrupt):
        tiny_mmra.trained_into(out, Settings(epochs=9, retrieved=3), progress=Interrupting("train", 2))
    tiny_mmra.trained_into(out)
    assert weights(out) == weights(tiny_mmra.model())


def test_a_damaged_state_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / ".training.pt").write_bytes(b"no state")
    tiny_mmra.trained_into(tmp_path)
    assert weights(tmp_path) == weights(tiny_mmra.model())


def test_features_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))
    tiny_mmra.trained_into(tmp_path / "one")

    def none(self: Any) -> Any:
        raise AssertionError("an encoder was asked")

    monkeypatch.setattr(Extractor, "_encoding", none)
    tiny_mmra.trained_into(tmp_path / "two")
    assert weights(tmp_path / "one") == weights(tmp_path / "two")


def test_training_stops_when_validation_does_not_improve() -> None:
    found = card(tiny_mmra.model(good=True))["training"]
    history, best = found["history"], found["best_epoch"]
    score = [epoch["mae"] + epoch["nmse"] for epoch in history]
    assert score.index(min(score)) == best - 1
    assert len(history) == min(60, best + found["patience"])
