"""The options of text-to-video pipelines: arguments of the call, sizes, and messages on the command line."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import diffusers
import pytest

import popbench
from command_line import Run, in_process
from diffusers_pipelines import cached, empty_hub, of, only, refused, resolved
from popbench import testing
from popbench_diffusers.calls import arguments
from popbench_diffusers.families import FAMILIES, Family
from popbench_diffusers.presets import PRESETS
from tiny_pipelines import SMALLEST, tiny
from tiny_pipelines import Family as Kind

RUNTIME = ("offload", "device")


_df: Any = diffusers


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_hub(tmp_path / "hub", monkeypatch)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


# -- what the call accepts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ltx", "diffusers"])
def test_an_unknown_option_is_told_with_all_that_the_call_accepts(name: str) -> None:
    given = {"model": str(tiny("ltx"))} if name == "diffusers" else {}
    message = refused(name, **given, guidence_rescale=1)
    assert "did you mean 'guidance_rescale'?" in message
    listed = set(message.partition("(possible: ")[2].rstrip(")").split(", "))
    assert {*type(resolved(name, **given).options).model_fields, *arguments("LTXPipeline"), "label"} == listed
    assert not listed & {"prompt", "generator", "output_type", "callback_on_step_end", "latents", "prompt_embeds"}


def test_the_general_name_needs_a_model() -> None:
    assert refused("diffusers") == "generator diffusers needs model=VALUE"
    assert "needs model=VALUE" in refused("diffusers", width=64)
    assert "did you mean 'width'?" in refused("diffusers", wdth=64)


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("guidance_rescale", "0.7", 0.7), ("guidance_rescale", "1", 1.0), ("decode_timestep", "0.05", 0.05),
        ("decode_timestep", "[0.05]", [0.05]), ("frame_rate", "24", 24), ("max_sequence_length", "64", 64),
        ("decode_noise_scale", "null", None),
    ],
)  # fmt: skip
def test_arguments_of_the_call_are_options_with_its_types(option: str, text: str, value: Any) -> None:
    found = resolved("ltx", **{option: text}).options.further_arguments[option]
    assert found == value
    assert type(found) is type(value)
    assert of(tiny("ltx"), **{option: text}).options.further_arguments == {option: value}


@pytest.mark.parametrize(
    ("option", "text"),
    [("guidance_rescale", "much"), ("decode_timestep", "soon"), ("max_sequence_length", "64.5")],
)
def test_a_bad_value_of_an_argument_is_told_in_one_line(option: str, text: str) -> None:
    message = refused("ltx", **{option: text})
    assert message.startswith(f"generator ltx: {option}")
    assert repr(text) in message


def test_a_flag_and_an_object_of_a_call_are_typed() -> None:
    options = of(tiny("latte"), video_length=8, clean_caption="false", fps=8).options
    assert options.further_arguments == {"video_length": 8, "clean_caption": False}
    assert "clean_caption" in refused("diffusers", model=str(tiny("latte")), clean_caption="perhaps")


def test_options_reach_the_pipeline_s_call_as_they_were_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    call = diffusers.LTXPipeline.__call__

    @functools.wraps(call)
    def spied(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(diffusers.LTXPipeline, "__call__", spied)
    generator = resolved(
        "ltx", model=str(tiny("ltx")), width=64, height=32, num_frames=9, num_inference_steps=1, decode_timestep=0.05,
        guidance_rescale=0.7, threads=1, device="cpu", negative_prompt="dull",
    )  # fmt: skip
    assert generator.check() == []
    (answer,) = list(generator.generate(testing.sample_video_requests()[:1]))
    generator.close()
    assert isinstance(answer, popbench.Clip)
    assert answer.frames is not None
    assert answer.frames.shape == (9, 32, 64, 3)
    assert answer.fps == 15.0
    (kwargs,) = seen
    del kwargs["generator"], kwargs["prompt"]
    assert kwargs == {
        "width": 64, "height": 32, "num_frames": 9, "num_inference_steps": 1, "decode_timestep": 0.05,
        "guidance_rescale": 0.7, "negative_prompt": "dull", "output_type": "pt",
        "guidance_scale": 3.0, "frame_rate": 25, "max_sequence_length": 128,
    }  # fmt: skip


def test_which_options_a_pipeline_takes_is_found_in_the_hub_s_cache_or_said_to_be_unknown(hub: Path) -> None:
    cached(hub, "org/tiny", "ltx")
    assert resolved("diffusers", model="org/tiny", frame_rate=12).options.clip_fps == 12
    message = refused("diffusers", model="org/none", guidance_rescale=0.7)
    assert "which options its pipeline takes cannot be known" in message
    assert "hf download org/none" in message


# -- sizes


def wrong_sizes(family: Family) -> list[tuple[str, int, str]]:
    """List sizes that a family cannot render, with the nearest that it can."""
    step, period = family.multiple, family.period
    found = [
        ("width", 5 * step - 1, f"take {4 * step} or {5 * step}"),
        ("width", 5 * step + 1, f"take {5 * step} or {6 * step}"),
        ("width", 1, f"take {step}"),
        ("height", 3 * step + step // 2, f"take {3 * step} or {4 * step}"),
        ("height", step - 1, f"take {step}"),
        ("num_frames", 2, f"take 1 or {period + 1}"),
        ("num_frames", 3 * period, f"take {2 * period + 1} or {3 * period + 1}"),
        ("num_frames", 3 * period + 2, f"take {3 * period + 1} or {4 * period + 1}"),
    ]
    return [item for item in found if item[0] != "num_frames" or item[1] % period != 1]


@pytest.mark.parametrize("name", sorted({preset.pipeline: name for name, preset in PRESETS.items()}.values()))
def test_sizes_that_a_family_cannot_render_are_told_with_the_nearest_that_it_can(name: str) -> None:
    family = FAMILIES[PRESETS[name].pipeline]
    for option, value, nearest in wrong_sizes(family):
        message = refused(name, **{option: value})
        assert message.startswith(f"generator {name}: {option}={value} is not ")
        assert message.endswith(nearest)
    for value in (1, family.period + 1):
        assert (
            resolved(name, width=family.multiple, height=family.multiple, num_frames=value).options.num_frames == value
        )
    for option in ("width", "height", "num_frames", "num_inference_steps"):
        for value in (0, -8):
            assert option in refused(name, **{option: value})


COARSE = "wan-2.2-5b"
"""The pipeline whose autoencoder compresses more than its class says, which `check` reads from its config."""
KINDS: list[Kind] = [kind for kind, smallest in SMALLEST.items() if smallest.pipeline in FAMILIES and kind != COARSE]


def test_a_size_that_a_coarser_autoencoder_cannot_render_is_told() -> None:
    line = only(tiny(COARSE), fps=24, width=48, height=64)
    assert line == "width=48 is not a multiple of 32: take 32 or 64"


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_sizes_a_family_is_said_to_take_are_those_its_pipeline_takes(kind: Kind) -> None:
    """The rule is no stricter and no laxer than what the tiny pipeline's own parts divide by."""
    family, pipeline = FAMILIES[SMALLEST[kind].pipeline], _df.DiffusionPipeline.from_pretrained(tiny(kind))
    in_space = next(
        getattr(pipeline, name)
        for name in (
            "vae_spatial_compression_ratio", "vae_scale_factor_spatial", "vae_spatial_scale_factor",
        )
        if hasattr(pipeline, name)
    )  # fmt: skip
    in_time = next(
        getattr(pipeline, name)
        for name in (
            "vae_temporal_compression_ratio", "vae_scale_factor_temporal", "vae_temporal_scale_factor",
        )
        if hasattr(pipeline, name)
    )  # fmt: skip
    patch = pipeline.transformer.config.patch_size
    patch = patch[-1] if isinstance(patch, list | tuple) else patch
    assert family.multiple == in_space * patch
    assert family.period == (8 if kind == "cogvideox" else in_time)  # whose decoder takes two frames at a time


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("ltx,width=700", "width=700 is not a multiple of 32: take 672 or 704"),
        ("cogvideox-5b,height=488", "height=488 is not a multiple of 16: take 480 or 496"),
        ("hunyuan,num_frames=60", "num_frames=60 is not 4n+1: take 57 or 61"),
        ("mochi,num_frames=1,height=1", "height=1 is not a multiple of 16: take 16"),
        ("ltx,guidance_rescale=much", "guidance_rescale"),
        ("ltx,frames=9", "unknown option of generator ltx 'frames'"),
        ("diffusers", "needs model=VALUE"),
    ],
)
def test_wrong_options_end_the_command_before_any_work(run: Run, tmp_path: Path, given: str, told: str) -> None:
    done = run("eval", "--gen", given, "--out", "run")
    assert done.status == 2
    assert told in done.line
    assert not (tmp_path / "run").exists()


# -- what the command line tells


def test_plugins_tells_a_pipeline_s_own_arguments_too(run: Run) -> None:
    (told,) = json.loads(run("plugins", "ltx", "--json").out)["components"]
    options = {item["name"]: item for item in told["options"]}
    assert {*arguments("LTXPipeline"), "width", "offload"} <= set(options)
    assert options["guidance_rescale"]["default"] == 0.0
    assert options["num_frames"]["default"] == 161
    assert [name for name in options if options[name]["runtime"]] == [*RUNTIME]
    done = run("plugins", "ltx")
    assert (done.status, done.err) == (0, "")
    assert "decode_timestep" in done.out
    (model,) = [line for line in run("plugins", "diffusers").out.splitlines() if line.startswith("│ model ")]
    assert "│ required " in model


@pytest.mark.parametrize("arguments", [["plugins"], ["--help"]])
def test_lists_and_help_import_no_model_library(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from popbench.cli import main\n"
        f"sys.argv = ['popbench', *{arguments!r}]\n"
        "try:\n    main()\n"
        "finally:\n"
        "    print('HEAVY', [name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert ("wan-2.1-14b" in done.stdout) == (arguments == ["plugins"])


def test_the_package_is_typed() -> None:
    assert resources.files("popbench_diffusers").joinpath("py.typed").is_file()
