"""A trained predictor as a model of the Hugging Face hub: its weights and its card, with a header for the hub.

A predictor's folder has a card, card.json, which holds the hashes of the other files under `files`, and the same for
readers in README.md. Nothing else of the folder is pushed, and no path of this machine.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from popbench.errors import RunError, UsageError, damage, one_line
from popbench.files import read_json, read_text, sha256
from popbench.publishing.hub import Repository, version_of
from popbench.records import JSON
from popbench.runs.redaction import public, public_text

CARD, README = "card.json", "README.md"
_METRICS = {"src": ("spearmanr", "SRC"), "mae": ("mae", "MAE, log2"), "nmse": ("nmse", "nMSE")}
"""Metrics of a card by their names in it: the hub's type, and the name that is shown."""


def push_predictor(folder: Path, to: Repository) -> str:
    """Push a predictor's folder; returns a line that says where it is now.

    Raises UsageError if the folder is no predictor's or is damaged, RunError if the hub or a disk refuses.
    """
    card, files = _read(folder)
    to.ready("push")
    with tempfile.TemporaryDirectory(prefix="popbench-hub-") as name:
        made = Path(name)
        try:
            for file in files:
                (made / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / file, made / file)
            (made / CARD).write_text(json.dumps(_public(card), indent=1, allow_nan=False) + "\n", encoding="utf-8")
            tag = to.tag or version_of(made)
            lines = [public_text(line) for line in read_text(folder / README).splitlines()]
            (made / README).write_text(_page(card, lines, to, tag), encoding="utf-8")
        except OSError as error:
            raise RunError(f"{folder} cannot be pushed: {one_line(error)}") from error
        to.push(made, f"Predictor of popbench: {tag}", [CARD, *files], f"{folder} is as it was")
    return f"model {to.id}: {', '.join([CARD, *files])}; version {tag}"


def _read(folder: Path) -> tuple[Mapping[str, Any], list[str]]:
    """Return a folder's card, and the names of the files that it holds the hashes of."""
    try:
        card = read_json(folder / CARD)
        files = {name: str(entry["sha256"]) for name, entry in card["files"].items()}
        kind = card["kind"]
        if not files or not isinstance(kind, str) or not (folder / README).is_file():
            raise ValueError("the kind, files or README.md are missing")
    except FileNotFoundError as error:
        raise UsageError(f"{folder}: no trained predictor ({CARD} is missing): give the folder of one") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{folder}: its {CARD} cannot be used ({damage(error)})") from error
    for name, digest in files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts or not path.is_file() or sha256(path) != digest:
            raise UsageError(f"{path}: not the file that its card describes: copy it again, or train it again")
    return card, list(files)


def _public(value: JSON) -> JSON:
    """Return a card without paths and credentials; unlike a setting's, a `key` of it is a hash."""
    if isinstance(value, Mapping):
        return {name: _public(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_public(item) for item in value]
    return public(value)


def _page(card: Mapping[str, Any], lines: list[str], to: Repository, tag: str) -> str:
    """Return the model's page: a header for the hub, the card for readers, and how to get it."""
    header: dict[str, JSON] = {
        **to.terms,
        "library_name": "popbench",
        "tags": ["popbench", "popularity-prediction", "regression", str(card["kind"])],
        **_results(card, to.id),
    }
    get = f"## Get it\n\n```sh\nhf download {to.id} --revision {tag} --local-dir {to.id.rpartition('/')[2]}\n```\n"
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n" + "\n".join([*lines, "", get])


def _results(card: Mapping[str, Any], repo_id: str) -> dict[str, JSON]:
    """Return what was measured, as the hub reads it; nothing where nothing was."""
    try:
        measured = card["metrics"]["model"]
        of = f"{card['corpus']['name']}/" if card.get("corpus") else ""
        data = f"{of}{card['metrics']['part']}"
        metrics = [
            {"type": kind, "name": shown, "value": float(measured[name]["value"])}
            for name, (kind, shown) in _METRICS.items()
            if name in measured and measured[name]["value"] is not None
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    task = {"type": "popularity-prediction", "name": f"Popularity in {card.get('target', 'numbers')}"}
    results = [{"task": task, "dataset": {"type": "popbench", "name": public_text(data)}, "metrics": metrics}]
    return {"model-index": [{"name": repo_id.rpartition("/")[2], "results": results}]} if metrics else {}
