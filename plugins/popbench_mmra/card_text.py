"""Writes the card of a trained model as markdown, and its quality as one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from popbench.records import JSON
from popbench_mmra.encoders import ROLES

METRICS: Mapping[str, str] = {
    "mae": "MAE, log2",
    "nmse": "nMSE",
    "src": "SRC",
}
"""Metrics and their names in tables: mean absolute error, normalized squared error, Spearman's correlation."""


def quality(card: Mapping[str, Any]) -> str:
    """Return one sentence on how well a model predicts, for boards. Any card gives a sentence; nothing is raised."""
    try:
        metrics = card["metrics"]
        if metrics is None:
            return "not measured, so nothing is known of how well it predicts"
        model, flat = metrics["model"], metrics["mean"]
        text = f"SRC {metric(model['src'], 2)} on {model['n']:,} videos of part {_plain(str(metrics['part']))}"
        if not model["mae"]["value"] < flat["mae"]["value"]:
            text += "; it predicts no better than the mean of its bank, so its scores say next to nothing"
    except (KeyError, TypeError, ValueError, AttributeError):
        return "its card does not say how well it predicts"
    return text


def metric(values: Mapping[str, JSON], digits: int = 3) -> str:
    """Return a metric with its interval as text: `0.612 [0.580, 0.641]`."""
    if values["value"] is None:
        return "–"
    return f"{values['value']:.{digits}f} [{values['low']:.{digits}f}, {values['high']:.{digits}f}]"


def as_markdown(card: Mapping[str, Any]) -> str:
    """Return a card as markdown."""
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
    for name, entry in card["encoders"].items():
        weights = f"weights {_code(entry['digest'])}" if entry["digest"] else "weights unknown"
        yield f"- {name}, {ROLES[name].does}: {_code(entry['model'])}, {weights}"
    features = card.get("features")
    if features is not None:
        yield (
            f"- the bank's features: computed on {features['device']}, captions in {features['captions']}, "
            f"{features['batch_size']} videos at once"
        )
    yield ""
    yield "## Files"
    yield ""
    for name, entry in card["files"].items():
        yield f"- {_code(name)}: {entry['bytes']:,} bytes, SHA-256 {_code(entry['sha256'])}"
    yield f"- made with {', '.join(f'{name} {version}' for name, version in card['versions'].items())}"


def _metrics(card: Mapping[str, Any]) -> Iterator[str]:
    metrics = card.get("metrics")
    if not metrics:
        yield "**Not measured**: nothing is known of how well it predicts (`popbench predictor eval` measures it)."
        yield ""
        return
    model, flat = metrics["model"], metrics["mean"]
    yield f"| on {model['n']:,} videos of part {metrics['part']} | this model | the mean of its bank |"
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
