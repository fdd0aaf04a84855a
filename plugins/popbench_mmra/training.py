"""Trains MMRA as its paper does: mean squared error of log2 popularity, Adam, early stopping.

The state is saved beside the model at intervals. A training that starts again with the same data and settings goes on
from there and ends with the same weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from popbench.cards import errors
from popbench.errors import RunError, one_line
from popbench.keys import digest
from popbench.progress import Progress
from popbench_mmra.bank import Bank
from popbench_mmra.dataset import Part
from popbench_mmra.model import MMRA
from popbench_mmra.prediction import log2_popularity, model_inputs
from popbench_mmra.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAVE_EVERY = 20.0
"""Seconds between two saved states. It is not less because a state is four times the size of the model."""
_VALIDATION_ROWS = 256
"""Rows that are predicted at once for validation."""


@dataclass(frozen=True, slots=True)
class RetrievedPart:
    """A part of the data as arrays, with the similar videos of each item: indices in the bank and cosines, (n, m)."""

    visual: NDArray[np.float32]
    textual: NDArray[np.float32]
    log2: NDArray[np.float64]
    places: NDArray[np.int64]
    cosines: NDArray[np.float32]

    def predicted(self, model: MMRA, bank: Bank) -> NDArray[np.float64]:
        """Return a model's predictions, (n,)."""
        return log2_popularity(model, bank, self.visual, self.textual, self.places, self.cosines, _VALIDATION_ROWS)


def look_up(part: Part, bank: Bank, retrieved: int) -> RetrievedPart:
    """Find the similar videos of a part's items, except the item itself. Raises ValueError for too small a bank."""

    places, cosines = bank.similar(part.stacked("vector"), retrieved, part.ids)
    return RetrievedPart(part.stacked("visual"), part.stacked("textual"), part.log2, places, cosines)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model in the state of the best epoch, with that epoch's number and the metrics of all epochs."""

    model: MMRA
    best_epoch: int
    history: list[dict[str, float]]


def identify(settings: Settings, data: str, device: torch.device) -> str:
    """Return the key of a training: a hash of its settings, its data, and the kind of device."""
    return digest(asdict(settings), data, device.type)


def fit(
    train: RetrievedPart,
    valid: RetrievedPart,
    bank: Bank,
    settings: Settings,
    device: torch.device,
    kept: Path,
    key: str,
    progress: Progress,
) -> Fitted:
    """Train until the validation part's MAE + nMSE has not improved for `patience` epochs; return the best epoch.

    `kept` is the file of the saved state; the training goes on from it if it has the same `key`.
    Raises RunError if no epoch predicts finite numbers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = MMRA(bank.visual.shape[2], bank.visual.shape[1], settings.alpha).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    best, history = _copied(model), list[dict[str, float]]()
    state = _read(kept, key)
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        best, history = state["best"], state["history"]
    saved = time.monotonic()
    progress.stage("train, epochs", settings.epochs, len(history))
    reached: dict[str, Any] | None = None
    try:
        while len(history) < settings.epochs and not _is_over(history, settings.patience):
            loss = _epoch(model, optimizer, train, bank, settings, len(history), device)
            mae, nmse = errors(valid.predicted(model.eval(), bank), valid.log2)
            history.append({"loss": loss, "mae": mae, "nmse": nmse})
            if _best(history) == len(history) - 1:
                best = _copied(model)
            reached = {
                "key": key, "model": _copied(model), "optimizer": deepcopy(optimizer.state_dict()), "best": best,
                "history": list(history),
            }  # fmt: skip
            if time.monotonic() - saved >= _SAVE_EVERY:
                _write(kept, reached, progress)
                saved = time.monotonic()
            progress.advance()
    except KeyboardInterrupt:
        if reached is not None:
            _write(kept, reached, progress)
        raise
    if len(history) < settings.epochs:
        progress.notice(f"stopped after epoch {len(history)}: none was better than epoch {_best(history) + 1}")
    elif _best(history) == len(history) - 1:
        progress.notice("the last epoch was the best one: more --epochs, or a larger --learning-rate, may do better")
    if not np.isfinite(_score(history[_best(history)])):
        kept.unlink(missing_ok=True)
        raise RunError("the training diverged: no epoch predicts finite numbers: take a smaller --learning-rate")
    model.load_state_dict(best)
    return Fitted(model.eval(), _best(history) + 1, history)


def _epoch(
    model: MMRA, optimizer: Any, train: RetrievedPart, bank: Bank, settings: Settings, number: int, device: torch.device
) -> float:
    """Train for one epoch, in an order that depends only on seed and epoch number; return the mean loss."""
    model.train()
    order = np.random.default_rng([settings.seed, number]).permutation(len(train.log2))
    total = 0.0
    for start in range(0, len(order), settings.batch_size):
        rows = order[start : start + settings.batch_size]
        inputs = model_inputs(
            bank, train.visual[rows], train.textual[rows], train.places[rows], train.cosines[rows], device
        )
        target = torch.from_numpy(train.log2[rows].astype(np.float32)).to(device)
        loss = (model(*inputs)[:, 0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(order)


def _best(history: list[dict[str, float]]) -> int:
    """Return the epoch, from 0, with the lowest MAE + nMSE; the first of equals."""
    scores = [_score(epoch) for epoch in history]
    return scores.index(min(scores))


def _score(epoch: dict[str, float]) -> float:
    """Return MAE + nMSE, or MAE alone if all targets are equal; infinity for an epoch that diverged."""
    score = epoch["mae"] + (epoch["nmse"] if np.isfinite(epoch["nmse"]) else 0.0)
    return score if np.isfinite(score) else float("inf")


def _is_over(history: list[dict[str, float]], patience: int) -> bool:
    return bool(history) and len(history) - 1 - _best(history) >= patience


def _copied(model: MMRA) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _read(kept: Path, key: str) -> dict[str, Any] | None:
    """Return the saved state of a training with the same data and settings; None if there is none."""
    try:
        state = torch.load(kept, weights_only=True, map_location="cpu")
    except Exception:  # missing or damaged: training starts again
        return None
    return state if isinstance(state, dict) and state.get("key") == key else None


def _write(kept: Path, state: dict[str, Any], progress: Progress) -> None:
    """Save a state. A full disk is reported and does not end the training."""
    partial = kept.with_name(f"{kept.name}.part")
    write: Callable[..., None] = torch.save
    try:
        write(state, partial)
        partial.replace(kept)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
        progress.problem(
            f"{kept}: cannot be kept ({one_line(error, 100)}): an interruption would begin anew; free space"
        )
    finally:
        partial.unlink(missing_ok=True)
