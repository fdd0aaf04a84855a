"""Predicts log2 popularity from features: it looks up similar videos in the bank and runs the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from popbench.errors import UsageError
from popbench_mmra.bank import Bank
from popbench_mmra.features import Features
from popbench_mmra.folder import Trained
from popbench_mmra.model import MMRA

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Rows = NDArray[np.float32]


def features_mismatch(bank: Bank, visual: Rows, textual: Rows, vectors: Rows) -> str | None:
    """Return one line if the widths of features differ from the bank's; None if they are equal."""
    for option, rows, bank_rows in (
        ("visual", visual, bank.visual),
        ("textual", textual, bank.textual),
        ("retriever", vectors, bank.vector),
    ):
        if rows.shape[-1] != bank_rows.shape[-1]:
            sizes = f"{rows.shape[-1]} numbers, and the bank holds {bank_rows.shape[-1]}"
            return f"{option}: the encoder here gives {sizes}: give the encoder that the bank was made with"
    return None


def model_inputs(
    bank: Bank,
    visual: NDArray[np.float32],
    textual: NDArray[np.float32],
    places: NDArray[np.int64],
    cosines: NDArray[np.float32],
    device: torch.device,
) -> tuple[Tensor, ...]:
    """Return the model's inputs for rows (B, F, D) and (B, D), given indices and cosines (B, m) of similar videos."""
    rows = (
        visual,
        textual[:, None],
        cosines,
        bank.visual[places],
        bank.textual[places],
        bank.target[places][..., None],
    )
    return tuple(torch.from_numpy(np.ascontiguousarray(row, np.float32)).to(device) for row in rows)


def log2_popularity(
    model: MMRA,
    bank: Bank,
    visual: NDArray[np.float32],
    textual: NDArray[np.float32],
    places: NDArray[np.int64],
    cosines: NDArray[np.float32],
    batch: int,
) -> NDArray[np.float64]:
    """Predict rows (n, F, D) and (n, D).

    All batches have one size, the last is filled up, so that the result of a row does not depend on the others.
    """
    device = next(model.parameters()).device
    predicted = np.empty(len(visual))
    with torch.inference_mode():
        for start in range(0, len(visual), batch):
            indices = np.minimum(np.arange(start, start + batch), len(visual) - 1)
            got = model(
                *model_inputs(bank, visual[indices], textual[indices], places[indices], cosines[indices], device)
            )
            rows = predicted[start : start + batch]
            rows[:] = got[: len(rows), 0].double().cpu().numpy()
    return predicted


def predict(
    trained: Trained, features: Sequence[Features], batch: int, device: torch.device
) -> list[tuple[float, dict[str, float]]]:
    """Return items' log2 popularity, and how far each is from the videos that the model was trained on."""
    if not features:
        return []
    visual, textual, vectors = (
        np.stack([getattr(item, name) for item in features]) for name in ("visual", "textual", "vector")
    )
    model, bank = trained.model.to(device), trained.bank
    wrong = features_mismatch(bank, visual, textual, vectors)
    if wrong is not None:
        raise UsageError(wrong)
    places, cosines = bank.similar(vectors, int(trained.card["model"]["retrieved"]))
    log2 = log2_popularity(model, bank, visual, textual, places, cosines, batch)
    return [
        (float(value), novelty) for value, novelty in zip(log2, bank.novelty.quantiles(visual, textual), strict=True)
    ]
