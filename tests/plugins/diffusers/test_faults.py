"""Faults while text-to-video pipelines render: of weights, memory, files and options."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import popbench
import popbench_runs
from command_line import in_process
from diffusers_pipelines import (
    CAT,
    DOG,
    MOCHI_WARNS,
    SEA,
    answers,
    copied,
    frames,
    make,
    pipeline_of,
    same,
    spec,
    with_last_bias,
)
from popbench.errors import UsageError
from popbench_diffusers import loading

pytestmark = pytest.mark.filterwarnings(MOCHI_WARNS)


def test_a_clip_of_nan_fails_alone() -> None:
    generator = make()
    alone = frames(generator, CAT)
    broken = pipeline_of(generator).vae.decoder.register_forward_hook(lambda *_: torch.tensor(float("nan")) * _[2])
    failure = answers(generator, DOG)["dog"]
    broken.remove()
    assert isinstance(failure, popbench.Failure)
    assert not failure.invalid
    assert "NaN" in failure.error
    assert "another precision (dtype=" in failure.error
    assert failure.seconds is not None
    assert same(alone, frames(generator, CAT), ["cat"])


@pytest.mark.slow
def test_weights_that_make_nan_end_a_run_with_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_last_bias(tmp_path / "nan", float("nan"))
    call = in_process(monkeypatch, capsys, tmp_path)
    values = {**popbench_runs.FAST, "gen": spec("ltx", "ltx", model=str(folder)), "limit": 2, "out": "run"}
    done = call("eval", *(part for key, value in values.items() for part in (f"--{key}", value)))
    assert done.status == 1, done.err
    rows = popbench_runs.samples(tmp_path / "run")
    assert [row["status"] for row in rows] == ["error"] * 2, "the run went on to the next clip"
    assert all("another precision" in row["error"] for row in rows)


@pytest.mark.slow
def test_black_clips_are_invalid_samples(tmp_path: Path) -> None:
    folder = with_last_bias(tmp_path / "black", -1e4)
    run = popbench_runs.run_fast(tmp_path / "run", gen=spec("ltx", "ltx", model=str(folder)), limit=2)
    assert run.complete
    rows = popbench_runs.samples(run.path)
    assert [(row["status"], row["error"]) for row in rows] == [("invalid", "every frame of the clip is black")] * 2


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2])
def test_a_clip_that_is_out_of_memory_fails_alone(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make(batch_size=batch)
    alone = frames(generator, CAT, DOG)
    before = generator.fingerprint()
    transformer = pipeline_of(generator).transformer
    forward: Callable[..., Any] = transformer.forward
    calls: list[None] = []

    def short(*args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(*args, **kwargs)

    monkeypatch.setattr(transformer, "forward", short)
    requests = [replace(SEA, id=f"sea-{n}") for n in range(batch)]
    found = answers(generator, *requests, CAT, DOG)
    for request in requests:
        failure = found[request.id]
        assert isinstance(failure, popbench.Failure)
        assert not failure.invalid
        assert "out of memory" in failure.error
        assert "num_frames=" in failure.error
        assert ("batch_size=" in failure.error) == (batch > 1)
        assert "\n" not in failure.error
    assert same(alone, {id_: found[id_].frames for id_ in alone}, alone)
    assert generator.fingerprint() == before


def test_another_error_of_the_pipeline_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make()
    frames(generator, CAT)

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("kernel missing")

    monkeypatch.setattr(pipeline_of(generator).transformer, "forward", broken)
    with pytest.raises(ValueError, match="kernel missing"):
        answers(generator, CAT)


def test_files_that_change_before_they_are_loaded_are_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path / "ltx")
    generator = make(model=str(folder))
    generator.fingerprint()
    with_last_bias(tmp_path / "other", 1.0)
    part = Path("vae") / "diffusion_pytorch_model.safetensors"
    (tmp_path / "other" / part).replace(folder / part)
    with pytest.raises(popbench.ComponentError, match="changed since the run was planned: run the same command again"):
        answers(generator, CAT)
    assert generator._renderer is None


def test_a_backend_of_attention_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"attention=nonsense: diffusers has no such backend \(it has ") as caught:
        popbench_runs.run_fast(tmp_path / "run", gen=spec("ltx", "ltx", attention="nonsense"), limit=2)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_clip_that_is_out_of_memory_leaves_nothing_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make()
    alone = frames(generator, CAT)
    pipeline = pipeline_of(generator)
    freed: list[None] = []
    free = pipeline.maybe_free_model_hooks

    def counted() -> None:
        freed.append(None)
        free()

    monkeypatch.setattr(pipeline, "maybe_free_model_hooks", counted)

    def short(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with monkeypatch.context() as broken:
        broken.setattr(pipeline.transformer, "forward", short)
        assert isinstance(answers(generator, DOG)["dog"], popbench.Failure)
    assert len(freed) == 1, "a call that is broken off does not get to it"
    assert same(alone, frames(generator, CAT), ["cat"])


def test_text_encoders_go_back_to_wait_also_where_encoding_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    hook = SimpleNamespace(offload=lambda: moved.append("out"))
    monkeypatch.setattr("accelerate.cpu_offload_with_hook", lambda part, device: (part, hook))

    def encode_prompt(text: str) -> str:
        moved.append("in")
        if not text:
            raise ValueError("nothing to encode")
        return text

    parts = {"text_encoder": torch.nn.Linear(1, 1), "vae": torch.nn.Linear(1, 1), "tokenizer": object()}
    pipeline = SimpleNamespace(components=parts, encode_prompt=encode_prompt)
    loading.park_text_encoders(pipeline, torch.device("cpu:0"))
    assert moved == ["out"]
    assert pipeline.encode_prompt("cat") == "cat"
    with pytest.raises(ValueError, match="nothing to encode"):
        pipeline.encode_prompt("")
    assert moved == ["out", "in", "out", "in", "out"]


def test_the_first_call_of_a_compiled_pipeline_is_no_clip_s_time(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def call(_: Any, *, num_inference_steps: int, **__: Any) -> Any:
        steps.append(num_inference_steps)
        if len(steps) == 1:
            time.sleep(1)  # as compiling does
        return SimpleNamespace(frames=torch.rand(1, 9, 3, 64, 64))

    pipeline: Any = import_module("diffusers").LTXPipeline
    monkeypatch.setattr(pipeline, "__call__", wraps(pipeline.__call__)(call))
    monkeypatch.setattr(loading, "compile_blocks", lambda denoiser: None)
    generator = make(compile=True, num_inference_steps=7)
    found = [*answers(generator, CAT, DOG).values(), *answers(generator, CAT).values()]
    assert steps == [2, 7, 7, 7]
    assert all(clip.seconds < 0.9 for clip in found)
