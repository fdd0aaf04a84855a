"""What LiteLLM knows of a video model: its price, and the request that it would send for a clip."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from popbench import JSON
from popbench_litellm.library import Access, close, hush, library, provider_of

KINDS = frozenset({"video_generation"})
_KEYS = {
    "gemini": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "runwayml": ("RUNWAYML_API_KEY", "RUNWAYML_API_SECRET"),
    "fal_ai": ("FAL_AI_API_KEY",),
    "minimax": ("MINIMAX_API_KEY",),
}
"""Variables of which one has to be set, where LiteLLM does not tell or names both as needed."""
_SIGNED_IN = {"vertex_ai", "azure"}
"""Providers that may work without the variables that LiteLLM names."""
_LENGTHS = ("duration", "durationSeconds", "seconds")
_SHAPES = ("size", "ratio", "aspect_ratio", "aspectRatio")
_SHAPE = re.compile(r"(\d+)[x:](\d+)")
_TIERS = {"480p": 480, "720p": 720, "1080p": 1080, "4k": 2160}
"""The heights of prices' names, at 16:9."""
_SAME_SHAPE = 0.03


@dataclass(frozen=True, kw_only=True)
class VideoFacts(Access):
    """What LiteLLM knows of a video model, and of the clips that some options ask for.

    `price` is in USD per second, None if unknown; `seconds` the length of a clip, None for the provider's default.
    `ends` is the day on which the provider ends the model.
    """

    price: float | None = None
    seconds: float | None = None
    takes_seed: bool = False
    ends: str = ""


def video_facts(
    model: str, api_base: str | None, seconds: int | None, size: str | None, params: Mapping[str, JSON]
) -> VideoFacts:
    """Look a model up. Nothing is sent."""
    litellm = library()
    hush()
    name, provider, problem = provider_of(model, api_base, KINDS)
    if problem:
        return VideoFacts(problem=problem)
    about = litellm.model_cost.get(f"{provider}/{name}") or litellm.model_cost.get(model)
    if about is not None and (mode := about.get("mode") or "chat") not in KINDS:
        kind = mode.replace("_", " ")
        return VideoFacts(problem=f"{model} makes no videos: it is of the kind {kind}{close(model, KINDS)}")
    config = _config(name, provider)
    if config is None:
        return VideoFacts(problem=f"LiteLLM cannot ask {provider} for videos: choose a model of another provider")
    given = {"seconds": None if seconds is None else str(seconds), "size": size, "extra_body": dict(params)}
    try:
        sent = _request(config, name, {**given, "kwargs": {"seed": 1}})
    except Exception:  # some providers' code refuses a seed, with errors of its own
        sent = None
    try:
        asked = sent or _request(config, name, given)
    except Exception as error:
        return VideoFacts(problem=f"{model} cannot be asked so: {_words(error)}")
    if lost := sorted(params.keys() - dict(_leaves(asked, inner=True)).keys()):
        return VideoFacts(problem=f"params cannot hold {', '.join(lost)}: LiteLLM does not send that to {provider}")
    fields = dict(_leaves(asked))
    if size and not _has_shape(fields, size):
        shape = next((fields[key] for key in _SHAPES if fields.get(key)), "")
        instead = f"it would become {shape}" if shape else "LiteLLM does not send it"
        return VideoFacts(problem=f"size={size} is none that {model} has: {instead}: choose another shape")
    lacking = _lacking(model, provider)
    length = next((fields[key] for key in _LENGTHS if fields.get(key)), seconds)
    return VideoFacts(
        provider=provider,
        is_listed=about is not None,
        price=None if about is None else _price(about, fields),
        seconds=_number(length),
        takes_seed=sent is not None and "seed" in dict(_leaves(sent)),
        ends=str((about or {}).get("deprecation_date") or ""),
        missing=lacking,
        either=provider in _KEYS,
        needs_missing=bool(lacking) and provider not in _SIGNED_IN,
    )


def _config(name: str, provider: str) -> Any:
    """Return LiteLLM's code for the videos of a provider, or None if it has none."""
    litellm = library()
    if provider not in {str(each.value) for each in litellm.LlmProviders}:
        return None
    manager = import_module("litellm.utils").ProviderConfigManager
    return manager.get_provider_video_config(model=name, provider=litellm.LlmProviders(provider))


def _request(config: Any, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of the request that creates a job, as LiteLLM would send it."""
    utils = import_module("litellm.videos.utils").VideoGenerationRequestUtils
    params = import_module("litellm.types.router").GenericLiteLLMParams()
    asked = utils.get_requested_video_generation_optional_param(given)
    mapped = utils.get_optional_params_video_generation(name, config, asked, False)
    body: Mapping[str, Any] = config.transform_video_create_request(
        name, "a prompt", "http://127.0.0.1", mapped, params, {}
    )[0]
    return body


def _leaves(value: Any, *, inner: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a request's fields, however deep they lie; `inner`: those of objects as well."""
    if isinstance(value, Mapping):
        for name, held in value.items():
            if inner or not isinstance(held, Mapping | list):
                yield name, held
            yield from _leaves(held, inner=inner)
    elif isinstance(value, list):
        for held in value:
            yield from _leaves(held, inner=inner)


def _has_shape(fields: Mapping[str, Any], size: str) -> bool:
    """Say whether a request asks for the proportions of a size."""
    width, height = map(int, size.split("x"))
    shapes = [_SHAPE.fullmatch(str(fields[key])) for key in _SHAPES if fields.get(key)]
    ratios = [int(shape[1]) / max(int(shape[2]), 1) for shape in shapes if shape]
    return any(abs(ratio * height / width - 1) <= _SAME_SHAPE for ratio in ratios)


def _price(about: Mapping[str, Any], fields: Mapping[str, Any]) -> float | None:
    """Return the price of a second in USD, at the resolution that a request asks for."""
    base = about.get("output_cost_per_video_per_second", about.get("output_cost_per_second"))
    tier = str(fields.get("resolution") or "").strip().lower() or _tier(str(fields.get("ratio") or ""))
    return _number(about.get(f"output_cost_per_second_{tier}", base))


def _tier(ratio: str) -> str:
    """Return the resolution whose area is closest to one in pixels; empty for proportions, such as 16:9."""
    shape = _SHAPE.fullmatch(ratio)
    area = int(shape[1]) * int(shape[2]) if shape else 0
    if area < 10_000:
        return ""
    return min(_TIERS, key=lambda tier: abs(math.log(area / (_TIERS[tier] ** 2 * 16 / 9))))


def _lacking(model: str, provider: str) -> tuple[str, ...]:
    """Return the variables that are not set."""
    if names := _KEYS.get(provider):
        return () if any(os.environ.get(name) for name in names) else names
    return tuple(library().validate_environment(model=model).get("missing_keys") or ())


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _words(error: Exception) -> str:
    from popbench_litellm.faults import words_of  # which imports the SDK of OpenAI

    return words_of(error).partition(", set drop_params")[0].partition(". Set litellm")[0]
