"""What `check` says before a run: about folders, the hub, pipelines that make no videos, packages, GPUs and memory."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from huggingface_hub import constants

import popbench
from popbench import testing
from popbench.local import GIB
from popbench.registry import load_registry
from popbench_diffusers import checks
from popbench_diffusers.generator import DiffusersGenerator
from popbench_diffusers.presets import PRESETS
from tiny_pipelines import tiny

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REMEDIES = (
    "copy or download", "hf download", "give ", "use ", "take ", "run ", "pip install", "leave it out", "it has ",
    "it takes ", "needs more than text", "makes no video from text", "a newer diffusers", "offload=", "quantization=",
)  # fmt: skip
"""Each line that `check` gives has one of these words at least."""


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no hub."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture(autouse=True)
def _no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.fixture(autouse=True)
def _much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "free_memory", lambda: 1000.0 * GIB)
    monkeypatch.setattr(checks, "machine_memory", lambda: 1000.0 * GIB)


@pytest.fixture
def loads() -> None:
    """This test loads weights."""


@pytest.fixture(autouse=True)
def _no_weights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is checked is not loaded."""

    def load(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    if "loads" not in request.fixturenames:
        monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", load)
        monkeypatch.setattr(torch, "load", load)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("ltx"), tmp_path / "model"))


def make(name: str, /, **options: Any) -> DiffusersGenerator:
    shown = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in options.items())
    component = load_registry().resolve("generator", ",".join([name, *shown])).component
    assert isinstance(component, DiffusersGenerator)
    return component


def lines(name: str | Path, /, **options: Any) -> list[str]:
    """Return what `check` says of a preset, or of a pipeline in a folder or on the hub."""
    generator = make(str(name), **options) if name in PRESETS else make("diffusers", model=str(name), **options)
    started = time.perf_counter()
    found = generator.check()
    assert time.perf_counter() - started < 5
    for line in found:
        assert line.strip() == line
        assert len(line.splitlines()) == 1
        assert any(remedy in line for remedy in REMEDIES), line
    return found


def only(name: str | Path, /, **options: Any) -> str:
    (line,) = lines(name, **options)
    return line


# -- folders

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
    generator = make("diffusers", model=str(copied), variant="fp16", **sizes)
    assert generator.check() == []
    (answer,) = list(generator.generate(testing.sample_video_requests()[:1]))
    generator.close()
    assert isinstance(answer, popbench.Clip)


# -- the hub


def cached(hub: Path, model: str) -> Path:
    """Lay a pipeline out as the hub's client does."""
    root = hub / f"models--{model.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(tiny("ltx"), root / "snapshots" / COMMIT))


def test_a_model_that_is_nowhere_is_said_with_how_to_get_it() -> None:
    for options in ({}, {"revision": "dev"}):
        line = next(iter(lines("ltx", **options)))
        # the whole repository holds the weights several times over
        wanted = "hf download Lightricks/LTX-Video --include model_index.json '*/*'"
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


def _as_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: True)


def test_quantization_in_bits_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _as_if_installed(monkeypatch)
    for bits in ("4bit", "8bit"):
        line = only(tiny("ltx"), quantization=bits)
        assert line.startswith(f"quantization={bits} needs a CUDA GPU")
        assert "use quantization=none" in line


def test_a_gpu_that_is_not_there_is_said() -> None:
    for device in ("cuda", "cuda:3"):
        assert "use device=auto" in only(tiny("ltx"), device=device)
    assert lines(tiny("ltx"), device="cpu") == []


# -- memory


class Gpu:
    """A GPU that is not there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gib = 80.0
        self.capability = (9, 0)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_properties", self._properties)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: self.capability)
        _as_if_installed(monkeypatch)

    def _properties(self, index: int) -> Any:
        assert index == 0
        return type("Properties", (), {"total_memory": int(self.gib * GIB)})


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def short(name: str, /, **options: Any) -> list[str]:
    return [line for line in lines(name, **options) if "GPU memory" in line]


TABLE_9 = {"cogvideox-5b": 28_788, "ltx": 27_100, "hunyuan": 12_016}
"""MB of GPU memory at the peak, as arXiv 2502.12945 reports them."""


@pytest.mark.parametrize("name", TABLE_9)
def test_the_paper_s_generators_need_about_what_it_reports(gpu: Gpu, name: str) -> None:
    needs = make(name).needs()
    assert needs.gpus == 1
    assert needs.memory_gb * 1024 == pytest.approx(TABLE_9[name], rel=0.35)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_a_gpu_of_80_gib_as_it_is(gpu: Gpu, name: str) -> None:
    assert short(name) == []


@pytest.mark.parametrize("gib", [10, 14, 16, 24, 40])
@pytest.mark.parametrize("name", PRESETS)
def test_a_gpu_that_is_too_small_is_said_and_each_remedy_is_one(gpu: Gpu, name: str, gib: float) -> None:
    gpu.gib = gib
    for line in short(name):
        assert f"the GPU has {gib}" in line
        remedies = re.findall(r"(offload|quantization)=(\w+)", line)
        for option, value in remedies:
            assert short(name, **{option: value}) == []
        assert remedies or "a smaller num_frames=" in line, line


def test_the_least_costly_remedy_comes_first(gpu: Gpu) -> None:
    gpu.gib = 40
    (line,) = short("ltx-2", offload="none")
    assert line.index("offload=group") < line.index("quantization=")
    gpu.gib = 20
    (line,) = short("cogvideox-5b")
    assert "offload=model" in line


def test_smaller_clips_and_batches_need_less() -> None:
    def needed(**options: Any) -> float:
        return make("ltx", offload="model", **options).needs().memory_gb

    assert needed(num_frames=81) < needed() < needed(batch_size=4)
    assert needed(width=352) < needed()


@pytest.mark.parametrize("offload", ["none", "model"])
def test_weights_have_to_fit_into_the_machine_while_they_are_loaded(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, offload: str
) -> None:
    monkeypatch.setattr(checks, "free_memory", lambda: 15.0 * GIB)
    (line,) = (line for line in lines("cogvideox-5b", offload=offload) if "while it is loaded" in line)
    assert "takes about 19.6 GiB" in line
    assert "of which 15.0 are free" in line
    followed = lines("cogvideox-5b", offload=offload, quantization="4bit")
    assert not any("while it is loaded" in line for line in followed)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_on_a_machine_without_a_gpu_is_refused(name: str) -> None:
    (line,) = (line for line in lines(name) if "needs a CUDA GPU" in line)
    quantized = PRESETS[name].options.get("quantization")
    assert "device=cpu runs it here all the same" in line or (quantized and f"quantization={quantized}" in line)
    assert make(name).needs().gpus == 0


@pytest.mark.parametrize("name", ["ltx", "cogvideox-5b", "wan-2.1-1.3b"])
def test_a_processor_that_is_asked_for_is_let_to_run_it_where_memory_is_enough(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert [line for line in lines(name, device="cpu") if "GiB" in line] == []
    monkeypatch.setattr(checks, "machine_memory", lambda: 8.0 * GIB)
    (line,) = (line for line in lines(name, device="cpu") if "GiB" in line)
    assert "this machine has 8.0: take a smaller model, or a machine with a CUDA GPU" in line


def test_tiny_pipelines_run_anywhere() -> None:
    for kind in ("ltx", "cogvideox", "wan", "mochi"):
        assert lines(tiny(kind), fps=8) == []
    assert make("diffusers", model=str(tiny("ltx"))).needs().gpus == 0


def test_large_weights_are_checked_without_being_read(copied: Path) -> None:
    file = copied / "transformer" / "diffusion_pytorch_model.safetensors"
    size = 30 * GIB
    header = json.dumps({"weight": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}).encode()
    with file.open("wb") as data:
        data.write(len(header).to_bytes(8, "little") + header)
        data.truncate(8 + len(header) + size)  # sparse: takes no room
    (line,) = lines(copied)
    assert "needs a CUDA GPU with about" in line
