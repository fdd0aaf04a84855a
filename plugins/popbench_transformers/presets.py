"""The paper's open models and its embedder: options, sizes, licences. It imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PAPER: Mapping[str, Any] = {
    "quantization": "4bit",
    "temperature": 0.7,
    "top_p": 0.9,
    "repetition_penalty": 1.1,
    "max_new_tokens": 5000,
}
"""Decoding options of the paper's released code for its local models. It leaves top_k to each model's own config."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A model of the paper. `parameters` estimates memory before files are downloaded; boards show `note`."""

    what: str
    options: Mapping[str, Any]
    parameters: float
    note: str

    @property
    def model(self) -> str:
        """Return the hub id."""
        return str(self.options["model"])


PRESETS: Mapping[str, Preset] = {
    "llama-3.3-70b": Preset(
        "Llama 3.3 70B",
        {"model": "meta-llama/Llama-3.3-70B-Instruct", **PAPER},
        70.6e9,
        "Built with Llama. Llama 3.3 is licensed under the Llama 3.3 Community License, Copyright © Meta Platforms, "
        "Inc. All Rights Reserved.",
    ),
    "qwen-2.5-72b": Preset(
        "Qwen 2.5 72B",
        {"model": "Qwen/Qwen2.5-72B-Instruct", **PAPER},
        72.7e9,
        "Qwen2.5-72B-Instruct is used under the Qwen License Agreement.",
    ),
}


def preset_of(model: str) -> Preset | None:
    """Return the preset with this hub id; None if there is none."""
    return next((preset for preset in PRESETS.values() if preset.model == model), None)


EMBEDDERS: Mapping[str, str] = {
    "all-MiniLM-L12-v2": "sentence-transformers/all-MiniLM-L12-v2",
    "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
}
"""The hub ids of text embedders by name: the paper's, and a smaller one of the same family. Both are Apache-2.0."""

EMBEDDERS_ARE: Mapping[str, str] = {
    "sentence-transformers/all-MiniLM-L12-v2": "The paper's: 33M weights, 384 numbers a text; no GPU.",
    "sentence-transformers/all-MiniLM-L6-v2": "Smaller: 23M weights, 384 numbers a text; no GPU.",
}
"""What these are, by hub id."""
