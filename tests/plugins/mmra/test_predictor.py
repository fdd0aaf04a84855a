"""`--predictor mmra`: scores do not depend on the number of clips, and errors are one line."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import made_corpus
import tiny_encoders
import tiny_mmra
from command_line import Run, in_process
from popbench import testing
from popbench.errors import ComponentError
from popbench.publishing.build import build_board
from popbench.records import Failure, Score, ScoreRequest
from popbench.video import write_mp4
from popbench_mmra import folder as folders
from popbench_mmra.predictor import MMRAOptions, MMRAPredictor
from usage_errors import refusal

pytestmark = pytest.mark.slow


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[ScoreRequest]:
    folder = tmp_path_factory.mktemp("clips")
    found = []
    for at, made in enumerate(made_corpus.draw(9, seed=7)):
        write_mp4(made_corpus.paint(made.light, 1000 + at), 8, folder / f"{at}.mp4")
        found.append(ScoreRequest(str(at), made.title, folder / f"{at}.mp4"))
    return found


def spec(folder: Path, **options: object) -> str:
    return f'mmra,path="{folder}"' + "".join(f',{key}="{value}"' for key, value in options.items())


def scored(folder: Path, requests: list[ScoreRequest], **options: Any) -> dict[str, Score]:
    predictor = MMRAPredictor(MMRAOptions(path=str(folder), device="cpu", **options))
    try:
        answers = list(predictor.score(requests))
    finally:
        predictor.close()
    assert [answer.id for answer in answers] == [item.id for item in requests]
    assert all(isinstance(answer, Score) for answer in answers), answers
    return {answer.id: answer for answer in answers if isinstance(answer, Score)}


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any clip."""
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "fresh"))


# -- scores


def test_it_keeps_the_rules_of_predictors(fresh: None) -> None:
    predictor = MMRAPredictor(MMRAOptions(path=str(tiny_mmra.model()), device="cpu"))
    testing.check_predictor(predictor, other_options={"path": str(tiny_mmra.model(good=True))})


def test_popularity_is_two_to_the_predicted_log2_and_both_are_given(clips: list[ScoreRequest]) -> None:
    for score in scored(tiny_mmra.model(), clips).values():
        assert score.popularity == 2.0 ** score.extra["log2"]
        assert set(score.extra["novelty"]) == {"video", "title"}
        assert score.seconds is not None
        assert score.seconds >= 0


def test_one_clip_or_many_score_the_same(
    clips: list[ScoreRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, float]] = []
    many, one = [clips], [[clip] for clip in clips]
    for number, (groups, batch) in enumerate(((many, 4), (one, 4), ([clips[::-1]], 4), (many, 1), (many, 7))):
        monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / str(number)))
        scores: dict[str, float] = {}
        for group in groups:
            scores |= {id_: of.popularity for id_, of in scored(tiny_mmra.model(), group, batch_size=batch).items()}
        found.append(scores)
    assert found[0] == found[1] == found[2]  # to the bit
    for other in found[3:]:
        assert all(math.isclose(other[id_], value, rel_tol=1e-4) for id_, value in found[0].items())


def test_it_follows_what_the_corpus_taught_it(clips: list[ScoreRequest], tmp_path: Path) -> None:
    def log2(word: str, light: float) -> float:
        path = tmp_path / f"{light}.mp4"
        write_mp4(made_corpus.paint(light, 5), 8, path)
        request = ScoreRequest("x", f"the {word} of today, take 3", path)
        return float(scored(tiny_mmra.model(good=True), [request])["x"].extra["log2"])

    assert log2("tiger", 0.8) > log2("tiger", -0.8) + 1
    assert log2("tiger", 0.8) > log2("bus", 0.8) + 1
    assert log2("bus", -0.8) < log2("laundry", 0.0) < log2("castle", 0.8)


def test_a_strange_video_is_told_to_be_one(clips: list[ScoreRequest], tmp_path: Path) -> None:
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), np.uint8)
    write_mp4(noise, 8, tmp_path / "noise.mp4")
    table = tiny_mmra.corpus()[1]
    known = ScoreRequest("known", made_corpus.draw(tiny_mmra.VIDEOS)[0].title, table / "v0000.mp4")
    strange = ScoreRequest("strange", "Qqq?! " * 30, tmp_path / "noise.mp4")
    found = scored(tiny_mmra.model(good=True), [known, strange])
    assert found["known"].extra["novelty"] == {"video": 0.0, "title": 0.0}
    assert found["strange"].extra["novelty"]["title"] == 1.0
    assert found["strange"].extra["novelty"]["video"] > 0.95


def test_a_bad_clip_fails_alone_and_an_empty_title_is_noted(clips: list[ScoreRequest], tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(clips[0].path.read_bytes()[:200])
    (tmp_path / "text.mp4").write_text("no video", encoding="utf-8")
    bad = [ScoreRequest(name, "A title", tmp_path / f"{name}.mp4") for name in ("broken", "text", "missing")]
    predictor = MMRAPredictor(MMRAOptions(path=str(tiny_mmra.model()), device="cpu"))
    answers = list(predictor.score([bad[0], clips[0], *bad[1:], ScoreRequest("untitled", " ", clips[1].path)]))
    predictor.close()
    assert [type(answer) for answer in answers] == [Failure, Score, Failure, Failure, Score]
    for answer in answers:
        if isinstance(answer, Failure):
            assert not answer.invalid
            assert answer.id in answer.error
            assert "\n" not in answer.error
    assert answers[-1].notes == ("scored without a title",)
    assert answers[1].notes == ()


def test_a_prediction_beyond_all_numbers_fails(clips: list[ScoreRequest], tmp_path: Path) -> None:
    import torch

    trained = folders.load(tiny_mmra.model())
    trained.model.load_state_dict({**trained.model.state_dict(), "prediction_module.4.bias": torch.tensor([5000.0])})
    folder = tmp_path / "m"
    folders.save(folder, trained.model, trained.bank, {k: v for k, v in trained.card.items() if k != "files"})
    predictor = MMRAPredictor(MMRAOptions(path=str(folder), device="cpu"))
    (answer,) = predictor.score(clips[:1])
    predictor.close()
    assert isinstance(answer, Failure)
    assert answer.error.startswith("the model predicts 2 ** 50")


# -- in runs


def test_two_predictors_score_the_same_clips_without_rendering_again(popbench: Run, tmp_path: Path) -> None:
    given = ("eval", "--llm", "shotlist", "--corpus", "demo", "--task", "popcorn_concrete", "--limit", 5, "--out", "r")
    first = popbench(*given, "--predictor", "demo")
    assert first.status == 0, first.err
    clips = {path: path.stat().st_mtime_ns for path in (tmp_path / "r" / "videos").iterdir()}
    model = tiny_mmra.model(tmp_path / "mmra")
    second = popbench(*given, "--predictor", "demo", "--predictor", spec(model))
    assert second.status == 0, second.err
    assert "render kinetic: 10 items, 10 already done" in second.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "r" / "videos").iterdir()} == clips
    results = json.loads((tmp_path / "r" / "results.json").read_text(encoding="utf-8"))
    assert [predictor["name"] for predictor in results["predictors"]] == ["demo", "mmra"]
    (agreement,) = results["agreement"]
    assert (agreement["a"], agreement["b"], agreement["systems"], agreement["n"]) == ("demo", "mmra", 2, 5)
    assert agreement["tau"]["value"] is not None
    assert "Kendall's tau" in (tmp_path / "r" / "leaderboard.md").read_text(encoding="utf-8")
    with sqlite3.connect(tmp_path / "r" / "ledger.sqlite") as ledger:
        payloads = [json.loads(row[0]) for row in ledger.execute("SELECT payload FROM calls WHERE stage = 'score'")]
    ledger.close()
    kept = [of for of in payloads if "novelty" in of["extra"]]
    assert kept
    assert all(of["popularity"] == 2.0 ** of["extra"]["log2"] for of in kept)
    build_board([tmp_path / "r"], tmp_path / "board", title="Board", common=False)


def test_popbench_toml_makes_it_the_default(popbench: Run, tmp_path: Path) -> None:
    tiny_mmra.model(tmp_path / "mmra")
    (tmp_path / "popbench.toml").write_text('predictor = "mmra,path=mmra"\n', encoding="utf-8")
    done = popbench("eval", "--limit", 1, "--dry-run")
    assert done.status == 0, done.err
    assert "mmra" in done.out


def test_without_a_model_the_ways_to_get_one_are_told(popbench: Run) -> None:
    done = popbench("eval", "--predictor", "mmra", "--limit", 1)
    assert done.status == 2
    assert "popbench predictor train --corpus microlens" in done.err
    assert "popbench predictor import CHECKPOINT.pth" in done.err
    assert "popbench.toml" in done.err
    assert all(line.startswith("popbench: predictor mmra: ") for line in done.err.splitlines())


def test_a_corpus_that_it_was_trained_on_is_refused(popbench: Run, tmp_path: Path) -> None:
    table, clips = tiny_mmra.corpus(40)
    tiny_mmra.model(tmp_path / "mmra")
    corpus = f'{made_corpus.spec(table)},videos="{clips}"'
    given = ("eval", "--predictor", "mmra,path=mmra", "--llm", "verbatim", "--mode", "pe", "--limit", 1)
    done = popbench(*given, "--embedder", "hashing", "--corpus", f"{corpus},part=train")
    assert done.status == 2
    assert "predictor mmra was trained on made/train, where references and human videos are from" in done.line


def test_its_label_names_its_folder() -> None:
    def label(**options: Any) -> str | None:
        return MMRAPredictor(MMRAOptions(**options)).label()

    assert label(path="somewhere/mmra/") == "mmra"
    assert label(path="views") == "mmra[path=views]"
    assert label(path="mmra", precision="bfloat16") == "mmra[precision=bfloat16]"


def test_the_fingerprint_is_of_contents_and_not_of_places(tmp_path: Path) -> None:
    one = MMRAPredictor(MMRAOptions(path=str(tiny_mmra.model()))).fingerprint()
    copied = tiny_mmra.model(tmp_path / "copy")
    encoder = shutil.copytree(tiny_encoders.encoders()["visual"], tmp_path / "vit")
    moved = MMRAPredictor(MMRAOptions(path=str(copied), visual=str(encoder), device="cpu", workers=3))
    assert moved.fingerprint() == one
    assert moved.check() == []
    other = MMRAPredictor(MMRAOptions(path=str(tiny_mmra.model(good=True))))
    assert other.fingerprint() != one
    assert other.unit == "comments"
    assert other.trained_on() == ["made/train", "made/valid"]


# -- what is wrong


def edit(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps({**card, **changes}), encoding="utf-8")


def broken(tmp_path: Path, change: Any) -> MMRAPredictor:
    folder = tiny_mmra.model(tmp_path / "m")
    change(folder)
    return MMRAPredictor(MMRAOptions(path=str(folder), device="cpu"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (shutil.rmtree, "there is no such folder: give the one that `popbench predictor train` or `import` wrote"),
        (lambda folder: (folder / "card.json").unlink(), "holds no card.json, so it is no trained MMRA"),
        (
            lambda folder: (folder / "card.json").write_text("{}"),
            "not a card of a trained MMRA (schema: Field required)",
        ),
        (
            lambda folder: edit(folder, target="x[/foo]"),
            "not a card of a trained MMRA (target: Input should be 'comments'",
        ),
        (lambda folder: edit(folder, encoders={}), "not a card of a trained MMRA (encoders.visual: Field required)"),
        (lambda folder: edit(folder, files={"model.safetensors": 3}), "(files.model.safetensors: Input should be"),
        (lambda folder: edit(folder, trained_on="all"), "(trained_on: Input should be a valid list)"),
        (lambda folder: edit(folder, model={"frames": -1}), "(model.feature_dim: Field required)"),
        (lambda folder: (folder / "bank.safetensors").unlink(), "the folder lacks bank.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "5 bytes, and "),
    ],
)
def test_a_folder_that_is_no_model_is_told_before_work(change: Any, says: str, tmp_path: Path) -> None:
    (line,) = broken(tmp_path, change).check()
    assert says in line
    assert "\n" not in line


def test_a_swapped_file_is_noticed(clips: list[ScoreRequest], tmp_path: Path) -> None:
    def flip(folder: Path) -> None:
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "model.safetensors").write_bytes(data)

    predictor = broken(tmp_path, flip)
    with pytest.raises(ComponentError, match="not the file that its card describes") as caught:
        list(predictor.score(clips[:1]))
    assert "\n" not in str(caught.value)


def test_an_encoder_that_changes_after_it_was_checked_is_refused(
    clips: list[ScoreRequest], tmp_path: Path, fresh: None
) -> None:
    folder = Path(shutil.copytree(tiny_encoders.encoders()["textual"], tmp_path / "angle"))
    predictor = MMRAPredictor(MMRAOptions(path=str(tiny_mmra.model()), textual=str(folder), device="cpu"))
    assert predictor.check() == []
    tiny_encoders.bert(folder, seed=99)
    with pytest.raises(ComponentError, match=r"textual: .* changed meanwhile: run the same command again"):
        list(predictor.score(clips[:1]))
    predictor.close()


def test_boards_say_how_good_the_predictor_is_known_to_be(tmp_path: Path) -> None:
    good = MMRAPredictor(MMRAOptions(path=str(tiny_mmra.model(good=True))))
    assert good.note.startswith("SRC 0.9")
    assert "on 60 videos of part test" in good.note
    card = good.card()
    assert card is not None
    assert (card["videos"], card["scale"]) == (60, "positive")
    assert card["by_difference"][-1]["value"] > 0.9
    folder = tiny_mmra.model(tmp_path / "m")
    edit(folder, metrics=None)
    assert "not measured" in MMRAPredictor(MMRAOptions(path=str(folder))).note
    assert MMRAPredictor(MMRAOptions(path=str(folder))).card() is None
    metrics = json.loads((tiny_mmra.model() / "card.json").read_text(encoding="utf-8"))["metrics"]
    edit(folder, metrics={**metrics, "model": {**metrics["model"], "mae": {**metrics["mean"]["mae"], "value": 99.0}}})
    assert "it predicts no better than the mean of its bank" in MMRAPredictor(MMRAOptions(path=str(folder))).note
    edit(folder, metrics={"model": 5})
    assert "does not say how well" in MMRAPredictor(MMRAOptions(path=str(folder))).note


def test_another_encoder_than_the_models_is_refused(tmp_path: Path) -> None:
    other = tiny_encoders.vit(tmp_path / "vit", seed=77)
    (line,) = MMRAPredictor(MMRAOptions(path=str(tiny_mmra.model()), visual=str(other))).check()
    assert "holds other weights than the encoder that sees the frames had when the model was made" in line
    gone = MMRAPredictor(MMRAOptions(path=str(tiny_mmra.model()), retriever="./gone")).check()
    assert gone == [line for line in gone if "model ./gone: there is no such folder" in line]


def test_an_encoder_of_another_width_is_one_line(clips: list[ScoreRequest], tmp_path: Path) -> None:
    folder = tiny_mmra.model(tmp_path / "m")
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["encoders"]["visual"]["digest"] = None  # nothing is known of the model's own
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    wide = tiny_encoders.vit(tmp_path / "vit", width=40)
    predictor = MMRAPredictor(MMRAOptions(path=str(folder), visual=str(wide), device="cpu"))
    (line,) = predictor.check()
    assert f"visual: {wide} gives 40 numbers and the model takes 32: give the model's own encoder" in line
    card["encoders"]["retriever"]["digest"] = None
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    other = tiny_encoders.bert(tmp_path / "uae", width=40)
    predictor = MMRAPredictor(MMRAOptions(path=str(folder), retriever=str(other), device="cpu"))
    with pytest.raises(ComponentError, match="retriever: the encoder here gives 40 numbers, and the bank holds 48"):
        list(predictor.score(clips[:1]))
    predictor.close()


def test_a_bank_that_does_not_go_with_the_model_is_one_line(tmp_path: Path) -> None:
    import popbench_mmra

    trained = folders.load(tiny_mmra.model())
    card = {key: value for key, value in trained.card.items() if key != "files"}
    folders.save(tmp_path / "m", popbench_mmra.MMRA(16), trained.bank, card)
    told = refusal(lambda: folders.load(tmp_path / "m"))
    assert "the bank's features have 32 numbers and the model's 16: give the model's own bank" in told
    few = {**card, "model": {**card["model"], "retrieved": 99}}
    folders.save(tmp_path / "few", trained.model, trained.bank, few)
    assert "holds 34 videos, and 99 are to be retrieved" in refusal(lambda: folders.load(tmp_path / "few"))


def test_unknown_options_are_told(popbench: Run) -> None:
    done = popbench("eval", "--predictor", "mmra,paht=x")
    assert done.status == 2
    assert "did you mean 'path'?" in done.line
