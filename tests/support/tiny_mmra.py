"""Helpers of MMRA's tests: a made-up corpus, a model trained on it, and options that name tiny encoders."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

import made_corpus
import tiny_encoders
from popbench.progress import Progress
from popbench_mmra.bank import Bank
from popbench_mmra.corpora import Source, find_source
from popbench_mmra.encoders import Encoder, find_encoders
from popbench_mmra.features import Extractor
from popbench_mmra.folder import CARD, WEIGHTS, Card
from popbench_mmra.settings import Machine, Settings
from popbench_mmra.workflows import train

VIDEOS, NOISE = 400, 0.2
SETTINGS = Settings(learning_rate=1e-3, batch_size=16, epochs=60)
"""Those of the paper need a hundred times the data; the tiny model learns in seconds with these."""
QUICK = Settings(learning_rate=1e-3, batch_size=16, epochs=3, retrieved=3)


def corpus(videos: int = VIDEOS) -> tuple[Path, Path]:
    """Return the table and the folder of videos of a made-up corpus, written once per process."""
    return _written(videos)


@cache
def _written(videos: int) -> tuple[Path, Path]:
    at = tiny_encoders.root() / f"made-{videos}"
    return made_corpus.write(at, made_corpus.draw(videos), NOISE)


def source(videos: int = VIDEOS) -> Source:
    """Return that corpus."""
    table, clips = corpus(videos)
    return find_source(made_corpus.spec(table), clips, "comments")


def encoders(**changes: str) -> dict[str, Encoder]:
    """Return the tiny encoders."""
    return find_encoders({**tiny_encoders.encoders(), **changes})


def flags() -> list[str]:
    """Return the options of a command that name the tiny encoders."""
    return [word for name, folder in tiny_encoders.encoders().items() for word in (f"--{name}", folder)]


def trained_into(
    folder: Path, settings: Settings = QUICK, videos: int = 40, progress: Progress | None = None, **machine: Any
) -> Card:
    """Train on a made-up corpus, as the command does."""
    found = encoders()
    extractor = Extractor(found, 10, Machine(device="cpu", **machine))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return train(source(videos), found, extractor, settings, "comments", folder, progress or Progress())
    finally:
        extractor.close()


@cache
def _kept(settings: Settings, videos: int) -> Path:
    folder = tiny_encoders.root() / f"mmra-{videos}-{settings.epochs}"
    trained_into(folder, settings, videos)
    return folder


def model(folder: Path | None = None, *, good: bool = False) -> Path:
    """Return a trained model, made once per process and copied to `folder`: a good one, or one of a few epochs."""
    kept = _kept(SETTINGS, VIDEOS) if good else _kept(QUICK, 40)
    return kept if folder is None else Path(shutil.copytree(kept, folder))


def weights(folder: Path) -> bytes:
    """Return the bytes of a model's weights."""
    return (folder / WEIGHTS).read_bytes()


def card(folder: Path) -> dict[str, Any]:
    """Return a model's card."""
    found: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    return found


def as_parquet(made: Bank, path: Path, **changes: Any) -> Path:
    import pandas as pd

    columns: dict[str, Any] = {
        "id": made.ids,
        "visual": made.visual.tolist(),
        "textual": made.textual.tolist(),
        "vector": made.vector.tolist(),
        "target": made.target.tolist(),
    }
    columns = {name: value for name, value in {**columns, **changes}.items() if value is not None}
    pd.DataFrame(columns).to_parquet(path)
    return path


BRANCH = (
    "visual_embedding", "textual_embedding", "dual_attention_linear_1", "dual_attention_linear_2",
    "cross_modal_linear_1", "cross_modal_linear_2", "uni_modal_linear_1", "uni_modal_linear_2",
)  # fmt: skip


def written_out(model: Any, visual: Any, textual: Any, similarity: Any, *near: Any) -> Any:
    """Compute the model's forward pass in torch, batched, by the formulas of the paper, for the benchmark."""
    lin = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    d = visual.shape[2]

    def branch(prefix: str, v: Any, t: Any) -> tuple[Any, Any]:
        ve, te = torch.tanh(lin[prefix + BRANCH[0]](v)), torch.tanh(lin[prefix + BRANCH[1]](t))
        s = ve @ te.transpose(1, 2) / d
        p, q = functional.softmax(s, 1), functional.softmax(s.transpose(1, 2), 1)
        t_star = torch.tanh(lin[prefix + BRANCH[2]](torch.cat([p @ t, -model.alpha * (p @ t)], 2)))
        v_star = torch.tanh(lin[prefix + BRANCH[3]](torch.cat([q @ v, -model.alpha * (q @ v)], 2)))
        vf = torch.tanh(lin[prefix + BRANCH[4]](torch.cat([v, t_star], 2)))
        tf = torch.tanh(lin[prefix + BRANCH[5]](torch.cat([t, v_star], 2)))
        pooled = [
            (functional.softmax(lin[prefix + name](x) / d, 1).transpose(1, 2) @ x).squeeze(1)
            for name, x in ((BRANCH[6], vf), (BRANCH[7], tf))
        ]
        return pooled[0], pooled[1]

    v, t = branch("", visual, textual)
    w = functional.softmax(similarity, 1)
    near_v = (near[0] * w[:, :, None, None]).sum(1)
    near_t = (near[1] * w[:, :, None]).sum(1, keepdim=True)
    rv, rt = branch("retrieval_", near_v, near_t)
    label = torch.relu(lin["label_embedding_linear"]((near[2] * w[:, :, None]).sum(1)))
    return model.prediction_module(torch.cat([t, v, rt, rv, v * rv, v * rt, t * rv, t * rt, v * label, t * label], 1))
