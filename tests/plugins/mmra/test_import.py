"""`popbench predictor import`: a released checkpoint scores as before, and other files are refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import checkpoint_files
import made_corpus
import popbench_mmra
import tiny_mmra
from command_line import Run, in_process
from popbench_mmra import folder as folders
from popbench_mmra.bank import Bank
from tiny_mmra import as_parquet, card


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def released(path: Path, d: int = 32, alpha: float = 0.7) -> dict[str, Any]:
    """Save a whole module as the released checkpoints are; return its state."""
    torch.manual_seed(3)
    with checkpoint_files.importable() as cls:
        module = cls(d, alpha)
        torch.save(module, path)
        return dict(module.state_dict())


def made_bank(folder: Path) -> tuple[Bank, Path]:
    bank = folders.load(tiny_mmra.model()).bank
    return bank, as_parquet(bank, folder / "bank.parquet")


@pytest.mark.slow
def test_a_released_module_with_a_bank_scores(popbench: Run, tmp_path: Path) -> None:
    state = released(tmp_path / "MMRA.pth")
    bank, file = made_bank(tmp_path)
    done = popbench("predictor", "import", "MMRA.pth", "--bank", file, "--out", "mmra", *tiny_mmra.flags())
    assert done.status == 0, done.err
    assert "Not measured: nothing is known of how well it predicts." in done.out
    found = card(tmp_path / "mmra")
    assert found["model"] == {"feature_dim": 32, "frames": 10, "alpha": 0.7, "retrieved": 10}
    assert found["trained_on"] == ["microlens/train", "microlens/valid"]
    assert found["source"]["checkpoint"] == "MMRA.pth"
    assert found["metrics"] is None
    assert found["bank"]["file"] == "bank.parquet"
    assert found["features"] is None
    trained = folders.load(tmp_path / "mmra")
    for name, tensor in trained.model.state_dict().items():
        assert torch.equal(tensor, state[name])
    assert trained.bank.ids == bank.ids
    assert (trained.bank.visual == bank.visual).all()
    given = ("--limit", 1, "--task", "popcorn_concrete", "--llm", "verbatim", "--mode", "basic", "--out", "run")
    run = popbench("eval", "--predictor", "mmra,path=mmra", *given)
    assert run.status == 0, run.err
    text = (tmp_path / "mmra" / "README.md").read_text(encoding="utf-8")
    assert "imported from `MMRA.pth`" in text
    assert "**Not measured**" in text


@pytest.mark.parametrize("kind", ["state", "safetensors"])
def test_states_and_banks_of_every_kind_are_taken(kind: str, popbench: Run, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from popbench_mmra.bank import write_bank

    model = popbench_mmra.MMRA(32)
    path = tmp_path / ("m.safetensors" if kind == "safetensors" else "m.pth")
    (save_file if kind == "safetensors" else torch.save)(model.state_dict(), path)
    write_bank(folders.load(tiny_mmra.model()).bank, tmp_path / "b.safetensors")
    given = ("--bank", "b.safetensors", "--out", "mmra", "--trained-on", "mine/train", "--target", "likes")
    done = popbench("predictor", "import", path, *given, "--json", *tiny_mmra.flags())
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found == card(tmp_path / "mmra")
    assert found["model"]["alpha"] == 0.6
    assert found["trained_on"] == ["mine/train"]
    assert found["target"] == "likes"


def test_without_a_bank_it_is_made_from_corpus_and_videos(popbench: Run, tmp_path: Path) -> None:
    trained = folders.load(tiny_mmra.model())
    torch.save(trained.model.state_dict(), tmp_path / "m.pth")
    table, clips = tiny_mmra.corpus(40)
    given = ("--corpus", made_corpus.spec(table), "--videos", clips, "--retrieved", 3, "--out", "mmra")
    done = popbench("predictor", "import", "m.pth", *given, *tiny_mmra.flags())
    assert done.status == 0, done.err
    again = folders.load(tmp_path / "mmra")
    assert again.bank.ids == trained.bank.ids
    assert np.abs(again.bank.visual - trained.bank.visual).max() < 1e-5
    assert again.card["metrics"] == trained.card["metrics"]  # the model is the same, and so are they
    # who made the checkpoint is not known, and an item of the bank would find itself
    assert again.card["trained_on"] == ["microlens/train", "microlens/valid", "made/train", "made/valid"]
    assert "6 videos of part test" in done.out


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ((), ["microlens/train", "microlens/valid"]),
        (("--trained-on", "mine/train"), ["mine/train"]),
    ],
)
def test_a_corpus_that_only_measures_is_none_it_was_trained_on(
    given: tuple[str, ...], seen: list[str], popbench: Run, tmp_path: Path
) -> None:
    torch.save(popbench_mmra.MMRA(32).state_dict(), tmp_path / "m.pth")
    table, clips = tiny_mmra.corpus(40)
    _, file = made_bank(tmp_path)
    corpus = ("--corpus", made_corpus.spec(table), "--videos", clips, "--bank", file)
    done = popbench("predictor", "import", "m.pth", *corpus, *given, "--out", "mmra", *tiny_mmra.flags())
    assert done.status == 0, done.err
    found = card(tmp_path / "mmra")
    assert found["trained_on"] == seen
    assert found["metrics"]["model"]["n"] == 6
    again = popbench("predictor", "import", "m.pth", *corpus[:4], "--trained-on", "mine/train", "--retrieved", 3,
                     "--out", "own", *tiny_mmra.flags())  # fmt: skip
    assert again.status == 0, again.err
    assert card(tmp_path / "own")["trained_on"] == ["mine/train", "made/train", "made/valid"]


class Evil:
    def __reduce__(self) -> Any:
        return (os.system, ("touch ran.txt",))


def test_a_malicious_checkpoint_is_refused(popbench: Run, tmp_path: Path) -> None:
    _, file = made_bank(tmp_path)
    torch.save({"visual_embedding.weight": torch.ones(2, 2), "extra": Evil()}, tmp_path / "evil.pth")
    done = popbench("predictor", "import", "evil.pth", "--bank", file, "--out", "mmra", *tiny_mmra.flags())
    assert done.status == 2
    assert "evil.pth" in done.line
    assert "system" in done.line
    assert not (tmp_path / "ran.txt").exists()
    assert not (tmp_path / "mmra" / folders.CARD).exists()


@pytest.mark.slow
def test_bad_input_is_one_line(popbench: Run, tmp_path: Path) -> None:
    bank, file = made_bank(tmp_path)
    as_parquet(bank, tmp_path / "counts.parquet", target=[4096.0] * len(bank))
    (tmp_path / "bank.pkl").write_bytes(b"\x80\x04.")
    (tmp_path / "text.pth").write_text("no checkpoint", encoding="utf-8")
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "other.pth")
    torch.save(popbench_mmra.MMRA(16).state_dict(), tmp_path / "narrow.pth")
    torch.save(popbench_mmra.MMRA(32).state_dict(), tmp_path / "good.pth")
    for arguments, says in (
        (["good.pth"], "no videos to retrieve from: give --bank FILE, or --corpus and --videos to make a bank"),
        (["none.pth", "--bank", file], "none.pth"),
        (["text.pth", "--bank", file], "text.pth"),
        (["other.pth", "--bank", file], "these are weights of another model"),
        (["narrow.pth", "--bank", file], "the bank's features have 32 numbers and the model's 16"),
        (["good.pth", "--bank", "bank.pkl"], "pickled data can run code when it is read, so it is not"),
        (["good.pth", "--bank", file, "--retrieved", 99], "the bank holds 34 videos, and 99 are to be retrieved"),
        (["good.pth", "--corpus", "demo"], "no video of the parts train and valid can be used"),
        (["good.pth", "--bank", file, "--trained-on", "nonsense"], "--trained-on nonsense: expected CORPUS/PART"),
        (["good.pth", "--bank", file, "--frames", 5], "its videos have 10 frames: leave out --frames"),
        (["good.pth", "--bank", "counts.parquet"], "target reaches 4,096: expected log2 popularity, not counts"),
    ):
        done = popbench("predictor", "import", *arguments, "--out", "mmra", *tiny_mmra.flags())
        assert done.status == 2, arguments
        assert says in next(line for line in done.err.splitlines() if line.startswith("popbench: "))
        assert not (tmp_path / "mmra" / folders.CARD).exists()
