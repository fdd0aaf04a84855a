"""The files of a sentence-transformers model's folder, and checks of them. Weights are not read.

`modules.json` lists the steps from text to vector, each in its own folder or at the top. A transformers folder without
that list is refused, because each version of the library guesses for itself how tokens become one vector.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

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
from popbench_transformers.files import TEXTS, WEIGHT_FILES, lacks_tokenizer

_MODULES = "modules.json"
_INDEX_FILES = ("config_sentence_transformers.json", "config.json")
"""Nearly every model has one of these at the top. modules.json is no index: a Layout's index is a JSON object."""
_NEED_CONFIG = {"Transformer", "Pooling", "Dense", "LayerNorm"}
_NEED_WEIGHTS = {"Transformer", "Dense", "LayerNorm", "StaticEmbedding"}
_NEED_TOKENIZER = {"Transformer", "StaticEmbedding"}
"""Modules that need a config, weights or a tokenizer, by the last part of their class. Others are not checked."""
_NAMESPACE = "sentence_transformers."
_MODULE_CLASSES = frozenset(
    {
        *_NEED_CONFIG, *_NEED_WEIGHTS, "Normalize", "Router", "Asym", "Dropout", "CNN", "LSTM", "BoW", "WordEmbeddings",
        "WordWeights", "WeightedLayerPooling", "CLIPModel", "WhitespaceTokenizer", "PhraseTokenizer",
    }
)  # fmt: skip
"""Classes of the library that modules.json may name. Its namespace also holds other things, such as its imports."""
_NAMES_CLASSES = {"Router": "types", "Asym": "types", "WordEmbeddings": "tokenizer_class"}
"""Modules whose own files name further classes to import, with the entry that names them."""
_NAMING_FILES = ("config.json", "router_config.json", "wordembedding_config.json")
_SETTINGS = "config_sentence_transformers.json"
ROLES: Mapping[str, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
"""The names of the instructions that the library puts before queries, and before documents."""
_ROLES = tuple(name for names in ROLES.values() for name in names)
_WORD = re.compile(r"[a-z]+")
_ROUTERS = {"Router", "Asym"}
"""Modules that send queries and documents through modules of their own."""
_MAX_DEPTH = 4
"""How deep modules may be nested."""


@dataclass(frozen=True, slots=True)
class _Module:
    folder: Path
    name: str
    """The name of its folder in messages; empty at the top."""
    kind: str


def _modules(folder: Path) -> list[_Module] | None:
    """Return the modules of a model; None if its list is missing or malformed."""
    try:
        listed = json.loads((folder / _MODULES).read_text(encoding="utf-8"))
        modules = [_Module(folder / entry["path"], entry["path"], entry["type"]) for entry in listed]
        paths = [PurePosixPath(module.name) for module in modules]
        kinds = [module.kind.strip() for module in modules]
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    outside = any(path.is_absolute() or ".." in path.parts for path in paths)
    return None if outside or not all(kinds) or not modules else modules


def _foreign_classes(module: _Module, depth: int = 0) -> Iterator[str]:
    """Yield the classes that a module or its nested modules name and that are not modules of the library."""
    kind = module.kind.rpartition(".")[2]
    if not module.kind.startswith(_NAMESPACE) or kind not in _MODULE_CLASSES or depth > _MAX_DEPTH:
        yield module.kind
        return
    for name in _NAMING_FILES if kind in _NAMES_CLASSES else ():
        named = read_json(module.folder / name).get(_NAMES_CLASSES[kind])
        for part, inner in named.items() if isinstance(named, dict) else [("", named)] if named is not None else ():
            yield from _foreign_classes(
                _Module(module.folder / str(part), f"{module.name}/{part}", str(inner)), depth + 1
            )


def _missing_file(module: _Module) -> str | None:
    """Return in a few words which file a module lacks; None if it is complete."""
    kind = module.kind.rpartition(".")[2]
    if kind in _NEED_CONFIG and not (module.folder / "config.json").is_file():
        return "the folder holds no config.json: copy or download what is missing"
    if kind in _NEED_WEIGHTS and (not weight_files(module.folder) or lacks_shards(module.folder, WEIGHT_FILES)):
        return broken_weights(module.folder, WEIGHT_FILES) or "the folder holds no weights: copy or download them"
    return lacks_tokenizer(module.folder) if kind in _NEED_TOKENIZER else None


def _problem(folder: Path) -> str | None:
    """Return in a few words why the library cannot load a folder; None if nothing is wrong."""
    modules = _modules(folder)
    if modules is None:
        if not (folder / _MODULES).is_file():
            return (
                f"the folder holds no {_MODULES}, so it is no sentence-transformers model: give one that says how its "
                "tokens become one vector, as all that SentenceTransformer.save writes do"
            )
        return f"its {_MODULES} is no list of modules: copy or download that file again"
    for module in modules:
        strange = next(_foreign_classes(module), None)
        if strange is not None:
            place = _MODULES if strange == module.kind else f"module {module.name or module.kind}"
            return f"its {place} asks for code of its own ({strange[:100]}), which is not run: choose another model"
        wrong = asks_for_kernels(module.folder) or _missing_file(module)
        if wrong is None and module.kind.rpartition(".")[2] in _NEED_WEIGHTS:
            wrong = broken_weights(module.folder, WEIGHT_FILES)
        if wrong is not None:
            return f"{module.name}/: {wrong}" if module.name else wrong
    return None


def _complete(folder: Path) -> bool:
    """Return whether a folder of the hub's cache holds the whole model."""
    modules = _modules(folder)
    return modules is not None and all(_missing_file(module) is None for module in modules)


def _weights(folder: Path) -> list[Path]:
    files = []
    for module in _modules(folder) or ():
        # the top also holds other files, such as the same weights for other libraries
        folders = [Path(path) for path, _, _ in os.walk(module.folder)] if module.name else [folder]
        files += [file for path in folders for file in weight_files(path)]
    return files


def _files(folder: Path) -> Iterator[Path]:
    """Yield the text files at the top and in the folders of modules, at any depth, because modules may be nested."""
    yield from (file for file in folder.iterdir() if file.suffix in TEXTS)
    for module in _modules(folder) or ():
        if module.name:
            for path, _, names in os.walk(module.folder):
                yield from (Path(path) / name for name in names if Path(name).suffix in TEXTS)


def _index(model: str, revision: str | None) -> str:
    """Return the index file of a model: one that is here already, else the one to request from the hub."""
    if is_folder(model):
        folder = Path(os.path.expanduser(model))  # noqa: PTH111 - Path's own raises where there is no such user
        return next((name for name in _INDEX_FILES if (folder / name).is_file()), _MODULES)
    import huggingface_hub

    for name in _INDEX_FILES:
        try:
            cached = huggingface_hub.try_to_load_from_cache(model, name, revision=revision)
        except ValueError:  # no valid name of a hub model
            break
        if isinstance(cached, str):
            return name
    return _MODULES


def tells_queries(weights: Weights) -> bool:
    """Return whether a model encodes queries in another way than documents, or than a text without a role.

    That is, it has instructions for either, or modules for either. The settings of a hub model that is not on this
    machine yet are downloaded: they are small.
    """
    folder = weights.folder
    if folder is not None:
        settings = read_json(folder / _SETTINGS)
        routed = any(module.kind.rpartition(".")[2] in _ROUTERS for module in _modules(folder) or ())
        return routed or _instructs(settings)
    if weights.commit is None:
        return False
    import huggingface_hub

    try:
        listed, settings = (
            json.loads(Path(huggingface_hub.hf_hub_download(weights.model, name, revision=weights.commit)).read_bytes())
            for name in (_MODULES, _SETTINGS)
        )
        routed = any(str(entry["type"]).rpartition(".")[2] in _ROUTERS for entry in listed)
    except Exception:  # whatever the connection may raise; older models have no such file
        return False
    return routed or (isinstance(settings, dict) and _instructs(settings))


def _instructs(settings: Mapping[str, Any]) -> bool:
    prompts = settings.get("prompts")
    default = settings.get("default_prompt_name")
    if not isinstance(prompts, dict):
        return False
    named = (*_ROLES, default, *map(partial(prompt_name, prompts), ROLES))
    return any(prompts.get(name) for name in named if isinstance(name, str))


def prompt_name(prompts: Mapping[str, Any], role: str) -> str | None:
    """Return the instruction for a role under a name that the library does not look for, such as `search_query`.

    None if there is one under its own name, or none, or several.
    """
    if any(prompts.get(name) for name in ROLES[role]):
        return None
    found = [name for name, text in prompts.items() if text and set(_WORD.findall(name.lower())) & set(ROLES[role])]
    return found[0] if len(found) == 1 else None


def embedder_weights(model: str, revision: str | None) -> Weights:
    """Return the files of the sentence-transformers model that `model` and `revision` name."""
    # repositories hold the same weights for other libraries, several times the size of the model
    download = "--exclude '*onnx*' --exclude '*openvino*'"
    kind = "sentence-transformers model"
    layout = Layout(kind, _index(model, revision), _problem, _complete, _files, _weights, download)
    return Weights(model, revision, layout)
