"""Checkpoint files for tests: of the released class, and malicious pickles assembled from opcodes."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from popbench_mmra.checkpoint import Checkpoint, read_checkpoint
from usage_errors import refusal

_NONE: Mapping[str, bytes] = types.MappingProxyType({})
MODULE = "model.MicroLens100k.MMRA"


@contextmanager
def importable() -> Iterator[type[nn.Module]]:
    """Make the class of released checkpoints, importable under its own name while something is saved with it."""

    class Model(nn.Module):
        def __init__(self, d: int = 4, alpha: float = 0.6) -> None:
            super().__init__()
            self.alpha, self.feature_dim, self.frame_num, self.name, self._hidden = alpha, d, 10, "MMRA", 3
            self.device = torch.device("cpu")
            for prefix in ("", "retrieval_"):
                for name in ("visual_embedding", "textual_embedding"):
                    setattr(self, prefix + name, nn.Linear(d, d))
                for name in ("dual_attention", "cross_modal"):
                    setattr(self, f"{prefix}{name}_linear_1", nn.Linear(2 * d, d))
                    setattr(self, f"{prefix}{name}_linear_2", nn.Linear(2 * d, d))
                setattr(self, f"{prefix}uni_modal_linear_1", nn.Linear(d, 1))
                setattr(self, f"{prefix}uni_modal_linear_2", nn.Linear(d, 1))
            self.label_embedding_linear = nn.Linear(1, d)
            self.tanh, self.relu, self.softmax = nn.Tanh(), nn.ReLU(), nn.Softmax(dim=1)
            self.prediction_module = nn.Sequential(
                nn.Linear(10 * d, 800), nn.ReLU(), nn.Linear(800, 200), nn.ReLU(), nn.Linear(200, 1)
            )

    names = ["model", "model.MicroLens100k", MODULE]
    assert not [name for name in names if name in sys.modules]
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[MODULE].Model = Model  # type: ignore[attr-defined]
    Model.__module__, Model.__qualname__ = MODULE, "Model"
    try:
        yield Model
    finally:
        forget()


def forget() -> None:
    """Remove the released class, which users of a checkpoint do not have."""
    for name in [name for name in sys.modules if name == "model" or name.startswith("model.")]:
        del sys.modules[name]


def same(found: Checkpoint, state: Any) -> None:
    assert list(found.state) == list(state)
    for name, tensor in state.items():
        held = found.state[name]
        assert type(held) is torch.Tensor
        assert (held.dtype, held.device.type, held.requires_grad) == (torch.float32, "cpu", False)
        assert held.is_contiguous()
        assert torch.equal(held, tensor.detach().float())


def refused(file: Path) -> str:
    line = refusal(lambda: read_checkpoint(file))
    assert line.startswith(f"{file}: ")
    assert "weights_only" not in line
    assert len(line) < 600 + len(str(file))
    return line


class Trap:
    """An object that calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self._calls = function, args

    def __reduce__(self) -> Any:
        return self._calls


class Named:
    """An object that is pickled as a global of any name."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


_Pickler: Any = vars(pickle)["_Pickler"]  # the one in Python, whose steps can be replaced


class Crafty(_Pickler):  # type: ignore[misc]
    """A pickler that writes names of objects that do not exist."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Named):
            self.write(b"c" + obj.module.encode() + b"\n" + obj.name.encode() + b"\n")
            return
        super().save(obj, save_persistent_id)


def crafted(*parts: Any) -> bytes:
    """Assemble a pickle of protocol 2 from opcodes, and values that are pushed."""
    out = io.BytesIO()
    out.write(b"\x80\x02")
    for part in parts:
        if isinstance(part, bytes):
            out.write(part)
        else:
            body = io.BytesIO()
            Crafty(body, 2).dump(part)
            out.write(body.getvalue()[2:-1])
    out.write(b".")
    return out.getvalue()


def zipped(file: Path, pickled: bytes, prefix: str = "m/", more: Mapping[str, bytes] = _NONE) -> Path:
    """Write a zip as torch.save does, around a pickle."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{prefix}data.pkl", pickled)
        for name, data in {
            "version": b"3\n",
            "byteorder": b"little",
            "data/0": struct.pack("<2f", 1, 2),
            **more,
        }.items():
            archive.writestr(prefix + name, data)
    return file


MODEL = Named(MODULE, "Model")
LINEAR = Named("torch.nn.modules.linear", "Linear")
TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    b"K\x02tQK\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
)
"""A tensor of the two numbers in data/0."""


def module(cls: Named, *state: Any) -> tuple[Any, ...]:
    return (cls, b")\x81", *state, b"b")


def calls(function: Named, *args: Any) -> tuple[Any, ...]:
    return (function, args, b"R")
