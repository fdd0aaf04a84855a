r"""Seconds per clip and peak memory of the paper's generators, beside its Table 9 (arXiv 2502.12945, on an H100).

No weights are downloaded: the pipelines are built in their real shapes with random weights (14, 21 and 42 GB on disk,
one at a time), which take the time and the memory of real ones. Each is rendered at the paper's settings, through the
plugin and by a plain diffusers script with the same dtypes, quantization, casting, tiling and offloading, in turns in
one process, each freed before the other is loaded. Seconds are from prompt to uint8 frames, without encoding an mp4;
loading and a first short clip are told apart. A GPU of 80 GB is needed, save with --tiny, which shows on any machine
that the script works and compares with no limit.

With --steps N clips of N and of N/3 steps are rendered, and seconds are those of the paper's steps: a fixed part and
so many times what a step takes. With --compile each is rendered with compile=true as well, with --cache with that step
cache (written as in a spec), and with both with both. What first-block skips depends on the weights: with random ones
its seconds are no more than an example. What the other kinds skip follows from the steps.

All of it in 12 minutes, on one GPU of 80 GB or more:

    python tests/benchmarks/clip_speed.py --compile --cache pab --cache '{"kind":"first-block","threshold":0.2}' \
        --steps 9 --clips 1 --minutes 12

The exit status is 1 if the plugin takes more than 1.03 of the plain script's seconds, or more than 0.9 with
compile=true of a preset in bf16, or if anything failed or was left out for lack of time; 2 without a GPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[2] / "plugins"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import diffusers
import numpy as np
import torch

import popbench
from benchmarks.full_pipelines import build_full
from popbench.local import is_out_of_memory, quiet, release_memory
from popbench_diffusers.caches import canonical, settings
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.generator import DiffusersGenerator
from popbench_diffusers.options import DiffusersOptions
from popbench_diffusers.presets import PRESETS
from tiny_pipelines import SMALLEST, Family, build

_df: Any = diffusers

MODELS: dict[str, Family] = {"ltx": "ltx", "cogvideox-5b": "cogvideox", "hunyuan": "hunyuan"}
TABLE_9 = {"ltx": (20, 27_100), "cogvideox-5b": (170, 28_788), "hunyuan": (54, 12_016)}
"""The paper's seconds per clip and MB of GPU memory."""
RATIO_LIMIT, COMPILED_LIMIT = 1.03, 0.9
PROMPT = (
    "a little girl and her dog walk slow in the rain at night, light of the city on the water, then the two play by "
    "the sea and the people on the road dance to music"
)


class Clip(NamedTuple):
    """The seconds and memory of a rendering, and its frames."""

    seconds: float
    mb: float | None
    frames: Any


class Plugin:
    """Renders through the plugin."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.generator = DiffusersGenerator(DiffusersOptions(**options))
        lines = self.generator.check()
        if lines:
            raise SystemExit("\n".join(f"clip_speed: {line}" for line in lines))

    def render(self, steps: int, seed: int) -> Clip:
        self.generator.options = self.generator.options.model_copy(update={"num_inference_steps": steps})
        if self.generator._renderer is not None:
            self.generator._renderer._settings["num_inference_steps"] = steps
        started = time.perf_counter()
        (answer,) = self.generator.generate([popbench.VideoRequest(f"{steps}-{seed}", PROMPT, seed)])
        seconds = time.perf_counter() - started
        if isinstance(answer, popbench.Failure):
            raise SystemExit(f"clip_speed: {answer.error}")
        return Clip(seconds, answer.peak_memory_mb, answer.frames)

    def close(self) -> None:
        self.generator.close()


class Plain:
    """Renders as a plain diffusers script does."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.gpu = torch.cuda.is_available()
        with quiet("transformers", "diffusers"), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `dtype` is not known to diffusers before 0.40
            self.pipeline = self._load()
        self.pipeline.set_progress_bar_config(disable=True)

    def _load(self) -> Any:
        options = self.options
        how: dict[str, Any] = {"torch_dtype": {"default": dtype_of(options), **dtypes_of(options)}}
        if options.get("quantization") == "4bit":
            config = _df.BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype_of(options, "transformer")
            )
            how["quantization_config"] = _df.PipelineQuantizationConfig(quant_mapping={"transformer": config})
        pipeline = _df.DiffusionPipeline.from_pretrained(options["model"], **how)
        if options.get("vae_slicing"):
            pipeline.vae.enable_slicing()
        if options.get("vae_tiling"):
            pipeline.vae.enable_tiling()
        for name in options.get("layerwise_casting", ()):
            _df.hooks.apply_layerwise_casting(
                getattr(pipeline, name),
                storage_dtype=torch.float8_e4m3fn,
                compute_dtype=dtype_of(options, name),
                skip_modules_classes=(torch.nn.Embedding,),
            )
        if self.gpu and options.get("offload") == "model":
            pipeline.enable_model_cpu_offload()
        elif self.gpu:
            pipeline.to("cuda")
        return pipeline

    def render(self, steps: int, seed: int) -> Clip:
        names = ("width", "height", "num_frames", "guidance_scale", "negative_prompt")
        call = {name: self.options[name] for name in names if name in self.options}
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        with quiet("transformers", "diffusers"):
            made = self.pipeline(
                prompt=PROMPT,
                num_inference_steps=steps,
                generator=torch.Generator().manual_seed(seed),
                output_type="np",
                **call,
            ).frames[0]
        frames = (made * 255).round().astype(np.uint8)
        seconds = time.perf_counter() - started
        return Clip(seconds, torch.cuda.max_memory_allocated() / 2**20 if self.gpu else None, frames)

    def close(self) -> None:
        del self.pipeline
        release_memory()


def dtype_of(options: Mapping[str, Any], part: str = "") -> torch.dtype:
    """Return the dtype of a part of a pipeline under a preset's options."""
    found = options.get("component_dtypes", {}).get(part, options.get("dtype", "bfloat16"))
    dtype: torch.dtype = getattr(torch, found)
    return dtype


def dtypes_of(options: Mapping[str, Any]) -> dict[str, torch.dtype]:
    """Return the dtypes of the parts that have one of their own."""
    return {name: dtype_of(options, name) for name in options.get("component_dtypes", {})}


@dataclass
class Measured:
    """Clips of one side. `counts` are the steps that were rendered, the most first; `steps` the paper's."""

    counts: tuple[int, ...]
    steps: int
    first: float
    clips: list[tuple[Clip, ...]]

    @property
    def per_step(self) -> float | None:
        if len(self.counts) == 1:
            return None
        most, least = self.counts
        return statistics.median((long.seconds - short.seconds) / (most - least) for long, short in self.clips)

    @property
    def seconds(self) -> float:
        """The median of a clip of the paper's steps."""
        whole = statistics.median(clips[0].seconds for clips in self.clips)
        return whole + (self.per_step or 0.0) * (self.steps - self.counts[0])

    @property
    def mb(self) -> float | None:
        found = [clip.mb for clips in self.clips for clip in clips if clip.mb is not None]
        return max(found) if found else None


def measure(make: Callable[[], Plugin | Plain], counts: tuple[int, ...], steps: int, clips: int) -> Measured:
    """Load one side, render a short clip to warm up, then the measured ones; free it."""
    release_memory()
    started = time.perf_counter()
    side = make()
    try:
        side.render(min(2, counts[-1]), 0)
        first = time.perf_counter() - started
        made = [tuple(side.render(count, seed) for count in counts) for seed in range(1, clips + 1)]
    finally:
        side.close()
    return Measured(counts, steps, first, made)


def table(name: str, measured: Mapping[str, Measured], compare: bool) -> bool:
    """Print one model's table; return whether it keeps to the limits."""
    quantized = "quantization" in PRESETS[name].options
    paper_seconds, paper_mb = (str(value) if compare else "-" for value in TABLE_9[name])
    print("side             load+first s  steps      seconds  (paper)   fixed  per step  peak MB  (paper)")
    for side, found in measured.items():
        each = found.per_step
        parts = (
            f"{found.seconds - each * found.steps:>6.2f}  {each:>8.3f}" if each is not None else f"{'-':>6}  {'-':>8}"
        )
        mb = "-" if found.mb is None else f"{found.mb:.0f}"
        print(
            f"{side:<16} {found.first:>12.1f}  {'+'.join(map(str, found.counts)):<6} {found.seconds:>11.2f}  "
            f"{paper_seconds:>7}  {parts}  {mb:>7}  {paper_mb:>7}"
        )
    good = True
    plain = measured["plain"]
    limits = {"plugin": RATIO_LIMIT, **({} if quantized else {"compiled": COMPILED_LIMIT})}
    for side, found in measured.items():
        if side != "plain":
            ratio = found.seconds / plain.seconds
            pairs = zip(found.clips, plain.clips, strict=True)
            differ = [np.abs(a[0].frames.astype(int) - b[0].frames) for a, b in pairs]
            wanted = f" (wanted: at most {limits[side]:g})" if side in limits else ""
            print(
                f"{side} / plain {ratio:.3f}{wanted}; pixels differ by at most {max(int(one.max()) for one in differ)} "
                f"of 255, by {statistics.mean(float(one.mean()) for one in differ):.2f} on average"
            )
            good = good and ratio <= limits.get(side, ratio)
    return good or not compare


def evaluate(name: str, folder: Path, given: argparse.Namespace, turn: int) -> bool:
    """Build one model and measure it; return whether it keeps to the limits."""
    family, preset = MODELS[name], PRESETS[name]
    options: dict[str, Any] = {**preset.options, "model": str(folder)}
    started = time.perf_counter()
    if given.tiny:
        smallest = SMALLEST[family]
        options |= {key: getattr(smallest, key) for key in ("width", "height", "num_frames")}
        options["num_inference_steps"] = 6
        if not torch.cuda.is_available():
            options["quantization"] = "none"
        build(folder, family)
    else:
        dtypes = {part: dtype_of(options, part) for part in preset.parameters}
        counts = build_full(folder, family, dtypes, "cuda")
        for part, count in counts.items():
            print(f"{name}: {part} has {count / 1e9:.3f}e9 parameters (expected {preset.parameters[part] / 1e9:.3f}e9)")
    print(f"{name}: built in {time.perf_counter() - started:.0f} s", flush=True)
    steps = options["num_inference_steps"]
    counts_of_steps = (given.steps, max(1, given.steps // 3)) if given.steps and given.steps < steps else (steps,)
    variants: dict[str, dict[str, Any]] = {"plugin": {}}
    for cache in given.cache or ():
        kind = settings(cache)["kind"]
        if kind in FAMILIES[preset.pipeline].caches:
            variants[kind] = {"cache": cache}
        else:
            print(f"{name}: {preset.pipeline} does not have {kind}")
    if given.compile:
        variants["compiled"] = {"compile": True}
        if "first-block" in variants:  # other kinds work inside of blocks
            variants["compiled+cached"] = {**variants["first-block"], "compile": True}
    sides: dict[str, Callable[[], Plugin | Plain]] = {"plain": lambda: Plain(options)}
    for side, changes in variants.items():
        sides[side] = partial(Plugin, {**options, **changes})
    first = ["plugin", "plain"] if turn % 2 else ["plain", "plugin"]
    measured: dict[str, Measured] = {}
    longest = {False: 0.0, True: 0.0}  # seconds of a side by whether it is compiled
    for side in [*first, *(side for side in sides if side not in first)]:
        began = time.monotonic()
        compiled = "compile" in variants.get(side, {})
        if began + (longest[compiled] or longest[False]) > given.until:
            print(f"{name}: {side} is left out: it would take longer than {given.minutes:g} minutes in all")
            continue
        try:
            measured[side] = measure(sides[side], counts_of_steps, steps, given.clips)
        except (Exception, SystemExit) as error:  # one side's trouble must not cost the numbers of the others
            what = "out of memory" if is_out_of_memory(error) else f"{type(error).__name__}: {error}"
            print(f"{name}: {side} failed: {what}", flush=True)
        longest[compiled] = max(longest[compiled], time.monotonic() - began)
        if compiled:
            torch.compiler.reset()
    if {"plain", "plugin"} - set(measured):
        return False
    return table(name, measured, not given.tiny) and len(measured) == len(sides)


def read_cache(text: str) -> str | dict[str, Any]:
    """Read a step cache as it is written in a spec."""
    try:
        return canonical(json.loads(text) if text.startswith("{") else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def roomy() -> Path:
    """Return a RAM disk with room for the largest pipeline, else the folder for temporary files."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 50e9:
        return memory
    return Path(tempfile.gettempdir())


def main() -> int:
    """Build, measure and remove each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS), action="append", help="one of them only; repeatable")
    parser.add_argument("--compile", action="store_true", help="render with compile=true as well")
    parser.add_argument("--cache", type=read_cache, action="append", help="render with it as well; repeatable")
    parser.add_argument("--clips", type=int, default=3, help="clips of each side (default: 3)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing that would pass them")
    parser.add_argument("--steps", type=int, help="steps that are rendered, scaled to the paper's; at least 2")
    parser.add_argument("--folder", type=Path, help="where pipelines are written; else /dev/shm if it has 50 GB")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, for a try on any machine")
    given = parser.parse_args()
    if given.steps is not None and given.steps < 2:
        parser.error("--steps: at least 2")
    if given.clips < 1:
        parser.error("--clips: at least 1")
    given.until = time.monotonic() + 60 * given.minutes
    if not given.tiny and not torch.cuda.is_available():
        print("clip_speed: there is no CUDA GPU here: use --tiny, which shows that the script works")
        return 2
    good = True
    for turn, name in enumerate(given.model or MODELS):
        with tempfile.TemporaryDirectory(prefix="clip-speed-", dir=given.folder or roomy()) as made:
            good = evaluate(name, Path(made) / name, given, turn) and good
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
