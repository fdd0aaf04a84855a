"""The options of a diffusers pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic

import popbench
from popbench_diffusers import aspects, caches
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.folders import pipeline_name, requested_name
from popbench_diffusers.presets import PRESETS

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

DType = Literal["bfloat16", "float16", "float32"]


class DiffusersOptions(popbench.Options):
    """The source of the weights, options of loading and rendering, and further arguments of the pipeline's call.

    `width`, `height`, `num_frames`, `num_inference_steps`, `guidance_scale` and `negative_prompt` are the pipeline's
    own if they are not given.
    """

    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="allow")

    model: str = pydantic.Field(min_length=1, description="a hub id, or the folder of a pipeline")
    revision: str | None = pydantic.Field(None, min_length=1, description="branch, tag or commit of a hub model")
    variant: str | None = pydantic.Field(None, min_length=1, description="of the weight files, for instance fp16")
    width: int | None = pydantic.Field(None, ge=1, le=16_384, description="pixels")
    height: int | None = pydantic.Field(None, ge=1, le=16_384, description="pixels")
    aspect: str | None = pydantic.Field(None, min_length=1, description="16:9, 9:16 or 1:1: sets width and height")
    num_frames: int | None = pydantic.Field(None, ge=1, le=100_000, description="of a clip")
    fps: float | None = pydantic.Field(None, ge=0.01, le=240, description="frames a second at which the clip plays")
    num_inference_steps: int | None = pydantic.Field(None, ge=1, le=10_000, description="denoising steps")
    guidance_scale: float | None = pydantic.Field(None, ge=0, description="how closely the prompt is followed")
    negative_prompt: str | None = pydantic.Field(None, description="what is not to be seen")
    scheduler: dict[str, Any] = pydantic.Field({}, description='for instance {"flow_shift": 3.0}')
    dtype: DType = pydantic.Field("bfloat16", description="of weights and computing")
    component_dtypes: dict[str, DType] = pydantic.Field({}, description='for instance {"vae": "float32"}')
    quantization: Literal["none", "4bit", "8bit", "fp8"] = pydantic.Field("none", description="of weights, on loading")
    quantize: list[str] = pydantic.Field(["transformer"], min_length=1, description="components that are quantized")
    layerwise_casting: list[str] = pydantic.Field([], description="components kept in 8 bits, computing in their dtype")
    vae_slicing: bool = pydantic.Field(False, description="decode one clip of a batch at a time")
    vae_tiling: bool = pydantic.Field(False, description="decode in tiles, which overlap")
    attention: str | None = pydantic.Field(None, min_length=1, description="a backend of diffusers; else torch's own")
    compile: bool = pydantic.Field(False, description="compile the blocks that repeat (regional)")
    cache: str | dict[str, Any] | None = pydantic.Field(
        None, description='a step cache: a kind, or {"kind": ..., SETTING: ...}; faster, other clips'
    )
    sound: bool | None = pydantic.Field(None, description="kept where the model makes it; false: frames alone")
    batch_size: int = pydantic.Field(1, ge=1, le=1024, description="clips rendered together")
    threads: int | None = pydantic.Field(None, ge=1, le=4096, description="on a processor; else as many as torch takes")
    offload: Literal["none", "model", "group", "sequential"] = popbench.runtime(
        "none", description="what waits in the machine's memory while it is not used"
    )
    device: str = popbench.runtime(
        "auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, mps, cuda or cuda:INDEX"
    )

    @classmethod
    def further(cls, values: Mapping[str, Any]) -> Mapping[str, FieldInfo]:
        """Return the arguments of the pipeline's call; raises UsageError if the pipeline cannot be known."""
        from popbench_diffusers.calls import arguments

        name = requested_name(str(values.get("model") or ""), values.get("revision"))
        if name is None:
            return {}
        try:
            accepted = arguments(name)
        except LookupError:  # `check` reports it
            return {}
        return {key: field for key, field in accepted.items() if key not in cls.model_fields}

    def determining(self) -> dict[str, popbench.JSON]:
        """Return the options that results depend on.

        `aspect` stands for the size that follows from it. It and `cache`, newer than old runs, are there only if given,
        and `sound` only if it is not kept.
        """
        options = super().determining()
        left_out = [name for name in ("aspect", "cache") if getattr(self, name) is None]
        left_out += [] if self.sound is False else ["sound"]
        for name in left_out if self.aspect is None else [*left_out, "width", "height"]:
            del options[name]
        return options

    @pydantic.field_validator("cache")
    @classmethod
    def _read_cache(cls, value: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        return None if value is None else caches.canonical(value)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _resolve_aspect(cls, values: Any) -> Any:
        """Set width and height to the model's size of the aspect."""
        if not isinstance(values, Mapping) or values.get("aspect") is None:
            return values
        model = str(values.get("model") or "")
        given = {name: values[name] for name in ("width", "height") if name in values}
        size = aspects.resolve(values["aspect"], model, pipeline_name(model, values.get("revision")), given)
        return {**values, **size}

    @pydantic.model_validator(mode="after")
    def _refuse_unknown(self) -> DiffusersOptions:
        """Refuse what is neither an option nor an argument of the pipeline's call."""
        # options of presets are valid; to check others takes seconds
        given = set(self.further_arguments).difference(*(preset.options for preset in PRESETS.values()))
        try:
            accepted = self.further({"model": self.model, "revision": self.revision}) if given else {}
        except popbench.UsageError:  # `check` reports why it cannot be known
            return self
        for name in sorted(given.difference(accepted)):
            raise ValueError(f"the pipeline's call takes no {name!r}")
        return self

    @pydantic.model_validator(mode="after")
    def _refuse_invalid(self) -> DiffusersOptions:
        """Refuse values that are invalid for any pipeline."""
        for name, least in (("frame_rate", 0.01), ("max_sequence_length", 1)):
            value = self.further_arguments.get(name)
            if isinstance(value, int | float) and not value >= least:
                raise ValueError(f"{name}={value}: expected at least {least}")
        try:
            json.dumps([self.scheduler, self.further_arguments], allow_nan=False)
        except ValueError:
            raise ValueError("a value is not a finite number") from None
        return self

    @property
    def further_arguments(self) -> dict[str, Any]:
        """Return the options that are passed to the pipeline's call unchanged."""
        return dict(self.model_extra or {})

    @property
    def sizes(self) -> dict[str, int | None]:
        """Return width, height and number of frames; None for those that are not given."""
        return {"width": self.width, "height": self.height, "num_frames": self.num_frames}

    @property
    def _family(self) -> Any:
        return FAMILIES.get(pipeline_name(self.model, self.revision) or "")

    @pydantic.model_validator(mode="after")
    def _refuse_sizes(self) -> DiffusersOptions:
        """Refuse sizes that the pipeline cannot render."""
        family = self._family
        wrong = None if family is None else family.wrong_sizes(self.sizes)
        if wrong is not None:
            raise ValueError(wrong)
        return self

    @pydantic.model_validator(mode="after")
    def _refuse_cache(self) -> DiffusersOptions:
        """Refuse a step cache that does not work with the pipeline or with other options."""
        wrong = self.cache_problem(pipeline_name(self.model, self.revision))
        if wrong is not None:
            raise ValueError(wrong)
        return self

    def cache_problem(self, pipeline: str | None) -> str | None:
        """Return why a class of pipelines cannot use the step cache; None if it can, or the class is not known yet."""
        if self.cache is None or pipeline is None:
            return None
        kind = caches.settings(self.cache)["kind"]
        possible = FAMILIES[pipeline].caches if pipeline in FAMILIES else ()
        if kind not in possible:
            others = f"it has {', '.join(possible)}" if possible else "it has none that works: leave the option out"
            return f"cache: {pipeline} does not have {kind} ({others})"
        if kind == "first-block" and self.batch_size > 1:
            return "cache: first-block decides for all clips of a batch together: use batch_size=1"
        if kind != "first-block" and self.compile:
            return (
                f"cache: {kind} works inside of blocks, which compile=true makes one: use first-block, or leave one out"
            )
        if kind == "faster" and self.guidance_scale is not None and self.guidance_scale <= 1:
            return f"cache: faster needs guidance, and guidance_scale={self.guidance_scale:g} is none: give more than 1"
        true_scale = self.further_arguments.get("true_cfg_scale")
        if kind == "pab" and isinstance(true_scale, int | float) and true_scale > 1:
            return f"cache: pab would mix what true_cfg_scale={true_scale:g} compares: leave one out"
        return None

    @pydantic.model_validator(mode="after")
    def _refuse_sound(self) -> DiffusersOptions:
        """Refuse the option where no sound is made, and to keep sound that does not fit the clip."""
        family = self._family
        if self.sound is not None and family is not None and not family.sound:
            raise ValueError("sound: the model makes none: leave the option out")
        if self.sound and self.mute_reason is not None:
            raise ValueError(f"sound: {self.mute_reason}: leave out sound or fps")
        return self

    @property
    def keeps_sound(self) -> bool:
        """Return whether clips have the sound that the model makes."""
        return self.sound is not False and self._family is not None and self._family.sound and self.mute_reason is None

    @property
    def mute_reason(self) -> str | None:
        """Return why the sound that the model makes does not fit its clips; None if it does, or none is made."""
        family = self._family
        if family is None or not family.sound:
            return None
        made = float(self.further_arguments.get("frame_rate") or family.fps)
        if self.clip_fps == made:
            return None
        return f"the clip plays at {self.clip_fps:g} frames a second, and its sound was made for {made:g}"

    @property
    def clip_fps(self) -> float | None:
        """Return the clips' frames per second; None if neither the options nor the family set it."""
        if self.fps is not None:
            return self.fps
        asked = self.further_arguments.get("frame_rate")
        fps = asked or getattr(self._family, "fps", None)
        return None if fps is None else float(fps)
