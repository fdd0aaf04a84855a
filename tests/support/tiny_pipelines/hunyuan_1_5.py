"""HunyuanVideo15Pipeline: latents 16 times smaller in space, 4 times in time, guided by a component of its own."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers

from tiny_pipelines.parts import WIDTH, bpe, decoder_sizes, draw, flow_scheduler, t5

_df: Any = diffusers
_hf: Any = transformers
_LATENT = 8
_CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# what the pipeline has as a default value of a private method
_SYSTEM = """You are a helpful assistant. Describe the video by detailing the following aspects: \
        1. The main content and theme of the video. \
        2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects. \
        3. Actions, events, behaviors temporal relationships, physical movement changes of the objects. \
        4. background environment, light, style and atmosphere. \
        5. camera angles, movements, and transitions used in the video."""


def qwen_tokenizer() -> Any:
    """Make a tokenizer that knows the words of the system message, which then takes some 110 tokens.

    The pipeline drops the first 108, in the real one all that comes before the prompt.
    """
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    backend = bpe(specials, _SYSTEM)
    tokenizer = _hf.PreTrainedTokenizerFast(tokenizer_object=backend, pad_token=specials[0], eos_token=specials[2])
    tokenizer.chat_template = _CHAT
    return tokenizer


def make() -> Any:
    """Make the pipeline."""
    tokenizer, tokenizer_2 = qwen_tokenizer(), _hf.ByT5Tokenizer(extra_ids=0)
    transformer = _df.HunyuanVideo15Transformer3DModel(
        in_channels=2 * _LATENT + 1,
        out_channels=_LATENT,
        num_attention_heads=1,
        attention_head_dim=16,
        num_layers=1,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=WIDTH,
        text_embed_2_dim=WIDTH,  # the model projects it by way of 2048 channels: 4 of its 4.3 million weights
        image_embed_dim=WIDTH,
        rope_axes_dim=(4, 6, 6),
        target_size=64,
        task_type="t2v",
    )
    vae = _df.AutoencoderKLHunyuanVideo15(
        latent_channels=_LATENT, block_out_channels=(8, 8, 8, 8, 8), layers_per_block=1
    )
    settings = decoder_sizes(tokenizer) | {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}}
    parts = {
        "vae": vae,
        "transformer": transformer,
        "text_encoder": _hf.Qwen2_5_VLTextModel(_hf.Qwen2_5_VLTextConfig(**settings)),
        "text_encoder_2": t5(tokenizer_2),
    }
    for part in parts.values():
        draw(part)
    return _df.HunyuanVideo15Pipeline(
        scheduler=flow_scheduler(shift=5.0),
        guider=_df.ClassifierFreeGuidance(guidance_scale=6.0),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        **parts,
    )
