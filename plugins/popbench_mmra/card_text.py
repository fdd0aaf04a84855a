"""Writes the card of a trained model as markdown, and its quality as one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from popbench.cards import code, metric, metrics_lines, plain
from popbench_mmra.encoders import ROLES

FLAT: Mapping[str, str] = {"mmra": "the mean of its bank", "titles": "the mean of its training"}
"""What each kind of predictor is compared with."""


def quality(card: Mapping[str, Any]) -> str:
    """Return one sentence on how well a model predicts, for boards. Any card gives a sentence; nothing is raised."""
    try:
        metrics = card["metrics"]
        if metrics is None:
            return "not measured, so nothing is known of how well it predicts"
        model, flat = metrics["model"], metrics["mean"]
        text = f"SRC {metric(model['src'], 2)} on {model['n']:,} videos of part {plain(str(metrics['part']))}"
        if not model["mae"]["value"] < flat["mae"]["value"]:
            text += f"; it predicts no better than {FLAT[card.get('kind', 'mmra')]}, so its scores say next to nothing"
    except (KeyError, TypeError, ValueError, AttributeError):
        return "its card does not say how well it predicts"
    return text


def as_markdown(card: Mapping[str, Any]) -> str:
    """Return a card as markdown."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    model = card["model"]
    yield "# MMRA, a predictor of video popularity"
    yield ""
    yield f"Predicts the number of {card['target']} of a titled video. For popbench: `--predictor mmra,path=FOLDER`."
    yield ""
    yield from metrics_lines(card.get("metrics"), FLAT[card["kind"]])
    yield from data_lines(card)
    yield f"- bank: {card['bank']['videos']:,} videos, of which the {model['retrieved']} most similar are looked up"
    yield ""
    yield "## Model"
    yield ""
    source = card.get("source")
    if source is not None:
        yield f"- imported from {code(source['checkpoint'])} (SHA-256 {code(source['sha256'])})"
    yield f"- features of {model['feature_dim']} numbers, {model['frames']} frames, alpha {model['alpha']:g}"
    training = card.get("training")
    if training is not None:
        yield (
            f"- Adam, learning rate {training['learning_rate']:g}, batches of {training['batch_size']}, seed "
            f"{training['seed']}; best epoch {training['best_epoch']} of {len(training['history'])} run"
        )
    for name, entry in card["encoders"].items():
        weights = f"weights {code(entry['digest'])}" if entry["digest"] else "weights unknown"
        yield f"- {name}, {ROLES[name].does}: {code(entry['model'])}, {weights}"
    features = card.get("features")
    if features is not None:
        yield (
            f"- the bank's features: computed on {features['device']}, captions in {features['captions']}, "
            f"{features['batch_size']} videos at once"
        )
    yield ""
    yield from files_lines(card)


def data_lines(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a card says of the data, as markdown."""
    yield "## Data"
    yield ""
    corpus = card["corpus"]
    if corpus is not None:
        counts = ", ".join(f"{count:,} {name}" for name, count in corpus["videos"].items())
        yield f"- corpus {code(corpus['label'])}, content {code(corpus['content'])}"
        yield f"- videos: {counts}; split {code(corpus['split'])}"
        yield from (f"- {plain(remark)}" for remark in corpus["remarks"])
    seen = " and ".join(card["trained_on"]) or "unknown"
    yield f"- trained on {seen}: videos of these parts are no test of it"


def files_lines(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a card says of files and versions, as markdown."""
    yield "## Files"
    yield ""
    for name, entry in card["files"].items():
        yield f"- {code(name)}: {entry['bytes']:,} bytes, SHA-256 {code(entry['sha256'])}"
    yield f"- made with {', '.join(f'{name} {version}' for name, version in card['versions'].items())}"
