"""What `check` reports for a folder or a hub model before a run: missing, broken or incomplete files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import popbench
from diffusers_pipelines import bare_machine, cached, empty_hub, lines, no_weights, only, resolved
from hub_cache import COMMIT
from popbench import testing
from tiny_pipelines import tiny


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_hub(tmp_path / "hub", monkeypatch)


@pytest.fixture
def loads() -> None:
    """This test loads weights."""


@pytest.fixture(autouse=True)
def _machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    bare_machine(monkeypatch)
    if "loads" not in request.fixturenames:
        no_weights(monkeypatch)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("ltx"), tmp_path / "model"))


VAE = "vae/diffusion_pytorch_model.safetensors"
AGAIN = "copy or download it again"


def _cut(file: Path, by: int = 1) -> None:
    file.write_bytes(file.read_bytes()[:-by])


def _shards(folder: Path, *names: str) -> None:
    """Make a component one of several shards, of which only the first is there."""
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / "part-1.safetensors")
    index = {"weight_map": {f"layer.{number}": name for number, name in enumerate(names)}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "model_index.json").unlink(), ["no model_index.json", "no diffusers pipeline"]),
        (lambda folder: (folder / "model_index.json").write_text("{"), ["model_index.json is no JSON object"]),
        (
            lambda folder: (folder / "model_index.json").write_text('{"_class_name": "LTXPipeline"}'),
            ["names no components"],
        ),
        (lambda folder: shutil.rmtree(folder / "vae"), ["asks for vae/, which the folder lacks"]),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), ["asks for tokenizer/, which the folder lacks"]),
        (lambda folder: (folder / "vae" / "config.json").unlink(), ["vae/", "config.json"]),
        (lambda folder: (folder / "scheduler" / "scheduler_config.json").unlink(), ["scheduler/"]),
        (
            lambda folder: [file.unlink() for file in (folder / "tokenizer").iterdir()],
            ["tokenizer/"],
        ),
        (lambda folder: (folder / VAE).unlink(), ["vae/", "no weights", "diffusion_pytorch_model.safetensors"]),
        (lambda folder: _cut(folder / VAE), ["vae/", "bytes, and", AGAIN]),
        (lambda folder: (folder / VAE).write_bytes(b""), ["vae/", "no safetensors header", AGAIN]),
        (lambda folder: _cut(folder / "text_encoder" / "model.safetensors", 99), ["text_encoder/", AGAIN]),
        (
            lambda folder: (folder / VAE).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"),
            ["vae/", "git lfs pull"],
        ),
        (
            lambda folder: _shards(folder / "transformer", "part-1.safetensors", "part-2.safetensors"),
            ["transformer/", "index.json names part-2.safetensors, which the folder lacks"],
        ),
        (lambda folder: _shards(folder / "transformer"), ["transformer/", "names no shards"]),
    ],
    ids=[
        "no index", "no JSON", "no components", "no vae", "no tokenizer", "no config", "no scheduler config",
        "empty tokenizer", "no weights", "cut", "empty weights", "cut text encoder", "lfs", "shard", "no shards",
    ],
)  # fmt: skip
def test_a_broken_folder_is_found_before_the_run(
    copied: Path, damage: Callable[[Path], object], says: list[str]
) -> None:
    assert lines(copied) == []
    damage(copied)
    line = only(copied)
    assert line.startswith(f"model {copied}: ")
    for text in says:
        assert text in line


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    line = only(tmp_path / "none")
    assert "there is no such folder; give the folder of a model, or a hub id" in line


def test_folders_that_diffusers_can_load_are_not_called_broken(copied: Path) -> None:
    _shards(copied / "transformer", "part-1.safetensors")
    assert lines(copied) == []


def test_a_revision_is_for_hub_models(copied: Path) -> None:
    assert "revision=main is for hub models; leave it out for a folder" in only(copied, revision="main")


def _variant(folder: Path, variant: str, *components: str) -> None:
    for component in components:
        for stem in ("diffusion_pytorch_model", "model"):
            file = folder / component / f"{stem}.safetensors"
            if file.is_file():
                file.rename(file.with_name(f"{stem}.{variant}.safetensors"))


def test_weights_that_are_there_as_a_variant_alone_are_found_with_it_and_not_without(copied: Path) -> None:
    _variant(copied, "fp16", "vae", "transformer", "text_encoder")
    assert lines(copied, variant="fp16") == []
    assert "no weights" in only(copied)
    assert "no weights" in only(copied, variant="bf16")


def test_components_without_the_variant_may_have_plain_weights(copied: Path) -> None:
    _variant(copied, "fp16", "transformer")
    assert lines(copied, variant="fp16") == []


@pytest.mark.usefixtures("loads")
def test_what_is_said_of_a_variant_is_what_loading_does(copied: Path) -> None:
    _variant(copied, "fp16", "transformer")
    sizes = {"width": 32, "height": 32, "num_frames": 1, "num_inference_steps": 1}
    generator = resolved("diffusers", model=str(copied), variant="fp16", **sizes)
    assert generator.check() == []
    (answer,) = list(generator.generate(testing.sample_video_requests()[:1]))
    generator.close()
    assert isinstance(answer, popbench.Clip)


# -- the hub


def test_a_model_that_is_nowhere_is_said_with_how_to_get_it() -> None:
    for options in ({}, {"revision": "dev"}):
        line = next(iter(lines("ltx", **options)))
        # the whole repository holds the weights several times over
        wanted = "hf download Lightricks/LTX-Video --include model_index.json --include '*/*'"
        wanted += " --revision dev" if options else ""
        assert "HF_HUB_OFFLINE is set" in line
        assert f"`{wanted}`" in line
        assert "HF_TOKEN" in line
    assert "there is no folder org/none here" in only("org/none")


def test_a_whole_model_in_the_cache_is_ready(hub: Path) -> None:
    cached(hub, "Lightricks/LTX-Video")
    assert lines("ltx") == []
    assert lines("Lightricks/LTX-Video", revision=COMMIT) == []


@pytest.mark.parametrize("lacks", ["vae", "transformer/diffusion_pytorch_model.safetensors", "tokenizer"])
def test_a_cache_that_holds_a_part_of_a_model_is_not_taken_for_it(hub: Path, lacks: str) -> None:
    path = cached(hub, "Lightricks/LTX-Video") / lacks
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    line = next(iter(lines("ltx")))
    assert "not complete in the local cache" in line
    assert "hf download Lightricks/LTX-Video" in line
