"""Malicious checkpoints: nothing that a file asks for is run, and the refusal is one line."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from checkpoint_files import (
    LINEAR,
    MODEL,
    MODULE,
    TENSOR,
    Named,
    Trap,
    calls,
    crafted,
    forget,
    importable,
    module,
    refused,
    same,
    zipped,
)
from popbench_mmra.checkpoint import read_checkpoint


@pytest.fixture
def released() -> Iterator[type[nn.Module]]:
    with importable() as cls:
        yield cls


def harmful(canary: str) -> dict[str, bytes]:
    """Pickles that would write the canary, or have something of it called, if they were carried out."""
    code = f"open({canary!r}, 'w').close()"
    evaluated = calls(Named("__builtin__", "eval"), code)
    getter = Named("__builtin__", "getattr")
    call = {
        "os.system": calls(Named("os", "system"), f"touch {canary}"),
        "posix.system": calls(Named("posix", "system"), f"touch {canary}"),
        "sys.modules": calls(Named("sys", "exit"), 0),
        "subprocess": calls(Named("subprocess", "check_call"), ["touch", canary]),
        "eval": evaluated,
        "eval of Python 3": calls(Named("builtins", "eval"), code),
        "exec": calls(Named("__builtin__", "exec"), code),
        "open": calls(Named("__builtin__", "open"), canary, "w"),
        "open of io": calls(Named("io", "open"), canary, "w"),
        "getattr chain": (getter, getter, Named("os", "path"), "os", b"\x86R", "system", b"\x86R", (canary,), b"R"),
        "import": calls(Named("__builtin__", "__import__"), "model.MicroLens100k.MMRA"),
        "importlib": calls(Named("importlib", "import_module"), "model.MicroLens100k.MMRA"),
        "runpy": calls(Named("runpy", "run_path"), canary),
        "operator": calls(Named("operator", "attrgetter"), "system"),
        "functools": calls(Named("functools", "partial"), Named("os", "system"), canary),
        "torch.load": calls(Named("torch.serialization", "load"), canary),
        "torch.save": calls(Named("torch.serialization", "save"), [1], canary),
        "torch.hub": calls(Named("torch.hub", "load"), canary, "x"),
        "torch.utils": calls(Named("torch.utils.cpp_extension", "load"), "x", canary),
        "torch storage of a file": calls(Named("torch.storage", "UntypedStorage.from_file"), canary, True, 8),
        "torch.jit": calls(Named("torch.jit", "load"), canary),
        "torch._utils": calls(Named("torch._utils", "_import_dotted_name"), "os.system"),
        "numpy": calls(Named("numpy.core.multiarray", "_reconstruct"), 0),
        "bytearray": calls(Named("__builtin__", "bytearray"), 10**12),
        "torch.Tensor": calls(Named("torch", "Tensor"), 10**6, 10**6),
        "another class of model": module(Named("model.MicroLens100k.MMRA", "Evil"), {"canary": canary}),
        "another module of model": module(Named("model.evil", "Model"), {"canary": canary}),
        "an attribute of the class": calls(Named(MODULE, "Model.__init__.__globals__"), canary),
        "an attribute of a module's class": calls(Named("torch.nn.modules.linear", "Linear.__init__"), canary),
        "a module beside torch.nn": module(Named("torch.nn.modules_evil", "Linear"), {}),
        "a name that ends early": calls(Named("torch.nn.modules.linear\\x0aos", "system"), canary),
        "a stand-in called": calls(MODEL, canary),
        "a stand-in called with nothing": calls(LINEAR),
        "a stand-in made of something": (LINEAR, (canary,), b"\x81"),
        "an instance called": (*module(LINEAR, {}), (canary,), b"R"),
        "a function of torch.nn": calls(Named("torch.nn.modules.module", "register_module_forward_hook"), canary),
        "what was built is no dict": module(LINEAR, [canary]),
        "slots": module(LINEAR, (None, {"__class__": MODEL})),
        "items set on a stand-in": (*module(LINEAR, {}), "__class__", MODEL, b"s"),
        "items set on a class": (LINEAR, "said", 1, b"s"),
        "a class built": (LINEAR, {"__setstate__": 1}, b"b"),
        "a tensor built": (TENSOR, (canary,), b"b"),
        "a callable found in the memo": (b"(", MODEL, b"q\x00h\x00", (canary,), b"Rt"),
        "a memo that is not there": (b"h\x07",),
        "a persistent id of something else": (("module", MODEL, canary, "x"), b"Q"),
        "a persistent id of text": (f"P{canary}\n".encode(),),
        "a path as record": (TENSOR.replace(b"X\x01\x00\x00\x000", b"X\x0b\x00\x00\x00/etc/passwd"),),
        "a path out of the zip": (TENSOR.replace(b"X\x01\x00\x00\x000", b"X\x06\x00\x00\x00../../"),),
        "more numbers than the record": (TENSOR.replace(b"cpuK\x02tQ", b"cpuK\xfftQ"),),
        "a view beyond the record": (TENSOR.replace(b"QK\x00K\x02", b"QK\x00K\xff"),),
        "a stack that is empty": (b"R",),
        "marks without end": (b"(" * 1000,),
        "instance by name": (b"(ios\nsystem\n",),
        "name from the stack": (b"X\x02\x00\x00\x00os", b"X\x06\x00\x00\x00system", b"\x93", (canary,), b"R"),
        "a registered extension": (b"\x82\x01", (canary,), b"R"),
    }
    inside = {
        f"{name}, in a module": crafted(
            MODEL, b")\x81", b"}(", "_parameters", {}, "_buffers", {}, "_modules", {}, "alpha", *call[name], b"ub"
        )
        for name in ("os.system", "eval", "a stand-in called", "torch.hub", "name from the stack")
    }
    return {name: crafted(*parts) for name, parts in call.items()} | inside


NAMES = sorted(harmful("x"))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_a_pickle_asks_for_is_done(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    file = zipped(tmp_path / "m.pt", harmful(str(canary))[name])
    modules = set(sys.modules)
    line = refused(file)
    assert "save its weights alone" in line or "damaged" in line
    assert not canary.exists()
    assert {module for module in sys.modules if module.startswith(("model", "runpy", "evil"))} <= modules


def test_the_traps_are_real_and_a_sound_pickle_made_the_same_way_is_read(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(harmful(str(canary))["eval of Python 3"])
    assert canary.exists()
    state: tuple[Any, ...] = (
        b"}(",
        "_parameters",
        b"}",
        "w",
        TENSOR,
        b"s",
        "_buffers",
        {},
        "_modules",
        {},
        "alpha",
        0.5,
        b"u",
    )
    found = read_checkpoint(zipped(tmp_path / "m.pt", crafted(*module(MODEL, *state))))
    same(found, {"w": torch.tensor([1.0, 2.0])})
    assert found.settings == {"alpha": 0.5}


@pytest.mark.parametrize(
    "function", [os.system, subprocess.check_call, eval, exec, getattr, torch.load, torch.hub.load]
)
def test_traps_that_pickle_itself_wrote_are_named_and_not_sprung(
    tmp_path: Path, function: Callable[..., object]
) -> None:
    canary = tmp_path / "canary"
    model = nn.Sequential(nn.Linear(1, 1))
    model.hook = Trap(function, f"touch {canary}")  # type: ignore[assignment]
    for given in (Trap(function, f"touch {canary}"), {"state_dict": {"a": Trap(function, str(canary))}}, model):
        torch.save(given, tmp_path / "m.pt")
        line = refused(tmp_path / "m.pt")
        assert f".{function.__name__}'" in line
        assert "save its weights alone" in line
    assert not canary.exists()


def test_several_names_are_counted(tmp_path: Path) -> None:
    torch.save([Trap(os.system, "x"), Trap(eval, "x"), Trap(exec, "x")], tmp_path / "m.pt")
    assert "asks for '__builtin__.eval' and 2 more" in refused(tmp_path / "m.pt")


def test_zips_that_torch_does_not_write_are_refused_or_harmless(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil, sound = harmful(str(canary))["eval"], crafted(b"}", "w", TENSOR, b"s")
    file = tmp_path / "m.pt"
    same(
        read_checkpoint(zipped(file, sound, more={"../../canary": b"x", "/canary": b"x"})),
        {"w": torch.tensor([1.0, 2.0])},
    )
    with pytest.warns(UserWarning, match="Duplicate name"):
        zipped(file, sound, more={"data.pkl": evil})
    assert "none that torch.save wrote" in refused(file)
    for prefix in ("../", "/", "m/n/", ""):
        refused(zipped(file, evil, prefix=prefix))
    zipped(file, sound, more={"other.pkl": evil, "constants/data.pkl": evil, "DATA.PKL": evil})
    try:
        read_checkpoint(file)
    except Exception:
        refused(file)
    zipped(file, sound, more={"constants.pkl": evil})
    assert "TorchScript" in refused(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", sound)
        archive.writestr("m/data/0", bytes(10**7))
    assert "compressed" in refused(file)
    assert not canary.exists()


def test_records_that_claim_more_than_the_file_are_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path / "m.pt", crafted(b"}", "w", TENSOR, b"s"))
    data = bytearray(file.read_bytes())
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<2I", data, at + 20, 10**9, 10**9)
    file.write_bytes(data)
    assert "claim more than the file" in refused(file)


def test_a_pickle_that_is_too_long_is_not_looked_at(tmp_path: Path) -> None:
    assert "too long" in refused(zipped(tmp_path / "m.pt", b"\x80\x02" + b"N" * 2**24 + b"."))


READER = """
import sys
from pathlib import Path
from popbench.errors import UsageError
from popbench_mmra.checkpoint import read_checkpoint
for file in sys.argv[1:]:
    try:
        print(len(read_checkpoint(Path(file)).state))
    except UsageError as error:
        print(str(error).count(chr(10)), "refused")
print([name for name in sys.modules if name.split(".")[0] == "model"])
"""


@pytest.mark.slow
def test_a_module_that_a_file_names_is_never_imported_whatever_the_environment_says(
    released: type[nn.Module], tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    torch.save(released(), tmp_path / "released.pt")
    forget()
    zipped(tmp_path / "other.pt", crafted(*module(Named(MODULE, "Other"), {})))
    zipped(tmp_path / "import.pt", harmful(str(canary))["importlib"])
    planted = tmp_path / "planted" / "model" / "MicroLens100k"
    planted.mkdir(parents=True)
    trap = f"open({str(canary)!r}, 'w').close()\n"
    for file in (planted.parent / "__init__.py", planted / "__init__.py"):
        file.write_text(trap)
    (planted / "MMRA.py").write_text(trap + "class Model: pass\nclass Other: pass\n")
    root = Path(__file__).parents[3]
    paths = [str(tmp_path / "planted"), str(root), str(root / "plugins")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            READER,
            *(str(tmp_path / f"{name}.pt") for name in ("released", "other", "import")),
        ],
        env=environment,
        cwd=tmp_path / "planted",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["40", "0 refused", "0 refused", "[]"], done.stderr
    assert not canary.exists()
