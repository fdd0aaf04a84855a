"""The four encoders of MMRA's features as files: which models they are, problems with them, and their digests.

ViT encodes frames, AnglE BERT encodes titles, BLIP captions frames, and UAE embeds title and captions for retrieval.
Each is a hub id or a folder of any transformers model of its kind. `loaded_encoders` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from popbench.local import Layout, Weights, asks_for_kernels, broken_weights, folder_digest, lacks_shards, read_json

FEATURES_VERSION = 1
"""Rises when the same weights would give other features. It is part of features' keys and of fingerprints."""
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files of weights. transformers loads the first of these that exists."""
_IMAGES = "preprocessor_config.json"
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model")
_SETTINGS = ("config.json", "generation_config.json")
_TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_CAPTIONER_KIND = "blip"
"""The only kind of model that can caption: others have another interface."""
_EXCLUDED = "--exclude '*onnx*' --exclude '*openvino*' --exclude '*.msgpack' --exclude '*.h5'"
"""Download options that leave out copies of the weights for other libraries."""


@dataclass(frozen=True, slots=True)
class Role:
    """The role of one encoder: the option that names its model, the paper's model, and the files of its folder."""

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
    """One encoder's model files, found and checked without loading them.

    `expected_digest` is the digest that its weights must have, None for any; `revision` is the commit of a hub model
    with these weights.
    """

    def __init__(self, role: Role, model: str, digest: str | None = None, revision: str | None = None) -> None:
        self.role = role
        self.model = model
        self.expected_digest = digest
        self._revision = revision
        self._layout = _layout(role)
        self.weights = Weights(model, None, self._layout)
        if revision is not None and not self.weights.local:
            self.weights = Weights(model, revision, self._layout)

    @property
    def problem(self) -> str | None:
        """Return in one line why it cannot be loaded and what to do; None if all is well."""
        problem = self.weights.problem
        if problem is not None:
            return f"the encoder that {self.role.does}: {problem} (the option `{self.role.option}` names one)"
        if self.expected_digest is not None and self.digest not in (None, self.expected_digest):
            return (
                f"{self.role.option}: {self.model} holds other weights than the encoder that {self.role.does} had when "
                "the model was made: give the folder of that one"
            )
        return None

    @property
    def digest(self) -> str | None:
        """Return a digest of the weights' files, the same in any folder; None if they are not here (yet)."""
        return self._digest or Encoder(self.role, self.model, None, self._revision)._digest

    @cached_property
    def _digest(self) -> str | None:
        folder = self.weights.folder
        return None if folder is None else folder_digest(folder, self._layout)

    @property
    def changed(self) -> bool:
        """Return whether the folder's files have changed since the digest was taken."""
        fresh = Encoder(self.role, self.model, None, self._revision)._digest
        return self._digest is not None and fresh != self._digest

    @property
    def commit(self) -> str | None:
        """Return the commit of a hub model; None for a folder."""
        return self.weights.commit

    @property
    def source(self) -> tuple[str, dict[str, Any]]:
        """Return what transformers loads, with its options: the folder, or the hub's commit if it is not here yet."""
        folder = self.weights.folder
        options: dict[str, Any] = {"trust_remote_code": False}  # without it, transformers would ask on the terminal
        if folder is None:
            return self.model, {**options, "revision": self.weights.commit}
        return str(folder), {**options, "local_files_only": True}

    @property
    def width(self) -> int | None:
        """Return the length of its vectors, None if its config does not say."""
        width = self.weights.index.get("hidden_size")
        return width if isinstance(width, int) else None


def _layout(role: Role) -> Layout:
    def lacking(folder: Path) -> str | None:
        if role.images and not (folder / _IMAGES).is_file():
            return f"the folder holds no {_IMAGES}: copy or download that of the model"
        if role.texts and not any((folder / name).is_file() for name in _TOKENIZERS):
            return "the folder holds no tokenizer (tokenizer.json or vocab.txt): copy or download that of the model"
        return None

    def problem(folder: Path) -> str | None:
        kind = read_json(folder / "config.json").get("model_type")
        if role.option == "captioner" and kind != _CAPTIONER_KIND:
            return f"it is a model of kind {kind}, and a BLIP captions frames: give one"
        return asks_for_kernels(folder) or broken_weights(folder, WEIGHT_FILES) or lacking(folder)

    def complete(folder: Path) -> bool:
        return bool(_weights(folder)) and not lacks_shards(folder, WEIGHT_FILES) and lacking(folder) is None

    def files(folder: Path) -> Iterator[Path]:
        """Yield only the files that are loaded, so that all copies of a model have one digest."""
        yield from _weights(folder)
        yield from (folder / name for name in _SETTINGS)
        if role.images:
            yield folder / _IMAGES
        if role.texts:
            yield from ([folder / name for name in _TOKENIZERS if (folder / name).is_file()][:1])
            yield from (folder / name for name in _TOKENIZER_SETTINGS)

    return Layout("transformers model", "config.json", problem, complete, files, _weights, _EXCLUDED)


def _weights(folder: Path) -> list[Path]:
    """Return the files that transformers loads weights from: one, or an index with its shards."""
    main = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if main is None or main.suffix != ".json":
        return [] if main is None else [main]
    shards = read_json(main).get("weight_map")
    return (
        [main, *(folder / name for name in sorted(set(map(str, shards.values()))))] if isinstance(shards, dict) else []
    )


def find_encoders(models: Mapping[str, str | None], card: Mapping[str, Any] | None = None) -> dict[str, Encoder]:
    """Return the four encoders by role: those that `models` names, else those of a card, else the paper's."""
    encoders = {}
    for name, role in ROLES.items():
        entry = {} if card is None else card["encoders"][name]
        given = models.get(name)
        model = given or entry.get("model") or role.default
        revision = entry.get("commit") if model == entry.get("model") else None
        encoders[name] = Encoder(role, model, entry.get("digest"), revision)
    return encoders


def width_mismatch(encoders: Mapping[str, Encoder], wanted: Mapping[str, int] | None = None) -> str | None:
    """Return one line if an encoder's vectors have the wrong width; None if they fit, or their width is unknown.

    `wanted` has the widths by role that a model takes. Without it, visual and textual vectors must be equally wide.
    """
    if wanted is None:
        visual, textual = (encoders[name].width for name in ("visual", "textual"))
        if visual != textual and None not in (visual, textual):
            return (
                f"visual ({encoders['visual'].model}) gives {visual} numbers and textual ({encoders['textual'].model}) "
                f"{textual}: MMRA takes encoders of one width"
            )
        return None
    for name, width in wanted.items():
        if encoders[name].width not in (None, width):
            return (
                f"{name}: {encoders[name].model} gives {encoders[name].width} numbers and the model takes {width}: "
                "give the model's own encoder"
            )
    return None
