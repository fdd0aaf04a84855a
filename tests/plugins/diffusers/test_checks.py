"""What `check` reports before a run: pipelines that make no videos, wrong options, missing packages and devices."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from diffusers_pipelines import as_if_installed, bare_machine, empty_hub, lines, no_weights, only
from popbench.local import Weights
from popbench_diffusers import checks
from tiny_pipelines import SMALLEST, tiny
from tiny_pipelines import Family as Kind


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_hub(tmp_path / "hub", monkeypatch)


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    bare_machine(monkeypatch)
    no_weights(monkeypatch)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("ltx"), tmp_path / "model"))


# -- pipelines


def _class(folder: Path, name: str) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": name}), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("StableDiffusionPipeline", "StableDiffusionPipeline makes no video from text"),
        ("WanImageToVideoPipeline", "WanImageToVideoPipeline needs more than text (image)"),
        ("LTXImageToVideoPipeline", "LTXImageToVideoPipeline needs more than text (a picture or video)"),
        ("NoSuchVideoPipeline", "has no pipeline NoSuchVideoPipeline: a newer diffusers may"),
        ("LTXVideoTransformer3DModel", "LTXVideoTransformer3DModel makes no video from text"),
    ],
)
def test_a_pipeline_that_makes_no_video_from_text_is_refused(copied: Path, name: str, says: str) -> None:
    _class(copied, name)
    line = only(copied, fps=8)
    assert line.startswith(f"model {copied}: ")
    assert says in line


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("component_dtypes", {"vea": "float32"}),
        ("layerwise_casting", ["text_encoder", "text_encoder_2"]),
        ("quantize", ["unet"]),
    ],
)
def test_a_component_that_a_pipeline_does_not_have_is_named(copied: Path, option: str, value: Any) -> None:
    more = {"quantization": "8bit"} if option == "quantize" else {}
    line = next(line for line in lines(copied, **{option: value}, **more) if line.startswith(option))
    assert repr(next(name for name in value if name != "text_encoder")) in line
    for name in ("vae", "transformer", "text_encoder"):
        assert name in line


def test_names_of_components_to_quantize_count_only_where_something_is_quantized(copied: Path) -> None:
    assert lines(copied, quantize=["unet"]) == []


@pytest.mark.parametrize("kind", ["latte", "modelscope"])
def test_a_class_whose_rate_is_not_known_needs_one(kind: Any) -> None:
    assert "give fps=" in only(tiny(kind))
    assert lines(tiny(kind), fps=8) == []


def test_a_setting_that_a_class_does_not_take_is_said_with_what_it_takes() -> None:
    line = only(tiny("latte"), fps=8, num_frames=8)
    assert line.startswith("num_frames: LattePipeline takes no such argument")
    assert "video_length" in line


# -- packages and devices


@pytest.mark.parametrize(
    ("options", "package"),
    [
        ({}, "diffusers"), ({}, "transformers"), ({"quantization": "4bit"}, "bitsandbytes"),
        ({"quantization": "8bit"}, "bitsandbytes"), ({"quantization": "fp8"}, "torchao"),
        ({"offload": "group"}, "accelerate"),
    ],
)  # fmt: skip
def test_a_missing_package_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], package: str
) -> None:
    here = {"bitsandbytes", "torchao", "accelerate"}  # whether or not they are installed where the test runs

    def find(name: str) -> Any:
        return None if name == package else True if name in here else find_spec(name)

    monkeypatch.setattr(checks, "find_spec", find)
    assert f"{package} is not installed" in only(tiny("ltx"), **options)
    assert f"pip install {package}" in only(tiny("ltx"), **options)


def test_quantization_in_bits_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    as_if_installed(monkeypatch)
    for bits in ("4bit", "8bit"):
        line = only(tiny("ltx"), quantization=bits)
        assert line.startswith(f"quantization={bits} needs a CUDA GPU")
        assert "use quantization=none" in line


def test_a_gpu_that_is_not_there_is_said() -> None:
    for device in ("cuda", "cuda:3"):
        assert "use device=auto" in only(tiny("ltx"), device=device)
    assert lines(tiny("ltx"), device="cpu") == []


# -- options that do not go together, and attention


@pytest.mark.parametrize("offload", ["group", "sequential"])
def test_compiling_what_waits_in_parts_is_refused(monkeypatch: pytest.MonkeyPatch, offload: str) -> None:
    as_if_installed(monkeypatch)
    line = only(tiny("ltx"), compile=True, offload=offload)
    assert line.startswith(f"compile=true does not go with offload={offload}")
    for other in ("none", "model"):
        assert lines(tiny("ltx"), compile=True, offload=other) == []


def test_compiling_a_transformer_that_is_cast_by_layers_is_refused() -> None:
    line = only(tiny("ltx"), compile=True, layerwise_casting=["transformer"])
    assert line.startswith("compile=true does not go with layerwise_casting of the transformer")
    assert lines(tiny("ltx"), compile=True, layerwise_casting=["text_encoder"]) == []


def test_a_component_is_either_quantized_or_cast(monkeypatch: pytest.MonkeyPatch) -> None:
    as_if_installed(monkeypatch)
    both = {"quantize": ["transformer"], "layerwise_casting": ["transformer"]}
    assert "transformer is in layerwise_casting and in quantize" in only(tiny("ltx"), quantization="fp8", **both)
    assert lines(tiny("ltx"), quantization="none", **both) == []
    assert lines(tiny("ltx"), quantization="fp8", layerwise_casting=["text_encoder"]) == []


@pytest.mark.parametrize("kind", ["cogvideox", "mochi"])
def test_an_attention_is_refused_by_classes_that_have_their_own(kind: Kind) -> None:
    line = only(tiny(kind), fps=8, attention="native")
    assert line.startswith(f"attention=native: {SMALLEST[kind].pipeline} has an attention of its own")


@pytest.mark.skipif(find_spec("flash_attn") is not None, reason="flash-attn is installed")
def test_an_attention_whose_package_is_missing_is_refused_with_what_to_install() -> None:
    line = only(tiny("ltx"), attention="flash")
    assert line.startswith("attention=flash: ")
    assert "flash-attn" in line


def test_an_attention_from_the_hub_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(*_: object, **__: object) -> None:
        raise AssertionError("it was tried")

    monkeypatch.setattr("diffusers.models.attention_dispatch.attention_backend", tried)
    assert lines(tiny("ltx"), attention="flash_hub") == []


def test_sizes_are_checked_against_the_autoencoder_s_own_compression(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny("wan"), tmp_path / "wan"))
    assert lines(folder, fps=16, width=48, height=64) == []
    config = folder / "vae" / "config.json"
    about = {**json.loads(config.read_text(encoding="utf-8")), "scale_factor_spatial": 16}
    config.write_text(json.dumps(about), encoding="utf-8")
    assert only(folder, fps=16, width=48, height=64) == "width=48 is not a multiple of 32: take 32 or 64"
    assert lines(folder, fps=16, width=96, height=64) == []


def test_components_of_a_preset_are_checked_before_it_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Weights, "problem", None)  # as where the hub has it
    found = lines("hunyuan", component_dtypes={"text_encoder_3": "float32"})
    (line,) = (line for line in found if line.startswith("component_dtypes"))
    assert "'text_encoder_3' (" in line
    assert line.endswith("text_encoder, text_encoder_2, transformer, vae)")
