"""LTX2Pipeline: 32 times smaller latents in space, 8 times in time, and sound along with the frames."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from tiny_pipelines.parts import CHARACTERS, WIDTH, decoder_sizes, draw, flow_scheduler

_df: Any = diffusers
_hf: Any = transformers
_LATENT = 8
_SOUND_LATENT, _MEL_BINS = 2, 16
_LAYERS = 2


def gemma_tokenizer() -> Any:
    """Make a tokenizer of single characters, which pads on the left."""
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *CHARACTERS]
    return _hf.GemmaTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=1024)


def gemma(tokenizer: Any) -> Any:
    """Make Gemma 3, with the vision tower that the pipeline does not use."""
    text = decoder_sizes(tokenizer, _LAYERS) | {"head_dim": 16, "query_pre_attn_scalar": 16}
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = _hf.Gemma3Config(
        text_config=text,
        vision_config=vision | {"image_size": 28, "patch_size": 14, "model_type": "siglip_vision_model"},
        mm_tokens_per_image=4,
        image_token_index=3,
        boi_token_index=3,
        eoi_token_index=3,
    )
    return _hf.Gemma3ForConditionalGeneration(config)


def make() -> Any:
    """Make the pipeline."""
    tokenizer = gemma_tokenizer()
    transformer = _df.LTX2VideoTransformer3DModel(
        in_channels=_LATENT,
        out_channels=_LATENT,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=32,
        audio_in_channels=_SOUND_LATENT * _MEL_BINS // 4,
        audio_out_channels=_SOUND_LATENT * _MEL_BINS // 4,
        audio_num_attention_heads=2,
        audio_attention_head_dim=8,
        audio_cross_attention_dim=16,
        num_layers=2,
        caption_channels=WIDTH,
    )
    connectors = LTX2TextConnectors(
        caption_channels=WIDTH,
        text_proj_in_factor=_LAYERS + 1,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=16,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=8,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=16,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=8,
    )
    vae = _df.AutoencoderKLLTX2Video(
        latent_channels=_LATENT,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )
    audio_vae = _df.AutoencoderKLLTX2Audio(
        base_channels=_SOUND_LATENT * _MEL_BINS // 4,
        num_res_blocks=1,
        latent_channels=_SOUND_LATENT,
        mel_bins=_MEL_BINS,
    )
    vocoder = LTX2Vocoder(
        in_channels=2 * _MEL_BINS,
        hidden_channels=16,
        upsample_kernel_sizes=[16, 15, 8],
        upsample_factors=[6, 5, 8],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
    )
    parts = {
        "vae": vae,
        "audio_vae": audio_vae,
        "text_encoder": gemma(tokenizer),
        "connectors": connectors,
        "transformer": transformer,
        "vocoder": vocoder,
    }
    for part in parts.values():
        draw(part)
    for block in transformer.transformer_blocks:
        draw(block.attn2.to_out, 6.0)  # for the prompt to tell among the registers that fill up the text
    scheduler = flow_scheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=0.1,
    )
    return _df.LTX2Pipeline(scheduler=scheduler, tokenizer=tokenizer, **parts)
