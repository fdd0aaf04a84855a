"""Pipelines that make sound: it is kept in the clips, part of their keys, and can be left out."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import popbench
import popbench_runs
from diffusers_pipelines import (
    CAT,
    DOG,
    SEA,
    answers,
    copied,
    frames,
    label,
    make,
    refused,
    resolved,
    settings,
    spec,
)
from popbench.local import quiet
from popbench.video import read_frames, sound_of
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.generator import NOT_FINITE
from popbench_diffusers.presets import PRESETS
from tiny_pipelines import tiny
from video_files import sound_seconds

RATE = 24_000
TINY = {"model": str(tiny("ltx-2")), "width": 64, "height": 64, "num_frames": 9, "num_inference_steps": 2}


def test_a_clip_has_the_sound_of_a_plain_call_of_the_pipeline() -> None:
    clip = answers(make("ltx-2"), CAT)["cat"]
    diffusers: Any = import_module("diffusers")
    with quiet("transformers", "diffusers"):
        plain = diffusers.DiffusionPipeline.from_pretrained(tiny("ltx-2"), dtype=torch.float32)
        plain.set_progress_bar_config(disable=True)
        given = settings("ltx-2")
        del given["model"]
        made = plain(prompt=CAT.prompt, generator=torch.Generator("cpu").manual_seed(1), output_type="np", **given)
    assert clip.sample_rate == plain.vocoder.config.output_sampling_rate == RATE
    assert np.array_equal(clip.sound, made.audio[0].numpy().T)
    assert clip.sound.dtype == np.float32
    assert clip.sound.std() > 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_frames_are_the_same_with_and_without_sound(dtype: str) -> None:
    kept, silent = make("ltx-2", dtype=dtype), make("ltx-2", dtype=dtype, sound=False)
    assert np.array_equal(frames(kept, CAT)["cat"], frames(silent, CAT)["cat"])
    answer = answers(silent, CAT)["cat"]
    assert (answer.sound, answer.sample_rate, answer.notes) == (None, None, ())


def test_the_sound_of_a_clip_does_not_depend_on_the_others() -> None:
    generator = make("ltx-2", batch_size=2)
    found = answers(generator, CAT, DOG, SEA)
    again = answers(generator, SEA, CAT)
    for id_ in ("cat", "sea"):
        # The transformer's last bits depend on a clip's place in its batch: 8 bits of a pixel hide it, floats do not.
        assert np.allclose(found[id_].sound, again[id_].sound, atol=1e-5)
    assert not np.array_equal(found["cat"].sound, found["dog"].sound)


def test_the_clips_of_a_run_are_heard_and_leave_their_frames_as_they_were(tmp_path: Path) -> None:
    loud = popbench_runs.run_fast(tmp_path / "loud", gen=spec("ltx-2", "ltx-2"), limit=2)
    silent = popbench_runs.run_fast(tmp_path / "silent", gen=spec("ltx-2", "ltx-2", sound=False), limit=2)
    assert loud.complete
    assert silent.complete
    for with_, without in zip(popbench_runs.samples(loud.path), popbench_runs.samples(silent.path), strict=True):
        clips = loud.path / with_["video"], silent.path / without["video"]
        assert [sound_of(clip) for clip in clips] == [(True, None), (False, None)]
        assert np.array_equal(read_frames(clips[0]), read_frames(clips[1]))
        with av.open(str(clips[0])) as file:
            stream = file.streams.audio[0]
            assert (stream.codec_context.name, stream.rate, stream.channels) == ("aac", RATE, 2)
        assert sound_seconds(clips[0]) == pytest.approx(9 / 24, abs=0.002)


# -- keys


def test_clips_without_sound_have_the_keys_of_before_it_was_kept() -> None:
    kept, silent = (resolved("ltx-2", **TINY, **more) for more in ({}, {"sound": False}))
    assert (kept.makes_sound, silent.makes_sound) == (True, False)
    with_, without = dict(kept.fingerprint()), dict(silent.fingerprint())
    assert "sound" not in without["options"]
    assert with_["options"].pop("sound") is True
    assert with_ == without


def test_sound_that_is_asked_for_is_no_other_sound() -> None:
    assert resolved("ltx-2", sound=True).fingerprint() == resolved("ltx-2").fingerprint()
    assert [label("ltx-2", **more) for more in ({}, {"sound": True}, {"sound": False})] == [
        "ltx-2", "ltx-2", "ltx-2[sound=false]",
    ]  # fmt: skip


@pytest.mark.parametrize("pipeline", FAMILIES)
def test_it_is_known_of_every_class_whether_it_makes_sound(pipeline: str) -> None:
    diffusers: Any = import_module("diffusers")
    parts = inspect.signature(getattr(diffusers, pipeline).__init__).parameters
    assert any("audio" in name or "vocoder" in name for name in parts) is FAMILIES[pipeline].sound


@pytest.mark.parametrize("name", PRESETS)
def test_presets_of_models_that_make_sound_alone_keep_it(name: str) -> None:
    generator = resolved(name)
    assert generator.makes_sound is (name == "ltx-2") is FAMILIES[PRESETS[name].pipeline].sound
    assert ("sound" in generator.fingerprint()["options"]) is generator.makes_sound


# -- what does not fit


def test_sound_is_left_out_of_a_clip_that_plays_at_another_rate_and_a_note_says_so() -> None:
    clip = answers(make("ltx-2", fps=12), CAT)["cat"]
    assert clip.sound is None
    assert clip.notes == ("without its sound: the clip plays at 12 frames a second, and its sound was made for 24",)
    assert answers(make("ltx-2", fps=12, sound=False), CAT)["cat"].notes == ()


def test_sound_goes_with_a_rate_that_the_model_is_told() -> None:
    clip = answers(make("ltx-2", fps=12, frame_rate=12), CAT)["cat"]
    assert clip.notes == ()
    assert len(clip.sound) / RATE == pytest.approx(9 / 12, abs=0.1)


def test_sound_that_there_is_none_of_or_that_does_not_fit_is_refused_in_a_line() -> None:
    assert "sound: the model makes none: leave the option out" in refused("wan-2.1-1.3b", sound=True)
    assert "sound: the model makes none" in refused("diffusers", model=str(tiny("ltx")), sound=True)
    assert (
        "sound: the clip plays at 8 frames a second, and its sound was made for 24: leave out sound or fps"
        in refused("ltx-2", sound=True, fps=8)
    )
    assert "sound: the model makes none" in refused("diffusers", model=str(tiny("ltx")), sound=False)


def test_sound_that_is_not_finite_is_an_error_as_frames_are(tmp_path: Path) -> None:
    folder = copied(tmp_path / "model", "ltx-2")
    file = folder / "vocoder" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_out.bias"].fill_(float("nan"))
    save_file(weights, file, {"format": "pt"})
    answer = answers(make("ltx-2", model=str(folder)), CAT)["cat"]
    assert isinstance(answer, popbench.Failure)
    assert answer.error == NOT_FINITE
    assert not answer.invalid
    assert frames(make("ltx-2", model=str(folder), sound=False), CAT)["cat"].std() > 10
