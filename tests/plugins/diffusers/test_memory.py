"""Estimates of a pipeline's memory before it is loaded, and the advice to make it fit."""

from __future__ import annotations

import json
import re
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from diffusers_pipelines import Gpu, bare_machine, empty_hub, lines, no_weights, resolved
from popbench.local import GIB
from popbench_diffusers import checks
from popbench_diffusers.presets import PRESETS
from tiny_pipelines import tiny


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


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def short(name: str, /, **options: Any) -> list[str]:
    return [line for line in lines(name, **options) if "GPU memory" in line]


OFFLOADS = ("none", "model", "group", "sequential")
ADVICE = re.compile(r"(\w+=\w+(?:,\w+=\w+)*) needs about")
TABLE_9 = {"cogvideox-5b": 28_788, "ltx": 27_100, "hunyuan": 12_016}
"""MB of GPU memory at the peak, as arXiv 2502.12945 reports them."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE_9)
def test_the_paper_s_generators_need_about_what_it_reports(gpu: Gpu, name: str) -> None:
    needs = resolved(name).needs()
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


@pytest.mark.parametrize("gib", [8, 12, 16, 24, 40, 48, 80])
@pytest.mark.parametrize("name", PRESETS)
def test_what_is_advised_makes_it_fit_and_what_would_make_it_fit_is_advised(gpu: Gpu, name: str, gib: float) -> None:
    gpu.gib = gib
    for offload in OFFLOADS:
        for line in short(name, offload=offload):
            ways = [dict(pair.split("=") for pair in way.split(",")) for way in ADVICE.findall(line)]
            for way in ways:
                assert short(name, **{"offload": offload, **way}) == []
            if not ways:
                assert "take a smaller num_frames=, width= and height=, a smaller model, or more memory" in line
                for others in product(OFFLOADS, ("none", "8bit", "4bit")):
                    assert short(name, **dict(zip(("offload", "quantization"), others, strict=True)))


def test_the_least_costly_remedy_comes_first(gpu: Gpu) -> None:
    gpu.gib = 40
    (line,) = short("ltx-2", offload="none")
    assert line.index("offload=group") < line.index("quantization=")
    gpu.gib = 20
    (line,) = short("cogvideox-5b")
    assert "offload=model" in line


def test_smaller_clips_and_batches_need_less() -> None:
    def needed(**options: Any) -> float:
        return resolved("ltx", offload="model", **options).needs().memory_gb

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
    assert resolved(name).needs().gpus == 0


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
    assert resolved("diffusers", model=str(tiny("ltx"))).needs().gpus == 0


def test_large_weights_are_checked_without_being_read(copied: Path) -> None:
    file = copied / "transformer" / "diffusion_pytorch_model.safetensors"
    size = 30 * GIB
    header = json.dumps({"weight": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}).encode()
    with file.open("wb") as data:
        data.write(len(header).to_bytes(8, "little") + header)
        data.truncate(8 + len(header) + size)  # sparse: takes no room
    (line,) = lines(copied)
    assert "needs a CUDA GPU with about" in line
