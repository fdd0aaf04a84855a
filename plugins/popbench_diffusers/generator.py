"""The video generator of this plugin, as a component."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from importlib import metadata
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, TypedDict

import popbench
from popbench.local import GIB, Weights, gpu_count, is_out_of_memory, peak_memory, quiet, release_memory
from popbench.specs import make_label
from popbench_diffusers import caches
from popbench_diffusers.checks import problems
from popbench_diffusers.folders import pipeline_layout, pipeline_name
from popbench_diffusers.memory import advice, estimate, gpu_room, peak_of
from popbench_diffusers.options import DiffusersOptions
from popbench_diffusers.presets import note_for, preset_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from popbench_diffusers.rendering import Made, Renderer

NOT_FINITE = "the pipeline made NaN or infinite values: try another precision (dtype=bfloat16 or float32)"


class _Cost(TypedDict):
    """Seconds and memory of a clip."""

    seconds: float
    peak_memory_mb: float | None


class DiffusersGenerator(popbench.VideoGenerator):
    """Any text-to-video pipeline of diffusers: model=ID or FOLDER.

    Seconds and the GPU's peak memory are recorded with every clip (arXiv 2502.12945, Table 9).
    """

    Options: ClassVar[type[popbench.Options]] = DiffusersOptions
    version = "1"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        preset = preset_of(self.options.model)
        self.note = self._noted(preset.note if preset is not None else "")
        self._weights = Weights(self.options.model, self.options.revision, pipeline_layout(self.options.variant))
        self._renderer: Renderer | None = None
        self.makes_sound = self.options.keeps_sound

    def label(self) -> str | None:
        """Return the last part of the pipeline's id or path, with the options that are not the defaults."""
        model = PurePath(self.options.model).name or self.options.model
        fields = DiffusersOptions.model_fields
        differ = {
            name: value
            for name, value in self.options.determining().items()
            if name != "model" and (name not in fields or value != fields[name].default)
        }
        return make_label(model, differ).replace("|", "/")

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Add the identity of the weights (a hub commit or a hash of the folder) and, on a CPU, the threads."""
        options = dict(self.options.determining())
        if self._weights.local and self._weights.folder is not None:
            del options["model"]
        if options.pop("aspect", None) is not None:
            options |= {"width": self.options.width, "height": self.options.height}
        if self.options.cache is not None:
            options["cache"] = caches.settings(self.options.cache)
        options["attention"] = options["attention"] or "native"
        options["fps"] = self.options.clip_fps
        options.pop("sound", None)  # without it, clips are those of versions that kept none
        if self.makes_sound:
            options["sound"] = True
        return {
            "name": "popbench_diffusers.DiffusersGenerator",
            "version": self.version,
            "options": options,
            "pipeline": pipeline_name(self.options.model, self.options.revision),
            "weights": self._weights.identity,
            "threads": self._threads,
            "defaults": self._defaults,
        }

    def _noted(self, note: str) -> str:
        """Add to a model's note that a step cache is used."""
        return note if self.options.cache is None else f"{note} {caches.note(self.options.cache)}".strip()

    @property
    def _defaults(self) -> str | None:
        """Return the library's version: its defaults apply where options are not set, and may change."""
        return f"diffusers {metadata.version('diffusers')}"

    @cached_property
    def _threads(self) -> int | None:
        """Return the number of threads on a CPU, on which some pipelines' rounding depends; None on a GPU."""
        if gpu_count(self.options.device) or self.options.device == "mps":
            return None
        import torch

        return int(self.options.threads or torch.get_num_threads())

    def check(self) -> list[str]:
        """List what is missing: the model, a package, a GPU, memory."""
        return list(problems(self.options, self._weights))

    def needs(self) -> popbench.Needs:
        """Return one GPU if there is any, and the memory that the pipeline takes."""
        gpus = min(1, gpu_count(self.options.device))
        room = gpu_room(self.options.device) if gpus else math.inf
        size = estimate(self.options, self._weights, room=room) or 0
        return popbench.Needs(gpus=gpus, memory_gb=round(min(size, room) / GIB, 1))

    def close(self) -> None:
        """Free the pipeline."""
        if self._renderer is not None:
            self._renderer = None
            release_memory()

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        """Render clips, `batch_size` at a time.

        Empty prompts are invalid. NaN and too little memory are a Failure of the clip. Raises ComponentError if the
        pipeline itself does not fit into memory, or the options do not fit the pipeline.
        """
        source = iter(requests)
        renderer: Renderer | None = None
        with ExitStack() as silence:
            while taken := list(islice(source, self.options.batch_size)):
                asked = [request for request in taken if request.prompt.strip()]
                for request in taken:
                    if not request.prompt.strip():
                        yield popbench.Failure(request.id, "the video prompt is empty", invalid=True, seconds=0.0)
                if not asked:
                    continue
                if renderer is None:
                    renderer = self._renderer = self._renderer or self._load()
                    silence.enter_context(
                        quiet("transformers", "diffusers")
                    )  # once for all clips: it takes milliseconds
                with _thread_limit(self._threads):
                    answers = self._render(renderer, asked)
                while answers:  # popped, to free frames while the next ones are made
                    yield answers.pop(0)

    def _load(self) -> Renderer:
        """Load the pipeline; raises ComponentError if its files have changed since the fingerprint was taken."""
        with quiet("transformers"):  # libraries print messages while they are imported
            from popbench_diffusers.loading import load
            from popbench_diffusers.rendering import Renderer

        self._check_unchanged()
        renderer = Renderer(load(self.options, self._weights), self.options, sound=self.makes_sound)
        self._check_unchanged()  # checked again, because loading takes minutes
        if self.options.compile:
            with quiet("transformers", "diffusers"):
                renderer.warm_up()
        return renderer

    def _check_unchanged(self) -> None:
        if self._weights.changed():
            raise popbench.ComponentError(
                f"model {self.options.model} changed since the run was planned: run the same command again"
            )

    def _render(
        self, renderer: Renderer, requests: Sequence[popbench.VideoRequest]
    ) -> list[popbench.Clip | popbench.Failure]:
        started = time.perf_counter()
        clips: Sequence[Made | None] = ()
        with peak_memory(renderer.gpus) as peak:
            try:
                clips = renderer.render([item.prompt for item in requests], [item.seed for item in requests])
            except Exception as error:  # out-of-memory alone concerns only these clips
                if not is_out_of_memory(error):
                    raise
        took: _Cost = {"seconds": (time.perf_counter() - started) / len(requests), "peak_memory_mb": peak.mb}
        if not clips:
            renderer.recover()  # not in the handler, where the error keeps tensors alive
            return [popbench.Failure(item.id, self._out_of_memory(), **took) for item in requests]
        return [self._clip(renderer, item, made, took) for item, made in zip(requests, clips, strict=True)]

    def _clip(
        self, renderer: Renderer, request: popbench.VideoRequest, made: Made | None, took: _Cost
    ) -> popbench.Clip | popbench.Failure:
        frames = None if made is None else made.frames
        told = (renderer.cut(request.prompt), self._size_problem(frames), self._mute())
        notes = tuple(note for note in told if note is not None)
        if made is None:
            return popbench.Failure(request.id, NOT_FINITE, notes=notes, **took)
        return popbench.Clip(
            request.id,
            made.frames,
            self.options.clip_fps,
            notes=notes,
            sound=made.sound,
            sample_rate=None if made.sound is None else renderer.sample_rate,
            **took,
        )

    def _mute(self) -> str | None:
        """Return why the model's sound is not kept, unless that is asked for."""
        reason = None if self.options.sound is False else self.options.mute_reason
        return None if reason is None else f"without its sound: {reason}"

    def _size_problem(self, frames: NDArray[np.uint8] | None) -> str | None:
        """Return how a clip's size differs from the options: some pipelines round sizes that they cannot render."""
        if frames is None:
            return None
        made = dict(zip(("num_frames", "height", "width"), frames.shape, strict=False))
        differences = [
            f"{name}={getattr(self.options, name)} was asked for and {value} rendered"
            for name, value in made.items()
            if getattr(self.options, name) not in (None, value)
        ]
        return "; ".join(differences) or None

    def _out_of_memory(self) -> str:
        smaller = "a smaller num_frames=, width= or height="
        if self.options.batch_size > 1:
            smaller = f"a smaller batch_size=, {smaller}"
        if self.options.cache is not None:
            smaller = f"no cache=, {smaller}"
        if not gpu_count(self.options.device):
            return f"out of memory while rendering: take {smaller}, or more memory"
        ways = advice(self.options, self._weights, gpu_room(self.options.device))
        return f"out of GPU memory while rendering: {'; or '.join([*ways, smaller])}"


class PresetGenerator(DiffusersGenerator):
    """A text-to-video model of diffusers, with its settings."""

    @classmethod
    def describe(cls, preset: Mapping[str, popbench.JSON]) -> str:
        """Return which model a preset runs, what its clips are like, and what it takes."""
        model = preset_of(str(preset.get("model")))
        if model is None:
            return super().describe(preset)
        options = DiffusersOptions.model_validate(model.options)
        clip = f"{options.width}x{options.height}, {options.num_frames} frames at {options.fps:g} fps"
        return f"{model.what}: {clip}; {peak_of(options, model.parameters) / GIB:.0f} GiB GPU"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        name = pipeline_name(self.options.model, self.options.revision)
        self.note = self._noted(note_for(self.options.model, name, self.options.model_dump()))

    @property
    def _defaults(self) -> None:
        """Return None: a preset sets everything."""

    def label(self) -> str | None:
        """Return None, for the usual label: the preset's name with the options that differ from it."""
        return None


@contextmanager
def _thread_limit(threads: int | None) -> Iterator[None]:
    """Compute with this number of threads, and restore the former number afterwards."""
    if threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    if before == threads:  # the number is set for the whole process
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
