"""Step caches of diffusers: parts of the denoiser reuse results of earlier steps. Faster, and other clips.

Settings are those of diffusers' own configs, with the defaults stated, so that a later diffusers does not change them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pydantic

Timesteps = tuple[float, float]
"""Timesteps between which something is reused; denoising goes from 1000 to 0."""


class StepCache(pydantic.BaseModel):
    """The settings of one kind of cache. `config` is the class of diffusers that takes them."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    config: ClassVar[str]


class FirstBlock(StepCache):
    """Skips all blocks but the first in steps in which the first one's result has hardly changed."""

    config = "FirstBlockCacheConfig"
    threshold: float = pydantic.Field(0.05, gt=0)


class Pyramid(StepCache):
    """Computes attention only in every n-th step (Pyramid Attention Broadcast)."""

    config = "PyramidAttentionBroadcastConfig"
    spatial_attention_block_skip_range: int = pydantic.Field(2, ge=2)
    cross_attention_block_skip_range: int | None = pydantic.Field(None, ge=2)
    spatial_attention_timestep_skip_range: Timesteps = (100, 800)
    cross_attention_timestep_skip_range: Timesteps = (100, 800)


class Faster(StepCache):
    """Extrapolates attention, and the unguided half of the batch, from earlier steps (FasterCache)."""

    config = "FasterCacheConfig"
    spatial_attention_block_skip_range: int = pydantic.Field(2, ge=2)
    spatial_attention_timestep_skip_range: Timesteps = (-1, 681)
    unconditional_batch_skip_range: int = pydantic.Field(5, ge=2)
    unconditional_batch_timestep_skip_range: Timesteps = (-1, 641)
    low_frequency_weight_update_timestep_range: Timesteps = (99, 901)
    high_frequency_weight_update_timestep_range: Timesteps = (-1, 301)
    alpha_low_frequency: float = pydantic.Field(1.1, gt=0)
    alpha_high_frequency: float = pydantic.Field(1.1, gt=0)
    attention_weight: float = pydantic.Field(0.5, ge=0, le=1)


class TaylorSeer(StepCache):
    """Predicts attention from its course over earlier steps, between steps that compute it."""

    config = "TaylorSeerCacheConfig"
    cache_interval: int = pydantic.Field(5, ge=2)
    disable_cache_before_step: int = pydantic.Field(3, ge=1)
    disable_cache_after_step: int | None = pydantic.Field(None, ge=1)
    max_order: int = pydantic.Field(1, ge=0, le=5)
    taylor_factors_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"


KINDS: Mapping[str, type[StepCache]] = {
    "first-block": FirstBlock,
    "faster": Faster,
    "pab": Pyramid,
    "taylorseer": TaylorSeer,
}
_ATTENTION = r"(transformer_|single_transformer_|temporal_transformer_)?blocks\.\d+\.attn\d*"
"""Names of attention layers, for TaylorSeer: its own patterns find none in models that number them (attn1)."""
_FORMATS = {"CogVideoXPipeline": "BFCHW"}
"""The order of a denoiser's axes, for FasterCache, where it is not BCFHW."""


def canonical(given: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """Return a cache as it is recorded: its kind, and settings that are not the defaults if there are any.

    Raises ValueError for an unknown kind, an unknown setting or a bad value.
    """
    values = {"kind": given} if isinstance(given, str) else dict(given)
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        expected = f"expected the kind {', '.join(list(KINDS)[:-1])} or {list(KINDS)[-1]}"
        raise ValueError(expected if isinstance(given, str) else f'{expected}, as in {{"kind":"{next(iter(KINDS))}"}}')
    try:
        settings = KINDS[kind].model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            possible = ", ".join(KINDS[kind].model_fields)
            raise ValueError(f"{kind} has no setting {name!r} (it has {possible})") from None
        raise ValueError(f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}, not {first['input']!r}") from None
    differ = settings.model_dump(mode="json", exclude_defaults=True)
    return {"kind": kind, **differ} if differ else kind


def settings(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the kind and all settings of a cache, also those that are the defaults."""
    values = {"kind": given} if isinstance(given, str) else dict(given)
    kind = values.pop("kind")
    return {"kind": kind, **KINDS[kind].model_validate(values).model_dump(mode="json")}


def note(given: str | Mapping[str, Any]) -> str:
    """Return the sentence that boards show of a cache."""
    values = {"kind": given} if isinstance(given, str) else dict(given)
    kind, main = values["kind"], next(iter(KINDS[values["kind"]].model_fields))
    return f"Clips are rendered with a step cache, which changes them: {kind}, {main} {settings(given)[main]}."


def enable(pipeline: Any, given: str | Mapping[str, Any]) -> None:
    """Turn a cache on in all denoisers of a pipeline, before these are moved or offloaded.

    Its state is of one call: diffusers drops it at the end of each. Raises ValueError if it finds no layer to work on.
    """
    import diffusers
    import torch

    values = settings(given)
    kind = values.pop("kind")
    name = type(pipeline).__name__
    if kind in ("faster", "pab"):
        values["current_timestep_callback"] = lambda: pipeline.current_timestep
    if kind == "faster":
        weight = values.pop("attention_weight")
        values["attention_weight_callback"] = lambda _: weight
        values["tensor_format"] = _FORMATS.get(name, "BCFHW")
        with warnings.catch_warnings():  # a deprecation in the cache's code, of which torch warns once in a process
            warnings.simplefilter("ignore")
            torch.meshgrid(torch.arange(1), torch.arange(1))
    if kind == "taylorseer":
        values["taylor_factors_dtype"] = getattr(torch, values["taylor_factors_dtype"])
        values["cache_identifiers"] = [_ATTENTION]
    for part in ("transformer", "transformer_2"):
        denoiser = getattr(pipeline, part, None)
        if denoiser is None:
            continue
        before = _hooks(denoiser)
        denoiser.enable_cache(getattr(diffusers, KINDS[kind].config)(**values))
        if _hooks(denoiser) == before:
            raise ValueError(f"cache: {kind} finds no layer in the {part} of {name}: leave the option out")


def _hooks(denoiser: Any) -> int:
    registries = (getattr(module, "_diffusers_hook", None) for module in denoiser.modules())
    return sum(len(registry.hooks) for registry in registries if registry is not None)
