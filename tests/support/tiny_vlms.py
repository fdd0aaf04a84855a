"""A vision-language model of the LLaVA family with a few thousand random weights, saved in the real format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

import tiny_llms
from popbench.local import quiet

_hf: Any = transformers
IMAGE, SIDE, PATCH = "<image>", 32, 16
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build(folder: Path, *, seed: int = 0, context: int = 8192, template: str | None = TEMPLATE) -> Path:
    """Save a model with its processor into `folder`; it samples, as its generation config asks for."""
    tokenizer = tiny_llms.make_tokenizer("no-template")
    tokenizer.add_special_tokens({"additional_special_tokens": [tiny_llms.START, IMAGE]})
    text = _hf.LlamaConfig(
        vocab_size=(len(tokenizer) + 127) // 64 * 64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.1,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    eyes = _hf.CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE,
        patch_size=PATCH, projection_dim=32, initializer_range=0.1,
    )  # fmt: skip
    config = _hf.LlavaConfig(
        vision_config=eyes,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        initializer_range=0.1,
    )
    with quiet("transformers"), torch.random.fork_rng():
        torch.manual_seed(seed)
        processor = _hf.LlavaProcessor(
            image_processor=_hf.CLIPImageProcessorPil(
                size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
            ),
            tokenizer=tokenizer,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=template,
        )
        model = _hf.LlavaForConditionalGeneration(config)
        model.generation_config.do_sample = True
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder
