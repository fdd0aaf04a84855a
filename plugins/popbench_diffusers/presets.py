"""The paper's generators and the open models of today: settings, sizes, licences. It imports nothing heavy.

The first three are the paper's (arXiv 2502.12945), with the settings of its released code, or else the defaults of the
call. The others follow the examples of diffusers and of the models' publishers; `ltx-2` sets values for which its
pipeline has the defaults of a later model. The revision is recorded at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_STEADY = "low quality, blurred, noisy or distorted picture, flicker, jitter, shaky camera, unsteady motion"
_WAN: Mapping[str, Any] = {
    "width": 832,
    "height": 480,
    "num_frames": 81,
    "num_inference_steps": 50,
    "guidance_scale": 5.0,
    "fps": 16.0,
    "negative_prompt": _STEADY,
    "max_sequence_length": 512,
    "component_dtypes": {"vae": "float32"},
    "scheduler": {"flow_shift": 3.0},
}


@dataclass(frozen=True, slots=True)
class Preset:
    """A model with its settings.

    `what` is its name with the number of its denoiser's weights. `parameters`, by component, estimate memory before
    files are downloaded; boards show `note`.
    """

    what: str
    options: Mapping[str, Any]
    pipeline: str
    parameters: Mapping[str, float]
    note: str
    aliases: tuple[str, ...] = field(default=())

    @property
    def model(self) -> str:
        """Return the hub id."""
        return str(self.options["model"])


PRESETS: Mapping[str, Preset] = {
    "cogvideox-5b": Preset(
        "CogVideoX, 5.6B",
        {
            "model": "zai-org/CogVideoX-5b",
            "width": 720,
            "height": 480,
            "num_frames": 49,
            "num_inference_steps": 50,
            "guidance_scale": 6.0,
            "fps": 8.0,
            "max_sequence_length": 226,
            "vae_slicing": True,
            "vae_tiling": True,
        },
        "CogVideoXPipeline",
        {"text_encoder": 4.76e9, "transformer": 5.57e9, "vae": 0.216e9},
        "CogVideoX-5B is used under the CogVideoX License.",
        ("THUDM/CogVideoX-5b",),
    ),
    "ltx": Preset(
        "LTX-Video, 1.9B",
        {
            "model": "Lightricks/LTX-Video",
            "width": 704,
            "height": 480,
            "num_frames": 161,
            "num_inference_steps": 50,
            "guidance_scale": 3.0,
            "fps": 15.0,
            "frame_rate": 25,
            "max_sequence_length": 128,
            "negative_prompt": _STEADY,
        },
        "LTXPipeline",
        {"text_encoder": 4.76e9, "transformer": 1.92e9, "vae": 0.42e9},
        "LTX-Video is used under the LTX-Video Open Weights License.",
    ),
    "hunyuan": Preset(
        "HunyuanVideo, 12.8B",
        {
            "model": "hunyuanvideo-community/HunyuanVideo",
            "width": 512,
            "height": 320,
            "num_frames": 61,
            "num_inference_steps": 30,
            "guidance_scale": 6.0,
            "fps": 15.0,
            "max_sequence_length": 256,
            "dtype": "float16",
            "component_dtypes": {"transformer": "bfloat16"},
            "quantization": "4bit",
            "layerwise_casting": ["text_encoder"],
            "vae_tiling": True,
            "offload": "model",
        },
        "HunyuanVideoPipeline",
        {"text_encoder": 7.5e9, "text_encoder_2": 0.123e9, "transformer": 12.8e9, "vae": 0.246e9},
        "HunyuanVideo is used under the Tencent Hunyuan Community License.",
    ),
    "hunyuan-1.5": Preset(
        "HunyuanVideo 1.5, 8.3B",
        {
            "model": "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v",
            "width": 848,
            "height": 480,
            "num_frames": 121,
            "num_inference_steps": 50,
            "guidance_scale": 6.0,
            "fps": 24.0,
            "vae_slicing": True,
            "vae_tiling": True,
        },
        "HunyuanVideo15Pipeline",
        {"text_encoder": 7.07e9, "text_encoder_2": 0.22e9, "transformer": 8.3e9, "vae": 1.2e9},
        "HunyuanVideo 1.5 is used under the Tencent Hunyuan Community License.",
    ),
    "ltx-2": Preset(
        "LTX-2, 18.9B",
        {
            "model": "Lightricks/LTX-2",
            "width": 768,
            "height": 512,
            "num_frames": 121,
            "num_inference_steps": 40,
            "guidance_scale": 4.0,
            "fps": 24.0,
            "negative_prompt": _STEADY,
            "vae_tiling": True,
            "offload": "model",
            "frame_rate": 24.0,
            "max_sequence_length": 1024,
            "audio_guidance_scale": 4.0,
            **dict.fromkeys(("guidance_rescale", "audio_guidance_rescale", "stg_scale", "audio_stg_scale"), 0.0),
            **dict.fromkeys(("modality_scale", "audio_modality_scale"), 1.0),
            "use_cross_timestep": False,
        },
        "LTX2Pipeline",
        {"text_encoder": 12.2e9, "connectors": 1.4e9, "transformer": 18.9e9, "vae": 1.2e9, "audio_vae": 0.05e9,
         "vocoder": 0.06e9},
        "LTX-2 is used under the LTX-2 Community License.",
    ),
    "mochi": Preset(
        "Mochi 1, 10B",
        {
            "model": "genmo/mochi-1-preview",
            "variant": "bf16",
            "width": 848,
            "height": 480,
            "num_frames": 85,
            "num_inference_steps": 64,
            "guidance_scale": 4.5,
            "fps": 30.0,
            "max_sequence_length": 256,
            "vae_tiling": True,
        },
        "MochiPipeline",
        {"text_encoder": 4.76e9, "transformer": 10.03e9, "vae": 0.46e9},
        "Mochi 1 is licensed under Apache 2.0.",
    ),
    "wan-2.1-1.3b": Preset(
        "Wan 2.1, 1.4B",
        {"model": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", **_WAN},
        "WanPipeline",
        {"text_encoder": 5.68e9, "transformer": 1.42e9, "vae": 0.127e9},
        "Wan 2.1 is licensed under Apache 2.0.",
    ),
    "wan-2.1-14b": Preset(
        "Wan 2.1, 14.3B",
        {"model": "Wan-AI/Wan2.1-T2V-14B-Diffusers", **_WAN},
        "WanPipeline",
        {"text_encoder": 5.68e9, "transformer": 14.3e9, "vae": 0.127e9},
        "Wan 2.1 is licensed under Apache 2.0.",
    ),
    "wan-2.2-5b": Preset(
        "Wan 2.2, 5.0B",
        {"model": "Wan-AI/Wan2.2-TI2V-5B-Diffusers", **_WAN, "width": 1280, "height": 704, "num_frames": 121,
         "fps": 24.0, "scheduler": {"flow_shift": 5.0}},
        "WanPipeline",
        {"text_encoder": 5.68e9, "transformer": 5.0e9, "vae": 0.705e9},
        "Wan 2.2 is licensed under Apache 2.0.",
    ),
    "wan-2.2-a14b": Preset(
        "Wan 2.2, 2 x 14.3B",
        {"model": "Wan-AI/Wan2.2-T2V-A14B-Diffusers", **_WAN, "width": 1280, "height": 720, "num_inference_steps": 40,
         "guidance_scale": 4.0, "guidance_scale_2": 3.0, "scheduler": {}, "quantize": ["transformer", "transformer_2"],
         "offload": "model"},
        "WanPipeline",
        {"text_encoder": 5.68e9, "transformer": 14.3e9, "transformer_2": 14.3e9, "vae": 0.127e9},
        "Wan 2.2 is licensed under Apache 2.0.",
    ),
    "skyreels-v2": Preset(
        "SkyReels V2, 14.3B",
        {"model": "Skywork/SkyReels-V2-T2V-14B-540P-Diffusers", **_WAN, "width": 960, "height": 544, "num_frames": 97,
         "guidance_scale": 6.0, "fps": 24.0, "scheduler": {"flow_shift": 8.0}},
        "SkyReelsV2Pipeline",
        {"text_encoder": 5.68e9, "transformer": 14.3e9, "vae": 0.127e9},
        "SkyReels V2 is used under the Skywork Community License.",
    ),
}  # fmt: skip


def preset_of(model: str) -> Preset | None:
    """Return the preset with this hub id, also a former one; None if there is none."""
    return next((preset for preset in PRESETS.values() if model in (preset.model, *preset.aliases)), None)


def note_for(model: str, pipeline: str | None, settings: Mapping[str, Any]) -> str:
    """Return the note of a model.

    A model in a folder has that of its class: if there are several, of the preset whose options are most like
    `settings`.
    """

    def likeness(preset: Preset) -> int:
        return sum(settings.get(name) == value for name, value in preset.options.items())

    alike = [preset for preset in PRESETS.values() if preset.pipeline == pipeline]
    found = preset_of(model) or max(alike, key=likeness, default=None)
    return "" if found is None else found.note
