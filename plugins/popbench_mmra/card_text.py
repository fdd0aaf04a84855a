"""The card of a trained model for people: as markdown, and its quality in a sentence."""

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
"""What is measured, with the names it is shown under: mean absolute error, normalized squared error, Spearman."""


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
