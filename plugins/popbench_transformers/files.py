"""The files of a transformers model's folder, and checks of them before a run. Weights are not read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from popbench.local import Layout, asks_for_kernels, broken_weights, lacks_shards, read_json, weight_files
from popbench_transformers import gguf_files

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files of weights. transformers loads the first of these that exists."""
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken", "tekken.json")
TEXTS = {".json", ".jinja", ".txt", ".model", ".py", ".tiktoken"}
"""Suffixes of the files beside the weights that results may depend on."""
_SETTINGS = re.compile(
    r".+\.jinja|(.+_)?config\.json|chat_template\.json|(tokenizer|vocab|merges)\b.*|(added|special)_tokens.*\.json|.+\.model"
)
"""Files of sub-folders that matter: transformers prefers `additional_chat_templates/default.jinja` to the main one."""


def _problem(folder: Path) -> str | None:
    """Return in a few words why transformers cannot load a folder; None if nothing is wrong."""
    named = read_json(folder / "config.json").get("transformers_weights")  # files of other names
    wrong = None if named else broken_weights(folder, WEIGHT_FILES)
    return asks_for_kernels(folder) or wrong or lacks_tokenizer(folder)


def lacks_tokenizer(folder: Path) -> str | None:
    """Return in a few words that a folder holds no tokenizer; None if it holds one."""
    if any(next(folder.glob(pattern), None) for pattern in _TOKENIZERS):
        return None
    if "auto_map" in read_json(folder / "tokenizer_config.json"):  # its own code may need no such file
        return None
    return "the folder holds no tokenizer (tokenizer.json, tokenizer.model or vocab.json): copy that of its base model"


def _complete(folder: Path) -> bool:
    """Return whether a folder of the hub's cache holds the whole model."""
    return bool(weight_files(folder)) and not lacks_shards(folder, WEIGHT_FILES) and lacks_tokenizer(folder) is None


def _files(folder: Path) -> Iterator[Path]:
    """Yield the weights and text files of a folder, and those of its sub-folders that transformers may read."""
    yield from weight_files(folder)
    for child in folder.iterdir():
        if child.suffix in TEXTS:
            yield child
        if child.is_dir() and not child.name.startswith("."):
            with suppress(OSError):  # a folder that cannot be listed cannot be loaded either
                yield from (file for file in child.iterdir() if _SETTINGS.fullmatch(file.name))


def _without_config(names: Sequence[str]) -> str | None:
    """Return what to do with a folder or a repository that holds no config.json; None if nothing better is known."""
    if "adapter_config.json" in names:
        return "it holds an adapter, not a whole model: merge it into its base model, and give the folder of the result"
    return gguf_files.advise(names)


LAYOUT = Layout(
    "transformers model", "config.json", _problem, _complete, _files, weight_files, without_index=_without_config
)
