"""`popbench predictor train` and `eval`: files, output, and errors of one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import made_corpus
import tiny_encoders
import tiny_mmra
from command_line import Run, in_process
from popbench.errors import RunError
from popbench_mmra import folder as folders
from popbench_mmra.features import Extractor
from popbench_mmra.settings import Machine
from tiny_mmra import card, weights
from usage_errors import refusal


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


# -- what is written


@pytest.mark.slow
def test_the_card_tells_what_the_model_is(tmp_path: Path) -> None:
    found = tiny_mmra.trained_into(tmp_path / "m")
    assert found == card(tmp_path / "m")
    assert found["target"] == "comments"
    assert found["trained_on"] == ["made/train", "made/valid"]
    assert found["corpus"]["videos"] == {"train": 28, "valid": 6, "test": 6}
    assert len(found["corpus"]["split"]) == 32
    assert found["model"] == {"feature_dim": 32, "frames": 10, "alpha": 0.6, "retrieved": 3}
    assert found["bank"] == {"videos": 34}
    assert found["features"] == {"device": "cpu", "captions": "float32", "batch_size": 4, "version": 1}
    assert found["training"]["seed"] == 2024
    assert found["encoders"]["visual"]["model"] == tiny_encoders.encoders()["visual"]
    assert all(len(of["digest"]) == 32 for of in found["encoders"].values())
    assert found["versions"]["torch"]
    text = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    for part in ("28 train, 6 valid, 6 test", found["corpus"]["split"], "MAE, log2", "trained on made/train", "SRC"):
        assert part in text


def test_eval_repeats_the_metrics(popbench: Run, tmp_path: Path) -> None:
    model = tiny_mmra.model(tmp_path / "mmra")
    done = popbench("predictor", "eval", model, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert {key: found[key] for key in ("part", "model", "mean", "pairs")} == card(model)["metrics"]
    shown = popbench("predictor", "eval", model, "--part", "train")
    assert "28 videos of part train" in shown.out
    assert "was trained on made/train: these metrics are too favourable" in shown.out


def test_eval_finds_videos_elsewhere_and_notices_other_data(popbench: Run, tmp_path: Path) -> None:
    model = tiny_mmra.model(tmp_path / "mmra")
    _, clips = tiny_mmra.corpus(40)
    moved = shutil.copytree(clips, tmp_path / "moved")
    done = popbench("predictor", "eval", model, "--videos", moved, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["model"] == card(model)["metrics"]["model"]
    assert json.loads(done.out)["remarks"] == []
    (Path(moved) / "v0039.mp4").unlink()
    done = popbench("predictor", "eval", model, "--videos", moved)
    assert "5 videos of part test" in done.out
    assert "These are not the videos, or not the numbers, of part test that the card is of." in done.out
    assert "left out: 1 video without a video file" in done.out


def test_a_training_that_diverges_is_no_model(popbench: Run, tmp_path: Path) -> None:
    table, clips = tiny_mmra.corpus(40)
    given = ("--corpus", made_corpus.spec(table), "--videos", clips, "--out", "m", *tiny_mmra.flags())
    done = popbench("predictor", "train", *given, "--epochs", 2, "--retrieved", 3, "--learning-rate", "1e30")
    assert done.status == 1
    assert "popbench: the training diverged" in done.err
    assert not (tmp_path / "m" / folders.CARD).exists()


def test_microlens_counts_what_the_target_says(tmp_path: Path) -> None:
    from popbench_mmra.corpora import _counting

    assert _counting("microlens,path=x", "comments") == "microlens,path=x"
    assert _counting("microlens,path=x", "views") == 'microlens,path="x",popularity="views"'
    told = refusal(lambda: _counting("microlens,path=x,popularity=likes", "views"))
    assert "counts likes: give the same --target" in told
    assert _counting("table,path=x,title=t,popularity=n", "likes") == "table,path=x,title=t,popularity=n"


def test_the_command_trains_as_its_help_says(popbench: Run, tmp_path: Path) -> None:
    table, clips = tiny_mmra.corpus(40)
    given = ("--corpus", made_corpus.spec(table), "--videos", clips, "--out", "mmra", *tiny_mmra.flags())
    done = popbench("predictor", "train", *given, "--epochs", 2, "--retrieved", 3, "--target", "likes")
    assert done.status == 0, done.err
    assert "6 videos of part test, log2 likes" in done.out
    assert "popbench eval --predictor mmra,path=mmra" in done.out
    assert "features: 40/40" in done.err
    assert card(tmp_path / "mmra")["target"] == "likes"


# -- what goes wrong


def test_videos_that_cannot_be_used_are_left_out_and_told_of(
    tmp_path: Path, popbench: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, clips = tiny_mmra.corpus(40)
    shutil.copytree(clips, tmp_path / "clips")
    (tmp_path / "clips" / "v0001.mp4").write_bytes(b"no video")
    (tmp_path / "clips" / "v0002.mp4").write_bytes((clips / "v0002.mp4").read_bytes()[:300])
    (tmp_path / "clips" / "v0003.mp4").unlink()
    lines = table.read_text(encoding="utf-8").splitlines()
    lines[5] = "v0004,the bus of today,0,train"
    (tmp_path / "t.csv").write_text("\n".join([*lines, "v0099,,5,train"]) + "\n", encoding="utf-8")
    spec = 'table,path="t.csv",title=title,popularity=comments,parts=part,id=id'
    given = ("--out", "m", "--epochs", 1, "--retrieved", 3, *tiny_mmra.flags())
    done = popbench("predictor", "train", "--corpus", spec, "--videos", "clips", *given)
    assert done.status == 0, done.err
    assert "video v0001 is left out: " in done.err
    remarks = card(tmp_path / "m")["corpus"]["remarks"]
    for told in (
        "left out: 1 video with less than 1 comment",
        "left out: 1 video without a video file",
        "left out: 2 videos whose video cannot be read",
    ):
        assert told in remarks
    assert card(tmp_path / "m")["corpus"]["videos"]["train"] == 24


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--corpus", "demo"], "corpus demo: 0 videos of part train can be used"),
        (["--corpus", "demo", "--videos", "."], "corpus demo has no option videos="),
        (["--corpus", "demo", "--target", "views"], "corpus demo counts comments alone"),
        (["--corpus", "nothing"], "unknown corpus 'nothing'"),
        (["--corpus", "table,path=x.csv,title=t,popularity=n"], "path=x.csv: there is no such file"),
        (["--corpus", "demo", "--device", "tpu"], "device 'tpu': expected auto, cpu"),
        (["--corpus", "demo", "--alpha", "nan"], "'--alpha': nan is not a finite number"),
        (["--corpus", "demo", "--learning-rate", "inf"], "'--learning-rate': inf is not a finite number"),
        (["--corpus", "demo", "--seed", str(2**64)], "'--seed'"),
        (
            ["--corpus", "demo", "--retriever", "./none"],
            "the encoder that finds similar videos: model ./none: there is",
        ),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], says: str, popbench: Run) -> None:
    done = popbench("predictor", "train", "--out", "m", *tiny_mmra.flags(), *arguments)
    assert done.status == 2
    assert says in next(line for line in done.err.splitlines() if line.startswith("popbench: "))


def test_a_missing_encoder_names_id_option_and_download(popbench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = popbench("predictor", "train", "--corpus", "demo", "--out", "m")
    assert done.status == 2
    lines = done.err.splitlines()
    assert len(lines) == 4
    for line, option, id_ in zip(
        lines,
        ("visual", "textual", "captioner", "retriever"),
        ("google/vit-base-patch16-224-in21k", "SeanLee97/angle-bert-base-uncased-nli-en-v1",
         "Salesforce/blip-image-captioning-base", "WhereIsAI/UAE-Large-V1"),
        strict=True,
    ):  # fmt: skip
        assert f"model {id_}" in line
        assert f"run `hf download {id_}" in line
        assert f"the option `{option}` names one" in line


def test_too_few_videos_to_look_up_is_one_line(popbench: Run) -> None:
    table, clips = tiny_mmra.corpus(40)
    given = ("--corpus", made_corpus.spec(table), "--videos", clips, "--out", "m", *tiny_mmra.flags())
    done = popbench("predictor", "train", *given, "--retrieved", 34)
    assert done.status == 2
    assert "the bank holds 34 videos, too few to retrieve 34 for each" in done.err


def test_two_at_once_are_kept_apart(popbench: Run, tmp_path: Path) -> None:
    import filelock

    table, clips = tiny_mmra.corpus(40)
    (tmp_path / "m").mkdir()
    with filelock.FileLock(tmp_path / "m" / ".lock"):
        given = ("--corpus", made_corpus.spec(table), "--videos", clips, "--out", "m", *tiny_mmra.flags())
        done = popbench("predictor", "train", *given)
    assert done.status == 2
    assert done.line == "popbench: m is in use by another process: wait for it, or choose another --out"


def test_an_interrupt_says_that_nothing_is_lost(popbench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("popbench_mmra.workflows.train", interrupted)
    table, clips = tiny_mmra.corpus(40)
    given = ("--corpus", made_corpus.spec(table), "--videos", clips, "--out", "m", *tiny_mmra.flags())
    done = popbench("predictor", "train", *given)
    assert done.status == 130
    assert done.line == "popbench: interrupted; what is done is kept, and the same command goes on"


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(RunError, match=r"the model cannot be written .No space left on device.: free space"):
        tiny_mmra.trained_into(tmp_path / "m")
    assert not list((tmp_path / "m").glob("*.safetensors"))
    monkeypatch.undo()
    tiny_mmra.trained_into(tmp_path / "m")
    assert weights(tmp_path / "m") == weights(tiny_mmra.model())


def test_features_that_cannot_be_kept_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RunError, match=r"features.sqlite: features cannot be kept .*POPBENCH_CACHE") as caught:
        Extractor(tiny_mmra.encoders(), 10, Machine())
    assert "\n" not in str(caught.value)
