"""`popbench predictor eval --predictor` from Python: score real videos, and write the card of what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from popbench.cards.card import FILE as CARD
from popbench.cards.card import KIND
from popbench.cards.measure import measure_part
from popbench.cards.text import code, metrics_lines, plain
from popbench.errors import RunError, UsageError, one_line
from popbench.files import read_json, refuse_url, write_whole
from popbench.interfaces import PairwisePredictor
from popbench.interfaces.models import is_real
from popbench.measuring import scoring
from popbench.measuring.scoring import Answers
from popbench.measuring.videos import FEWEST, HeldOut, Video, choose
from popbench.planning.systems import Part, as_part
from popbench.progress import Progress
from popbench.registry import load_registry
from popbench.text import counted
from popbench.versions import package_versions

FLAT = "the mean of these videos"
"""What a measured predictor is compared with."""
_SCHEMA = 1
_PACKAGES = ("python", "popbench", "numpy", "scipy")
_TITLE = "real videos have no prompt of a user: their titles stand for it"


def measure_predictor(
    spec: str, held: HeldOut, out: Path, *, limit: int | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure a predictor on real videos and write its card to `out`; returns the card.

    What is scored already is not asked again, also by another part, limit or corpus.

    Raises:
        UsageError: the predictor or the corpus is no good, or `out` holds something else; nothing was done.
        RunError: the predictor ended early, scored too few videos, or the disk refused. Scores are kept.
    """
    progress = progress or Progress()
    registry = load_registry()
    predictor = as_part(registry.resolve("predictor", spec))
    if isinstance(predictor.resolved.component, PairwisePredictor):
        raise UsageError(
            f"predictor {predictor.label} compares clips of one prompt and has no score of a single video, so it "
            "has no card: name a predictor that scores clips one by one"
        )
    refuse_other(out, predictor)
    videos, remarks = choose(held, predictor, limit)
    for line in remarks:
        progress.notice(line)
    engine = registry.resolve("engine", "local")
    out.mkdir(parents=True, exist_ok=True)
    answers = scoring.ask(predictor, engine, (video.request for video in videos), out / scoring.FILE, progress)
    measured = [video for video in videos if video.request.id in answers.scores]
    if len(measured) < FEWEST:
        first = next(iter((*answers.errors.values(), *answers.refused.values())), "")
        raise RunError(
            f"predictor {predictor.label} scored {counted(len(measured), 'video')} of {len(videos):,}, at least "
            f"{FEWEST} are needed ({one_line(first, 200)}): the same command tries again what was not refused"
        )
    card = _card(predictor, held, videos, measured, answers, remarks)
    try:
        write_whole(out / "README.md", as_markdown(card).encode("utf-8", "replace"))
        write_whole(out / CARD, (json.dumps(card, indent=1, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise RunError(f"{out}: the card cannot be written ({one_line(error)}): free space and run it again") from error
    return card


def refuse_other(out: Path, predictor: Part) -> None:
    """Raise UsageError if a folder holds the card of another predictor, or other files, which would be overwritten."""
    refuse_url("--out", out)
    if not (out / CARD).exists():
        # A kill may have left scores, and a README.md beside them.
        others = (
            []
            if (out / scoring.FILE).exists()
            else [name for name in ("README.md", "run.json") if (out / name).exists()]
        )
        if others:
            raise UsageError(f"{out} holds other files ({others[0]}), and no card: choose another --out")
        return
    try:
        card = read_json(out / CARD)
        kind, digest = card["kind"], card.get("predictor", {}).get("digest")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        kind = digest = None
    if (kind, digest) != (KIND, predictor.digest):
        raise UsageError(f"{out} holds another card, or that of another predictor: choose another --out")


def _card(
    predictor: Part,
    held: HeldOut,
    videos: Sequence[Video],
    measured: Sequence[Video],
    answers: Answers,
    remarks: Sequence[str],
) -> dict[str, Any]:
    component = predictor.resolved.component
    real = is_real(component)
    scores = np.array([answers.scores[video.request.id] for video in measured])
    target = np.array([video.log2 for video in measured])
    predicted = scores if real else np.log2(scores)
    tags = [video.tag for video in measured]
    metrics = measure_part(held.part, predicted, target, float(target.mean()), tags, real=real)
    refused = sum(video.request.id in answers.refused for video in videos)
    failed = len(videos) - len(measured) - refused
    told = list(remarks)
    if seen := [part for part in held.parts if part in component.trained_on()]:
        told.append(f"the predictor was trained on {' and '.join(seen)}: these numbers are too favourable")
    if refused:
        told.append(f"{refused:,} of {counted(len(videos), 'video')} had no score by refusal, and are left out")
    if failed:
        told.append(f"{failed:,} of {counted(len(videos), 'video')} had no score by an error, and are left out")
    if "prompt" in predictor.uses:
        told.append(_TITLE)
    return {
        "schema": _SCHEMA,
        "kind": KIND,
        "target": held.target,
        **({"demo": True} if held.corpus.demo or component.demo else {}),
        "predictor": {
            "label": predictor.label,
            "digest": predictor.digest,
            "unit": component.unit,
            "scale": "real" if real else "positive",
            "uses": sorted(predictor.uses),
        },
        "corpus": {
            "spec": held.spec,
            "name": held.name,
            "label": held.label,
            "content": held.corpus.content(),
            "videos": {held.part: len(measured)},
            "parts": {held.part: _digest(measured)},
            "remarks": list(held.corpus.remarks()),
        },
        "metrics": {**metrics, "refused": refused, "errors": failed, **({"remarks": told} if told else {})},
        "usage": dict(answers.usage),
        "cost": predictor.cost(answers.usage) if answers.usage else None,
        "versions": {name: version for name, version in package_versions().items() if name in _PACKAGES},
    }


def _digest(videos: Sequence[Video]) -> str:
    """Return a digest of videos and their counts, which does not depend on their order."""
    lines = sorted(f"{video.id} {video.log2!r}" for video in videos)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def as_markdown(card: Mapping[str, Any]) -> str:
    """Return a card as markdown."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    predictor, corpus, metrics = card["predictor"], card["corpus"], card["metrics"]
    yield f"# How far {plain(predictor['label'])} predicts {card['target']}"
    yield ""
    yield "To give runs this card: `--predictor NAME,...,card=FOLDER`. Scores do not depend on it."
    yield ""
    yield from metrics_lines(metrics, FLAT)
    yield "## Data"
    yield ""
    yield f"- corpus {code(corpus['label'])}, content {code(corpus['content'])}, part {metrics['part']}"
    yield from (f"- {plain(remark)}" for remark in (*corpus["remarks"], *metrics.get("remarks", [])))
    yield f"- predictor {code(predictor['label'])}, fingerprint {code(predictor['digest'])}"
    yield f"- made with {', '.join(f'{name} {version}' for name, version in card['versions'].items())}"
