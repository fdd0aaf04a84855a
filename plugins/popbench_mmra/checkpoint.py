"""Weights from files that others made, without running anything that is in them.

A checkpoint of torch is a zip with a pickle, and a pickle is a program. This one is listed before it is read: what it
names must be what weights are made of, or a module of torch or of the released MMRA, for which classes stand in that
only hold what is said of them. torch's own restricted unpickler, which looks names up in a list and imports none, then
reads it. Which model the weights are of is not known here.
"""

from __future__ import annotations

import math
import os
import pickle
import pickletools
import re
import threading
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from popbench.errors import UsageError, one_line
from popbench.text import counted

RELEASED = "model.MicroLens100k.MMRA.Model"
"""The class of MMRA's released checkpoints."""

_PLAIN = frozenset(
    {
        "collections.OrderedDict",
        "__builtin__.set",  # as protocol 2 calls it
        "builtins.set",
        "torch.Size",
        "torch.device",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
        *(f"torch.{kind}Storage" for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short")),
        *(f"torch.{kind}Storage" for kind in ("Char", "Byte", "Bool")),
        *(f"torch.{dtype}" for dtype in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "bool")),
    }
)
"""What weights are made of. torch would take more, of which some allocate whatever a file asks for."""
_MODULE = re.compile(r"torch\.nn\.modules\.[a-z_]+\.[A-Za-z]\w*", re.ASCII)
_HOLDERS = ("state_dict", "model_state_dict", "model")
"""Where training code keeps a state among other things."""
_PARALLEL = "module."
"""What `DataParallel` puts before every name."""
_LONGEST_PICKLE = 2**24
_LONGEST_NAME = 200
_MOST_NAMES = 10_000
"""Tensors and modules at most: modules that hold one another are described in few bytes, and have names without end."""
_TIED = 4
"""How often the bytes of a file may be used on average, by tensors that share them."""

_RESAVE = "where the model's code is, save its weights alone, torch.save(model.state_dict(), FILE), and give that file"
_AGAIN = "copy or download it again"
_BEGINNINGS = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the file: run `git lfs pull` there"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", f"not loaded: torch's format from before 1.6: {_RESAVE}"),
    (b"\x80", "not loaded: a bare pickle, such as a pandas data frame: expected a file of torch.save or .safetensors"),
    (b"", f"no checkpoint: expected a file of torch.save, whole, or .safetensors: {_AGAIN}, or give another"),
)
"""What a file is that is no zip, by its first bytes."""

_lock = threading.Lock()
"""torch's list of safe names is one for all threads."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: float32 tensors on the CPU by parameter name, and a pickled module's plain numbers by name."""

    state: dict[str, torch.Tensor]
    settings: dict[str, float | int] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the weights in a file: a state dict or a whole module that `torch.save` wrote, or `.safetensors`.

    Names are those of `Module.state_dict()`, in its order; `settings` are the numbers among the attributes of a whole
    module, such as `alpha`. Nothing in the file is run and nothing that it names imported. Raises UsageError for a file
    that asks for either, is damaged, or holds no finite weights.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path}: a folder: give the file in it that holds the weights")
        if path.suffix.lower() == ".safetensors":
            data = path.read_bytes()
            return Checkpoint(_weights(path, _safetensors(path, data), len(data)))
        with path.open("rb") as file:
            found = _unpickled(path, file)
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:  # the second: a name that no file can have
        raise UsageError(f"{path}: cannot be read ({one_line(error)}): give the file of a checkpoint") from error
    state, settings = _described(path, found)
    return Checkpoint(_weights(path, state, size), settings)


def _safetensors(path: Path, data: bytes) -> dict[str, Any]:
    import safetensors.torch

    try:
        return dict(safetensors.torch.load(data))
    except Exception as error:  # its own, and others' for types of numbers that it does not know
        raise _damaged(path, error) from error


class _Module:
    """Stands for a module in a file: it holds what is said of it, and can be neither called nor told to do anything."""

    __slots__ = ("said",)
    said: dict[Any, Any]

    def __new__(cls, *given: object) -> _Module:
        if given:
            raise pickle.UnpicklingError("a module is made of something")
        made = object.__new__(cls)
        made.said = {}
        return made

    def __init__(self, *_: object, **__: object) -> None:
        raise pickle.UnpicklingError("a module's class is called")

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("a module is told of in something else than a dict")
        self.said.update(state)


def _unpickled(path: Path, file: IO[bytes]) -> Any:
    """Return what a file of torch holds, with stand-ins for modules; every other object is one of plain data."""
    names = _names(path, file)
    strange = sorted(name for name in names if name not in _PLAIN and not _stands_in(name))
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        what = one_line(repr(strange[0]), 120)
        raise _refused(path, f"its pickle asks for {what}{more}, which could run code")
    file.seek(0)
    try:
        with _lock, _only([_stand_in(name) for name in sorted(names) if _stands_in(name)]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles and tensors of other versions: it is read, or told of below
            return torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:  # whose text may advise to load it anyway
        raise _refused(path, "its pickle does what a description of weights does not") from error
    except Exception as error:  # what torch raises where a pickle does not fit its records has no common base
        raise _damaged(path, error) from error


def _names(path: Path, file: IO[bytes]) -> set[str]:
    """List the names in the pickle of a file, as `module.name`; refuse files that torch.save does not write."""
    start = file.read(64)
    if not start.startswith(b"PK\x03\x04"):
        raise UsageError(f"{path}: {next(what for beginning, what in _BEGINNINGS if start.startswith(beginning))}")
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            length = file.seek(0, os.SEEK_END)
            if any(record.filename.endswith("/constants.pkl") for record in records):
                raise _refused(path, "a TorchScript program")
            if any(record.compress_type != zipfile.ZIP_STORED for record in records):
                raise _refused(path, "its records are compressed, as torch.save never does")
            if sum(record.file_size for record in records) > length:
                raise UsageError(f"{path}: not loaded: its records overlap, or claim more than the file: {_AGAIN}")
            pickles = [record for record in records if re.fullmatch(r"[^/]+/data\.pkl", record.filename)]
            if len(pickles) != 1:
                raise UsageError(f"{path}: a zip, but none that torch.save wrote: give the file of a checkpoint")
            if pickles[0].file_size > _LONGEST_PICKLE:
                raise _refused(path, "its pickle is too long for a description of weights")
            return set(_globals(archive.read(pickles[0])))
    except UsageError:
        raise
    except Exception as error:  # zipfile and pickletools raise many kinds for bytes that make no sense
        raise _damaged(path, error) from error


def _globals(data: bytes) -> Iterator[str]:
    """Yield what a pickle names, without carrying it out."""
    for operation, argument, _ in pickletools.genops(data):
        if operation.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif operation.name == "STACK_GLOBAL" or operation.name.startswith("EXT"):
            yield f"{operation.name}, a name put together as the pickle runs"


def _stands_in(name: str) -> bool:
    return name == RELEASED or _MODULE.fullmatch(name) is not None


def _stand_in(name: str) -> type[_Module]:
    """Make the class that torch finds under a name."""
    module, _, short = name.rpartition(".")
    return type(short, (_Module,), {"__slots__": (), "__module__": module, "__qualname__": short})


@contextmanager
def _only(classes: Sequence[type[_Module]]) -> Iterator[None]:
    """Let torch's unpickler take these classes, and none that a library of this process has called safe."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        torch.serialization.add_safe_globals(list(classes))
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _refused(path: Path, why: str) -> UsageError:
    return UsageError(f"{path}: not loaded: {why}: {_RESAVE}")


def _damaged(path: Path, error: BaseException) -> UsageError:
    return UsageError(f"{path}: damaged, cut short, or no checkpoint ({one_line(error, 120)}): {_AGAIN}")


def _described(path: Path, found: Any) -> tuple[Mapping[Any, Any], dict[str, float | int]]:
    """Find the state in what a file holds, and the numbers beside it."""
    if isinstance(found, dict):
        for name in _HOLDERS:
            if isinstance(found.get(name), dict | _Module):
                found = found[name]
                break
    if isinstance(found, _Module):
        numbers = {name: value for name, value in found.said.items() if _is_name(name) and type(value) in (int, float)}
        settings = {name: value for name, value in numbers.items() if not name.startswith("_")}
        for name, value in settings.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{path}: its {name} is {value}: give a checkpoint of a training that went well")
        return dict(_walked(path, found)), settings
    if not isinstance(found, dict):
        raise _refused(path, f"holds {_kind(found)} and no weights")
    if found and all(isinstance(name, str) and name.startswith(_PARALLEL) for name in found):
        found = {name.removeprefix(_PARALLEL): value for name, value in found.items()}
    return found, {}


def _walked(path: Path, module: _Module) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and buffers under a module by dotted name, in the order of `Module.state_dict()`."""
    waiting: list[tuple[str, Any]] = [("", module)]
    met = 0
    while waiting:
        prefix, at = waiting.pop()
        said = at.said if isinstance(at, _Module) else {}
        parameters, buffers, children = (_members(said.get(kind)) for kind in ("_parameters", "_buffers", "_modules"))
        unsaved = said.get("_non_persistent_buffers_set", ())
        if parameters is None or buffers is None or children is None or not isinstance(unsaved, set | list | tuple):
            what = _shown(prefix[:-1]) if prefix else "what it holds"
            raise _refused(path, f"{what} is no module of torch")
        met += len(parameters) + len(buffers) + len(children)
        if met > _MOST_NAMES or len(prefix) > _LONGEST_NAME:
            raise _refused(path, "its modules are too many or too deep, or hold one another")
        saved = {name: value for name, value in buffers.items() if name not in unsaved}
        for name, value in (*parameters.items(), *saved.items()):
            if value is not None:
                yield prefix + name, value
        waiting += [(f"{prefix}{name}.", child) for name, child in reversed(children.items()) if child is not None]


def _members(value: object) -> dict[str, Any] | None:
    """Return what a module says that it has of one kind, by name; None for what no module says."""
    return value if isinstance(value, dict) and all(map(_is_name, value)) else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and "." not in value


def _shown(name: object) -> str:
    return one_line(repr(name), 120) if isinstance(name, str) else _kind(name)


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _weights(path: Path, state: Mapping[Any, Any], size: int) -> dict[str, torch.Tensor]:
    """Return a state as float32; refuse what is none, more than a file of `size` bytes can hold, and NaN."""
    if not state:
        raise _refused(path, "it holds no weights")
    if len(state) > _MOST_NAMES:
        raise _refused(path, f"{counted(len(state), 'tensor')} are too many for a model of popularity")
    for name, value in state.items():
        wrong = _no_weights(name, value)
        if wrong is not None:
            raise _refused(path, f"{_shown(name)} in it is {wrong}")
    if sum(value.numel() * value.element_size() for value in state.values()) > _TIED * size:
        raise _refused(path, "its tensors claim more numbers than the file holds")
    found = {}
    for name, value in state.items():
        found[name] = value.detach().resolve_neg().to(torch.float32).contiguous()
        if not found[name].isfinite().all():
            what = "holds NaN or infinite numbers: give a checkpoint of a training that went well"
            raise UsageError(f"{path}: {_shown(name)} {what}")
    return found


def _no_weights(name: object, value: object) -> str | None:
    """Say what a part of a state is that is no dense tensor of real numbers with a name."""
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        return _kind(value)
    if value.device.type != "cpu" or value.layout != torch.strided or value.is_quantized or value.is_complex():
        return f"no dense tensor of real numbers, but {value.dtype}, {value.layout}, on {value.device}"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return "a tensor that claims more numbers than the file holds"
    return None
