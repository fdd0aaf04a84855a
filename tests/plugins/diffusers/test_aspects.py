"""The option `aspect`: which size it is, what contradicts it, and that it is part of the key as width and height."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffusers_pipelines import CAT, answers, cached, copied, empty_hub, label, refused, resolved, settings
from popbench.registry import load_registry
from popbench_diffusers import aspects
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.memory import working
from popbench_diffusers.presets import PRESETS
from tiny_pipelines import tiny

PORTRAIT = {
    "cogvideox-5b": (480, 720), "ltx": (480, 704), "hunyuan": (544, 960), "hunyuan-1.5": (480, 848),
    "ltx-2": (512, 768), "mochi": (480, 848), "wan-2.1-1.3b": (480, 832), "wan-2.1-14b": (480, 832),
    "wan-2.2-5b": (704, 1280), "wan-2.2-a14b": (720, 1280), "skyreels-v2": (544, 960),
}  # fmt: skip
EVERY = [(name, aspect) for name, sizes in aspects.SIZES.items() for aspect in sizes]


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_hub(tmp_path / "hub", monkeypatch)


def size(name: str, /, **options: Any) -> tuple[int | None, int | None]:
    found = resolved(name, **options).options
    return found.width, found.height


def fingerprint(name: str, /, **options: Any) -> str:
    return json.dumps(resolved(name, **options).fingerprint(), sort_keys=True)


# -- sizes


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_portrait_and_a_landscape_size(name: str) -> None:
    assert size(name, aspect="9:16") == PORTRAIT[name]
    assert {"16:9", "9:16"} <= set(aspects.SIZES[name])


@pytest.mark.parametrize(("name", "aspect"), EVERY)
def test_an_aspect_is_a_size_that_the_pipeline_renders_and_has_about_that_shape(name: str, aspect: str) -> None:
    width, height = aspects.SIZES[name][aspect]
    family = FAMILIES[PRESETS[name].pipeline]
    assert family.wrong_sizes({"width": width, "height": height, "num_frames": None}) is None
    wide, tall = map(int, aspect.split(":"))
    assert width / height == pytest.approx(wide / tall, rel=0.25)
    assert size(name, aspect=aspect) == (width, height)


def test_portrait_is_landscape_turned() -> None:
    for name, sizes in aspects.SIZES.items():
        assert sizes["9:16"] == sizes["16:9"][::-1], name


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"hunyuan"}))
def test_landscape_is_the_preset_s_own_size(name: str) -> None:
    own = PRESETS[name].options
    assert aspects.SIZES[name]["16:9"] == (own["width"], own["height"])


def test_a_model_by_its_hub_id_has_the_sizes_of_its_preset(hub: Path) -> None:
    cached(hub, "Lightricks/LTX-Video", "ltx")
    assert size("diffusers", model="Lightricks/LTX-Video", aspect="9:16") == (480, 704)
    assert size("diffusers", model="THUDM/CogVideoX-5b", aspect="9:16") == (480, 720)


def test_a_model_in_a_folder_has_the_sizes_of_its_class() -> None:
    assert size("ltx", model=str(tiny("ltx")), aspect="9:16") == (480, 704)
    assert size("diffusers", model=str(tiny("ltx")), aspect="9:16") == (480, 704)


def test_a_preset_s_own_size_tells_models_of_one_class_apart() -> None:
    for name in ("wan-2.1-1.3b", "wan-2.2-5b", "wan-2.2-a14b"):
        assert size(name, model=str(tiny("wan")), aspect="9:16") == PORTRAIT[name]
    message = refused("diffusers", model=str(tiny("wan")), fps=16, aspect="9:16")
    assert "aspect=9:16: the sizes of " in message
    assert message.endswith("are not known: give width= and height= in its place")


def test_a_clip_has_the_size_of_the_aspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aspects, "SIZES", {**aspects.SIZES, "ltx": {"9:16": (64, 96)}})
    given = settings("ltx", model=str(copied(tmp_path / "model")), dtype="float32", aspect="9:16")
    del given["width"], given["height"]
    found = answers(resolved("ltx", **given), CAT)["cat"]
    assert np.shape(found.frames)[1:3] == (96, 64)
    assert found.notes == ()


def test_the_estimate_of_memory_is_for_the_size_of_the_aspect() -> None:
    tall, typed = resolved("hunyuan", aspect="9:16"), resolved("hunyuan", width=544, height=960)
    assert working(tall.options) == working(typed.options) > working(resolved("hunyuan").options)


# -- labels and fingerprints


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("ltx", {"aspect": "9:16"}, "ltx[aspect=9:16]"),
        ("ltx", {"aspect": "9:16", "num_frames": 9}, "ltx[aspect=9:16,num_frames=9]"),
        ("ltx", {"aspect": "9:16", "width": 480}, "ltx[aspect=9:16]"),
        ("ltx", {"aspect": "null"}, "ltx"),
        ("diffusers", {"model": "Lightricks/LTX-Video", "aspect": "9:16"}, "LTX-Video[aspect=9:16]"),
    ],
)
def test_an_aspect_is_in_the_label_and_the_size_that_follows_is_not(
    name: str, options: dict[str, Any], expected: str
) -> None:
    assert label(name, **options) == expected


def test_an_aspect_and_its_size_are_one_fingerprint() -> None:
    assert fingerprint("ltx", aspect="9:16") == fingerprint("ltx", width=480, height=704) != fingerprint("ltx")
    assert fingerprint("ltx", aspect="16:9") == fingerprint("ltx")
    assert "aspect" not in fingerprint("ltx", aspect="9:16")


def test_what_is_recorded_with_a_run_has_the_size() -> None:
    spec = load_registry().resolve("generator", "ltx,aspect=9:16").spec
    assert (spec.options["aspect"], spec.options["width"], spec.options["height"]) == ("9:16", 480, 704)
    assert "aspect" not in load_registry().resolve("generator", "ltx").spec.options


# -- refusals


@pytest.mark.parametrize(
    "options", [{"width": 704}, {"height": 480}, {"width": 704, "height": 480}, {"width": 480, "height": 480}]
)
def test_a_size_that_contradicts_the_aspect_is_refused(options: dict[str, int]) -> None:
    message = refused("ltx", aspect="9:16", **options)
    assert message.startswith("generator ltx: aspect=9:16 is 480x704 for Lightricks/LTX-Video, and ")
    assert message.endswith("contradicts it: leave out one of them")


def test_an_unknown_aspect_is_told_with_those_that_there_are() -> None:
    assert refused("ltx", aspect="4:3") == (
        "generator ltx: aspect=4:3: Lightricks/LTX-Video has 16:9 (704x480), 9:16 (480x704)"
    )
    assert "1:1 (720x720)" in refused("hunyuan", aspect="9x16")
    assert "has 16:9" in refused("ltx", aspect="")


def test_an_aspect_of_a_model_that_is_not_known_here_is_refused() -> None:
    assert refused("diffusers", model="org/x", aspect="9:16") == (
        "generator diffusers: aspect=9:16: the sizes of org/x are not known: give width= and height= in its place"
    )
    assert "LattePipeline" not in refused("diffusers", model=str(tiny("latte")), fps=8, aspect="9:16")
