"""Trains the demonstration predictor: `python -m popbench_baselines.train_predictor [--out FILE]`.

It paints every caption of the demo corpus with `kinetic`, and fits the comments. It uses one thread and one seed, so
that it can be repeated; the last bits may differ between kinds of processors.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import popbench
from popbench.video import read_frames, write_mp4
from popbench_baselines import features
from popbench_baselines.corpus import DemoCorpus
from popbench_baselines.kinetic import Kinetic
from popbench_baselines.predictor import WEIGHTS, forward

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SEED = 7
PAINT_SEEDS = (1, 2)
"""Seeds with which every training caption is painted: what the words do not decide differs between them."""


def paint(rows: Sequence[popbench.Reference], seed: int, folder: Path | None = None) -> NDArray[np.float32]:
    """Return the features of every row's clip: of its frames, or with a folder, of the frames read from an mp4."""
    requests = [popbench.VideoRequest(row.id, row.caption, seed) for row in rows]
    inputs = []
    for row, clip in zip(rows, Kinetic().generate(requests), strict=True):
        assert isinstance(clip, popbench.Clip), clip
        assert clip.frames is not None
        assert clip.fps is not None
        chosen = np.linspace(0, len(clip.frames) - 1, features.FRAMES).round().astype(int)
        frames = clip.frames[chosen]
        if folder is not None:
            path = folder / f"{row.id}.mp4"
            write_mp4(clip.frames, clip.fps, path)
            frames = read_frames(path, features.FRAMES)
            path.unlink()
        inputs.append(features.features(row.title, frames))
    return np.stack(inputs)


def log2(rows: Sequence[popbench.Reference]) -> NDArray[np.float32]:
    """Return the targets."""
    return np.log2(np.array([row.popularity for row in rows], np.float32))


def fit(inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, Tensor]:
    """Fit the model by AdamW on all rows at once, with strong decay because there are few."""
    import torch

    torch.manual_seed(SEED)
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    width, hidden = inputs.shape[1], 16
    fixed = {"centre": x.mean(0), "spread": x.std(0) + 0.05, "mean": y.mean()}
    learnt = {
        "straight": torch.zeros(width, requires_grad=True),
        "inner": (torch.randn(width, hidden) * 0.05).requires_grad_(),
        "inner_bias": torch.zeros(hidden, requires_grad=True),
        "outer": (torch.randn(hidden) * 0.1).requires_grad_(),
    }
    optimizer = torch.optim.AdamW(learnt.values(), lr=0.01, weight_decay=0.6)
    for _ in range(300):
        optimizer.zero_grad()
        noisy = x + 0.15 * torch.randn_like(x) * fixed["spread"]
        loss = (forward({**fixed, **learnt}, noisy) - y).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        optimizer.step()
    return {name: value.detach().clone() for name, value in {**fixed, **learnt}.items()}


def main(arguments: list[str] | None = None) -> None:
    """Train, print the errors on rows that were held out, and write the weights."""

    parser = argparse.ArgumentParser(description="Train the demonstration predictor.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help=f"default: {WEIGHTS}")
    out: Path = parser.parse_args(arguments).out

    import torch
    from safetensors.torch import save
    from scipy.stats import spearmanr

    start = time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train = list(DemoCorpus().rows("train"))
        inputs = np.concatenate([paint(train, seed) for seed in PAINT_SEEDS])
        weights = fit(inputs, np.tile(log2(train), len(PAINT_SEEDS)))
        with tempfile.TemporaryDirectory() as folder:
            for part in ("valid", "test"):
                rows = list(DemoCorpus().rows(part))
                seen = torch.from_numpy(paint(rows, PAINT_SEEDS[-1] + 1, Path(folder)))
                error = forward(weights, seen).numpy() - log2(rows)
                flat = np.abs(log2(rows) - log2(train).mean()).mean()
                rank = spearmanr(error + log2(rows), log2(rows)).statistic
                print(f"{part}: MAE {np.abs(error).mean():.3f} (mean alone {flat:.3f}), SRC {rank:.3f}")
    finally:
        torch.set_num_threads(threads)
    out.write_bytes(save(weights, metadata={"corpus": DemoCorpus().content()}))
    print(f"wrote {out} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
