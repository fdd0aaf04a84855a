"""What a transformers model's folder holds, and what it lacks: found without reading weights, before a run starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from popbench.local import Layout, asks_for_kernels, broken_weights, lacks_shards, read_json, weight_files

MAIN = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""What transformers loads: the first of these that is there."""
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken", "tekken.json")
TEXTS = {".json", ".jinja", ".txt", ".model", ".py", ".tiktoken"}
"""Suffixes of the files beside the weights that results may depend on."""
_SETTINGS = re.compile(
    r".+\.jinja|(.+_)?config\.json|chat_template\.json|(tokenizer|vocab|merges)\b.*|(added|special)_tokens.*\.json|.+\.model"
)
"""What counts in sub-folders: transformers reads `additional_chat_templates/default.jinja` before the main template."""


def _problem(folder: Path) -> str | None:
    """Say in a few words what keeps transformers from loading a folder; None where nothing is seen to."""
    named = read_json(folder / "config.json").get("transformers_weights")  # files of other names
    wrong = None if named else broken_weights(folder, MAIN)
    return asks_for_kernels(folder) or wrong or lacks_tokenizer(folder)


def lacks_tokenizer(folder: Path) -> str | None:
    """Say in a few words that a folder holds no tokenizer; None where it does."""
    if any(next(folder.glob(pattern), None) for pattern in _TOKENIZERS):
        return None
    if "auto_map" in read_json(folder / "tokenizer_config.json"):  # code of its own, which may need no such file
        return None
    return "the folder holds no tokenizer (tokenizer.json, tokenizer.model or vocab.json): copy that of its base model"


def _complete(folder: Path) -> bool:
    """Whether a folder of the hub's cache holds the whole model."""
    return bool(weight_files(folder)) and not lacks_shards(folder, MAIN) and lacks_tokenizer(folder) is None


def _files(folder: Path) -> Iterator[Path]:
    """Yield the weights and texts of a folder, and what may be read of its sub-folders."""
    yield from weight_files(folder)
    for child in folder.iterdir():
        if child.suffix in TEXTS:
            yield child
        if child.is_dir() and not child.name.startswith("."):
            with suppress(OSError):  # what cannot be listed here cannot be loaded either
                yield from (file for file in child.iterdir() if _SETTINGS.fullmatch(file.name))


LAYOUT = Layout("transformers model", "config.json", _problem, _complete, _files, weight_files)
