"""Stores models and data sets in a folder as the hub's client does, so that the real loading code finds them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def empty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set an empty cache for the hub's client, and make the hub unreachable."""
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def model(cache: Path, name: str, source: Path, commit: str = COMMIT, *, link: bool = False) -> Path:
    """Store a model's folder, as a copy or a link; return its snapshot."""
    root = _root(cache, "models", name, commit)
    snapshot = root / "snapshots" / commit
    if link:
        snapshot.symlink_to(source, target_is_directory=True)
    else:
        shutil.copytree(source, snapshot)
    return snapshot


def data_set(
    cache: Path, name: str, rows: Sequence[Mapping[str, Any]], commit: str = COMMIT, form: str = "parquet"
) -> Path:
    """Store a data set of one file as a blob and a snapshot that links to it; return the link."""
    import pandas as pd

    root = _root(cache, "datasets", name, commit)
    for folder in (root / "blobs", root / "snapshots" / commit / "data"):
        folder.mkdir(parents=True, exist_ok=True)
    blob = root / "blobs" / f"{commit}{form}"
    frame = pd.DataFrame(list(rows))
    if form == "parquet":
        frame.to_parquet(blob)
    elif form == "csv":
        frame.to_csv(blob, index=False)
    else:
        frame.to_json(blob, orient="records", lines=True)
    file = root / "snapshots" / commit / "data" / f"train-00000-of-00001.{form}"
    file.unlink(missing_ok=True)
    file.symlink_to(blob)
    return file


def _root(cache: Path, kind: str, name: str, commit: str) -> Path:
    root = cache / f"{kind}--{name.replace('/', '--')}"
    for folder in (root / "refs", root / "snapshots"):
        folder.mkdir(parents=True, exist_ok=True)
    (root / "refs" / "main").write_text(commit)
    return root
