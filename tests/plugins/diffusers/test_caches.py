"""Step caches of text-to-video pipelines: which work with which, what they change, and that no clip changes another."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import popbench
from diffusers_pipelines import (
    CAT,
    DOG,
    MOCHI_WARNS,
    PRESETS,
    SEA,
    answers,
    empty_hub,
    frames,
    label,
    make,
    of,
    only,
    pipeline_of,
    refused,
    resolved,
    same,
    settings,
)
from popbench.local import quiet
from popbench_diffusers import caches, loading
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.generator import DiffusersGenerator
from popbench_diffusers.presets import PRESETS as ALL_PRESETS
from tiny_pipelines import SMALLEST, Family, tiny

_df: Any = diffusers
pytestmark = pytest.mark.filterwarnings(MOCHI_WARNS)
EAGER: dict[str, dict[str, Any]] = {
    "first-block": {"kind": "first-block", "threshold": 100.0},
    "faster": {
        "kind": "faster",
        "spatial_attention_timestep_skip_range": [-1, 1001],
        "unconditional_batch_timestep_skip_range": [-1, 1001],
    },
    "pab": {"kind": "pab", "spatial_attention_timestep_skip_range": [-1, 1001]},
    "taylorseer": {"kind": "taylorseer", "cache_interval": 2, "disable_cache_before_step": 1},
}
"""Each kind of cache, so that it works from the first steps on."""
STEPS = 4
KINDS_OF = {family: FAMILIES[SMALLEST[family].pipeline].caches for family in PRESETS.values()}
PAIRS = [
    pytest.param(family, kind, id=f"{family}-{kind}", marks=() if family == "ltx" else pytest.mark.slow)
    for family, kinds in KINDS_OF.items()
    for kind in kinds
]
WITHOUT = [(family, kind) for family, kinds in KINDS_OF.items() for kind in caches.KINDS if kind not in kinds]


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_hub(tmp_path / "hub", monkeypatch)


def cached(family: Family, kind: str, **changes: Any) -> DiffusersGenerator:
    return make(family, **{"num_inference_steps": STEPS, "fps": 8.0, "cache": EAGER[kind], **changes})


# -- what they render


@pytest.mark.parametrize(("family", "kind"), PAIRS)
def test_a_cache_changes_clips_and_no_clip_changes_another(family: Family, kind: str) -> None:
    plain = frames(make(family, num_inference_steps=STEPS), CAT)["cat"]
    first, second = cached(family, kind), cached(family, kind)
    assert first.check() == []
    found = frames(first, CAT, DOG, SEA)
    assert all(clip.max() > 100 and clip.std() > 10 for clip in found.values())
    assert not np.array_equal(found["cat"], plain)
    assert same(found, frames(first, DOG, CAT), ["dog", "cat"]), "in any order"
    assert same(found, frames(second, SEA), ["sea"]), "and after a new start"


@pytest.mark.slow
@pytest.mark.parametrize("kind", caches.KINDS)
def test_a_cache_is_that_of_a_plain_script(kind: str) -> None:
    ours = frames(cached("cogvideox", kind), CAT)["cat"]
    with quiet("transformers", "diffusers"):
        pipeline = _df.DiffusionPipeline.from_pretrained(tiny("cogvideox"), dtype=torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        now = {"current_timestep_callback": lambda: pipeline.current_timestep}
        whole = (-1, 1001)
        config = {
            "first-block": lambda: _df.FirstBlockCacheConfig(threshold=100.0),
            "faster": lambda: _df.FasterCacheConfig(
                spatial_attention_timestep_skip_range=whole,
                unconditional_batch_timestep_skip_range=whole,
                tensor_format="BFCHW",
                **now,
            ),
            "pab": lambda: _df.PyramidAttentionBroadcastConfig(
                spatial_attention_block_skip_range=2, spatial_attention_timestep_skip_range=whole, **now
            ),
            "taylorseer": lambda: _df.TaylorSeerCacheConfig(
                cache_interval=2, disable_cache_before_step=1, cache_identifiers=[r"transformer_blocks\.\d+\.attn1"]
            ),
        }[kind]()
        pipeline.transformer.enable_cache(config)
        call = settings("cogvideox", num_inference_steps=STEPS)
        del call["model"]
        seed = torch.Generator("cpu").manual_seed(CAT.seed)
        made = pipeline(prompt=CAT.prompt, generator=seed, output_type="np", **call).frames[0]
    assert np.array_equal(ours, (made * 255).round().astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pab", "taylorseer", "faster"])
def test_a_clip_of_a_batch_does_not_depend_on_the_others(kind: str) -> None:
    generator = cached("cogvideox", kind, batch_size=2)
    found = frames(generator, CAT, DOG, SEA)
    for order in ((SEA, CAT), (DOG,)):
        assert same(found, frames(generator, *order), [request.id for request in order])


def test_a_clip_that_failed_leaves_nothing_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = cached("ltx", "first-block")
    expected = frames(generator, CAT, DOG)
    calls: list[int] = []

    def third(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = pipeline_of(generator).transformer.register_forward_pre_hook(third)
    failed = answers(generator, SEA)["sea"]
    hook.remove()
    assert isinstance(failed, popbench.Failure)
    assert "no cache=" in str(failed.error)
    assert same(expected, frames(generator, DOG, CAT), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["first-block", "faster"])
def test_what_waits_elsewhere_changes_no_clip(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = frames(cached("cogvideox", kind), CAT, DOG)
    stand_in = torch.device("cpu:0")
    monkeypatch.setattr(loading, "place", lambda pipeline, *_: loading.offload(pipeline, stand_in, "model"))
    generator = cached("cogvideox", kind)
    assert same(expected, frames(generator, DOG, CAT), expected)
    assert same(expected, frames(generator, CAT), ["cat"]), "hooks of offloading are renewed after each clip"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compiled_blocks_are_skipped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    small = {"width": 96, "height": 64, "num_frames": 1}  # no size of another test: kernels are kept by the process
    config: Any = import_module("torch._inductor.config")
    with config.patch({"compile_threads": 1, "cpp.vec_isa_ok": True}):  # as in test_clips.py
        generator = cached("ltx", "first-block", compile=True, **small)
        assert generator.check() == []
        found = frames(generator, CAT, DOG)
        assert list((tmp_path / "compiled").rglob("*.so")), "something was compiled"
        assert same(found, frames(generator, DOG, CAT), found)
        generator.close()
    uncompiled = frames(cached("ltx", "first-block", **small), CAT)["cat"]
    assert np.abs(found["cat"].astype(int) - uncompiled).max() <= 3
    torch.compiler.reset()


# -- labels, fingerprints, notes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("first-block", "ltx[cache=first-block]"),
        ({"kind": "first-block"}, "ltx[cache=first-block]"),
        ({"kind": "first-block", "threshold": 0.05}, "ltx[cache=first-block]"),
        ({"kind": "first-block", "threshold": 0.1}, 'ltx[cache={"kind": "first-block", "threshold": 0.1}]'),
        ("null", "ltx"),
    ],
)
def test_a_cache_is_in_the_label(given: Any, expected: str) -> None:
    assert label("ltx", cache=given) == expected


def test_all_settings_of_a_cache_are_in_the_fingerprint_however_it_was_written() -> None:
    written = ["first-block", {"kind": "first-block"}, {"kind": "first-block", "threshold": 0.05}]
    prints = [resolved("ltx", cache=given).fingerprint() for given in written]
    assert prints[0] == prints[1] == prints[2]
    assert prints[0]["options"]["cache"] == {"kind": "first-block", "threshold": 0.05}
    other = resolved("ltx", cache={"kind": "first-block", "threshold": 0.1}).fingerprint()
    assert other != prints[0] != resolved("ltx").fingerprint()


def test_without_a_cache_nothing_speaks_of_one() -> None:
    generator = resolved("ltx")
    assert "cache" not in str(generator.fingerprint())
    assert "cache" not in generator.note


@pytest.mark.parametrize("name", ["ltx", "diffusers"])
def test_the_note_on_boards_says_that_a_cache_is_used(name: str) -> None:
    given = {"model": str(tiny("ltx"))} if name == "diffusers" else {}
    cache = {"kind": "first-block", "threshold": 0.2}
    plain, note = resolved(name, **given).note, resolved(name, **given, cache=cache).note
    assert (
        note == f"{plain} Clips are rendered with a step cache, which changes them: first-block, threshold 0.2.".strip()
    )


@pytest.mark.parametrize("kind", caches.KINDS)
def test_defaults_are_those_of_diffusers(kind: str) -> None:
    ours = caches.settings(kind)
    theirs = getattr(_df, caches.KINDS[kind].config)()
    own = {"kind", "attention_weight"}
    for key in set(ours) - own:
        value = getattr(theirs, key)
        if key == "spatial_attention_block_skip_range":
            assert value in (None, 2)
        elif key == "taylor_factors_dtype":
            assert value is getattr(torch, ours[key])
        else:
            assert ours[key] == (list(value) if isinstance(value, tuple) else value), key


# -- refusals


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("fast", ["cache: expected the kind first-block, faster, pab or taylorseer, not 'fast'"]),
        ("3", ["expected the kind", "not '3'"]),
        ({"threshold": 0.1}, ["expected the kind", 'as in {"kind":"first-block"}']),
        ({"kind": ["pab"]}, ["expected the kind"]),
        ({"kind": "first-block", "treshold": 0.1}, ["first-block has no setting 'treshold' (it has threshold)"]),
        ({"kind": "first-block", "threshold": "much"}, ["threshold: input should be a valid number", "not 'much'"]),
        ({"kind": "first-block", "threshold": 0}, ["threshold: input should be greater than 0, not 0"]),
        ({"kind": "pab", "spatial_attention_timestep_skip_range": [1]}, ["spatial_attention_timestep_skip_range.1"]),
        ({"kind": "taylorseer", "cache_interval": 1}, ["cache_interval: input should be greater than or equal to 2"]),
    ],
)
def test_a_bad_cache_is_told_in_one_line(given: Any, words: list[str]) -> None:
    message = refused("ltx", cache=given)
    assert message.startswith("generator ltx: cache: ")
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message


@pytest.mark.parametrize(("family", "kind"), WITHOUT)
def test_a_cache_that_a_model_does_not_have_is_refused_with_those_that_it_has(family: Family, kind: str) -> None:
    name = next(name for name, of_family in PRESETS.items() if of_family == family)
    pipeline, has = SMALLEST[family].pipeline, ", ".join(KINDS_OF[family])
    expected = f"cache: {pipeline} does not have {kind} (it has {has})"
    assert expected in refused(name, cache=kind)
    assert expected in refused("diffusers", model=str(tiny(family)), fps=8, cache=kind)


def test_a_pipeline_that_is_not_known_here_has_no_cache() -> None:
    message = refused("diffusers", model=str(tiny("latte")), video_length=8, fps=8, cache="pab")
    assert "LattePipeline does not have pab (it has none that works: leave the option out)" in message


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("ltx", {"cache": "first-block", "batch_size": 2}, "use batch_size=1"),
        ("ltx", {"cache": "pab", "compile": True}, "use first-block, or leave one out"),
        (
            "cogvideox-5b",
            {"cache": "faster", "guidance_scale": 1},
            "faster needs guidance, and guidance_scale=1 is none",
        ),
        ("hunyuan", {"cache": "pab", "true_cfg_scale": 6}, "would mix what true_cfg_scale=6 compares"),
    ],
)
def test_options_that_exclude_a_cache_are_told(name: str, options: dict[str, Any], words: str) -> None:
    assert words in refused(name, **options)


def test_a_cache_does_not_go_with_offloading_by_groups() -> None:
    line = only(tiny("ltx"), cache="first-block", offload="group")
    assert line == "cache does not go with offload=group: use offload=none, model or sequential"


def test_a_model_that_turns_out_to_lack_the_cache_is_refused_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = of(tiny("wan"), fps=16, num_inference_steps=1, width=64, height=64, num_frames=9)
    object.__setattr__(generator.options, "cache", "pab")  # as if the class had not been known
    with pytest.raises(popbench.ComponentError, match="WanPipeline does not have pab"):
        answers(generator, CAT)


@pytest.mark.parametrize("name", ALL_PRESETS)
def test_the_caches_of_a_preset_exist_in_diffusers(name: str) -> None:
    for kind in FAMILIES[ALL_PRESETS[name].pipeline].caches:
        assert hasattr(_df, caches.KINDS[kind].config)
