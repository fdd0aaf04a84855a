"""The presets of text-to-video pipelines: the paper's settings, valid values, licences."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from diffusers_pipelines import empty_hub, of, resolved
from popbench.registry import load_registry
from popbench_diffusers.calls import arguments, video_problem
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.presets import PRESETS, preset_of
from tiny_pipelines import SMALLEST, tiny
from tiny_pipelines import Family as Kind


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_hub(tmp_path / "hub", monkeypatch)


PAPER: dict[str, dict[str, Any]] = {
    "cogvideox-5b": {
        "model": "zai-org/CogVideoX-5b", "width": 720, "height": 480, "num_frames": 49, "num_inference_steps": 50,
        "fps": 8.0, "guidance_scale": 6.0, "dtype": "bfloat16", "component_dtypes": {}, "quantization": "none",
        "layerwise_casting": [], "offload": "none", "vae_slicing": True, "vae_tiling": True, "negative_prompt": None,
    },
    "ltx": {
        "model": "Lightricks/LTX-Video", "width": 704, "height": 480, "num_frames": 161, "num_inference_steps": 50,
        "fps": 15.0, "guidance_scale": 3.0, "dtype": "bfloat16", "component_dtypes": {}, "quantization": "none",
        "layerwise_casting": [], "offload": "none", "vae_slicing": False, "vae_tiling": False,
    },
    "hunyuan": {
        "model": "hunyuanvideo-community/HunyuanVideo", "width": 512, "height": 320, "num_frames": 61,
        "num_inference_steps": 30, "fps": 15.0, "guidance_scale": 6.0, "dtype": "float16",
        "component_dtypes": {"transformer": "bfloat16"}, "quantization": "4bit", "quantize": ["transformer"],
        "layerwise_casting": ["text_encoder"], "offload": "model", "vae_slicing": False, "vae_tiling": True,
        "negative_prompt": None,
    },
}  # fmt: skip
"""The generators of arXiv 2502.12945 as its released code has them; guidance where it says none is the pipeline's."""
FURTHER: dict[str, dict[str, Any]] = {
    "cogvideox-5b": {"max_sequence_length": 226},
    "ltx": {"max_sequence_length": 128, "frame_rate": 25},
    "hunyuan": {"max_sequence_length": 256},
}
"""What their calls take by themselves: stated, so that a later diffusers does not change it."""


BY_PIPELINE: dict[str, Kind] = {smallest.pipeline: kind for kind, smallest in SMALLEST.items()}


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_s_presets_have_its_settings(name: str) -> None:
    options = resolved(name).options
    assert {key: getattr(options, key) for key in PAPER[name]} == PAPER[name]
    assert (options.variant, options.batch_size, options.scheduler) == (None, 1, {})
    assert options.further_arguments == FURTHER[name]
    defaults = {key: arguments(PRESETS[name].pipeline)[key].default for key in FURTHER[name]}
    assert defaults == FURTHER[name]


def test_the_paper_s_negative_prompt_is_against_poor_quality_and_jitter() -> None:
    prompt = resolved("ltx").options.negative_prompt
    assert "low quality" in prompt
    assert "jitter" in prompt


def test_the_old_name_of_cogvideox_is_known() -> None:
    assert preset_of("THUDM/CogVideoX-5b") is PRESETS["cogvideox-5b"]
    assert resolved("diffusers", model="THUDM/CogVideoX-5b", fps=8).note == PRESETS["cogvideox-5b"].note


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_its_pipeline_can_render(name: str) -> None:
    preset = PRESETS[name]
    options = resolved(name).options
    assert preset.pipeline in FAMILIES
    assert video_problem(preset.pipeline) is None
    call = inspect.signature(getattr(diffusers, preset.pipeline).__call__).parameters
    given = {"width", "height", "num_frames", "num_inference_steps", "guidance_scale", "negative_prompt"}
    lacks = {key for key in given if getattr(options, key) is not None and key not in call}
    # which guides by a component of its own
    assert lacks == ({"guidance_scale"} if preset.pipeline == "HunyuanVideo15Pipeline" else set())
    assert set(options.further_arguments) <= set(call)
    sizes = {key: preset.options[key] for key in ("width", "height", "num_frames")}
    assert FAMILIES[preset.pipeline].wrong_sizes(sizes) is None
    assert {*options.component_dtypes, *options.layerwise_casting, *options.quantize} <= set(preset.parameters)
    assert options.clip_fps == preset.options["fps"]


WAN_14B = {"num_attention_heads": 40, "num_layers": 40, "ffn_dim": 13824}
PARTS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "wan-2.2-5b": {
        "transformer": ("WanTransformer3DModel", {
            "num_attention_heads": 24, "num_layers": 30, "ffn_dim": 14336, "in_channels": 48, "out_channels": 48,
        }),
        "vae": ("AutoencoderKLWan", {
            "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "is_residual": True, "in_channels": 12,
            "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16, "latents_mean": [0.0] * 48,
            "latents_std": [1.0] * 48,
        }),
    },
    "wan-2.2-a14b": {
        "transformer": ("WanTransformer3DModel", WAN_14B), "transformer_2": ("WanTransformer3DModel", WAN_14B),
        "vae": ("AutoencoderKLWan", {}),
    },
    "skyreels-v2": {
        "transformer": ("SkyReelsV2Transformer3DModel", WAN_14B), "vae": ("AutoencoderKLWan", {}),
    },
}  # fmt: skip
"""Parts of the newer presets, by the class and the settings that their publishers' configs have."""
NEWER: dict[str, dict[str, Any]] = {
    "wan-2.2-5b": {
        "width": 1280, "height": 704, "num_frames": 121, "fps": 24.0, "num_inference_steps": 50, "guidance_scale": 5.0,
        "scheduler": {"flow_shift": 5.0},
    },
    "wan-2.2-a14b": {
        "width": 1280, "height": 720, "num_frames": 81, "fps": 16.0, "num_inference_steps": 40, "guidance_scale": 4.0,
        "scheduler": {},
    },
    "skyreels-v2": {
        "width": 960, "height": 544, "num_frames": 97, "fps": 24.0, "num_inference_steps": 50, "guidance_scale": 6.0,
        "scheduler": {"flow_shift": 8.0},
    },
}  # fmt: skip
"""Settings of the publishers' examples."""


@pytest.mark.parametrize(("name", "part"), [(name, part) for name, parts in PARTS.items() for part in parts])
def test_the_weights_of_a_part_are_counted_as_diffusers_makes_it(name: str, part: str) -> None:
    kind, settings = PARTS[name][part]
    with torch.device("meta"):
        made = getattr(diffusers, kind)(**settings)
    count = sum(weight.numel() for weight in made.parameters())
    assert count == pytest.approx(PRESETS[name].parameters[part], rel=0.01)


@pytest.mark.parametrize("name", NEWER)
def test_newer_presets_have_the_settings_of_their_publishers_examples(name: str) -> None:
    options = resolved(name).options
    assert {key: getattr(options, key) for key in NEWER[name]} == NEWER[name]
    assert options.component_dtypes == {"vae": "float32"}
    assert options.further_arguments.get("guidance_scale_2") == (3.0 if name == "wan-2.2-a14b" else None)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_s_licence_is_noted(name: str) -> None:
    note = resolved(name).note
    assert note
    assert "icense" in note
    assert "\n" not in note
    assert resolved("diffusers", model=PRESETS[name].model).note == note


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].pipeline in BY_PIPELINE])
def test_a_preset_s_licence_is_noted_also_where_its_model_is_in_a_folder(name: str) -> None:
    folder = tiny(BY_PIPELINE[PRESETS[name].pipeline])
    assert resolved(name, model=str(folder)).note == PRESETS[name].note
    assert of(folder).note == "", "nothing says whose weights these are"


def test_presets_are_those_that_are_registered() -> None:
    assert set(PRESETS) == {
        "ltx", "cogvideox-5b", "hunyuan", "hunyuan-1.5", "ltx-2", "mochi", "wan-2.1-1.3b", "wan-2.1-14b",
        "wan-2.2-5b", "wan-2.2-a14b", "skyreels-v2",
    }  # fmt: skip
    names = set(load_registry().names("generator"))
    assert {*PRESETS, "diffusers"} <= names


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("model", "THUDM/CogVideoX-5b"), ("revision", "dev"), ("variant", "fp16"), ("width", 64), ("height", 96),
        ("num_frames", 9), ("fps", 12.5), ("num_inference_steps", 3), ("guidance_scale", 2.5),
        ("negative_prompt", "dull"), ("scheduler", {"shift": 2.0}), ("dtype", "float32"),
        ("component_dtypes", {"vae": "float32"}), ("quantization", "8bit"), ("quantize", ["text_encoder"]),
        ("layerwise_casting", ["transformer"]), ("vae_slicing", False), ("vae_tiling", False), ("attention", "flex"),
        ("compile", True),
        ("cache", "pab"), ("aspect", "9:16"), ("batch_size", 2), ("threads", 1), ("offload", "group"),
        ("device", "cpu"),
    ],
)  # fmt: skip
def test_any_option_of_a_preset_can_be_overridden(option: str, value: Any) -> None:
    assert getattr(resolved("cogvideox-5b", **{option: value}).options, option) == value


def test_a_preset_s_setting_can_be_left_to_the_pipeline() -> None:
    assert resolved("ltx", negative_prompt="null", num_frames="null").options.negative_prompt is None
