"""Damaged folders, settings and environments are reported before any work, in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import popbench
from popbench.registry import load_registry
from popbench.testing import sample_video_requests
from popbench_diffusers.generator import DiffusersGenerator
from tiny_pipelines import tiny

SMALL = "width=64,height=64,num_frames=9,num_inference_steps=2,dtype=float32"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("ltx"), tmp_path / "model"))


def make(spec: str) -> DiffusersGenerator:
    found = load_registry().resolve("generator", spec).component
    assert isinstance(found, DiffusersGenerator)
    return found


def refusal(spec: str) -> str:
    """Return the one line that a spec is refused with, by its options or by its check."""
    try:
        lines = make(spec).check()
    except popbench.UsageError as error:
        lines = [str(error)]
    (line,) = lines
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("file", "weight"),
    [
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.conv.bias"),
        ("text_encoder/model.safetensors", "encoder.block.0.layer.0.SelfAttention.k.weight"),
    ],
)
def test_weights_that_no_file_holds_are_not_made_up(copied: Path, file: str, weight: str) -> None:
    held = load_file(copied / file)
    del held[weight]
    save_file(held, copied / file, {"format": "pt"})
    with pytest.raises(popbench.ComponentError) as caught:
        list(make(f"diffusers,model={copied},{SMALL}").generate(sample_video_requests()[:1]))
    assert "copy or download them again" in str(caught.value)
    assert weight in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", None),
        ("_class_name", 5),
        ("vae", [1, 2]),
        ("vae", ["diffusers"]),
        ("vae", ["diffusers", None]),
        ("vae", ["diffusers", "AutoencoderKLLTXVideo", "more"]),
    ],
)
def test_an_index_with_an_odd_entry_is_told_with_the_entry(copied: Path, key: str, value: Any) -> None:
    index = copied / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), key: value}), encoding="utf-8")
    assert f"has no sound {key!r}: copy or download that file again" in refusal(f"diffusers,model={copied},fps=8")


@pytest.mark.parametrize("text", ["[" * 100_000, "", "[]", '"text"', "\x00"])
def test_an_index_that_is_no_json_object_is_told(copied: Path, text: str) -> None:
    (copied / "model_index.json").write_text(text, encoding="utf-8")
    assert "is no JSON object" in refusal(f"diffusers,model={copied},fps=8")


@pytest.mark.parametrize("name", ["x" * 300, "/" + "x" * 5000, "a\x00b"])
def test_a_name_that_no_folder_can_have_is_told_like_any_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "there is no" in make(f"ltx,model={name}").check()[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("fps=1e-300", "fps"),
        ("fps=15,frame_rate=0", "frame_rate=0"),
        ("fps=15,max_sequence_length=0", "max_sequence_length=0"),
        ("fps=15,batch_size=99999999999999999999", "batch_size"),
        ("fps=15,threads=100000000000", "threads"),
        ("fps=15,num_inference_steps=100000000000", "num_inference_steps"),
        ("fps=15,width=99968", "width"),
        ('fps=15,scheduler={"shift":NaN}', "finite"),
        ('fps=15,scheduler={"num_train_timesteps":"a"}', "FlowMatchEulerDiscreteScheduler refuses"),
        ('fps=15,component_dtypes={"vae":"int8"}', "component_dtypes"),
        ('fps=15,quantization=fp8,quantize=["scheduler"]', "no weights of 'scheduler'"),
        ('fps=15,layerwise_casting=["tokenizer"]', "no weights of 'tokenizer'"),
        ('fps=15,layerwise_casting=["transformer","transformer"]', "twice"),
        ("fps=15,variant=fp16", "no weight files of that name: give variant=null"),
        ("fps=15,timesteps=[1000,500]", "unknown option"),
        ("fps=15,output_type=np", "unknown option"),
        ("fps=15,latents=1", "unknown option"),
    ],
)
def test_a_value_that_nothing_can_be_rendered_with_is_refused_before_any_work(options: str, told: str) -> None:
    assert told in refusal(f"diffusers,model={tiny('ltx')},{options}")


@pytest.mark.slow
def test_an_attention_backend_in_the_environment_decides_nothing(tmp_path: Path) -> None:
    code = (
        "from popbench.registry import load_registry as r\n"
        "from popbench.testing import sample_video_requests as s\n"
        f"g = r().resolve('generator', 'diffusers,model={tiny('ltx')},decode_timestep=0.03,{SMALL}').component\n"
        "assert g.check() == []\n"
        "print([type(a).__name__ for a in g.generate(s()[:1])])\n"
    )
    environment = {**os.environ, "DIFFUSERS_ATTN_BACKEND": "bogus", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "['Clip']\n"), done.stderr
