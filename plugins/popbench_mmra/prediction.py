"""From features to log2 popularity: look up similar videos in the bank, and ask the model."""

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


def unfit(bank: Bank, visual: Rows, textual: Rows, vectors: Rows) -> str | None:
    """Say in one line that features of some rows are no match for a bank's; None where they are."""
    for option, rows, known in (
        ("visual", visual, bank.visual),
        ("textual", textual, bank.textual),
        ("retriever", vectors, bank.vector),
    ):
        if rows.shape[-1] != known.shape[-1]:
            sizes = f"{rows.shape[-1]} numbers, and the bank holds {known.shape[-1]}"
            return f"{option}: the encoder here gives {sizes}: give the encoder that the bank was made with"
    return None


def inputs(
    bank: Bank,
    visual: NDArray[np.float32],
    textual: NDArray[np.float32],
    places: NDArray[np.int64],
    cosines: NDArray[np.float32],
    device: torch.device,
) -> tuple[Tensor, ...]:
    """Gather what the model takes: of rows (B, F, D) and (B, D), with the places and cosines (B, m) of similar ones."""
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
    """Predict rows (n, F, D) and (n, D) in batches of one size, the last filled up: a row's result is its own."""
    device = next(model.parameters()).device
    found = np.empty(len(visual))
    with torch.inference_mode():
        for start in range(0, len(visual), batch):
            at = np.minimum(np.arange(start, start + batch), len(visual) - 1)
            got = model(*inputs(bank, visual[at], textual[at], places[at], cosines[at], device))
            part = found[start : start + batch]
            part[:] = got[: len(part), 0].double().cpu().numpy()
    return found


def predict(
    trained: Trained, found: Sequence[Features], batch: int, device: torch.device
) -> list[tuple[float, dict[str, float]]]:
    """Return log2 popularity of items, and how far each is from what the model was trained on."""
    if not found:
        return []
    visual, textual, vectors = (
        np.stack([getattr(one, name) for one in found]) for name in ("visual", "textual", "vector")
    )
    model, bank = trained.model.to(device), trained.bank
    wrong = unfit(bank, visual, textual, vectors)
    if wrong is not None:
        raise UsageError(wrong)
    places, cosines = bank.similar(vectors, int(trained.card["model"]["retrieved"]))
    log2 = log2_popularity(model, bank, visual, textual, places, cosines, batch)
    return [
        (float(value), novelty) for value, novelty in zip(log2, bank.novelty.quantiles(visual, textual), strict=True)
    ]
