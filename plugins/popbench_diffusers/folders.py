"""What a pipeline's folder holds, and what it lacks: found without reading weights, before a run starts."""

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
"""What components without weights consist of, by a part of their name: one file of each group."""
_SETTINGS = {".json", ".txt", ".model", ".jinja", ".py"}


def components(folder: Path) -> dict[str, str]:
    """Name the parts that a pipeline's index asks for with their classes; parts that it leaves out are null there."""
    return {
        name: str(about[1])
        for name, about in read_json(folder / INDEX).items()
        if not name.startswith("_") and isinstance(about, list) and len(about) == 2 and about[0] is not None
    }


def _needed(name: str, kind: str) -> Sequence[Sequence[str]]:
    """List the files that a component of this name and class cannot do without, one of each group."""
    if kind.startswith("ByT5"):  # bytes are its vocabulary
        return [("tokenizer_config.json",)]
    return next((files for part, files in _NEEDED.items() if part in name), [("config.json",)])


def _odd_entry(folder: Path) -> str | None:
    """Name an entry of a pipeline's index that is not what such an entry is: a class, or a library and a class."""
    index = read_json(folder / INDEX)
    if not isinstance(index.get("_class_name"), str):
        return "_class_name"
    for name, about in index.items():
        # plain values are settings of the pipeline
        if not name.startswith("_") and isinstance(about, list):
            kinds = {type(part) for part in about}
            if len(about) != 2 or len(kinds) != 1 or not kinds <= {str, type(None)}:
                return name
    return None


@cache
def _brought(library: str) -> bool:
    """Say whether parts may come from a library: diffusers, its pipelines' own, and transformers."""
    found = find_spec("diffusers")
    places = () if found is None else found.submodule_search_locations or ()
    own = library.isidentifier() and any((Path(place) / "pipelines" / library).is_dir() for place in places)
    return own or library in ("diffusers", "transformers")


def _own_code(folder: Path) -> str | None:
    """Say in a few words that a pipeline names, or holds where diffusers looks for it, code that it does not bring."""
    if (folder / "None.py").exists():  # what diffusers takes for a pipeline's code where none is named
        return "it holds code of its own (None.py)"
    for name, about in read_json(folder / INDEX).items():
        if name.startswith("_") or not isinstance(about, list) or about[0] is None:
            continue
        if not _brought(about[0]):
            return f"its {INDEX} asks for code of its own ({name} of {about[0][:100]!r})"
        if (folder / name / f"{about[0]}.py").exists():
            return f"{name}/ holds code of its own ({about[0]}.py)"
    return None


def weight_names(variant: str | None) -> list[str]:
    """List the files that hold a component's weights, or index their shards, in the order they are looked for."""
    found = []
    for stem in _STEMS:
        for suffix in ("safetensors", "bin"):
            whole, shards = f"{stem}.{suffix}", f"{stem}.{suffix}.index.json"
            if variant is not None:
                found += [f"{stem}.{variant}.{suffix}", f"{stem}.{suffix}.index.{variant}.json"]
            found += [whole, shards]
    # a variant counts before the plain weights, whatever its format
    return sorted(found, key=lambda name: variant is not None and f".{variant}." not in name)


def component_weights(folder: Path, variant: str | None) -> list[Path]:
    """List the weight files of one component, whether they are there or not; empty for one without weights."""
    found = next((name for name in weight_names(variant) if (folder / name).is_file()), None)
    if found is None or not found.endswith(".json"):
        return [] if found is None else [folder / found]
    shards = read_json(folder / found).get("weight_map")
    return [folder / name for name in sorted(set(shards.values()))] if isinstance(shards, dict) else []


def pipeline_layout(variant: str | None = None) -> Layout:
    """Describe the folder of a diffusers pipeline whose weights are of a variant, where it has that."""

    def problem(folder: Path) -> str | None:
        odd = _odd_entry(folder)
        if odd is not None:
            return f"its {INDEX} has no sound {odd!r}: copy or download that file again"
        strange = _own_code(folder)
        if strange is not None:
            return f"{strange}, which is not run: choose another model"
        for name, kind in components(folder).items():
            part = folder / name
            if not part.is_dir():
                return f"its {INDEX} asks for {name}/, which the folder lacks: copy or download what is missing"
            for files in _needed(name, kind):
                if not any((part / file).is_file() for file in files):
                    return f"{name}/ holds no {' or '.join(files)}: copy or download what is missing"
            is_model = (part / "config.json").is_file()
            found = asks_for_kernels(part) or broken_weights(part, weight_names(variant)) if is_model else None
            if found is not None:
                return f"{name}/: {found}"
        return None if components(folder) else f"its {INDEX} names no components: copy or download that file again"

    def files(folder: Path) -> Iterator[Path]:
        yield folder / INDEX
        for name in components(folder):
            for at, _, names in os.walk(folder / name):
                yield from (Path(at) / file for file in names if Path(file).suffix in _SETTINGS)

    def weights(folder: Path) -> list[Path]:
        return [file for name in components(folder) for file in component_weights(folder / name, variant)]

    # repositories hold other formats of the weights beside the pipeline: hundreds of gigabytes for some
    download = f"--include {INDEX} --include '*/*'"
    return Layout("diffusers pipeline", INDEX, problem, lambda at: problem(at) is None, files, weights, download)


@lru_cache(maxsize=64)
def _cached_name(model: str, revision: str | None) -> str | None:
    """Return the class that a hub model's index names, where it is in the hub's cache."""
    import huggingface_hub

    try:
        found = huggingface_hub.try_to_load_from_cache(model, INDEX, revision=revision)
    except ValueError:  # not a name that a hub model can have
        return None
    return _class_name(Path(found)) if isinstance(found, str) else None


def _class_name(index: Path) -> str | None:
    name = read_json(index).get("_class_name")
    return name if isinstance(name, str) and name else None


def pipeline_name(model: object, revision: object = None) -> str | None:
    """Return the class of a pipeline, from its folder, the hub's cache or its preset; None where that is not known."""
    if not isinstance(model, str) or not model:
        return None
    revision = revision if isinstance(revision, str) else None
    folder = Path(os.path.expanduser(model))  # noqa: PTH111 - Path's own raises where there is no such user
    if is_folder(model):
        return _class_name(folder / INDEX)
    preset = preset_of(model)
    return _cached_name(model, revision) or (preset.pipeline if preset is not None else None)


def asked_name(model: str, revision: str | None) -> str | None:
    """Return the class of a pipeline, asking the hub where it is not known here.

    Raises UsageError that says why it cannot be known, None where no model is given.
    """
    found = pipeline_name(model, revision)
    if found is not None or not model:
        return found
    weights = Weights(model, revision, pipeline_layout())
    if weights.problem is not None:
        raise UsageError(f"which options its pipeline takes cannot be known: {weights.problem}")
    import huggingface_hub

    try:
        name = _class_name(Path(huggingface_hub.hf_hub_download(model, INDEX, revision=revision, etag_timeout=3.0)))
    except Exception as error:  # whatever the connection may raise
        what = " ".join(str(error).split())[:200]
        raise UsageError(f"model {model}: its {INDEX} cannot be had from the hub ({what})") from None
    _cached_name.cache_clear()
    return name
