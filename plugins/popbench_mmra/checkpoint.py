"""Reads weights from files of strangers without running anything in them.

A checkpoint of torch is a zip with a pickle, and a pickle is a program. So the names in the pickle are listed before it
is read. Allowed are the classes that weights are made of, and modules of torch and of the released MMRA, which are
replaced by classes that only hold data. Then torch's restricted unpickler reads it, which looks names up in a list and
imports none. This module does not know which model the weights belong to.
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
        "__builtin__.set",  # its name in protocol 2
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
"""Classes that weights are made of. torch allows more, but some of those allocate as much memory as a file asks for."""
_MODULE = re.compile(r"torch\.nn\.modules\.[a-z_]+\.[A-Za-z]\w*", re.ASCII)
_HOLDERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training code stores a state dict beside other things."""
_PARALLEL = "module."
"""The prefix that `DataParallel` adds to every name."""
_DIRECTORY = 0x10
"""A bit of a record's attributes: torch reads nothing then, and takes the weights from memory that nobody wrote to."""
_LONGEST_PICKLE = 2**24
_LONGEST_NAME = 200
_MAX_NAMES = 10_000
"""The most tensors and modules: a few bytes can describe modules that hold each other, with endlessly many names."""
_MAX_SHARING = 4
"""How often each byte of a file may be used on average, since tensors may share memory."""

_RESAVE = "where the model's code is, save its weights alone, torch.save(model.state_dict(), FILE), and give that file"
_AGAIN = "copy or download it again"
_BEGINNINGS = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the file: run `git lfs pull` there"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", f"not loaded: torch's format from before 1.6: {_RESAVE}"),
    (b"\x80", "not loaded: a bare pickle, such as a pandas data frame: expected a file of torch.save or .safetensors"),
    (b"", f"no checkpoint: expected a file of torch.save, whole, or .safetensors: {_AGAIN}, or give another"),
)
"""What a file that is no zip is, by its first bytes."""

_lock = threading.Lock()
"""Guards torch's list of safe names, which all threads share."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file: float32 CPU tensors by parameter name, and the plain numbers of a pickled module."""

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
            content = _unpickled(path, file)
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UsageError(f"{path}: cannot be read ({one_line(error)}): give the file of a checkpoint") from error
    state, settings = _state_of(path, content)
    return Checkpoint(_weights(path, state, size), settings)


def _safetensors(path: Path, data: bytes) -> dict[str, Any]:
    import safetensors.torch

    try:
        return dict(safetensors.torch.load(data))
    except Exception as error:  # its own errors, and those of other libraries for number types that it does not know
        raise _damaged(path, error) from error


class _ModuleStandIn:
    """Replaces a module of a file: it holds the module's attributes, and cannot be called."""

    __slots__ = ("said",)
    said: dict[Any, Any]

    def __new__(cls, *given: object) -> _ModuleStandIn:
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
    """Return the content of a file of torch, with stand-ins for modules; all other objects are plain data."""
    names = _names(path, file)
    strange = sorted(name for name in names if name not in _PLAIN and not _stands_in(name))
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        what = one_line(repr(strange[0]), 120)
        raise _refused(path, f"its pickle asks for {what}{more}, which could run code")
    file.seek(0)
    try:
        with (
            _lock,
            _allowed_globals([_stand_in(name) for name in sorted(names) if _stands_in(name)]),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # warnings about other versions: the file is read, or refused below
            return torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:  # its text, which may advise to load the file anyway, is not shown
        raise _refused(path, "its pickle does what a description of weights does not") from error
    except Exception as error:  # what torch raises where a pickle does not fit its records has no common base
        raise _damaged(path, error) from error


def _names(path: Path, file: IO[bytes]) -> set[str]:
    """Return the names in the pickle of a file, as `module.name`; refuse files that torch.save does not write."""
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
            if any(record.is_dir() or record.external_attr & _DIRECTORY for record in records):
                raise UsageError(f"{path}: not loaded: its records are marked as folders: {_AGAIN}")
            if sum(record.file_size for record in records) > length:
                raise UsageError(f"{path}: not loaded: its records overlap, or claim more than the file: {_AGAIN}")
            pickles = [record for record in records if re.fullmatch(r"[^/]+/data\.pkl", record.filename)]
            if len(pickles) != 1:
                raise UsageError(f"{path}: a zip, but none that torch.save wrote: give the file of a checkpoint")
            if pickles[0].file_size > _LONGEST_PICKLE:
                raise _refused(path, "its pickle is too long for a description of weights")
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"record {damaged} has other bytes than were written")
            return set(_globals(archive.read(pickles[0])))
    except UsageError:
        raise
    except Exception as error:  # zipfile and pickletools raise many kinds for bytes that make no sense
        raise _damaged(path, error) from error


def _globals(data: bytes) -> Iterator[str]:
    """Yield the names in a pickle without running it."""
    for operation, argument, _ in pickletools.genops(data):
        if operation.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif operation.name == "STACK_GLOBAL" or operation.name.startswith("EXT"):
            yield f"{operation.name}, a name put together as the pickle runs"


def _stands_in(name: str) -> bool:
    return name == RELEASED or _MODULE.fullmatch(name) is not None


def _stand_in(name: str) -> type[_ModuleStandIn]:
    """Make the class that torch gets for a name."""
    module, _, short = name.rpartition(".")
    return type(short, (_ModuleStandIn,), {"__slots__": (), "__module__": module, "__qualname__": short})


@contextmanager
def _allowed_globals(classes: Sequence[type[_ModuleStandIn]]) -> Iterator[None]:
    """Allow torch's unpickler these classes, and none that other libraries of this process have added."""
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


def _state_of(path: Path, content: Any) -> tuple[Mapping[Any, Any], dict[str, float | int]]:
    """Return the state dict in the content of a file, and a module's plain numbers."""
    if isinstance(content, dict):
        for name in _HOLDERS:
            if isinstance(content.get(name), dict | _ModuleStandIn):
                content = content[name]
                break
    if isinstance(content, _ModuleStandIn):
        numbers = {
            name: value for name, value in content.said.items() if _is_name(name) and type(value) in (int, float)
        }
        settings = {name: value for name, value in numbers.items() if not name.startswith("_")}
        for name, value in settings.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{path}: its {name} is {value}: give a checkpoint of a training that went well")
        return dict(_parameters(path, content)), settings
    if not isinstance(content, dict):
        raise _refused(path, f"holds {_kind(content)} and no weights")
    if content and all(isinstance(name, str) and name.startswith(_PARALLEL) for name in content):
        content = {name.removeprefix(_PARALLEL): value for name, value in content.items()}
    return content, {}


def _parameters(path: Path, module: _ModuleStandIn) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and buffers under a module by dotted name, in the order of `Module.state_dict()`."""
    waiting: list[tuple[str, Any]] = [("", module)]
    met = 0
    while waiting:
        prefix, node = waiting.pop()
        said = node.said if isinstance(node, _ModuleStandIn) else {}
        parameters, buffers, children = (_members(said.get(kind)) for kind in ("_parameters", "_buffers", "_modules"))
        unsaved = said.get("_non_persistent_buffers_set", ())
        if parameters is None or buffers is None or children is None or not isinstance(unsaved, set | list | tuple):
            what = _shown(prefix[:-1]) if prefix else "what it holds"
            raise _refused(path, f"{what} is no module of torch")
        met += len(parameters) + len(buffers) + len(children)
        if met > _MAX_NAMES or len(prefix) > _LONGEST_NAME:
            raise _refused(path, "its modules are too many or too deep, or hold one another")
        saved = {name: value for name, value in buffers.items() if name not in unsaved}
        for name, value in (*parameters.items(), *saved.items()):
            if value is not None:
                yield prefix + name, value
        waiting += [(f"{prefix}{name}.", child) for name, child in reversed(children.items()) if child is not None]


def _members(value: object) -> dict[str, Any] | None:
    """Return a module's members of one kind by name; None if the value is no such mapping."""
    return value if isinstance(value, dict) and all(map(_is_name, value)) else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and "." not in value


def _shown(name: object) -> str:
    return one_line(repr(name), 120) if isinstance(name, str) else _kind(name)


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _weights(path: Path, state: Mapping[Any, Any], size: int) -> dict[str, torch.Tensor]:
    """Return a state as float32; refuse other objects, more numbers than `size` bytes can hold, and NaN."""
    if not state:
        raise _refused(path, "it holds no weights")
    if len(state) > _MAX_NAMES:
        raise _refused(path, f"{counted(len(state), 'tensor')} are too many for a model of popularity")
    for name, value in state.items():
        wrong = _tensor_problem(name, value)
        if wrong is not None:
            raise _refused(path, f"{_shown(name)} in it is {wrong}")
    if sum(value.numel() * value.element_size() for value in state.values()) > _MAX_SHARING * size:
        raise _refused(path, "its tensors claim more numbers than the file holds")
    tensors = {}
    for name, value in state.items():
        tensors[name] = value.detach().resolve_neg().to(torch.float32).contiguous()
        if not tensors[name].isfinite().all():
            what = "holds NaN or infinite numbers: give a checkpoint of a training that went well"
            raise UsageError(f"{path}: {_shown(name)} {what}")
    return tensors


def _tensor_problem(name: object, value: object) -> str | None:
    """Return what is wrong with an entry of a state; None for a named dense tensor of real numbers."""
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        return _kind(value)
    if value.device.type != "cpu" or value.layout != torch.strided or value.is_quantized or value.is_complex():
        return f"no dense tensor of real numbers, but {value.dtype}, {value.layout}, on {value.device}"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return "a tensor that claims more numbers than the file holds"
    return None
