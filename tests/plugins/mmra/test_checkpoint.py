"""Checkpoints are read as torch reads them, and other files are refused in one line."""

from __future__ import annotations

import math
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from checkpoint_files import Trap, forget, importable, refused, same
from popbench_mmra import MMRA
from popbench_mmra.checkpoint import read_checkpoint
from popbench_mmra.model import from_state
from usage_errors import refusal


@pytest.fixture
def released() -> Iterator[type[nn.Module]]:
    with importable() as cls:
        yield cls


# -- what is read


def test_a_released_module_gives_the_state_and_the_numbers_it_was_saved_with(
    released: type[nn.Module], tmp_path: Path
) -> None:
    model = released()
    file = tmp_path / "model.pth"
    torch.save(model, file)
    forget()
    found = read_checkpoint(file)
    same(found, model.state_dict())
    assert found.settings == {"alpha": 0.6, "feature_dim": 4, "frame_num": 10}
    assert "model" not in sys.modules
    assert torch.equal(
        from_state(found.state).state_dict()["prediction_module.0.weight"], found.state["prediction_module.0.weight"]
    )


def test_modules_are_walked_as_torch_does_with_buffers_and_shared_and_absent_parts(tmp_path: Path) -> None:
    tied = nn.Linear(3, 3)
    model = nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm1d(3),
            list=nn.ModuleList([tied, nn.Sequential(tied, nn.ReLU()), nn.Linear(3, 2, bias=False)]),
            by_name=nn.ModuleDict({"z": nn.Linear(1, 1), "a": nn.Identity()}),
            weights=nn.ParameterList([nn.Parameter(torch.ones(2))]),
            attention=nn.MultiheadAttention(4, 2),
        )
    )
    model.register_buffer("kept", torch.arange(3))
    model.register_buffer("unsaved", torch.ones(2), persistent=False)
    model.register_parameter("none", None)
    model.register_module("nothing", None)
    torch.save(model, tmp_path / "m.pt")
    same(read_checkpoint(tmp_path / "m.pt"), model.state_dict())


@pytest.mark.parametrize("holder", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dicts_are_read_wherever_training_code_keeps_them(
    tmp_path: Path, holder: str | None, prefix: str
) -> None:
    state = MMRA(feature_dim=2).state_dict()
    given: Any = OrderedDict((prefix + name, tensor) for name, tensor in state.items())
    if holder is not None:
        optimizer = torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict()
        given = {"epoch": 3, "optimizer": optimizer, "best": math.inf, "args": {"lr": 1e-5}, holder: given}
    torch.save(given, tmp_path / "state.pt")
    found = read_checkpoint(tmp_path / "state.pt")
    same(found, state)
    assert found.settings == {}


def test_a_whole_module_among_other_things_is_read(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    torch.save({"epoch": 1, "model": model}, tmp_path / "m.pt")
    same(read_checkpoint(tmp_path / "m.pt"), model.state_dict())


def test_safetensors_are_read(tmp_path: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in sorted(MMRA(feature_dim=2).state_dict().items())}
    safetensors.torch.save_file(state, tmp_path / "m.safetensors")
    found = read_checkpoint(tmp_path / "m.safetensors")
    same(found, {name: state[name] for name in found.state})
    assert found.state.keys() == state.keys()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_other_precisions_are_read_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {"a": torch.tensor([[1.5, -2.25], [3, 4]]).to(dtype)}
    torch.save(state, tmp_path / "m.pt")
    same(read_checkpoint(tmp_path / "m.pt"), state)
    safetensors.torch.save_file(state, tmp_path / "m.safetensors")
    same(read_checkpoint(tmp_path / "m.safetensors"), state)


def test_views_and_tied_weights_become_plain_tensors(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    state = {"turned": whole.t(), "part": whole[:, 1:3], "tied": whole, "scalar": torch.tensor(2.0)}
    torch.save(state, tmp_path / "m.pt")
    same(read_checkpoint(tmp_path / "m.pt"), state)


def test_what_other_libraries_call_safe_is_not_safe_here_and_stays_theirs(tmp_path: Path) -> None:
    torch.save({"a": Trap(print, "no")}, tmp_path / "m.pt")
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([print])
    try:
        assert "'__builtin__.print'" in refusal(lambda: read_checkpoint(tmp_path / "m.pt"))
        torch.save({"a": torch.ones(1)}, tmp_path / "m.pt")
        read_checkpoint(tmp_path / "m.pt")
        assert set(torch.serialization.get_safe_globals()) == {*before, print}
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


# -- what is refused


def test_every_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 3), tmp_path / "m.pt")
    safetensors.torch.save_file(nn.Linear(3, 3).state_dict(), tmp_path / "m.safetensors")
    for name in ("m.pt", "m.safetensors"):
        data = (tmp_path / name).read_bytes()
        cut = tmp_path / f"cut-{name}"
        for length in [*range(0, len(data), 1 + len(data) // 40), len(data) - 1]:
            cut.write_bytes(data[:length])
            assert "copy or download it again" in refused(cut)


def test_changed_bytes_are_refused_in_one_line_or_change_nothing(tmp_path: Path) -> None:
    model = nn.Linear(3, 3)
    torch.save(model, tmp_path / "m.pt")
    data = (tmp_path / "m.pt").read_bytes()
    changed = tmp_path / "changed.pt"
    read = 0
    for at in range(0, len(data), 1 + len(data) // 300):
        changed.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            found = read_checkpoint(changed)
        except Exception:
            refused(changed)
        else:
            read += 1
            same(found, model.state_dict())
    assert read


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("m.pt", b"", "no checkpoint"),
        ("m.pt", b"weights? what weights?", "no checkpoint"),
        ("m.pt", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("m.pkl", pickle.dumps({"a": [1, 2]}), "pandas"),
        ("m.pkl", pickle.dumps([1], protocol=0), "no checkpoint"),
        ("m.safetensors", b"{}", "damaged"),
        ("m.safetensors", b"PK\x03\x04", "damaged"),
        ("m.pt", b"PK\x03\x04", "damaged"),
    ],
)
def test_files_that_are_no_checkpoints_are_told_in_one_line(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert says in refused(tmp_path / name)


def test_data_frames_folders_missing_files_and_old_formats_are_told_in_one_line(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"a": [1.0]}).to_pickle(tmp_path / "train.pkl")
    assert "a bare pickle, such as a pandas data frame" in refused(tmp_path / "train.pkl")
    assert "a folder" in refused(tmp_path)
    (tmp_path / "m.safetensors").mkdir()
    assert "a folder" in refused(tmp_path / "m.safetensors")
    assert "No such file" in refused(tmp_path / "none.pt")
    assert "No such file" in refused(tmp_path / "none.safetensors")
    assert "embedded null" in refused(Path("a\0b"))
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "from before 1.6" in refused(tmp_path / "old.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "five.pt", pickle_protocol=5)
    assert "STACK_GLOBAL" in refused(tmp_path / "five.pt")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("a/readme", "x")
    assert "none that torch.save wrote" in refused(tmp_path / "other.pt")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    state = {"fine": torch.ones(2), "odd": torch.tensor([1.0, value])}
    torch.save(state, tmp_path / "m.pt")
    assert "'odd' holds NaN or infinite numbers" in refused(tmp_path / "m.pt")
    safetensors.torch.save_file(state, tmp_path / "m.safetensors")
    assert "'odd' holds NaN or infinite numbers" in refused(tmp_path / "m.safetensors")
    torch.save({"big": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "m.pt")
    assert "'big' holds NaN or infinite numbers" in refused(tmp_path / "m.pt")


def test_settings_that_are_not_finite_are_refused(released: type[nn.Module], tmp_path: Path) -> None:
    torch.save(released(alpha=math.nan), tmp_path / "m.pt")
    assert "its alpha is nan" in refused(tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "no weights"),
        ([], "type list"),
        (torch.ones(2), "type Tensor"),
        ({"state_dict": {}}, "no weights"),
        ({"a": 1}, "'a' in it is a value of type int"),
        ({1: torch.ones(1)}, "type Tensor"),
        ({"a": torch.ones(1, dtype=torch.complex64)}, "'torch.ComplexFloatStorage'"),
        ({"a": torch.ones(2, 2).to_sparse()}, "'torch._utils._rebuild_sparse_tensor'"),
        ({"a": torch.ones(2, device="meta")}, "'torch._utils._rebuild_meta_tensor_no_storage'"),
        ({"a": torch.ones(1).expand(10**9, 10**9)}, "claims more numbers than the file holds"),
        ({str(number): number for number in range(10_001)}, "too many"),
        (nn.ReLU(), "no weights"),
    ],
)
def test_what_is_no_state_is_refused(tmp_path: Path, given: Any, says: str) -> None:
    torch.save(given, tmp_path / "m.pt")
    assert says in refused(tmp_path / "m.pt")


def test_one_record_for_many_names_is_not_multiplied(tmp_path: Path) -> None:
    shared = torch.ones(100_000, dtype=torch.float16)
    torch.save({str(number): shared for number in range(1000)}, tmp_path / "m.pt")
    assert "claim more numbers than the file holds" in refused(tmp_path / "m.pt")


def test_modules_that_hold_one_another_end(tmp_path: Path) -> None:
    ring = nn.Sequential(nn.Linear(1, 1))
    ring._modules["again"] = ring
    torch.save(ring, tmp_path / "ring.pt")
    assert "hold one another" in refused(tmp_path / "ring.pt")
    bomb = nn.Sequential(nn.Linear(1, 1))
    for _ in range(60):
        bomb = nn.Sequential(bomb, bomb)
    torch.save(bomb, tmp_path / "bomb.pt")
    assert "hold one another" in refused(tmp_path / "bomb.pt")
    odd = nn.Sequential(nn.Linear(1, 1))
    odd._modules["0"] = 3  # type: ignore[assignment]
    torch.save(odd, tmp_path / "odd.pt")
    assert "'0' is no module of torch" in refused(tmp_path / "odd.pt")
    bare = nn.Linear(1, 1)
    del bare._modules
    torch.save(bare, tmp_path / "odd.pt")
    assert "what it holds is no module of torch" in refused(tmp_path / "odd.pt")
