"""Features equal those of the encoders on single items, do not depend on the batch, and are stored by content."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as _transformers

import made_corpus
import tiny_encoders
import tiny_mmra
from popbench.local import quiet
from popbench.video import map_frames, read_frames, write_mp4
from popbench_mmra.encoders import find_encoders
from popbench_mmra.features import Extractor, Features, Item
from popbench_mmra.loaded_encoders import QUERY, LoadedEncoders
from popbench_mmra.settings import Machine, caption_precision, pick_device
from usage_errors import refusal

transformers: Any = _transformers

TITLES = ["", "x", "the tiger of today, take 3", "Ten words about noodles " * 9, "🐈 кошка \udcff", "laundry " * 300]


@pytest.fixture(scope="module")
def encoding() -> LoadedEncoders:
    return LoadedEncoders(tiny_mmra.encoders(), torch.device("cpu"), torch.float32, batch=3)


@pytest.fixture(scope="module")
def frames() -> list[Any]:
    return [made_corpus.paint(light, seed) for seed, light in enumerate((-1.0, -0.3, 0.1, 0.6, 1.0))]


@pytest.fixture
def extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Extractor]:
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))
    made = Extractor(tiny_mmra.encoders(), 4, Machine(device="cpu", batch_size=3))
    yield made
    made.close()


def load(name: str, cls: Any) -> tuple[Any, str]:
    folder = tiny_encoders.encoders()[name]
    with quiet("transformers"):
        return cls.from_pretrained(folder).eval(), folder


@torch.inference_mode()
def test_visual_features_are_the_cls_tokens_of_frames(encoding: LoadedEncoders, frames: list[Any]) -> None:
    model, folder = load("visual", transformers.AutoModel)
    with quiet("transformers"):
        processor = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
    with encoding.computing():
        found = encoding.visual([encoding.prepare(video)[0] for video in frames])
    assert found.shape == (5, 6, 32)
    assert found.dtype == np.float32
    for video, rows in zip(frames, found, strict=True):
        pixels = processor(list(video), return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        wanted = model(pixel_values=pixels).last_hidden_state[:, 0].numpy()
        assert np.abs(rows - wanted).max() < 1e-5


@torch.inference_mode()
def test_captions_are_the_captioners_own(encoding: LoadedEncoders, frames: list[Any]) -> None:
    model, folder = load("captioner", transformers.BlipForConditionalGeneration)
    with quiet("transformers"):
        processor = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with encoding.computing():
        found = encoding.captions([encoding.prepare(video)[1] for video in frames])
    assert [len(captions) for captions in found] == [6] * 5
    assert len({caption for captions in found for caption in captions}) > 1
    for video, captions in zip(frames, found, strict=True):
        pixels = processor(list(video), return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        with quiet("transformers"):
            tokens = model.generate(pixel_values=pixels, max_new_tokens=20)
        assert captions == [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


@torch.inference_mode()
def test_titles_are_pooled_as_cls_and_mean(encoding: LoadedEncoders) -> None:
    model, folder = load("textual", transformers.AutoModel)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with encoding.computing():
        found = encoding.textual(TITLES)
    for title, row in zip(TITLES, found, strict=True):
        plain = title.replace("\udcff", "\ufffd")
        tokens = tokenizer(plain, truncation=True, max_length=128, return_tensors="pt")
        hidden = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state[0]
        assert np.abs(row - ((hidden[0] + hidden.mean(0)) / 2).numpy()).max() < 1e-5


@torch.inference_mode()
def test_retrieval_vectors_are_cls_tokens_under_the_instruction(encoding: LoadedEncoders) -> None:
    model, folder = load("retriever", transformers.AutoModel)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with encoding.computing():
        found = encoding.retrieval(TITLES[:4])
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6
    for title, row in zip(TITLES, found, strict=False):
        tokens = tokenizer(QUERY + title, truncation=True, max_length=128, return_tensors="pt")
        hidden = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state[0, 0]
        assert np.abs(row - torch.nn.functional.normalize(hidden, dim=0).numpy()).max() < 1e-5


def test_no_result_depends_on_its_company(encoding: LoadedEncoders, frames: list[Any]) -> None:
    pixels = [encoding.prepare(video) for video in frames]
    with encoding.computing():
        visual = encoding.visual([of[0] for of in pixels])
        captions = encoding.captions([of[1] for of in pixels])
        textual, vectors = encoding.textual(TITLES), encoding.retrieval(TITLES)
        for at in (4, 0):
            assert (encoding.visual([pixels[at][0]])[0] == visual[at]).all()
            assert encoding.captions([pixels[at][1]])[0] == captions[at]
            assert (encoding.textual([TITLES[at]])[0] == textual[at]).all()
            assert (encoding.retrieval([TITLES[at]])[0] == vectors[at]).all()


def test_threads_are_as_before_once_it_has_computed(encoding: LoadedEncoders) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with encoding.computing():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_captions_are_made_in_half_precision_on_cuda_only() -> None:
    assert caption_precision("auto", "cpu") == "float32"
    assert caption_precision("auto", "cuda") == "float16"
    assert caption_precision("bfloat16", "cpu") == "bfloat16"
    assert pick_device("cpu") == "cpu"
    assert pick_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def items(folder: Path, count: int) -> list[Item]:
    for at in range(count):
        write_mp4(made_corpus.paint(at / count, at), 8, folder / f"{at}.mp4")
    return [Item(str(at), TITLES[at % 4], folder / f"{at}.mp4") for at in range(count)]


@pytest.mark.slow
def test_features_come_in_order_and_bad_videos_fail_alone(extractor: Extractor, tmp_path: Path) -> None:
    given = items(tmp_path, 8)
    (tmp_path / "2.mp4").write_bytes(b"no video at all")
    (tmp_path / "5.mp4").unlink()
    (tmp_path / "6.mp4").write_bytes(b"")
    found = [pair for group in extractor.groups(given) for pair in group]
    assert [item for item, _ in found] == given
    bad = {item.id: of for item, of in found if isinstance(of, str)}
    assert set(bad) == {"2", "5", "6"}
    assert all(str(tmp_path) in line and "\n" not in line for line in bad.values())
    good = found[0][1]
    assert isinstance(good, Features)
    assert good.visual.shape == (4, 32)
    assert good.textual.shape == (32,)
    assert good.vector.shape == (48,)


@pytest.mark.slow
def test_a_video_is_encoded_once_whatever_it_is_called(
    extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = items(tmp_path, 4)
    first = [of for group in extractor.groups(given) for _, of in group]
    shutil.copyfile(tmp_path / "1.mp4", tmp_path / "copy.mp4")
    calls: list[int] = []
    encoding = extractor._encoding()
    monkeypatch.setattr(encoding, "visual", lambda pixels: calls.append(len(pixels)))
    monkeypatch.setattr(encoding, "captions", lambda pixels: calls.append(len(pixels)))
    again = [Item("new", "a new title", tmp_path / "copy.mp4"), *given]
    found = [of for group in extractor.groups(again) for _, of in group]
    assert not calls
    for old, new in zip(first, found[1:], strict=True):
        assert isinstance(old, Features)
        assert isinstance(new, Features)
        assert (old.vector == new.vector).all()
        assert (old.visual == new.visual).all()


@pytest.mark.slow
def test_frames_are_read_by_the_shared_reader(extractor: Extractor, tmp_path: Path) -> None:
    (item,) = items(tmp_path, 1)
    ((_, found),) = next(extractor.groups([item]))
    encoding = extractor._encoding()
    with encoding.computing():
        wanted = encoding.visual([encoding.prepare(read_frames(item.path, 4))[0]])[0]
    assert isinstance(found, Features)
    assert (found.visual == wanted).all()


@pytest.mark.slow
def test_a_video_that_changes_while_it_is_read_is_not_kept(
    extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from popbench_mmra import features

    one, two = items(tmp_path, 2)
    original = one.path.read_bytes()

    def swapping(path: Path, count: int | None, work: Callable[[Any], Any]) -> Any:
        if path == one.path:
            one.path.write_bytes(two.path.read_bytes())
        return map_frames(path, count, work)

    monkeypatch.setattr(features, "map_frames", swapping)
    ((_, told), (_, fine)) = next(extractor.groups([one, two]))
    assert isinstance(told, str)
    assert "the file changed while it was read" in told
    assert isinstance(fine, Features)
    monkeypatch.undo()
    one.path.write_bytes(original)
    ((_, again),) = next(extractor.groups([one]))
    assert isinstance(again, Features)
    assert (again.visual != fine.visual).any()


@pytest.mark.slow
def test_models_are_loaded_by_one_thread_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))
    given = items(tmp_path, 3)
    made = [Extractor(tiny_mmra.encoders(), 4, Machine(device="cpu", batch_size=3)) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda extractor: next(extractor.groups(given)), made))
    for extractor in made:
        extractor.close()
    vectors = [[of.vector for _, of in group if isinstance(of, Features)] for group in found]
    assert all(np.array_equal(vectors[0], other) for other in vectors[1:])


def test_nothing_is_nothing(extractor: Extractor) -> None:
    assert list(extractor.groups([])) == []


@pytest.mark.slow
def test_another_encoder_makes_features_of_its_own(extractor: Extractor, tmp_path: Path) -> None:
    given = items(tmp_path, 1)
    ((_, one),) = next(extractor.groups(given))
    other = tiny_encoders.vit(tmp_path / "vit", seed=9)
    second = Extractor(tiny_mmra.encoders(visual=str(other)), 4, Machine(device="cpu", batch_size=3))
    ((_, two),) = next(second.groups(given))
    second.close()
    assert isinstance(one, Features)
    assert isinstance(two, Features)
    assert (one.visual != two.visual).any()
    assert (one.textual == two.textual).all()


@pytest.mark.parametrize(
    ("option", "name", "says"),
    [
        ("visual", "preprocessor_config.json", "holds no preprocessor_config.json"),
        ("visual", "config.json", "holds no config.json, so it is no transformers model"),
        ("captioner", "model.safetensors", "holds no weights"),
        ("textual", "tokenizer.json", "holds no tokenizer"),
    ],
)
def test_what_a_folder_lacks_is_one_line(option: str, name: str, says: str, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_encoders.encoders()[option], tmp_path / "model")
    (Path(folder) / name).unlink()
    problem = find_encoders({option: str(folder)})[option].problem
    assert problem is not None
    assert says in problem
    assert f"(the option `{option}` names one)" in problem
    assert "\n" not in problem


def test_a_model_of_another_kind_does_not_caption(tmp_path: Path) -> None:
    problem = find_encoders({"captioner": tiny_encoders.encoders()["visual"]})["captioner"].problem
    assert problem is not None
    assert "it is a model of kind vit, and a BLIP captions frames" in problem


def test_weights_of_another_model_are_refused_when_they_are_loaded(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_encoders.encoders()["visual"], tmp_path / "vit"))
    state = load_file(folder / "model.safetensors")
    renamed = {name.replace("layer", "block"): tensor for name, tensor in state.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    made = Extractor(tiny_mmra.encoders(visual=str(folder)), 4, Machine(device="cpu"))
    told = refusal(lambda: list(made.groups(items(tmp_path, 1))))
    made.close()
    assert told.startswith(f"visual: {folder} holds weights of another model: those of ")


def test_what_else_lies_in_a_folder_does_not_make_it_another_model(tmp_path: Path) -> None:
    one = find_encoders(dict(tiny_encoders.encoders()))
    for name in ("visual", "textual", "captioner", "retriever"):
        folder = Path(shutil.copytree(tiny_encoders.encoders()[name], tmp_path / name))
        (folder / "modules.json").write_text("[]", encoding="utf-8")
        (folder / "README.txt").write_text("A model.", encoding="utf-8")
        (folder / "pytorch_model.bin").write_bytes(b"the same for an older library")
        assert find_encoders({name: str(folder)})[name].digest == one[name].digest
        settings = "preprocessor_config.json" if name in ("visual", "captioner") else "tokenizer_config.json"
        (folder / settings).write_text("{}", encoding="utf-8")
        assert find_encoders({name: str(folder)})[name].digest != one[name].digest


@pytest.mark.slow
def test_features_of_another_batch_size_are_made_anew(extractor: Extractor, tmp_path: Path) -> None:
    given = items(tmp_path, 2)
    list(extractor.groups(given))
    other = Extractor(tiny_mmra.encoders(), 4, Machine(device="cpu", batch_size=5))
    assert other._loaded is None
    list(other.groups(given))
    assert other._loaded is not None  # it had to encode
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize("value", [b"", b"[1, 2]", b"\x00" * 12, b"\xff" * 512, b'["a"]'])
def test_damaged_features_are_made_again(value: bytes, extractor: Extractor, tmp_path: Path) -> None:
    import sqlite3

    given = items(tmp_path, 2)
    first = [of for group in extractor.groups(given) for _, of in group]
    with sqlite3.connect(tmp_path / "cache" / "mmra" / "features.sqlite") as db:
        db.execute("UPDATE features SET value = ?", (value,))
    db.close()
    for one, again in zip(first, [of for group in extractor.groups(given) for _, of in group], strict=True):
        assert isinstance(one, Features)
        assert isinstance(again, Features)
        assert (one.visual == again.visual).all()
        assert (one.vector == again.vector).all()


def test_weights_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    one = find_encoders(dict(tiny_encoders.encoders()))["visual"]
    copied = shutil.copytree(tiny_encoders.encoders()["visual"], tmp_path / "copy")
    assert find_encoders({"visual": str(copied)})["visual"].digest == one.digest
    other = tiny_encoders.vit(tmp_path / "other", seed=5)
    assert find_encoders({"visual": str(other)})["visual"].digest not in (None, one.digest)
