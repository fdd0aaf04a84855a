"""A trained model on disk: weights, bank and card in one folder.

`card.json` is written last and holds the hashes of the other files, so that a half-written folder, or a mixture of two,
is noticed. `README.md` shows the card as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from popbench.errors import RunError, UsageError, one_line
from popbench.local import read_json
from popbench.video import sha256

if TYPE_CHECKING:
    from popbench_mmra.bank import Bank
    from popbench_mmra.model import MMRA

CARD, WEIGHTS, BANK, README = "card.json", "model.safetensors", "bank.safetensors", "README.md"
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
    for name in (WEIGHTS, BANK):
        entry = card["files"].get(name, {})
        try:
            size = (folder / name).stat().st_size
        except OSError:
            return f"{folder}: the folder lacks {name}: copy it from where it was made, or {_AGAIN}"
        if size != entry.get("bytes"):
            wanted = f"{entry.get('bytes'):,}" if isinstance(entry.get("bytes"), int) else "unknown"
            return f"{folder / name}: {size:,} bytes, and {wanted} by its card: copy it again, or {_AGAIN}"
    return None


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
        for name in (WEIGHTS, BANK):
            if sha256(folder / name) != card["files"][name]["sha256"]:
                raise UsageError(f"{folder / name}: not the file that its card describes: copy it again, or {_AGAIN}")
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
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from popbench_mmra.bank import write_bank
    from popbench_mmra.card_text import as_markdown

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    partial = folder / ".part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {}
        partial.write_text("", encoding="utf-8")
        mode = partial.stat().st_mode & 0o777  # the user's usual permissions, which safetensors ignores
        for name, write in ((WEIGHTS, lambda: save_file(state, partial)), (BANK, lambda: write_bank(bank, partial))):
            write()
            partial.chmod(mode)
            files[name] = {"sha256": sha256(partial), "bytes": partial.stat().st_size}
            partial.replace(folder / name)
        whole = {"schema": SCHEMA, "kind": "mmra", **card, "files": files}
        for name, text in (
            (README, as_markdown(whole)),
            (CARD, json.dumps(whole, indent=1, allow_nan=False) + "\n"),
        ):
            partial.write_text(text, encoding="utf-8", errors="replace")  # paths need not be UTF-8
            partial.replace(folder / name)
    except (OSError, SafetensorError) as error:  # the latter for a full disk too
        raise RunError(
            f"{folder}: the model cannot be written ({one_line(error)}): free space and run it again"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return whole
