"""The files of a pipeline's folder, and checks of them before a run. Weights are not read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from popbench.errors import UsageError
from popbench.local import Layout, Weights, asks_for_kernels, broken_weights, is_folder, read_json
from popbench_diffusers.presets import preset_of

INDEX = "model_index.json"
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_VOCABULARIES = ("tokenizer.json", "spiece.model", "tokenizer.model", "vocab.json", "vocab.txt")
_NEEDED: Mapping[str, Sequence[Sequence[str]]] = {
    "scheduler": [("scheduler_config.json",)],
    "tokenizer": [("tokenizer_config.json",), _VOCABULARIES],
    "guider": [("guider_config.json",)],
    "processor": [("preprocessor_config.json", "processor_config.json")],
    "feature_extractor": [("preprocessor_config.json",)],
}
"""Files that components without weights need, by a part of the component's name: one file of each group."""
_SETTINGS = {".json", ".txt", ".model", ".jinja", ".py"}


def components(folder: Path) -> dict[str, str]:
    """Return the components in a pipeline's index with their classes. Components that are null there are left out."""
    return {
        name: str(entry[1])
        for name, entry in read_json(folder / INDEX).items()
        if not name.startswith("_") and isinstance(entry, list) and len(entry) == 2 and entry[0] is not None
    }


def _needed_files(name: str, kind: str) -> Sequence[Sequence[str]]:
    """Return the files that a component of this name and class needs: one file of each group."""
    if kind.startswith("ByT5"):  # its vocabulary is the bytes
        return [("tokenizer_config.json",)]
    return next((files for part, files in _NEEDED.items() if part in name), [("config.json",)])


def _malformed_entry(folder: Path) -> str | None:
    """Return the name of a malformed entry of a pipeline's index, which should be a class or a library and a class."""
    index = read_json(folder / INDEX)
    if not isinstance(index.get("_class_name"), str):
        return "_class_name"
    for name, entry in index.items():
        # values that are no lists are settings of the pipeline
        if not name.startswith("_") and isinstance(entry, list):
            kinds = {type(part) for part in entry}
            if len(entry) != 2 or len(kinds) != 1 or not kinds <= {str, type(None)}:
                return name
    return None


@cache
def _is_known_library(library: str) -> bool:
    """Return whether components may come from a library: diffusers, its pipelines' modules, or transformers."""
    diffusers = find_spec("diffusers")
    places = () if diffusers is None else diffusers.submodule_search_locations or ()
    own = library.isidentifier() and any((Path(place) / "pipelines" / library).is_dir() for place in places)
    return own or library in ("diffusers", "transformers")


def _own_code(folder: Path) -> str | None:
    """Return in a few words that a pipeline has code of its own, named in its index or placed where diffusers looks."""
    if (folder / "None.py").exists():  # diffusers takes this file for code if none is named
        return "it holds code of its own (None.py)"
    for name, entry in read_json(folder / INDEX).items():
        if name.startswith("_") or not isinstance(entry, list) or entry[0] is None:
            continue
        if not _is_known_library(entry[0]):
            return f"its {INDEX} asks for code of its own ({name} of {entry[0][:100]!r})"
        if (folder / name / f"{entry[0]}.py").exists():
            return f"{name}/ holds code of its own ({entry[0]}.py)"
    return None


def weight_names(variant: str | None) -> list[str]:
    """Return the names of files with a component's weights, or with the index of shards, in order of preference."""
    names = []
    for stem in _STEMS:
        for suffix in ("safetensors", "bin"):
            whole, shards = f"{stem}.{suffix}", f"{stem}.{suffix}.index.json"
            if variant is not None:
                names += [f"{stem}.{variant}.{suffix}", f"{stem}.{suffix}.index.{variant}.json"]
            names += [whole, shards]
    # files of the variant come before the plain weights, whatever their format
    return sorted(names, key=lambda name: variant is not None and f".{variant}." not in name)


def component_weights(folder: Path, variant: str | None) -> list[Path]:
    """Return the weight files of one component, also shards that do not exist; empty for one without weights."""
    first = next((name for name in weight_names(variant) if (folder / name).is_file()), None)
    if first is None or not first.endswith(".json"):
        return [] if first is None else [folder / first]
    shards = read_json(folder / first).get("weight_map")
    return [folder / name for name in sorted(set(shards.values()))] if isinstance(shards, dict) else []


def pipeline_layout(variant: str | None = None) -> Layout:
    """Return the layout of a diffusers pipeline's folder. Weights of the variant are used where there are any."""

    def problem(folder: Path) -> str | None:
        malformed = _malformed_entry(folder)
        if malformed is not None:
            return f"its {INDEX} has no sound {malformed!r}: copy or download that file again"
        own_code = _own_code(folder)
        if own_code is not None:
            return f"{own_code}, which is not run: choose another model"
        for name, kind in components(folder).items():
            subfolder = folder / name
            if not subfolder.is_dir():
                return f"its {INDEX} asks for {name}/, which the folder lacks: copy or download what is missing"
            for files in _needed_files(name, kind):
                if not any((subfolder / file).is_file() for file in files):
                    return f"{name}/ holds no {' or '.join(files)}: copy or download what is missing"
            is_model = (subfolder / "config.json").is_file()
            wrong = (
                asks_for_kernels(subfolder) or broken_weights(subfolder, weight_names(variant)) if is_model else None
            )
            if wrong is not None:
                return f"{name}/: {wrong}"
        return None if components(folder) else f"its {INDEX} names no components: copy or download that file again"

    def files(folder: Path) -> Iterator[Path]:
        yield folder / INDEX
        for name in components(folder):
            for path, _, names in os.walk(folder / name):
                yield from (Path(path) / file for file in names if Path(file).suffix in _SETTINGS)

    def weights(folder: Path) -> list[Path]:
        return [file for name in components(folder) for file in component_weights(folder / name, variant)]

    # some repositories hold other formats of the weights beside the pipeline: hundreds of gigabytes
    download = f"--include {INDEX} --include '*/*'"
    return Layout(
        "diffusers pipeline", INDEX, problem, lambda folder: problem(folder) is None, files, weights, download
    )


@lru_cache(maxsize=64)
def _cached_name(model: str, revision: str | None) -> str | None:
    """Return the class that a hub model's index names; None if it is not in the hub's cache."""
    import huggingface_hub

    try:
        path = huggingface_hub.try_to_load_from_cache(model, INDEX, revision=revision)
    except ValueError:  # no valid name of a hub model
        return None
    return _class_name(Path(path)) if isinstance(path, str) else None


def _class_name(index: Path) -> str | None:
    name = read_json(index).get("_class_name")
    return name if isinstance(name, str) and name else None


def pipeline_name(model: object, revision: object = None) -> str | None:
    """Return the class of a pipeline, from its folder, the hub's cache or its preset; None if it is unknown."""
    if not isinstance(model, str) or not model:
        return None
    revision = revision if isinstance(revision, str) else None
    folder = Path(os.path.expanduser(model))  # noqa: PTH111 - Path's own raises where there is no such user
    if is_folder(model):
        return _class_name(folder / INDEX)
    preset = preset_of(model)
    return _cached_name(model, revision) or (preset.pipeline if preset is not None else None)


def requested_name(model: str, revision: str | None) -> str | None:
    """Return the class of a pipeline, from the hub if it is unknown here; None if no model is given.

    Raises UsageError if it cannot be known.
    """
    name = pipeline_name(model, revision)
    if name is not None or not model:
        return name
    weights = Weights(model, revision, pipeline_layout())
    if weights.problem is not None:
        raise UsageError(f"which options its pipeline takes cannot be known: {weights.problem}")
    import huggingface_hub

    try:
        name = _class_name(Path(huggingface_hub.hf_hub_download(model, INDEX, revision=revision, etag_timeout=3.0)))
    except Exception as error:  # connections raise errors of any kind
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"model {model}: its {INDEX} cannot be had from the hub ({reason})") from None
    _cached_name.cache_clear()
    return name
