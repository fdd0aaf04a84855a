"""MMRA's four encoders with a few thousand random weights, saved in the real format."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from popbench.local import quiet

_hf: Any = transformers

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
WORDS = (
    "the a of and in on at with to is take today over under small large red green blue bright dark fast slow two three "
    "video picture person street kitchen river night morning music light water food game film city tree dog cat bird "
    "tiger castle noodles laundry rain bus represent this sentence for searching relevant passages"
)
WIDTH = 32
"""The width of visual and textual features."""


@cache
def root() -> Path:
    """Return the folder of this process's models."""
    folder = Path(tempfile.mkdtemp(prefix="popbench-tiny-encoders-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def tokenizer() -> Any:
    """Make a small WordPiece tokenizer, as all of these models have; it can spell any word.

    It is not trained: equally frequent pieces would come in another order in each process.
    """
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = dict.fromkeys([*SPECIALS, *letters, *(f"##{letter}" for letter in letters), *WORDS.split()])
    made = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = {name: SPECIALS.index(name) for name in ("[SEP]", "[CLS]")}
    made.post_processor = processors.BertProcessing(("[SEP]", ends["[SEP]"]), ("[CLS]", ends["[CLS]"]))
    return _hf.BertTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", bos_token="[DEC]", model_max_length=128,
    )  # fmt: skip


def bert(folder: Path, width: int = WIDTH, seed: int = 0) -> Path:
    """Save a BERT, as AnglE and UAE are."""
    words = tokenizer()
    config = _hf.BertConfig(
        vocab_size=len(words), hidden_size=width, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=2 * width, max_position_embeddings=128, pad_token_id=words.pad_token_id,
        initializer_range=0.2,
    )  # fmt: skip
    return _saved(lambda: _hf.BertModel(config), folder, seed, words)


def vit(folder: Path, width: int = WIDTH, size: int = 32, seed: int = 1) -> Path:
    """Save a ViT for pictures of `size` by `size`."""
    config = _hf.ViTConfig(
        hidden_size=width, num_hidden_layers=2, num_attention_heads=2, intermediate_size=2 * width, image_size=size,
        patch_size=16, initializer_range=0.2,
    )  # fmt: skip
    eye = _hf.ViTImageProcessor(size={"height": size, "width": size})
    return _saved(lambda: _hf.ViTModel(config, add_pooling_layer=False), folder, seed, eye)


def blip(folder: Path, width: int = WIDTH, size: int = 32, seed: int = 2) -> Path:
    """Save a BLIP for pictures of `size` by `size`."""
    words = tokenizer()
    config = _hf.BlipConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": width, "encoder_hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64,
            "bos_token_id": words.convert_tokens_to_ids("[DEC]"), "sep_token_id": words.sep_token_id,
            "eos_token_id": words.sep_token_id, "pad_token_id": words.pad_token_id, "initializer_range": 0.2,
        },
        vision_config={
            "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": size, "patch_size": 16, "initializer_range": 0.2,
        },
        projection_dim=width,
    )  # fmt: skip
    eye = _hf.BlipImageProcessor(size={"height": size, "width": size})
    return _saved(lambda: _hf.BlipForConditionalGeneration(config), folder, seed, words, eye)


def _saved(make: Any, folder: Path, seed: int, *others: Any) -> Path:
    with quiet("transformers"), torch.random.fork_rng():
        torch.manual_seed(seed)
        for item in (make(), *others):
            item.save_pretrained(folder)
    return folder


@cache
def encoders(size: int = 32) -> dict[str, str]:
    """Return the folders of all four by option, made once per process. Tests that change files copy them first."""
    at = root() / str(size)
    return {
        "visual": str(vit(at / "vit", size=size)),
        "textual": str(bert(at / "angle", seed=3)),
        "captioner": str(blip(at / "blip", size=size)),
        "retriever": str(bert(at / "uae", width=48, seed=4)),
    }
