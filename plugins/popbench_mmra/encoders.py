"""The four encoders that MMRA's features come from: which models they are, what is wrong with them, loading them.

ViT sees frames, AnglE BERT reads titles, BLIP captions frames, and UAE embeds title and captions for retrieval. Each
is a hub id or a folder of any transformers model of its kind. What they make of videos is the business of `encoding`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from popbench.local import Layout, Weights, broken_weights, folder_digest, lacks_shards, weight_files

MAIN = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""What transformers loads: the first of these that is there."""
_IMAGES = "preprocessor_config.json"
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_TEXTS = {".json", ".txt", ".model"}
_OTHERS = "--exclude '*onnx*' --exclude '*openvino*' --exclude '*.msgpack' --exclude '*.h5'"
"""The same weights for other libraries, which repositories hold beside what is loaded here."""


@dataclass(frozen=True, slots=True)
class Role:
    """What one encoder is for: the option that names its model, the paper's model, and what its folder holds."""

    option: str
    default: str
    does: str
    images: bool
    texts: bool


ROLES: Mapping[str, Role] = {
    role.option: role
    for role in (
        Role("visual", "google/vit-base-patch16-224-in21k", "sees the frames", images=True, texts=False),
        Role("textual", "SeanLee97/angle-bert-base-uncased-nli-en-v1", "reads the title", images=False, texts=True),
        Role("captioner", "Salesforce/blip-image-captioning-base", "captions the frames", images=True, texts=True),
        Role("retriever", "WhereIsAI/UAE-Large-V1", "finds similar videos", images=False, texts=True),
    )
}
"""By option. The paper says BLIP and no more: the base size is the one that fits the memory it states."""


class Encoder:
    """One encoder's model files, found and checked without loading them."""

    def __init__(self, role: Role, model: str) -> None:
        self.role = role
        self.model = model
        self.weights = Weights(model, None, _layout(role))

    @property
    def problem(self) -> str | None:
        """Why it cannot be loaded and what to do about it, in one line: the id, the option and the download."""
        found = self.weights.problem
        if found is None:
            return None
        return f"the encoder that {self.role.does}: {found} ({self.role.option}=FOLDER names one)"

    @property
    def digest(self) -> str | None:
        """Identify the weights by what their files hold, wherever they lie; None where they are not here (yet)."""
        return self._digest or Encoder(self.role, self.model)._digest

    @cached_property
    def _digest(self) -> str | None:
        folder = self.weights.folder
        return None if folder is None else folder_digest(folder, self.weights.layout)

    @property
    def source(self) -> tuple[str, dict[str, Any]]:
        """What transformers loads, and how: the folder, or the hub's commit where it is not here yet."""
        folder = self.weights.folder
        if folder is None:
            return self.model, {"revision": self.weights.commit}
        return str(folder), {"local_files_only": True}


def _layout(role: Role) -> Layout:
    def lacking(folder: Path) -> str | None:
        if role.images and not (folder / _IMAGES).is_file():
            return f"the folder holds no {_IMAGES}: copy or download that of the model"
        if role.texts and not any(next(folder.glob(pattern), None) for pattern in _TOKENIZERS):
            return "the folder holds no tokenizer (tokenizer.json or vocab.txt): copy or download that of the model"
        return None

    def complete(folder: Path) -> bool:
        return bool(weight_files(folder)) and not lacks_shards(folder, MAIN) and lacking(folder) is None

    def files(folder: Path) -> Iterator[Path]:
        """Yield the weights, and what tokenizer and image processor read: not cards, nor weights of other libraries."""
        yield from weight_files(folder)
        yield from (file for file in folder.iterdir() if file.suffix in _TEXTS)

    return Layout(
        "transformers model",
        "config.json",
        lambda folder: broken_weights(folder, MAIN) or lacking(folder),
        complete,
        files,
        weight_files,
        _OTHERS,
    )


def find_encoders(models: Mapping[str, str | None]) -> dict[str, Encoder]:
    """Return all four encoders by role; where `models` names none for a role, it is the paper's."""
    return {name: Encoder(role, models.get(name) or role.default) for name, role in ROLES.items()}
