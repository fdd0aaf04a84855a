"""What a sentence-transformers model's folder holds, and what it lacks: found without reading weights.

`modules.json` lists the steps from text to vector, each in a folder of its own or at the top. A bare transformers
folder, without that list, is refused: how its tokens become one vector would be a guess of the library's version.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from popbench.local import (
    Layout,
    Weights,
    asks_for_kernels,
    broken_weights,
    is_folder,
    lacks_shards,
    read_json,
    weight_files,
)
from popbench_transformers.files import MAIN, TEXTS, lacks_tokenizer

_MODULES = "modules.json"
_OBJECTS = ("config_sentence_transformers.json", "config.json")
"""One of them lies at the top of nearly every model; a Layout's index is an object, and modules.json is a list."""
_CONFIGURED = {"Transformer", "Pooling", "Dense", "LayerNorm"}
_WEIGHTED = {"Transformer", "Dense", "LayerNorm", "StaticEmbedding"}
_TOKENIZED = {"Transformer", "StaticEmbedding"}
"""What the library's modules consist of, by the last part of their class. Others are not looked into."""
_OWN = "sentence_transformers."
_KINDS = frozenset(
    {
        *_CONFIGURED, *_WEIGHTED, "Normalize", "Router", "Asym", "Dropout", "CNN", "LSTM", "BoW", "WordEmbeddings",
        "WordWeights", "WeightedLayerPooling", "CLIPModel", "WhitespaceTokenizer", "PhraseTokenizer",
    }
)  # fmt: skip
"""The library's classes that a list may name: its namespace holds other things, such as the libraries it imports."""
_NAMING = {"Router": "types", "Asym": "types", "WordEmbeddings": "tokenizer_class"}
"""Modules whose own files name further classes to import, and the entry that does."""
_NAMING_FILES = ("config.json", "router_config.json", "wordembedding_config.json")
_DEEPEST = 4
"""How deep modules may hold others."""


@dataclass(frozen=True, slots=True)
class _Module:
    folder: Path
    name: str
    """Its folder's name in messages, empty at the top."""
    kind: str


def _modules(folder: Path) -> list[_Module] | None:
    """Return the modules of a model; None where its list is missing or not sound."""
    try:
        listed = json.loads((folder / _MODULES).read_text(encoding="utf-8"))
        found = [_Module(folder / about["path"], about["path"], about["type"]) for about in listed]
        paths = [PurePosixPath(module.name) for module in found]
        kinds = [module.kind.strip() for module in found]
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    outside = any(path.is_absolute() or ".." in path.parts for path in paths)
    return None if outside or not all(kinds) or not found else found


def _strange(module: _Module, depth: int = 0) -> Iterator[str]:
    """Yield the classes that a module names, itself and those within it, that are none of the library's modules."""
    kind = module.kind.rpartition(".")[2]
    if not module.kind.startswith(_OWN) or kind not in _KINDS or depth > _DEEPEST:
        yield module.kind
        return
    for name in _NAMING_FILES if kind in _NAMING else ():
        named = read_json(module.folder / name).get(_NAMING[kind])
        for part, inner in named.items() if isinstance(named, dict) else [("", named)] if named is not None else ():
            yield from _strange(_Module(module.folder / str(part), f"{module.name}/{part}", str(inner)), depth + 1)


def _lacks(module: _Module) -> str | None:
    """Say in a few words which file a module lacks."""
    kind = module.kind.rpartition(".")[2]
    if kind in _CONFIGURED and not (module.folder / "config.json").is_file():
        return "the folder holds no config.json: copy or download what is missing"
    if kind in _WEIGHTED and (not weight_files(module.folder) or lacks_shards(module.folder, MAIN)):
        return broken_weights(module.folder, MAIN) or "the folder holds no weights: copy or download them"
    return lacks_tokenizer(module.folder) if kind in _TOKENIZED else None


def _problem(folder: Path) -> str | None:
    """Say in a few words what keeps the library from loading a folder; None where nothing is seen to."""
    modules = _modules(folder)
    if modules is None:
        if not (folder / _MODULES).is_file():
            return (
                f"the folder holds no {_MODULES}, so it is no sentence-transformers model: give one that says how its "
                "tokens become one vector, as all that SentenceTransformer.save writes do"
            )
        return f"its {_MODULES} is no list of modules: copy or download that file again"
    for module in modules:
        strange = next(_strange(module), None)
        if strange is not None:
            where = _MODULES if strange == module.kind else f"module {module.name or module.kind}"
            return f"its {where} asks for code of its own ({strange[:100]}), which is not run: choose another model"
        wrong = asks_for_kernels(module.folder) or _lacks(module)
        if wrong is None and module.kind.rpartition(".")[2] in _WEIGHTED:
            wrong = broken_weights(module.folder, MAIN)
        if wrong is not None:
            return f"{module.name}/: {wrong}" if module.name else wrong
    return None


def _complete(folder: Path) -> bool:
    """Whether a folder of the hub's cache holds the whole model."""
    modules = _modules(folder)
    return modules is not None and all(_lacks(module) is None for module in modules)


def _weights(folder: Path) -> list[Path]:
    found = []
    for module in _modules(folder) or ():
        # at the top lie other things too, such as the same weights for other libraries
        folders = [Path(at) for at, _, _ in os.walk(module.folder)] if module.name else [folder]
        found += [file for at in folders for file in weight_files(at)]
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield the texts at the top, and those in the folders of modules, at any depth: some modules hold others."""
    yield from (file for file in folder.iterdir() if file.suffix in TEXTS)
    for module in _modules(folder) or ():
        if module.name:
            for at, _, names in os.walk(module.folder):
                yield from (Path(at) / name for name in names if Path(name).suffix in TEXTS)


def _index(model: str, revision: str | None) -> str:
    """Choose the file that makes a folder such a model: what is here already, else what the hub is asked for."""
    if is_folder(model):
        folder = Path(os.path.expanduser(model))  # noqa: PTH111 - Path's own raises where there is no such user
        return next((name for name in _OBJECTS if (folder / name).is_file()), _MODULES)
    import huggingface_hub

    for name in _OBJECTS:
        try:
            found = huggingface_hub.try_to_load_from_cache(model, name, revision=revision)
        except ValueError:  # not a name that a hub model can have
            break
        if isinstance(found, str):
            return name
    return _MODULES


def embedder_weights(model: str, revision: str | None) -> Weights:
    """Return the files that `model` and `revision` stand for, as those of a sentence-transformers model."""
    # repositories hold the same weights for other libraries, several times the size of the model
    download = "--exclude '*onnx*' --exclude '*openvino*'"
    kind = "sentence-transformers model"
    layout = Layout(kind, _index(model, revision), _problem, _complete, _files, _weights, download)
    return Weights(model, revision, layout)
