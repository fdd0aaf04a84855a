"""What `popbench.local` offers to plugins that run models here: kinds of folders, digests, silence, devices, memory."""

from __future__ import annotations

import json
import logging
import struct
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from popbench import local
from popbench.local import Layout, Weights

MAIN = ("net.fp16.safetensors", "net.safetensors.index.fp16.json", "net.safetensors")


def _save(file: Path, content: bytes = b"\0" * 8) -> None:
    """Write a safetensors file of one tensor."""
    header = json.dumps({"x": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack("<Q", len(header)) + header + content)


def _problem(folder: Path) -> str | None:
    found = local.broken_weights(folder / "net", MAIN)
    return None if found is None else f"in net, {found}"


LAYOUT = Layout(
    kind="toy",
    index="toy.json",
    problem=_problem,
    complete=lambda folder: (folder / "net").is_dir(),
    files=lambda folder: [*folder.glob("*.json"), *folder.glob("net/*")],
    weights=lambda folder: local.weight_files(folder / "net"),
)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    _save(folder / "net" / "net.safetensors")
    (folder / "toy.json").write_text('{"made": "here"}', encoding="utf-8")
    return folder


def weights(folder: Path) -> Weights:
    return Weights(str(folder), None, LAYOUT)


def test_a_layout_with_sub_folders_is_described_and_checked(toy: Path) -> None:
    found = weights(toy)
    assert found.problem is None
    assert found.index == {"made": "here"}
    assert found.stored_bytes == (toy / "net" / "net.safetensors").stat().st_size
    (toy / "net" / "net.safetensors").write_bytes(b"")
    assert "in net, its net.safetensors has no safetensors header" in str(weights(toy).problem)
    (toy / "toy.json").write_text("[]", encoding="utf-8")
    assert "its toy.json is no JSON object" in str(weights(toy).problem)
    (toy / "toy.json").unlink()
    assert "the folder holds no toy.json, so it is no toy" in str(weights(toy).problem)


def test_a_digest_covers_what_the_layout_names(toy: Path) -> None:
    found = weights(toy)
    before = found.identity
    (toy / "README.md").write_text("words", encoding="utf-8")
    assert not found.changed()
    _save(toy / "net" / "net.safetensors", b"\1" * 8)
    assert found.changed()
    assert found.identity == before
    assert weights(toy).identity != before


def test_the_first_of_the_main_files_counts_and_an_index_of_a_variant_is_one(toy: Path) -> None:
    net = toy / "net"
    assert not local.lacks_shards(net, MAIN)
    index = net / "net.safetensors.index.fp16.json"
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}), encoding="utf-8")
    _save(net / "1.safetensors")
    assert local.lacks_shards(net, MAIN)
    assert f"{index.name} names 2.safetensors, which" in str(local.broken_weights(net, MAIN))
    _save(net / "2.safetensors")
    assert not local.lacks_shards(net, MAIN)
    assert local.broken_weights(net, MAIN) is None
    index.write_text('{"weight_map": []}', encoding="utf-8")
    assert "names no shards" in str(local.broken_weights(net, MAIN))
    (net / "net.fp16.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in str(local.broken_weights(net, MAIN))
    assert "holds no weights (a.bin)" in str(local.broken_weights(net, ["a.bin"]))


def _states() -> list[Any]:
    libraries: list[Any] = [import_module(f"{name}.utils.logging") for name in ("transformers", "diffusers")]
    bars = [library.is_progress_bar_enabled() for library in libraries]
    return [*(library.get_verbosity() for library in libraries), *bars, logging.getLogger("accelerate").level]


def test_silence_is_of_the_libraries_named_and_ends_with_the_last_block() -> None:
    before = _states()
    with local.quiet("transformers"):
        transformers, diffusers, *bars, accelerate = _states()
        assert (transformers, accelerate) == (logging.ERROR, logging.ERROR)
        assert (diffusers, bars) == (before[1], [False, before[3]])
        with local.quiet("diffusers", "transformers"):
            assert _states()[:4] == [logging.ERROR, logging.ERROR, False, False]
        assert _states()[:4] == [logging.ERROR, before[1], False, before[3]]
    assert _states() == before


def test_silence_of_several_threads_that_overlap_is_undone() -> None:
    before = _states()
    both, first_over = threading.Barrier(2), threading.Event()
    seen: list[Any] = []

    def first() -> None:
        with local.quiet("transformers"):
            both.wait(60)
        first_over.set()

    def second() -> None:
        with local.quiet("transformers", "diffusers"):
            both.wait(60)
            first_over.wait(60)
            seen.extend(_states())

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[:4] == [logging.ERROR, logging.ERROR, False, False]
    assert _states() == before


@pytest.mark.parametrize(
    ("device", "count", "gib"),
    [("auto", 2, 30), ("cpu", 0, 0), ("mps", 0, 0), ("cuda", 2, 30), ("cuda:1", 1, 20), ("cuda:2", 0, 0)],
)
def test_devices_stand_for_gpus(device: str, count: int, gib: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    sizes = {0: 10 * local.GIB, 1: 20 * local.GIB}
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: type("Properties", (), {"total_memory": sizes[index]})
    )
    assert local.gpu_count(device) == count
    assert local.gpu_memory(device) == gib * local.GIB
    if device.startswith("cuda"):
        assert (local.device_problem(device) is None) == (count > 0)


def test_peak_memory_is_summed_over_gpus_and_stays_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    used = {0: 2**20, 3: 2**21}
    reset: list[int] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: used[index])
    with local.peak_memory([0, 3]) as peak:
        assert reset == [0, 3]
        assert peak.mb == 3.0
        used[0] *= 2
        assert peak.mb == 4.0
    used[0] *= 2
    assert peak.mb == 4.0
    with local.peak_memory([]) as none:
        pass
    assert none.mb is None


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, popbench.local;"
        "print([name for name in ('torch', 'transformers', 'diffusers', 'huggingface_hub') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_folder_is_told_from_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").mkdir()
    for text in ("org/name", "./x", "/x/y", "~/x", "a/b/c"):
        assert Weights(text, None, LAYOUT).local
    for text in ("org/other", "gpt2"):
        assert not Weights(text, None, LAYOUT).local
