"""Clips of text-to-video pipelines, and the effect of each option on them."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import popbench
from diffusers_pipelines import (
    CAT,
    DOG,
    MOCHI_WARNS,
    PRESET_FAMILIES,
    SEA,
    answers,
    frames,
    make,
    pipeline_of,
    same,
    settings,
    spec,
)
from popbench import testing
from popbench.local import quiet
from popbench_diffusers import loading
from popbench_diffusers.generator import DiffusersGenerator
from tiny_pipelines import Family, tiny

pytestmark = pytest.mark.filterwarnings(MOCHI_WARNS)
SLOW_IN_16_BITS = ("cogvideox", "hunyuan", "hunyuan-1.5")
STAND_IN = torch.device("cpu:0")
"""A processor in place of a GPU: weights are copied to it, and so aligned as on one, which rounding depends on."""


@pytest.mark.slow
def test_it_keeps_the_rules_of_the_kit() -> None:
    requests = testing.sample_video_requests()[1:3]
    report = testing.check_generator(spec("ltx", "ltx", dtype="float32"), requests=requests)
    assert report.ok


@pytest.mark.slow
@pytest.mark.parametrize("family", PRESET_FAMILIES)
def test_a_clip_is_what_a_plain_call_of_the_pipeline_gives(family: Family) -> None:
    dtype = "float32" if family in SLOW_IN_16_BITS else "bfloat16"
    generator = make(family, dtype=dtype)
    ours = frames(generator, CAT)["cat"]
    diffusers: Any = import_module("diffusers")
    with quiet("transformers", "diffusers"):
        plain = diffusers.DiffusionPipeline.from_pretrained(tiny(family), dtype=getattr(torch, dtype))
        plain.set_progress_bar_config(disable=True)
        given = settings(family)
        del given["model"]
        seed = torch.Generator("cpu").manual_seed(CAT.seed)
        made = plain(prompt=CAT.prompt, generator=seed, output_type="np", **given).frames[0]
    assert np.array_equal(ours, (made * 255).round().astype(np.uint8))
    assert ours.std() > 10


# -- batches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["ltx", "cogvideox"])
def test_a_clip_of_a_batch_does_not_depend_on_the_others(family: Family) -> None:
    generator = make(family, batch_size=2)
    asked: list[int] = []

    def count(_: Any, args: Any, kwargs: Any) -> None:
        asked.append(len(kwargs["hidden_states"]))

    found = frames(generator, CAT, DOG, SEA)  # SEA in a batch that is filled up
    pipeline_of(generator).transformer.register_forward_pre_hook(count, with_kwargs=True)
    assert sorted(found) == ["cat", "dog", "sea"]
    for order in ((SEA, CAT), (DOG, SEA, CAT), (DOG,)):
        assert same(found, frames(generator, *order), [request.id for request in order])
    assert len(set(asked)) == 1, "every batch is full"
    assert not np.array_equal(found["cat"], found["dog"])


def test_batches_give_other_fingerprints() -> None:
    assert make(batch_size=2).fingerprint() != make().fingerprint()


# -- prompts ---------------------------------------------------------------------------------------------------

READ: dict[Family, int] = {
    "ltx": 128, "cogvideox": 226, "hunyuan": 256, "wan": 512, "hunyuan-1.5": 1000, "ltx-2": 1024, "mochi": 256,
    "wan-2.2": 512, "wan-2.2-5b": 512, "skyreels-v2": 512,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("family", PRESET_FAMILIES)
def test_a_note_says_how_much_of_a_long_prompt_is_read(family: Family) -> None:
    generator = make(family)
    long = "sea " * (READ[family] - 28)
    requests = [replace(CAT, id=end, prompt=f"{long}{'x ' * 60}{end}") for end in ("cat", "dog")]
    found = answers(generator, *requests, replace(CAT, id="short"))
    assert found["short"].notes == ()
    for end in ("cat", "dog"):
        (note,) = found[end].notes
        assert f"the text encoder reads {READ[family]} tokens and the video prompt has " in note
        assert "not read: '" in note
    assert np.array_equal(found["cat"].frames, found["dog"].frames), "they differ only in what is not read"


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_an_empty_prompt_is_invalid_and_the_others_are_rendered(batch: int) -> None:
    generator = make(batch_size=batch)
    empty = [replace(CAT, id=f"empty-{n}", prompt=text) for n, text in enumerate(["", " \t\n", "\u3000"])]
    alone = frames(generator, CAT, DOG)
    found = answers(generator, empty[0], CAT, empty[1], empty[2], DOG)
    for n in range(3):
        failure = found[f"empty-{n}"]
        assert isinstance(failure, popbench.Failure)
        assert failure.invalid
        assert failure.error == "the video prompt is empty"
    assert same(alone, {id_: found[id_].frames for id_ in alone}, alone)


def test_an_empty_prompt_alone_loads_nothing() -> None:
    generator = make()
    assert answers(generator, replace(CAT, prompt=" "))["cat"].invalid
    assert generator._renderer is None


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ltx", "cogvideox", "wan", "hunyuan-1.5", "ltx-2", "mochi"])
def test_the_negative_prompt_is_encoded_once(family: Family) -> None:
    generator = make(family, negative_prompt="blurred")
    with_load = frames(generator, CAT)
    rows: list[int] = []
    pipeline_of(generator).text_encoder.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(args[0] if args else kwargs["input_ids"])), with_kwargs=True
    )
    found = frames(generator, CAT, DOG, SEA)
    assert sum(rows) == 3
    assert same(found, with_load, with_load)


# -- options ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ltx", "wan"])
def test_what_waits_elsewhere_changes_no_clip(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    def placed(way: str) -> DiffusersGenerator:
        def place(pipeline: Any, *_: Any) -> None:
            if way == "parked":
                loading.park_text_encoders(pipeline, STAND_IN)
                pipeline.to(STAND_IN)
            else:
                loading.offload(pipeline, STAND_IN, way)

        monkeypatch.setattr(loading, "place", place)
        return make(family)

    expected = frames(placed("none"), CAT, DOG)
    for way in ("model", "group", "parked"):
        generator = placed(way)
        assert same(expected, frames(generator, DOG, CAT), expected), way
        assert same(expected, frames(generator, CAT), ["cat"]), way


OPTIONS: dict[str, dict[str, Any]] = {
    "fp8": {"quantization": "fp8"},
    "fp8-text": {"quantization": "fp8", "quantize": ["transformer", "text_encoder"]},
    "cast-transformer": {"layerwise_casting": ["transformer"]},
    "cast-text": {"layerwise_casting": ["text_encoder"]},
    "tiles": {"vae_tiling": True},
    "slices": {"vae_slicing": True},
    "attention": {"attention": "_native_math"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_renders_the_same_each_time_under_a_fingerprint_of_its_own(name: str) -> None:
    plain, first, second = make(), make(**OPTIONS[name]), make(**OPTIONS[name])
    assert first.check() == []
    assert first.fingerprint() == second.fingerprint() != plain.fingerprint()
    found = frames(first, CAT, DOG)
    assert all(clip.max() > 100 and clip.std() > 10 for clip in found.values())
    assert same(found, frames(second, DOG, CAT), found)
    if name not in ("tiles", "slices"):  # for clips larger than these, and batches
        assert not np.array_equal(found["cat"], frames(plain, CAT)["cat"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compiled_blocks_render_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setattr(import_module("torch._inductor.config"), "compile_threads", 1)  # or else in new processes
    monkeypatch.setattr(
        import_module("torch._inductor.config").cpp, "vec_isa_ok", True
    )  # or else it is tried, in seconds
    generator = make(compile=True, width=32, height=32, num_frames=1)
    assert generator.check() == []
    assert generator.fingerprint() != make(width=32, height=32, num_frames=1).fingerprint()
    found = frames(generator, CAT, DOG)
    assert list((tmp_path / "compiled").rglob("*.so")), "something was compiled"
    assert same(found, frames(generator, DOG, CAT), found)
    assert found["cat"].std() > 10
    generator.close()
    torch.compiler.reset()


@pytest.mark.slow
def test_threads_are_fingerprinted_and_given_back() -> None:
    before = torch.get_num_threads()
    one, two = make(threads=1), make(threads=2)
    assert one.fingerprint() != two.fingerprint()
    torch.set_num_threads(1)
    try:
        assert make().fingerprint()["threads"] == one.fingerprint()["threads"] == 1
        frames(two, CAT)
        assert torch.get_num_threads() == 1
        seen: list[int] = []
        hook = pipeline_of(two).transformer.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
        answers(two, CAT)
        hook.remove()
        assert set(seen) == {2}
        assert torch.get_num_threads() == 1

        def broken(*_: Any) -> None:
            raise ValueError("kernel missing")

        pipeline_of(two).transformer.register_forward_pre_hook(broken)
        with pytest.raises(ValueError, match="kernel missing"):
            answers(two, CAT)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
        two.close()


@pytest.mark.slow
def test_close_frees_the_pipeline_and_a_later_call_loads_it_again() -> None:
    generator = make()
    first = frames(generator, CAT)
    parts = pipeline_of(generator).components.values()
    alive = [weakref.ref(part) for part in parts if isinstance(part, torch.nn.Module)]
    del parts
    assert len(alive) == 3
    generator.close()
    gc.collect()
    assert [part() for part in alive] == [None] * 3
    assert same(first, frames(generator, CAT), first)
    generator.close()
    generator.close()


def test_random_numbers_of_others_are_left_alone() -> None:
    generator = make()
    answers(generator, DOG)  # loading draws
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    frames(generator, CAT)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.slow
def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    generator = make()
    answers(generator, CAT, replace(CAT, id="long", prompt="sea " * 300))
    generator.close()
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")
