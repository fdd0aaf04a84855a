"""Renders prompts to frames: one call of the pipeline per batch. Each clip draws from its own seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from diffusers.models.attention_dispatch import attention_backend

import popbench
from popbench.local import release_memory
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.loading import on

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from popbench_diffusers.loading import Loaded
    from popbench_diffusers.options import DiffusersOptions

_CALL_OPTIONS = ("width", "height", "num_frames", "num_inference_steps", "guidance_scale", "negative_prompt")
_SHOWN_CHARACTERS = 60
"""The most characters of a cut text that are shown."""


class Made(NamedTuple):
    """A clip: `frames`, uint8 (frames, height, width, 3), and `sound`, float32 (samples, channels), if it is kept."""

    frames: NDArray[np.uint8]
    sound: NDArray[np.float32] | None


class Renderer:
    """Renders batches with a loaded pipeline. A clip depends on its prompt and seed only."""

    def __init__(self, loaded: Loaded, options: DiffusersOptions, *, sound: bool = False) -> None:
        self._loaded = loaded
        self._pipeline = loaded.pipeline
        self._size = options.batch_size
        self._keeps_sound = sound
        self._attention = options.attention or "native"
        given = {name: getattr(options, name) for name in _CALL_OPTIONS}
        self._settings = {name: value for name, value in given.items() if value is not None}
        if "guidance_scale" not in loaded.accepted:  # the guider has it already
            self._settings.pop("guidance_scale", None)
        self._settings |= options.further_arguments
        unknown = [name for name in self._settings if name not in loaded.accepted]
        if unknown:
            raise popbench.ComponentError(
                f"{type(self._pipeline).__name__} takes no {unknown[0]} (it takes "
                f"{', '.join(sorted(loaded.accepted - {'prompt', 'generator'}))})"
            )
        _cache_negative(self._pipeline, options.negative_prompt or "")

    def warm_up(self) -> None:
        """Render a short clip and drop it, so that compiling, in the first call, counts for no clip's seconds."""
        settings = self._settings
        self._settings = {**settings, "num_inference_steps": 2}
        try:
            self.render(["-"] * self._size, [0] * self._size)
        finally:
            self._settings = settings

    def recover(self) -> None:
        """Move what a failed call left on the GPU back to where it waits, and free memory."""
        self._pipeline.maybe_free_model_hooks()
        release_memory()

    @property
    def gpus(self) -> list[int]:
        """Return the GPU that it renders on, if any."""
        device = self._loaded.device
        return [device.index or 0] if device.type == "cuda" else []

    @property
    def sample_rate(self) -> int:
        """Return the samples a second of the sound that it makes."""
        return int(self._pipeline.vocoder.config.output_sampling_rate)

    def render(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Made | None]:
        """Render clips; None stands for one in which the pipeline made NaN or infinity.

        A batch that is not full is filled up with its last clip, so that the same kernels run as for a full one.
        """
        fill = self._size - len(prompts)
        prompts, seeds = [*prompts, *[prompts[-1]] * fill], [*seeds, *[seeds[-1]] * fill]
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        single = self._size == 1
        device = self._loaded.device
        with on(device), _reproducible(device), attention_backend(self._attention):
            torch.default_generator.manual_seed(seeds[0])
            if device.type == "cuda":
                torch.cuda.manual_seed(seeds[0])
            output = self._pipeline(
                prompt=prompts[0] if single else prompts,
                generator=generators[0] if single else generators,
                output_type="pt",
                **self._settings,
            )
            kept = len(prompts) - fill
            sounds = output.audio[:kept] if self._keeps_sound else [None] * kept
            return [_made(clip, sound) for clip, sound in zip(output.frames[:kept], sounds, strict=True)]

    def cut(self, prompt: str) -> str | None:
        """Return a note if the text encoder does not read the whole prompt; None if it does."""
        tokenizer = getattr(self._pipeline, "tokenizer", None)
        if self._limit is None or tokenizer is None:
            return None
        ids = tokenizer(prompt)["input_ids"]
        ends = bool(ids) and ids[-1] in tokenizer.all_special_ids  # the end token stays, and text before it is cut
        room = self._limit - ends
        text = ids[: len(ids) - ends]
        if len(text) <= room:
            return None
        rest = " ".join(tokenizer.decode(text[room:], skip_special_tokens=True).split())
        shown = rest if len(rest) <= _SHOWN_CHARACTERS else rest[: _SHOWN_CHARACTERS - 1] + "…"
        return f"the text encoder reads {self._limit} tokens and the video prompt has {len(ids)}; not read: {shown!r}"

    @cached_property
    def _limit(self) -> int | None:
        """Return how many tokens of a prompt are read; None if unknown."""
        parameter = inspect.signature(self._pipeline.__call__).parameters.get("max_sequence_length")
        length = self._settings.get("max_sequence_length", parameter.default if parameter is not None else None)
        family = FAMILIES.get(type(self._pipeline).__name__)
        return length if isinstance(length, int) else family.tokens if family is not None else None


@contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Make rendering independent of earlier work: restore the global random state, choose algorithms without timing."""
    cuda = device.type == "cuda"
    before = torch.backends.cudnn.allow_tf32
    with (
        torch.random.fork_rng(devices=[device] if cuda else []),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=before)
        if cuda
        else nullcontext(),
    ):
        yield


def _made(clip: Any, audio: Any) -> Made | None:
    """Return frames and sound, (channels, samples), of a pipeline's output; None if a value is not finite."""
    frames = to_frames(clip)
    if frames is None or audio is None:
        return None if frames is None else Made(frames, None)
    sound = audio.float().cpu().numpy().T
    return Made(frames, np.clip(sound, -1, 1)) if np.isfinite(sound).all() else None


def to_frames(clip: Any) -> NDArray[np.uint8] | None:
    """Turn a clip of a pipeline's output, values from 0 to 1, into uint8 (frames, height, width, 3).

    Takes a tensor (frames, 3, height, width), an array or pictures (frames, height, width, 3). Returns None if a value
    is not finite.
    """
    if not isinstance(clip, torch.Tensor):
        array = np.stack([np.asarray(picture) for picture in clip])
        if array.dtype == np.uint8:
            return array
        clip = torch.from_numpy(array).permute(0, 3, 1, 2)
    if not bool(torch.isfinite(clip).all()):
        return None
    # frame by frame, because a whole clip in 32 bits is large
    frames = [frame.float().mul(255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu() for frame in clip]
    return torch.stack(frames).numpy()


def _cache_negative(pipeline: Any, negative: str) -> None:
    """Cache the encoded negative prompt, which is the same for every clip.

    Pipelines encode texts in methods called `_get_...prompt_embeds`. Without such a method, nothing is cached.
    """
    for name in dir(type(pipeline)):
        if name.startswith("_get_") and name.endswith("prompt_embeds"):
            setattr(pipeline, name, _cached(getattr(pipeline, name), negative))


def _cached(encode: Callable[..., Any], negative: str) -> Callable[..., Any]:
    results: dict[str, Any] = {}

    @wraps(encode)
    def encoded(*args: Any, **kwargs: Any) -> Any:
        texts = kwargs.get("prompt", args[0] if args else None)
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or any(text != negative for text in texts):
            return encode(*args, **kwargs)
        given = [*enumerate(args), *sorted(kwargs.items())]
        key = repr([(name, value) for name, value in given if not isinstance(value, torch.nn.Module)])
        if key not in results:
            results[key] = encode(*args, **kwargs)
        return results[key]

    return encoded
