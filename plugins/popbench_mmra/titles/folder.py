"""A trained `titles` on disk: weights, card and README in one folder. Nothing in it is run when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from popbench.cards import code, metrics_lines
from popbench.errors import UsageError, one_line
from popbench.local import read_json
from popbench_mmra.card_files import CARD as CARD
from popbench_mmra.card_files import check_hashes, files_problem, kind_of, write_folder
from popbench_mmra.card_text import FLAT, data_lines, files_lines

if TYPE_CHECKING:
    from popbench_mmra.titles.ridge import Ridge

KIND = "titles"
WEIGHTS = "model.safetensors"
_SCHEMA = 1
_AGAIN = "train it again"

Card = Mapping[str, Any]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())


class _Model(_Strict):
    width: int = pydantic.Field(ge=1)


class _Embedder(_Strict):
    spec: str = pydantic.Field(min_length=1)
    digest: str = pydantic.Field(min_length=1)


class _Corpus(_Strict):
    spec: str = pydantic.Field(min_length=1)
    name: str
    parts: dict[str, str]


class _Training(_Strict):
    key: str
    hold_out: float | None = pydantic.Field(gt=0, lt=1)


class _File(_Strict):
    sha256: str
    bytes: int


class _Card(_Strict):
    """The fields of a card that are needed; a card may have more."""

    schema_: Literal[1] = pydantic.Field(alias="schema")
    kind: Literal["titles"]
    target: Literal["comments", "views", "likes"]
    model: _Model
    trained_on: list[str]
    embedder: _Embedder
    files: dict[str, _File]
    corpus: _Corpus
    training: _Training
    metrics: dict[str, Any]


def problem(folder: Path) -> str | None:
    """Return in one line why a folder is no trained `titles`; None if nothing is wrong. It reads only the card."""
    try:
        if not folder.is_dir():
            return f"{folder}: there is no such folder: give the one that `popbench predictor train titles` wrote"
    except (OSError, ValueError) as error:
        return f"{folder}: cannot be read ({one_line(error)})"
    if not (folder / CARD).is_file():
        return f"{folder}: the folder holds no {CARD}, so it is no trained model: {_AGAIN}, or give another folder"
    if (kind := kind_of(folder)) not in (None, KIND):
        return f"{folder}: a predictor of another kind ({kind}): give a folder of `popbench predictor train titles`"
    card = read_json(folder / CARD)
    try:
        _Card.model_validate(card)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        return f"{folder / CARD}: not a card of a trained model ({field}: {one_line(first['msg'], 100)}): {_AGAIN}"
    return files_problem(folder, (WEIGHTS,), card["files"], _AGAIN)


def read_card(folder: Path) -> Card:
    """Return a folder's card; raises UsageError with what `problem` returns."""
    wrong = problem(folder)
    if wrong is not None:
        raise UsageError(wrong)
    return read_json(folder / CARD)


def load(folder: Path) -> tuple[Ridge, Card]:
    """Load model and card; raises UsageError for files that do not belong together."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from popbench_mmra.titles.ridge import Ridge

    card = read_card(folder)
    try:
        check_hashes(folder, (WEIGHTS,), card["files"], _AGAIN)
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError, ValueError) as error:
        raise UsageError(f"{folder / WEIGHTS}: cannot be read ({one_line(error)}): {_AGAIN}") from error
    width = int(card["model"]["width"])
    shapes = {"weights": (width,), "centre": (width,), "mean": (1,)}
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes or not all(
        tensor.dtype == np.float64 and np.isfinite(tensor).all() for tensor in tensors.values()
    ):
        raise UsageError(f"{folder / WEIGHTS}: not the weights of a model of {width} numbers: {_AGAIN}")
    return Ridge(tensors["weights"], tensors["centre"], float(tensors["mean"][0])), card


def save(folder: Path, model: Ridge, card: Card) -> Card:
    """Write a trained model; returns its card with the files' hashes. Raises RunError on a full disk."""
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {
        "weights": np.ascontiguousarray(model.weights),
        "centre": np.ascontiguousarray(model.centre),
        "mean": np.array([model.mean]),
    }
    files = {WEIGHTS: lambda path: save_file(tensors, path)}
    return write_folder(folder, files, {"schema": _SCHEMA, "kind": KIND, **card}, as_markdown)


def as_markdown(card: Card) -> str:
    """Return a card as markdown."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Card) -> Iterator[str]:
    embedder, training = card["embedder"], card["training"]
    yield "# A predictor of popularity by titles"
    yield ""
    yield (
        f"Predicts the number of {card['target']} of a video by its title alone. For popbench: "
        "`--predictor titles,model=FOLDER`."
    )
    yield ""
    yield from metrics_lines(card["metrics"], FLAT[KIND])
    yield from data_lines(card)
    yield ""
    yield "## Model"
    yield ""
    yield f"- embedder {code(embedder['spec'])}, {card['model']['width']:,} numbers a title, {code(embedder['digest'])}"
    yield (
        f"- ridge regression on log2 {card['target']}, penalty {training['penalty']:g} a video, chosen by the error on "
        f"{training['folds']} held-out folds; there its SRC was {training['src']:.3f}"
        if training["src"] is not None
        else f"- ridge regression on log2 {card['target']}, penalty {training['penalty']:g} a video"
    )
    yield ""
    yield from files_lines(card)
