"""Labels and fingerprints of text-to-video pipelines: which options change results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from diffusers_pipelines import cached, empty_hub, label, of, resolved
from hub_cache import COMMIT
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.generator import DiffusersGenerator
from popbench_diffusers.presets import PRESETS
from tiny_pipelines import SMALLEST, build, tiny
from tiny_pipelines import Family as Kind

RUNTIME = ("offload", "device")


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_hub(tmp_path / "hub", monkeypatch)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("ltx"), tmp_path / "model"))


# -- labels


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "ltx"),
        ({"num_frames": 161}, "ltx"),
        ({"num_frames": 9}, "ltx[num_frames=9]"),
        ({"num_frames": 9, "width": 64}, "ltx[width=64,num_frames=9]"),
        ({"offload": "model", "device": "cpu"}, "ltx"),
        ({"guidance_rescale": 0.7}, "ltx[guidance_rescale=0.7]"),
        ({"label": "mine", "fps": 8}, "mine"),
    ],
)
def test_a_preset_s_label_is_its_name_with_what_differs(options: dict[str, Any], expected: str) -> None:
    assert label("ltx", **options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "tiny-ltx"),
        ({"num_inference_steps": 2}, "tiny-ltx[num_inference_steps=2]"),
        ({"device": "cpu", "offload": "group"}, "tiny-ltx"),
        ({"guidance_rescale": 0.7}, "tiny-ltx[guidance_rescale=0.7]"),
    ],
)
def test_a_pipeline_s_label_is_the_last_part_of_its_place_with_what_differs(
    options: dict[str, Any], expected: str
) -> None:
    assert label("diffusers", model=str(tiny("ltx")), **options) == expected
    assert label("diffusers", model=f"{tiny('ltx')}/", **options) == expected


def test_a_hub_model_s_label_is_its_name_there() -> None:
    assert label("diffusers", model="org/some-model") == "some-model"


# -- fingerprints


def prints(*generators: DiffusersGenerator) -> set[str]:
    return {json.dumps(generator.fingerprint(), sort_keys=True) for generator in generators}


def test_how_a_pipeline_is_offloaded_does_not_change_its_fingerprint(copied: Path) -> None:
    given: list[dict[str, Any]] = [{}, {"offload": "model"}, {"offload": "sequential"}, {"device": "cpu"}]
    assert len(prints(*(of(copied, **options) for options in given))) == 1


def test_everything_else_changes_it(copied: Path) -> None:
    given: list[dict[str, Any]] = [
        {}, {"width": 64}, {"height": 64}, {"num_frames": 9}, {"fps": 8}, {"num_inference_steps": 2},
        {"guidance_scale": 2}, {"negative_prompt": "dull"}, {"scheduler": {"shift": 2.0}}, {"dtype": "float32"},
        {"component_dtypes": {"vae": "float32"}}, {"quantization": "8bit"},
        {"quantization": "8bit", "quantize": ["text_encoder"]}, {"layerwise_casting": ["transformer"]},
        {"vae_slicing": True}, {"vae_tiling": True}, {"attention": "flex"}, {"compile": True}, {"batch_size": 2},
        {"threads": torch.get_num_threads() + 1}, {"variant": "fp16"}, {"guidance_rescale": 0.7},
        {"guidance_rescale": 0.8}, {"decode_timestep": 0.05}, {"aspect": "9:16"}, {"cache": "first-block"},
        {"cache": {"kind": "first-block", "threshold": 0.1}}, {"cache": "pab"},
    ]  # fmt: skip
    assert len(prints(*(of(copied, **options) for options in given))) == len(given)
    named = set(type(of(copied).options).model_fields) - {"model", "revision", "sound", *RUNTIME}
    assert named <= {name for options in given for name in options}, "an option was not tried"


def test_the_number_of_threads_is_part_of_it_whether_given_or_not(copied: Path) -> None:
    assert of(copied).fingerprint()["threads"] == torch.get_num_threads()
    assert of(copied, threads=3).fingerprint()["threads"] == 3


def test_every_path_to_a_pipeline_and_every_copy_of_it_has_one_fingerprint(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(copied)
    shutil.copytree(copied, tmp_path / "copy")
    paths = [str(copied), f"{copied}/", "model", "./model", "~/model", "link", "copy", str(tiny("ltx"))]
    assert len(prints(*(resolved("diffusers", model=path) for path in paths))) == 1
    copied.rename(tmp_path / "moved")
    assert prints(resolved("diffusers", model="moved")) == prints(resolved("diffusers", model="copy"))


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def _flip(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: build(folder, "ltx", seed=1),
        lambda folder: _flip(folder / "vae" / "diffusion_pytorch_model.safetensors"),
        lambda folder: _flip(folder / "text_encoder" / "model.safetensors"),
        lambda folder: _edit(folder / "scheduler" / "scheduler_config.json", shift=2.0),
        lambda folder: _edit(folder / "tokenizer" / "tokenizer_config.json", model_max_length=64),
        lambda folder: _edit(folder / "transformer" / "config.json", qk_norm="none"),
    ],
    ids=["weights", "vae", "text encoder", "scheduler", "tokenizer", "transformer's config"],
)
def test_other_contents_are_another_fingerprint(copied: Path, change: Callable[[Path], object]) -> None:
    before = prints(of(copied))
    change(copied)
    assert prints(of(copied)) != before


def test_bystanders_in_a_folder_are_not_part_of_its_fingerprint(copied: Path) -> None:
    before = prints(of(copied))
    (copied / "README.md").write_text("words", encoding="utf-8")
    (copied / "ltx-video-2b-v0.9.safetensors").write_bytes(b"all in one file")
    (copied / ".cache").mkdir()
    (copied / ".cache" / "x.json").write_text("{}", encoding="utf-8")
    assert prints(of(copied)) == before


def test_a_hub_model_s_fingerprint_is_its_commit(hub: Path) -> None:
    assert resolved("ltx").fingerprint()["weights"] is None
    cached(hub, "Lightricks/LTX-Video", "ltx")
    for found in (resolved("ltx"), resolved("ltx", revision=COMMIT)):
        assert found.fingerprint()["weights"] == COMMIT
        assert found.fingerprint()["pipeline"] == "LTXPipeline"


def test_a_preset_and_the_same_settings_in_full_differ_only_in_where_other_settings_come_from(hub: Path) -> None:
    cached(hub, "Lightricks/LTX-Video", "ltx")
    options = {key: f'"{value}"' if isinstance(value, str) else value for key, value in PRESETS["ltx"].options.items()}
    preset, full = dict(resolved("ltx").fingerprint()), dict(resolved("diffusers", **options).fingerprint())
    assert preset.pop("defaults") is None
    assert full.pop("defaults") == f"diffusers {diffusers.__version__}"
    assert preset == full


@pytest.mark.parametrize("kind", ["ltx", "hunyuan", "mochi"])
def test_a_rate_that_is_the_family_s_own_is_no_other_result_whether_given_or_not(kind: Kind) -> None:
    own = FAMILIES[SMALLEST[kind].pipeline].fps
    assert own is not None
    assert len(prints(of(tiny(kind)), of(tiny(kind), fps=own), of(tiny(kind), fps=f"{own:g}"))) == 1
    assert len(prints(of(tiny(kind)), of(tiny(kind), fps=own + 1))) == 2


def test_torch_s_own_attention_is_no_other_result_whether_given_or_not(copied: Path) -> None:
    assert len(prints(of(copied), of(copied, attention="native"))) == 1
    assert len(prints(of(copied), of(copied, attention="_native_math"))) == 2


def test_the_library_s_version_is_part_of_it_where_settings_are_left_to_the_library(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defaults() -> tuple[Any, Any]:
        general, preset = of(copied), resolved("ltx", model=str(copied))
        return general.fingerprint()["defaults"], preset.fingerprint()["defaults"]

    assert defaults() == (f"diffusers {diffusers.__version__}", None)
    monkeypatch.setattr(metadata, "version", lambda name: "99.0")
    assert defaults() == ("diffusers 99.0", None)


@pytest.mark.slow
def test_planning_a_run_with_a_preset_imports_no_diffusers(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from popbench.registry import load_registry\n"
        "for spec in ('ltx', 'ltx-2', 'ltx,num_frames=9,offload=model', 'wan-2.1-14b,width=64'):\n"
        "    found = load_registry().resolve('generator', spec)\n"
        "    print(found.spec.label, found.component.fingerprint()['weights'])\n"
        "    print('HEAVY', [name for name in ('diffusers', 'transformers') if name in sys.modules])\n"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "ltx None", "HEAVY []", "ltx-2 None", "HEAVY []", "ltx[num_frames=9] None", "HEAVY []",
        "wan-2.1-14b[width=64] None", "HEAVY []",
    ]  # fmt: skip
