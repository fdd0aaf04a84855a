"""The overhead of popbench on a bare pipeline: 100 tiny clips by a plain loop, and by the render stage of `evaluate`.

The pipeline is LTX with few random weights: 64x64, 9 frames, 2 steps. The plain loop is what a user's script does:
call the pipeline, make uint8 of its floats, encode them with PyAV under popbench's encoder settings, all in turn.
The render stage does this and checks prompts and frames, tags and hashes each mp4 and commits it to the ledger; it
encodes a clip while the next one is rendered, and encodes the empty negative prompt once only.

Excluded on both sides: imports, building and loading the pipeline, and the first two clips, which warm up; on
popbench's side also planning, fingerprints, the write stage and the run's last files. What counts is the time from
the end of the second clip (popbench: its commit) to the end of the last of 100 more. Both sides make the same clips,
which is checked, in turns in one process, three times; printed are medians.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import av
import diffusers
import numpy as np
import torch

import popbench
from popbench.keys import derive_seed
from popbench.local import quiet
from popbench.progress import Progress
from popbench.runs.samples import read_jsonl
from popbench.tasks.loading import load_tasks
from popbench.video import ENCODER, read_frames
from tiny_pipelines import build

CLIPS, WARM, ROUNDS, LIMIT_MS = 100, 2, 3, 5.0
SEED, FPS = 42, 25
CALL = {"width": 64, "height": 64, "num_frames": 9, "num_inference_steps": 2}


class Timing(NamedTuple):
    """Milliseconds per clip."""

    wall: float
    processor: float


class Clock(Progress):
    """Records when each clip of the render stage was finished, or committed."""

    def __init__(self) -> None:
        self.renders = False
        self.times: list[tuple[float, float]] = []

    def stage(self, name: str, total: int, done: int) -> None:
        self.renders = name.startswith("render")

    def advance(self, count: int = 1, stage: str | None = None) -> None:
        if self.renders:
            self.times.append((time.perf_counter(), time.process_time()))

    def problem(self, line: str) -> None:
        raise SystemExit(f"render_overhead: {line}")

    def timing(self) -> Timing:
        assert len(self.times) == CLIPS + WARM
        return Timing(
            *(1000 * (end - start) / CLIPS for start, end in zip(self.times[WARM - 1], self.times[-1], strict=True))
        )


def encode(frames: Any, path: Path) -> None:
    """Write an mp4 as a user's script does."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        stream: Any = file.add_stream(ENCODER["codec"], rate=FPS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = ENCODER["pix_fmt"]
        stream.codec_context.thread_count = ENCODER["threads"]
        stream.codec_context.gop_size = ENCODER["gop"]
        stream.options = {name: str(ENCODER[name]) for name in ("preset", "crf", "x264-params")}
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode(None))


def plain(model: Path, asked: Sequence[tuple[str, int]], out: Path) -> Timing:
    """Render in a plain loop; return the time of all clips but those that warm up."""
    loader: Any = diffusers.DiffusionPipeline
    out.mkdir()
    clock = Clock()
    with quiet("transformers", "diffusers"):  # they warn of long prompts
        pipeline = loader.from_pretrained(model)
        pipeline.set_progress_bar_config(disable=True)
        clock.stage("render", len(asked), 0)
        for number, (prompt, seed) in enumerate(asked):
            generator = torch.Generator().manual_seed(seed)
            frames = pipeline(prompt=prompt, generator=generator, output_type="np", **CALL).frames[0]
            encode((frames * 255).round().astype(np.uint8), out / f"{number:03}.mp4")
            clock.advance()
    return clock.timing()


def staged(model: Path, out: Path) -> Timing:
    """Render by `popbench.evaluate`; return the time of all clips but those that warm up."""
    call = ",".join(f"{name}={value}" for name, value in CALL.items())
    clock = Clock()
    run = popbench.evaluate(
        llm="verbatim",
        mode="basic",
        task="popcorn",
        limit=(CLIPS + WARM) // 2,
        seed=SEED,
        gen=f"diffusers,model={model},dtype=float32,fps={FPS},device=cpu,{call}",
        stop_after="render",
        out=out,
        progress=clock,
    )
    assert run.complete
    return clock.timing()


def check_same(bare: Path, run: Path, asked: Sequence[tuple[str, int]]) -> None:
    """Compare the clips of both sides, which are numbered here and named by the request's hash there."""
    seen = {sample.prompt: sample.video for sample in read_jsonl(run / "samples.jsonl")}
    for number, (prompt, _) in enumerate(asked):
        video = seen[prompt]
        assert video is not None
        ours, theirs = read_frames(run / video), read_frames(bare / f"{number:03}.mp4")
        if not np.array_equal(ours, theirs):
            raise SystemExit(f"render_overhead: clip {number} differs, so the two sides do not the same work")


def main() -> int:
    """Measure and print; the exit status says whether the limit is kept."""
    tasks = load_tasks(["popcorn"])  # two of them
    prompts = [prompt for task in tasks for prompt in task.limited((CLIPS + WARM) // len(tasks))]
    asked = [(prompt.text, derive_seed(SEED, prompt.task, prompt.id, 0, "render")) for prompt in prompts]
    bare: list[Timing] = []
    through: list[Timing] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = build(folder / "tiny-ltx", "ltx")
        for number in range(ROUNDS):
            for side in ("plain", "run") if number % 2 else ("run", "plain"):
                if side == "plain":
                    bare.append(plain(model, asked, folder / f"plain-{number}"))
                else:
                    through.append(staged(model, folder / f"run-{number}"))
            check_same(folder / f"plain-{number}", folder / f"run-{number}", asked)
    for label, rounds in (("bare loop", bare), ("popbench", through)):
        print(f"{label}, ms a clip in each round: {', '.join(f'{took.wall:.1f}' for took in rounds)}")
    each, ours = (statistics.median(took.wall for took in rounds) for rounds in (bare, through))
    cpu, our_cpu = (statistics.median(took.processor for took in rounds) for rounds in (bare, through))
    print(f"bare loop {each:.1f} ms a clip, popbench's render stage {ours:.1f}")
    print(f"processor time {cpu:.1f} and {our_cpu:.1f} ms a clip, difference {our_cpu - cpu:+.1f}")
    print(f"difference {ours - each:+.1f} ms a clip (allowed {LIMIT_MS:g}); ratio {ours / each:.3f}")
    return int(ours - each > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
