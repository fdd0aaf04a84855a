"""Builds the card of a trained model: what it was made of and how well it predicts, as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from popbench.records import JSON
from popbench.versions import package_versions
from popbench_mmra.encoders import FEATURES_VERSION, Encoder

if TYPE_CHECKING:
    from popbench_mmra.bank import Bank
    from popbench_mmra.corpora import Source
    from popbench_mmra.dataset import Dataset
    from popbench_mmra.features import Extractor
    from popbench_mmra.model import MMRA
    from popbench_mmra.settings import Settings
    from popbench_mmra.training import Fitted

_PACKAGES = ("python", "popbench", "torch", "transformers", "numpy", "scipy", "faiss-cpu", "av", "tokenizers")
"""Packages whose versions a card records."""


def about_model(model: MMRA, retrieved: int, target: str, trained_on: Sequence[str], bank: Bank) -> dict[str, JSON]:
    """Describe a model and its retrieval."""
    return {
        "target": target,
        "model": {
            "feature_dim": model.feature_dim, "frames": model.frames, "alpha": model.alpha, "retrieved": retrieved
        },
        "trained_on": list(trained_on),
        "bank": {"videos": len(bank)},
        "versions": versions(),
    }  # fmt: skip


def versions() -> dict[str, JSON]:
    """Return the versions that a card records."""
    return {name: version for name, version in package_versions().items() if name in _PACKAGES}


def about_encoders(encoders: Mapping[str, Encoder]) -> dict[str, JSON]:
    """Describe the encoders by the digests of their files; local ones have an absolute path too."""
    return {
        "encoders": {
            name: {
                "model": str(encoder.weights.folder)
                if encoder.weights.local and encoder.weights.folder
                else encoder.model,
                "digest": encoder.digest,
                "commit": encoder.commit,
            }
            for name, encoder in encoders.items()
        }
    }


def about_features(extractor: Extractor | None) -> dict[str, JSON]:
    """Describe how the bank's features were computed; None if they came from a file."""
    if extractor is None:
        return {"features": None}
    return {
        "features": {
            "device": extractor.device.type,
            "captions": extractor.captions,
            "batch_size": extractor.batch,
            "version": FEATURES_VERSION,
        }
    }


def about_corpus(source: Source | None, dataset: Dataset | None) -> dict[str, JSON]:
    """Describe the data: the corpus, and number and digest of the videos of each part."""
    if source is None or dataset is None:
        return {"corpus": None}
    return {
        "corpus": {
            "spec": source.spec,
            "name": source.name,
            "label": source.label,
            "content": source.corpus.content(),
            "videos": {name: len(part) for name, part in dataset.parts.items()},
            "split": dataset.split,
            "parts": {name: part.digest for name, part in dataset.parts.items()},
            "remarks": [*dataset.remarks, *source.corpus.remarks()],
        }
    }


def about_training(settings: Settings, fitted: Fitted, key: str) -> dict[str, JSON]:
    """Describe a training: its settings, the metrics of every epoch, and the key of settings and data."""
    history = [
        {name: float(f"{value:.6g}") if math.isfinite(value) else None for name, value in epoch.items()}
        for epoch in fitted.history
    ]
    return {"training": {**asdict(settings), "key": key, "best_epoch": fitted.best_epoch, "history": history}}
