"""A trained model on disk: weights, bank and card in one folder.

`card.json` is written last and holds the hashes of the other files, so that a half-written folder, or a mixture of two,
is noticed. `README.md` shows the card as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from popbench.errors import UsageError, one_line
from popbench.local import read_json
from popbench_mmra.card_files import CARD as CARD
from popbench_mmra.card_files import check_hashes, files_problem, write_folder

if TYPE_CHECKING:
    from popbench_mmra.bank import Bank
    from popbench_mmra.model import MMRA

WEIGHTS, BANK = "model.safetensors", "bank.safetensors"
SCHEMA = 1
_AGAIN = "train or import it again"

Card = Mapping[str, Any]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())


class _Model(_Strict):
    feature_dim: int = pydantic.Field(ge=1)
    frames: int = pydantic.Field(ge=1, le=10_000)
    alpha: float
    retrieved: int = pydantic.Field(ge=1)


class _Encoder(_Strict):
    model: str = pydantic.Field(min_length=1)
    digest: str | None
    commit: str | None = None


class _Encoders(_Strict):
    visual: _Encoder
    textual: _Encoder
    captioner: _Encoder
    retriever: _Encoder


class _File(_Strict):
    sha256: str
    bytes: int


class _Card(_Strict):
    """The fields of a card that are needed; a card may have more."""

    schema_: Literal[1] = pydantic.Field(alias="schema")
    kind: Literal["mmra"]
    target: Literal["comments", "views", "likes"]
    model: _Model
    trained_on: list[str]
    encoders: _Encoders
    files: dict[str, _File]
    corpus: dict[str, Any] | None
    metrics: dict[str, Any] | None


@dataclass(frozen=True)
class Trained:
    """A model that can score, with its bank and its card."""

    model: MMRA
    bank: Bank
    card: Card


def problem(folder: Path) -> str | None:
    """Return in one line why a folder is no trained model; None if nothing is wrong. It reads only the card."""
    try:
        if not folder.is_dir():
            return f"{folder}: there is no such folder: give the one that `popbench predictor train` or `import` wrote"
    except (OSError, ValueError) as error:
        return f"{folder}: cannot be read ({one_line(error)})"
    if not (folder / CARD).is_file():
        return f"{folder}: the folder holds no {CARD}, so it is no trained MMRA: {_AGAIN}, or give another folder"
    card = read_json(folder / CARD)
    try:
        _Card.model_validate(card)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        return f"{folder / CARD}: not a card of a trained MMRA ({field}: {one_line(first['msg'], 100)}): {_AGAIN}"
    return files_problem(folder, (WEIGHTS, BANK), card["files"], _AGAIN)


def read_card(folder: Path) -> Card:
    """Return a folder's card; raises UsageError with what `problem` returns."""
    wrong = problem(folder)
    if wrong is not None:
        raise UsageError(wrong)
    return read_json(folder / CARD)


def load(folder: Path) -> Trained:
    """Load a trained model; raises UsageError for files that do not belong together."""
    from safetensors.torch import load_file

    from popbench_mmra.bank import read_bank
    from popbench_mmra.model import from_state

    card = read_card(folder)
    try:
        check_hashes(folder, (WEIGHTS, BANK), card["files"], _AGAIN)
        settings = card["model"]
        model = from_state(load_file(folder / WEIGHTS), int(settings["frames"]), float(settings["alpha"]))
        bank = read_bank(folder / BANK)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({one_line(error)})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder}: {one_line(str(error))}") from error
    wrong = bank_mismatch(model, bank, int(settings["retrieved"]))
    if wrong is not None:
        raise UsageError(f"{folder}: {wrong}")
    return Trained(model, bank, card)


def bank_mismatch(model: MMRA, bank: Bank, retrieved: int) -> str | None:
    """Return in a few words why a bank does not fit a model; None if it does."""
    frames, width = bank.visual.shape[1:]
    if width != model.feature_dim:
        return (
            f"the bank's features have {width} numbers and the model's {model.feature_dim}: give the model's own bank"
        )
    if frames != model.frames:
        return f"the bank's videos have {frames} frames and the model takes {model.frames}: give the model's own bank"
    if len(bank) < retrieved:
        return f"the bank holds {len(bank)} videos, and {retrieved} are to be retrieved for each: give a larger bank"
    return None


def save(folder: Path, model: MMRA, bank: Bank, card: Card) -> Card:
    """Write a trained model, the card last; returns the card with the files' hashes. Raises RunError on a full disk."""
    from safetensors.torch import save_file

    from popbench_mmra.bank import write_bank
    from popbench_mmra.card_text import as_markdown

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    files = {WEIGHTS: lambda path: save_file(state, path), BANK: lambda path: write_bank(bank, path)}
    return write_folder(folder, files, {"schema": SCHEMA, "kind": "mmra", **card}, as_markdown)
