"""`titles`: it learns from any table, its card is measured on titles not seen, and errors are one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import made_titles
import popbench as pb
from command_line import Run, in_process
from popbench import testing
from popbench.records import Failure, Score, ScoreRequest
from popbench.registry import load_registry
from popbench_mmra.titles import folder as folders
from popbench_mmra.titles.data import FOLDS, folds, gather_titles
from popbench_mmra.titles.predictor import TitlesOptions, TitlesPredictor
from popbench_mmra.titles.ridge import PENALTIES, fit

EMBEDDER = "hashing,dim=128"


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def train(popbench: Run, table: Path, out: str = "titles", *more: object, parts: bool = True) -> Any:
    corpus = made_titles.spec(table, parts=parts)
    given = ("--corpus", corpus, "--target", "views", "--embedder", EMBEDDER, "--out", out)
    return popbench("predictor", "train", "titles", *given, *more)


def card(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / folders.CARD).read_text(encoding="utf-8"))
    return found


@pytest.fixture
def model(popbench: Run, tmp_path: Path) -> Path:
    done = train(popbench, made_titles.write(tmp_path / "t.csv", made_titles.draw(300)))
    assert done.status == 0, done.err
    return tmp_path / "titles"


def scores(model: Path, *titles: str, **options: str) -> list[Score | Failure]:
    predictor = TitlesPredictor(TitlesOptions(model=str(model), **options))
    items = [ScoreRequest(str(number), title, Path()) for number, title in enumerate(titles)]
    try:
        return list(predictor.score(items))
    finally:
        predictor.close()


# -- what it learns, and what its card says


def test_it_learns_the_words_that_count(model: Path) -> None:
    found = scores(model, "a volcano in the forest", "a receipt in the forest")
    assert all(isinstance(one, Score) for one in found)
    high, low = (one.value for one in found if isinstance(one, Score))
    assert high > 8 * low
    metrics = card(model)["metrics"]
    assert metrics["model"]["src"]["value"] > 0.8
    assert metrics["model"]["mae"]["value"] < 0.5 * metrics["mean"]["mae"]["value"]


def test_the_card_has_what_that_of_mmra_has(popbench: Run, model: Path) -> None:
    found = card(model)
    assert (found["schema"], found["kind"], found["target"]) == (1, "titles", "views")
    assert found["trained_on"] == ["made/train", "made/valid"]
    assert found["corpus"]["videos"] == {"train": 210, "valid": 30, "test": 60}
    assert found["embedder"]["label"] == "hashing[dim=128]"
    assert found["training"]["penalty"] in PENALTIES
    assert found["versions"]["popbench"] == pb.__version__
    pairs = found["metrics"]["pairs"]
    assert pairs["low"] < pairs["value"] < pairs["high"]
    assert sum(row["pairs"] for row in pairs["by_difference"]) == pairs["pairs"]
    assert {row["category"] for row in pairs["by_category"]} == {"harbour", "desert", "museum", "village", "station"}
    text = (model / "README.md").read_text(encoding="utf-8")
    for part in ("210 train, 30 valid, 60 test", "trained on made/train", "in the right order", "harbour", "SRC"):
        assert part in text


def test_eval_repeats_the_metrics_of_the_card(popbench: Run, model: Path) -> None:
    done = popbench("predictor", "eval", model, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert {key: found[key] for key in card(model)["metrics"]} == card(model)["metrics"]
    assert found["remarks"] == []
    shown = popbench("predictor", "eval", model, "--part", "all")
    assert "300 videos of part all, log2 views" in shown.out
    assert "was trained on made/train and made/valid: these metrics are too favourable" in shown.out
    assert "predicted to differ by a factor" in shown.out


def test_the_same_training_gives_the_same_file_and_is_not_repeated(popbench: Run, model: Path, tmp_path: Path) -> None:
    before = (model / folders.WEIGHTS).read_bytes()
    again = train(popbench, tmp_path / "t.csv", "again")
    assert again.status == 0
    assert (tmp_path / "again" / folders.WEIGHTS).read_bytes() == before
    assert "holds this training already" in train(popbench, tmp_path / "t.csv").err
    other = made_titles.write(tmp_path / "o.csv", made_titles.draw(300, seed=1))
    assert "titles holds a model of other data or settings" in train(popbench, other).line


def test_a_table_without_parts_is_split_and_no_title_is_on_both_sides(popbench: Run, tmp_path: Path) -> None:
    rows = made_titles.draw(200)
    twice = [*rows, *((f"x{id_}", f" {title.upper()}", *rest) for id_, title, *rest in rows[:50])]
    table = made_titles.write(tmp_path / "t.csv", twice)  # type: ignore[arg-type]
    done = train(popbench, table, "m", parts=False)
    assert done.status == 0, done.err
    assert "no parts: 0.2 of the titles, drawn at random, are held out as part test" in done.err
    found = card(tmp_path / "m")
    assert found["trained_on"] == ["made/test"]
    assert found["training"]["hold_out"] == 0.2
    corpus = pb.make("corpus", made_titles.spec(table, parts=False))
    dataset, split = gather_titles(corpus, "views", 0.2)
    assert split
    held, seen = ({title.strip().lower() for title in dataset.parts[name].titles} for name in ("test", "train"))
    assert not held & seen
    assert len(held) == 40
    repeated = popbench("predictor", "eval", "m", "--json")
    assert json.loads(repeated.out)["model"] == found["metrics"]["model"]


def test_titles_on_both_sides_are_told(popbench: Run, tmp_path: Path) -> None:
    rows = made_titles.draw(100)
    table = made_titles.write(tmp_path / "t.csv", [*rows, ("again", rows[0][1], 5, "desert", "test")])
    assert train(popbench, table).status == 0
    assert "part test: 1 video with a title that was learnt from" in card(tmp_path / "titles")["corpus"]["remarks"]


def test_folds_hold_equal_titles_together_and_do_not_depend_on_order() -> None:
    titles = [f"title {number % 40}" for number in range(100)]
    found = folds(titles)
    assert set(found) == set(range(FOLDS))
    assert len({(title, fold) for title, fold in zip(titles, found, strict=True)}) == 40
    assert folds(titles[::-1])[::-1].tolist() == found.tolist()


def test_noise_gets_the_largest_penalty_and_a_law_a_small_one() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(400, 20))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    split = np.arange(400) % FOLDS
    noise = fit(rows, rng.normal(size=400), split)
    assert noise.penalty >= 0.1
    law = fit(rows, rows @ rng.normal(size=20) + 3, split)
    assert law.penalty == PENALTIES[0]
    assert np.abs(law.model.predict(rows) - law.held_out).max() < 0.01


def test_predictions_of_each_row_are_those_of_least_squares_with_a_penalty() -> None:
    rng = np.random.default_rng(4)
    rows, target = rng.normal(size=(60, 5)), rng.normal(size=60)
    found = fit(rows, target, np.arange(60) % FOLDS)
    x = rows - rows.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + found.penalty * 60 * np.eye(5), x.T @ (target - target.mean()))
    assert found.model.weights == pytest.approx(weights)
    assert found.model.predict(rows) == pytest.approx(target.mean() + x @ weights)


# -- as a predictor


def test_a_folder_without_pairs_has_no_card_and_scores_as_before(model: Path) -> None:
    before = TitlesPredictor(TitlesOptions(model=str(model)))
    assert before.card() is not None
    edited = card(model)
    del edited["metrics"]["pairs"]  # as of a model that was trained before cards had them
    (model / folders.CARD).write_text(json.dumps(edited), encoding="utf-8")
    after = TitlesPredictor(TitlesOptions(model=str(model)))
    assert after.card() is None
    assert after.fingerprint() == before.fingerprint()


def test_it_keeps_the_rules_of_predictors(popbench: Run, model: Path, tmp_path: Path) -> None:
    other = made_titles.write(tmp_path / "o.csv", made_titles.draw(120, seed=1))
    assert train(popbench, other, "other").status == 0
    predictor = TitlesPredictor(TitlesOptions(model=str(model)))
    testing.check_predictor(predictor, other_options={"model": str(tmp_path / "other")})


def test_a_moved_model_scores_under_the_same_keys(model: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(model, tmp_path / "moved")
    prints = [TitlesPredictor(TitlesOptions(model=str(at))).fingerprint() for at in (model, moved)]
    assert prints[0] == prints[1]
    assert TitlesPredictor(TitlesOptions(model=str(moved))).label() == "titles[model=moved]"
    assert TitlesPredictor.uses == {"title"}


def test_a_run_scores_with_it_and_one_on_its_own_part_is_refused(popbench: Run, model: Path, tmp_path: Path) -> None:
    corpus = made_titles.spec(tmp_path / "t.csv")
    given = ("--limit", 2, "--mode", "pe", "--embedder", "hashing", "--predictor", f"titles,model={model}")
    done = popbench("eval", *given, "--corpus", corpus, "--out", "run")
    assert done.status == 0, done.err
    lines = (tmp_path / "run" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line)["popularity"] > 0 for line in lines)
    assert "it sees titles alone; SRC 0." in (tmp_path / "run" / "leaderboard.md").read_text(encoding="utf-8")
    about = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert about["cards"] == {"titles": TitlesPredictor(TitlesOptions(model=str(model))).card()}
    assert about["cards"]["titles"]["digest"] == card(model)["corpus"]["parts"]["test"]
    board = (tmp_path / "run" / "leaderboard.md").read_text(encoding="utf-8")
    assert "By the card of titles, a win on a prompt here is a win in views with probability" in board
    refused = popbench("eval", *given, "--corpus", f"{corpus},part=train", "--out", "other")
    assert refused.status == 2
    assert "was trained on made/train" in refused.err


def test_what_learnt_from_invented_counts_marks_runs_as_demonstrations(popbench: Run, model: Path) -> None:
    given = ("--corpus", "demo", "--embedder", EMBEDDER, "--out", "demo")
    assert popbench("predictor", "train", "titles", *given).status == 0
    assert TitlesPredictor(TitlesOptions(model="demo")).demo is True
    assert TitlesPredictor(TitlesOptions(model=str(model))).demo is False


# -- what goes wrong


def changed(**columns: object) -> list[made_titles.Row]:
    """Return rows with columns of a fixed value."""
    names = ("id", "title", "views", "category", "part")
    return [
        tuple(columns.get(name, value) for name, value in zip(names, row, strict=True))  # type: ignore[misc]
        for row in made_titles.draw(100)
    ]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (made_titles.draw(3), "2 titles to learn from, at least 20 are needed"),
        (changed(title=""), "without title, description and caption skipped"),
        (changed(views=7), "all 80 counts are 7"),
        (
            changed(views=0),
            "at least 20 are needed (left out: 100 videos with less than 1 view)",
        ),
        (changed(views=-4), "-4"),
        (changed(title="one and the same"), "1 title to learn from, at least 20"),
        (changed(part="train"), "0 videos of part test, at least 5 are needed"),
        ([], "no rows"),
    ],
)
def test_data_that_nothing_can_be_learnt_from_are_one_line(
    popbench: Run, tmp_path: Path, rows: list[made_titles.Row], says: str
) -> None:
    done = train(popbench, made_titles.write(tmp_path / "t.csv", rows))
    assert done.status == 2, (done.out, done.err)
    assert says in done.err
    assert len([line for line in done.err.splitlines() if line.startswith("popbench: ")]) == 1
    assert not (tmp_path / "titles" / folders.CARD).exists()


def test_what_is_asked_wrongly_is_one_line(popbench: Run, model: Path, tmp_path: Path) -> None:
    for arguments, says in (
        (("train", "tittles"), "unknown kind of predictor 'tittles': did you mean 'titles'?"),
        (("eval", "none"), "none: there is no such folder"),
        (("eval", model, "--videos", "."), "--videos: this model sees titles alone: leave it out"),
        (("eval", model, "--device", "cpu"), "--device: this model sees titles alone: leave it out"),
        (("eval", model, "--embedder", "hashing,dim=64"), "not the one that the model was trained with"),
        (("eval", model, "--corpus", "nothing"), "unknown corpus 'nothing'"),
    ):
        done = popbench("predictor", *arguments)
        assert done.status == 2, (arguments, done.out)
        assert says in done.line
    assert "unknown embedder" in train(popbench, tmp_path / "t.csv", "x", "--embedder", "tall").line
    assert "at most 4,096" in train(popbench, tmp_path / "t.csv", "x", "--embedder", "hashing,dim=8192").err
    (tmp_path / "t.csv").unlink()
    assert "there is no such file" in popbench("predictor", "eval", model).line


def test_a_folder_of_another_kind_is_not_overwritten(popbench: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "mmra").mkdir()
    (tmp_path / "mmra" / folders.CARD).write_text('{"kind": "mmra"}', encoding="utf-8")
    done = train(popbench, tmp_path / "t.csv", "mmra")
    assert "mmra holds a predictor of another kind (mmra): choose another --out" in done.line
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine", encoding="utf-8")
    done = train(popbench, tmp_path / "t.csv", "mine")
    assert "mine holds other files (README.md), and no predictor: choose another --out" in done.line
    assert (tmp_path / "mine" / "README.md").read_text(encoding="utf-8") == "mine"
    assert "looks like a URL" in train(popbench, tmp_path / "t.csv", "s3://bucket/model").line
    assert not (tmp_path / "s3:").exists()


def test_a_broken_model_is_one_line(model: Path, tmp_path: Path) -> None:
    def told(change: Any, **options: str) -> str:
        broken = Path(shutil.copytree(model, tmp_path / "broken", dirs_exist_ok=True))
        change(broken)
        (line,) = TitlesPredictor(TitlesOptions(model=str(broken), **options)).check()
        shutil.rmtree(broken, ignore_errors=True)
        return line

    def with_card(**values: Any) -> Any:
        return lambda at: (at / folders.CARD).write_text(json.dumps({**card(at), **values}), encoding="utf-8")

    assert "there is no such folder" in told(shutil.rmtree)
    assert "lacks model.safetensors" in told(lambda at: (at / folders.WEIGHTS).unlink())
    assert "by its card" in told(lambda at: (at / folders.WEIGHTS).write_bytes(b"cut"))
    assert "holds no card.json" in told(lambda at: (at / folders.CARD).unlink())
    assert "a predictor of another kind (mmra)" in told(with_card(kind="mmra"))
    assert "(trained_on: " in told(with_card(trained_on=5))
    assert "not the one that the model was trained with" in told(lambda at: None, embedder="hashing,dim=64")
    assert "unknown embedder 'gone'" in told(with_card(embedder={"spec": "gone", "digest": "0"}))
    assert "(training.hold_out: " in told(with_card(training={"key": "", "hold_out": 2.0}))
    assert "(corpus.parts: " in told(with_card(corpus={"spec": "x", "name": "x", "parts": 1}))
    assert len(TitlesPredictor().check()) == 2


def test_a_card_alone_chooses_no_embedder_of_another_distribution(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(pb.Embedder):
        version = "1"

        def encode(self, texts: Sequence[str]) -> Any:
            raise AssertionError("titles are sent to nobody")

    registry = load_registry()
    monkeypatch.setattr(registry, "registrations", dict(registry.registrations))
    registry.adopt("embedder", Foreign)
    changed_card = {**card(model), "embedder": {"spec": "Foreign", "digest": "0"}}
    (model / folders.CARD).write_text(json.dumps(changed_card), encoding="utf-8")
    (line,) = TitlesPredictor(TitlesOptions(model=str(model))).check()
    assert "names the embedder Foreign of " in line
    assert "give it with embedder=" in line


def test_weights_that_are_not_the_card_s_are_refused(model: Path) -> None:
    weights = model / folders.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-8] + bytes(8))
    with pytest.raises(pb.ComponentError, match="not the file that its card describes"):
        scores(model, "a volcano")


def test_an_empty_title_is_scored_and_said(model: Path) -> None:
    (found,) = scores(model, " ")
    assert isinstance(found, Score)
    assert found.notes == ("scored without a title",)
