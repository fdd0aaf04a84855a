"""The card of a trained model: what it was made of and how good it is, as JSON for programs and markdown for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from popbench.records import JSON
from popbench.run import package_versions
from popbench_mmra.encoders import ROLES, VERSION, Encoder

if TYPE_CHECKING:
    from popbench_mmra.bank import Bank
    from popbench_mmra.corpora import Source
    from popbench_mmra.dataset import Dataset
    from popbench_mmra.features import Extractor
    from popbench_mmra.model import MMRA
    from popbench_mmra.settings import Settings
    from popbench_mmra.training import Fitted

_VERSIONS = ("python", "popbench", "torch", "transformers", "numpy", "scipy", "faiss-cpu", "av", "tokenizers")
"""The packages that a model depends on."""
METRICS: Mapping[str, str] = {
    "mae": "MAE, log2",
    "nmse": "nMSE",
    "src": "SRC",
}
"""What is measured, with the names it is shown under: mean absolute error, normalized squared error, Spearman."""


def about_model(model: MMRA, retrieved: int, target: str, trained_on: Sequence[str], bank: Bank) -> dict[str, JSON]:
    """Describe a model and what it looks up."""
    return {
        "target": target,
        "model": {
            "feature_dim": model.feature_dim, "frames": model.frames, "alpha": model.alpha, "retrieved": retrieved
        },
        "trained_on": list(trained_on),
        "bank": {"videos": len(bank)},
        "versions": {name: version for name, version in package_versions().items() if name in _VERSIONS},
    }  # fmt: skip


def about_encoders(encoders: Mapping[str, Encoder]) -> dict[str, JSON]:
    """Describe the encoders: local ones by their absolute place, all by what their files hold."""
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
    """Describe how the bank's features were computed; None where they came from elsewhere."""
    if extractor is None:
        return {"features": None}
    return {
        "features": {
            "device": extractor.device.type,
            "captions": extractor.captions,
            "batch_size": extractor.batch,
            "version": VERSION,
        }
    }


def about_corpus(source: Source | None, dataset: Dataset | None) -> dict[str, JSON]:
    """Describe the data: the corpus, how many videos of each part were used, and which were where."""
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
    """Describe a training: its settings, what was seen of every epoch, and the key of settings and data."""
    history = [
        {name: float(f"{value:.6g}") if math.isfinite(value) else None for name, value in epoch.items()}
        for epoch in fitted.history
    ]
    return {"training": {**asdict(settings), "key": key, "best_epoch": fitted.best_epoch, "history": history}}


def quality(card: Mapping[str, Any]) -> str:
    """Say in one sentence how good a model is known to be, for boards; raises nothing, whatever the card says."""
    try:
        found = card["metrics"]
        if found is None:
            return "not measured, so nothing is known of how well it predicts"
        model, flat = found["model"], found["mean"]
        told = f"SRC {metric(model['src'], 2)} on {model['n']:,} videos of part {_plain(str(found['part']))}"
        if not model["mae"]["value"] < flat["mae"]["value"]:
            told += "; it predicts no better than the mean of its bank, so its scores say next to nothing"
    except (KeyError, TypeError, ValueError, AttributeError):
        return "its card does not say how well it predicts"
    return told


def metric(of: Mapping[str, JSON], digits: int = 3) -> str:
    """Show a metric with its interval: `0.612 [0.580, 0.641]`."""
    if of["value"] is None:
        return "–"
    return f"{of['value']:.{digits}f} [{of['low']:.{digits}f}, {of['high']:.{digits}f}]"


def as_markdown(card: Mapping[str, Any]) -> str:
    """Write a card for people."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    model = card["model"]
    yield "# MMRA, a predictor of video popularity"
    yield ""
    yield f"Predicts the number of {card['target']} of a titled video. For popbench: `--predictor mmra,path=FOLDER`."
    yield ""
    yield from _metrics(card)
    yield "## Data"
    yield ""
    corpus = card["corpus"]
    if corpus is not None:
        counts = ", ".join(f"{count:,} {name}" for name, count in corpus["videos"].items())
        yield f"- corpus {_code(corpus['label'])}, content {_code(corpus['content'])}"
        yield f"- videos: {counts}; split {_code(corpus['split'])}"
        yield from (f"- {_plain(remark)}" for remark in corpus["remarks"])
    seen = " and ".join(card["trained_on"]) or "unknown"
    yield f"- trained on {seen}: videos of these parts are no test of it"
    yield f"- bank: {card['bank']['videos']:,} videos, of which the {model['retrieved']} most similar are looked up"
    yield ""
    yield "## Model"
    yield ""
    source = card.get("source")
    if source is not None:
        yield f"- imported from {_code(source['checkpoint'])} (SHA-256 {_code(source['sha256'])})"
    yield f"- features of {model['feature_dim']} numbers, {model['frames']} frames, alpha {model['alpha']:g}"
    training = card.get("training")
    if training is not None:
        yield (
            f"- Adam, learning rate {training['learning_rate']:g}, batches of {training['batch_size']}, seed "
            f"{training['seed']}; best epoch {training['best_epoch']} of {len(training['history'])} run"
        )
    for name, of in card["encoders"].items():
        known = f"weights {_code(of['digest'])}" if of["digest"] else "weights unknown"
        yield f"- {name}, {ROLES[name].does}: {_code(of['model'])}, {known}"
    features = card.get("features")
    if features is not None:
        yield (
            f"- the bank's features: computed on {features['device']}, captions in {features['captions']}, "
            f"{features['batch_size']} videos at once"
        )
    yield ""
    yield "## Files"
    yield ""
    for name, of in card["files"].items():
        yield f"- {_code(name)}: {of['bytes']:,} bytes, SHA-256 {_code(of['sha256'])}"
    yield f"- made with {', '.join(f'{name} {version}' for name, version in card['versions'].items())}"


def _metrics(card: Mapping[str, Any]) -> Iterator[str]:
    found = card.get("metrics")
    if not found:
        yield "**Not measured**: nothing is known of how well it predicts (`popbench predictor eval` measures it)."
        yield ""
        return
    model, flat = found["model"], found["mean"]
    yield f"| on {model['n']:,} videos of part {found['part']} | this model | the mean of its bank |"
    yield "| :-- | --: | --: |"
    for name, shown in METRICS.items():
        yield f"| {shown} | {metric(model[name])} | {metric(flat[name])} |"
    yield ""
    yield "Brackets hold 95 % intervals of a bootstrap over the videos."
    yield ""


def _code(text: object) -> str:
    return f"`{_plain(str(text)).replace('`', chr(39))}`"


def _plain(text: str) -> str:
    return " ".join(text.split())
