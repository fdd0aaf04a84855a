"""The options of text-to-video pipelines: presets, the call's own arguments, sizes, labels, fingerprints."""

from __future__ import annotations

import functools
import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from huggingface_hub import constants

import popbench
from command_line import Run, in_process
from popbench import testing
from popbench.registry import load_registry
from popbench_diffusers.calls import arguments, video_problem
from popbench_diffusers.families import FAMILIES, Family
from popbench_diffusers.generator import DiffusersGenerator
from popbench_diffusers.presets import PRESETS, preset_of
from refusals import refusal
from tiny_pipelines import SMALLEST, build, tiny
from tiny_pipelines import Family as Kind

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RUNTIME = ("offload", "device")
_df: Any = diffusers


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no hub."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def cached(hub: Path, model: str, kind: Kind) -> None:
    """Lay a pipeline out as the hub's client does."""
    root = hub / f"models--{model.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    shutil.copytree(tiny(kind), root / "snapshots" / COMMIT)


def spec(name: str, /, **options: Any) -> str:
    shown = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in options.items())
    return ",".join([name, *shown])


def make(name: str, /, **options: Any) -> DiffusersGenerator:
    component = load_registry().resolve("generator", spec(name, **options)).component
    assert isinstance(component, DiffusersGenerator)
    return component


def of(folder: Path, **options: Any) -> DiffusersGenerator:
    return make("diffusers", model=str(folder), **options)


def label(name: str, /, **options: Any) -> str:
    return load_registry().resolve("generator", spec(name, **options)).spec.label


def refused(name: str, /, **options: Any) -> str:
    return refusal(lambda: load_registry().resolve("generator", spec(name, **options)))


# -- presets

PAPER: dict[str, dict[str, Any]] = {
    "cogvideox-5b": {
        "model": "zai-org/CogVideoX-5b", "width": 720, "height": 480, "num_frames": 49, "num_inference_steps": 50,
        "fps": 8.0, "guidance_scale": 6.0, "dtype": "bfloat16", "component_dtypes": {}, "quantization": "none",
        "layerwise_casting": [], "offload": "none", "vae_slicing": True, "vae_tiling": True, "negative_prompt": None,
    },
    "ltx": {
        "model": "Lightricks/LTX-Video", "width": 704, "height": 480, "num_frames": 161, "num_inference_steps": 50,
        "fps": 15.0, "guidance_scale": 3.0, "dtype": "bfloat16", "component_dtypes": {}, "quantization": "none",
        "layerwise_casting": [], "offload": "none", "vae_slicing": False, "vae_tiling": False,
    },
    "hunyuan": {
        "model": "hunyuanvideo-community/HunyuanVideo", "width": 512, "height": 320, "num_frames": 61,
        "num_inference_steps": 30, "fps": 15.0, "guidance_scale": 6.0, "dtype": "float16",
        "component_dtypes": {"transformer": "bfloat16"}, "quantization": "4bit", "quantize": ["transformer"],
        "layerwise_casting": ["text_encoder"], "offload": "model", "vae_slicing": False, "vae_tiling": True,
        "negative_prompt": None,
    },
}  # fmt: skip
"""The generators of arXiv 2502.12945 as its released code has them; guidance where it says none is the pipeline's."""
FURTHER: dict[str, dict[str, Any]] = {
    "cogvideox-5b": {"max_sequence_length": 226},
    "ltx": {"max_sequence_length": 128, "frame_rate": 25},
    "hunyuan": {"max_sequence_length": 256},
}
"""What their calls take by themselves: stated, so that a later diffusers does not change it."""


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_s_presets_have_its_settings(name: str) -> None:
    options = make(name).options
    assert {key: getattr(options, key) for key in PAPER[name]} == PAPER[name]
    assert (options.variant, options.batch_size, options.scheduler) == (None, 1, {})
    assert options.further_arguments == FURTHER[name]
    defaults = {key: arguments(PRESETS[name].pipeline)[key].default for key in FURTHER[name]}
    assert defaults == FURTHER[name]


def test_the_paper_s_negative_prompt_is_against_poor_quality_and_jitter() -> None:
    prompt = make("ltx").options.negative_prompt
    assert "low quality" in prompt
    assert "jitter" in prompt


def test_the_old_name_of_cogvideox_is_known() -> None:
    assert preset_of("THUDM/CogVideoX-5b") is PRESETS["cogvideox-5b"]
    assert make("diffusers", model="THUDM/CogVideoX-5b", fps=8).note == PRESETS["cogvideox-5b"].note


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_its_pipeline_can_render(name: str) -> None:
    preset = PRESETS[name]
    options = make(name).options
    assert preset.pipeline in FAMILIES
    assert video_problem(preset.pipeline) is None
    call = inspect.signature(getattr(diffusers, preset.pipeline).__call__).parameters
    given = {"width", "height", "num_frames", "num_inference_steps", "guidance_scale", "negative_prompt"}
    lacks = {key for key in given if getattr(options, key) is not None and key not in call}
    # which guides by a component of its own
    assert lacks == ({"guidance_scale"} if preset.pipeline == "HunyuanVideo15Pipeline" else set())
    assert set(options.further_arguments) <= set(call)
    sizes = {key: preset.options[key] for key in ("width", "height", "num_frames")}
    assert FAMILIES[preset.pipeline].wrong_sizes(sizes) is None
    assert {*options.component_dtypes, *options.layerwise_casting, *options.quantize} <= set(preset.parameters)
    assert options.clip_fps == preset.options["fps"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_s_licence_is_noted(name: str) -> None:
    note = make(name).note
    assert note
    assert "icense" in note
    assert "\n" not in note
    assert make("diffusers", model=PRESETS[name].model).note == note


def test_presets_are_those_that_are_registered() -> None:
    assert set(PRESETS) == {
        "ltx", "cogvideox-5b", "hunyuan", "hunyuan-1.5", "ltx-2", "mochi", "wan-2.1-1.3b", "wan-2.1-14b",
    }  # fmt: skip
    names = set(load_registry().names("generator"))
    assert {*PRESETS, "diffusers"} <= names


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("model", "THUDM/CogVideoX-5b"), ("revision", "dev"), ("variant", "fp16"), ("width", 64), ("height", 96),
        ("num_frames", 9), ("fps", 12.5), ("num_inference_steps", 3), ("guidance_scale", 2.5),
        ("negative_prompt", "dull"), ("scheduler", {"shift": 2.0}), ("dtype", "float32"),
        ("component_dtypes", {"vae": "float32"}), ("quantization", "8bit"), ("quantize", ["text_encoder"]),
        ("layerwise_casting", ["transformer"]), ("vae_slicing", False), ("vae_tiling", False), ("attention", "flex"),
        ("compile", True), ("batch_size", 2), ("threads", 1), ("offload", "group"), ("device", "cpu"),
    ],
)  # fmt: skip
def test_any_option_of_a_preset_can_be_overridden(option: str, value: Any) -> None:
    assert getattr(make("cogvideox-5b", **{option: value}).options, option) == value


def test_a_preset_s_setting_can_be_left_to_the_pipeline() -> None:
    assert make("ltx", negative_prompt="null", num_frames="null").options.negative_prompt is None


# -- what the call accepts


@pytest.mark.parametrize("name", ["ltx", "diffusers"])
def test_an_unknown_option_is_told_with_all_that_the_call_accepts(name: str) -> None:
    given = {"model": str(tiny("ltx"))} if name == "diffusers" else {}
    message = refused(name, **given, guidence_rescale=1)
    assert "did you mean 'guidance_rescale'?" in message
    listed = set(message.partition("(possible: ")[2].rstrip(")").split(", "))
    assert {*type(make(name, **given).options).model_fields, *arguments("LTXPipeline"), "label"} == listed
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
        ("timesteps", "[1000, 500]", [1000, 500]), ("decode_noise_scale", "null", None),
    ],
)  # fmt: skip
def test_arguments_of_the_call_are_options_with_its_types(option: str, text: str, value: Any) -> None:
    found = make("ltx", **{option: text}).options.further_arguments[option]
    assert found == value
    assert type(found) is type(value)
    assert of(tiny("ltx"), **{option: text}).options.further_arguments == {option: value}


@pytest.mark.parametrize(
    ("option", "text"),
    [("guidance_rescale", "much"), ("decode_timestep", "soon"), ("max_sequence_length", "64.5"), ("timesteps", "3")],
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
    generator = make(
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
    assert make("diffusers", model="org/tiny", frame_rate=12).options.clip_fps == 12
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
        assert make(name, width=family.multiple, height=family.multiple, num_frames=value).options.num_frames == value
    for option in ("width", "height", "num_frames", "num_inference_steps"):
        for value in (0, -8):
            assert option in refused(name, **{option: value})


KINDS: list[Kind] = [kind for kind, smallest in SMALLEST.items() if smallest.pipeline in FAMILIES]


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


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


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


# -- labels


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "ltx"),
        ({"num_frames": 161}, "ltx"),
        ({"num_frames": 9}, "ltx[num_frames=9]"),
        ({"num_frames": 9, "width": 64}, "ltx[width=64,num_frames=9]"),
        ({"offload": "model", "device": "cpu"}, "ltx"),
        ({"guidance_rescale": 0.7}, "ltx[guidance_rescale=0.7]"),
        ({"label": "mine", "fps": 8}, "mine"),
    ],
)
def test_a_preset_s_label_is_its_name_with_what_differs(options: dict[str, Any], expected: str) -> None:
    assert label("ltx", **options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "tiny-ltx"),
        ({"num_inference_steps": 2}, "tiny-ltx[num_inference_steps=2]"),
        ({"device": "cpu", "offload": "group"}, "tiny-ltx"),
        ({"guidance_rescale": 0.7}, "tiny-ltx[guidance_rescale=0.7]"),
    ],
)
def test_a_pipeline_s_label_is_the_last_part_of_its_place_with_what_differs(
    options: dict[str, Any], expected: str
) -> None:
    assert label("diffusers", model=str(tiny("ltx")), **options) == expected
    assert label("diffusers", model=f"{tiny('ltx')}/", **options) == expected


def test_a_hub_model_s_label_is_its_name_there() -> None:
    assert label("diffusers", model="org/some-model") == "some-model"


# -- fingerprints


def prints(*generators: DiffusersGenerator) -> set[str]:
    return {json.dumps(generator.fingerprint(), sort_keys=True) for generator in generators}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("ltx"), tmp_path / "model"))


def test_how_a_pipeline_is_offloaded_does_not_change_its_fingerprint(copied: Path) -> None:
    given: list[dict[str, Any]] = [{}, {"offload": "model"}, {"offload": "sequential"}, {"device": "cpu"}]
    assert len(prints(*(of(copied, **options) for options in given))) == 1


def test_everything_else_changes_it(copied: Path) -> None:
    given: list[dict[str, Any]] = [
        {}, {"width": 64}, {"height": 64}, {"num_frames": 9}, {"fps": 8}, {"num_inference_steps": 2},
        {"guidance_scale": 2}, {"negative_prompt": "dull"}, {"scheduler": {"shift": 2.0}}, {"dtype": "float32"},
        {"component_dtypes": {"vae": "float32"}}, {"quantization": "8bit"},
        {"quantization": "8bit", "quantize": ["text_encoder"]}, {"layerwise_casting": ["transformer"]},
        {"vae_slicing": True}, {"vae_tiling": True}, {"attention": "flex"}, {"compile": True}, {"batch_size": 2},
        {"threads": torch.get_num_threads() + 1}, {"variant": "fp16"}, {"guidance_rescale": 0.7},
        {"guidance_rescale": 0.8}, {"decode_timestep": 0.05},
    ]  # fmt: skip
    assert len(prints(*(of(copied, **options) for options in given))) == len(given)
    named = set(type(of(copied).options).model_fields) - {"model", "revision", *RUNTIME}
    assert named <= {name for options in given for name in options}, "an option was not tried"


def test_the_number_of_threads_is_part_of_it_whether_given_or_not(copied: Path) -> None:
    assert of(copied).fingerprint()["threads"] == torch.get_num_threads()
    assert of(copied, threads=3).fingerprint()["threads"] == 3


def test_every_path_to_a_pipeline_and_every_copy_of_it_has_one_fingerprint(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(copied)
    shutil.copytree(copied, tmp_path / "copy")
    paths = [str(copied), f"{copied}/", "model", "./model", "~/model", "link", "copy", str(tiny("ltx"))]
    assert len(prints(*(make("diffusers", model=path) for path in paths))) == 1
    copied.rename(tmp_path / "moved")
    assert prints(make("diffusers", model="moved")) == prints(make("diffusers", model="copy"))


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def _flip(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: build(folder, "ltx", seed=1),
        lambda folder: _flip(folder / "vae" / "diffusion_pytorch_model.safetensors"),
        lambda folder: _flip(folder / "text_encoder" / "model.safetensors"),
        lambda folder: _edit(folder / "scheduler" / "scheduler_config.json", shift=2.0),
        lambda folder: _edit(folder / "tokenizer" / "tokenizer_config.json", model_max_length=64),
        lambda folder: _edit(folder / "transformer" / "config.json", qk_norm="none"),
    ],
    ids=["weights", "vae", "text encoder", "scheduler", "tokenizer", "transformer's config"],
)
def test_other_contents_are_another_fingerprint(copied: Path, change: Callable[[Path], object]) -> None:
    before = prints(of(copied))
    change(copied)
    assert prints(of(copied)) != before


def test_bystanders_in_a_folder_are_not_part_of_its_fingerprint(copied: Path) -> None:
    before = prints(of(copied))
    (copied / "README.md").write_text("words", encoding="utf-8")
    (copied / "ltx-video-2b-v0.9.safetensors").write_bytes(b"all in one file")
    (copied / ".cache").mkdir()
    (copied / ".cache" / "x.json").write_text("{}", encoding="utf-8")
    assert prints(of(copied)) == before


def test_a_hub_model_s_fingerprint_is_its_commit(hub: Path) -> None:
    assert make("ltx").fingerprint()["weights"] is None
    cached(hub, "Lightricks/LTX-Video", "ltx")
    for generator in (make("ltx"), make("ltx", revision=COMMIT)):
        assert generator.fingerprint()["weights"] == COMMIT
        assert generator.fingerprint()["pipeline"] == "LTXPipeline"


def test_a_preset_and_the_same_settings_in_full_differ_only_in_where_other_settings_come_from(hub: Path) -> None:
    cached(hub, "Lightricks/LTX-Video", "ltx")
    options = {key: f'"{value}"' if isinstance(value, str) else value for key, value in PRESETS["ltx"].options.items()}
    preset, full = dict(make("ltx").fingerprint()), dict(make("diffusers", **options).fingerprint())
    assert preset.pop("defaults") is None
    assert full.pop("defaults") == f"diffusers {diffusers.__version__}"
    assert preset == full


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
