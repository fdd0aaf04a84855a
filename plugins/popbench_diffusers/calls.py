"""Reads from a pipeline's call which further options it accepts."""

from __future__ import annotations

import inspect
import os
import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from popbench.local import quiet

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_NOT_OPTIONS = frozenset(
    {
        "prompt", "generator", "num_videos_per_prompt", "output_type", "return_dict",
        "timesteps", "attention_kwargs", "cross_attention_kwargs", "callback_on_step_end_tensor_inputs",
        "callback_steps",
    }
)  # fmt: skip
"""Arguments that are no options: those that the plugin sets, those for code only, and `timesteps`, which most calls
accept and then refuse."""
_PLAIN_TYPES = (bool, int, float, str, dict, types.NoneType)
_NEEDS_PICTURE = re.compile("ImageToVideo|VideoToVideo|Control|VACE")
"""Classes whose calls need a picture although they declare a default for it."""
_BACKEND = "DIFFUSERS_ATTN_BACKEND"
_FRAME_COUNTS = ("num_frames", "video_length")


def import_diffusers() -> Any:
    """Import diffusers without the environment's attention backend: rendering sets its own."""
    wanted = os.environ.pop(_BACKEND, None)
    try:
        with quiet("transformers"):  # libraries that diffusers imports print messages
            import diffusers
    finally:
        if wanted is not None:
            os.environ[_BACKEND] = wanted
    return diffusers


def attention_backends() -> list[str]:
    """Return the names of diffusers' attention backends, installed or not."""
    import_diffusers()
    from diffusers.models.attention_dispatch import AttentionBackendName

    return [backend.value for backend in AttentionBackendName]


def attention_problem(backend: str) -> str | None:
    """Return what an attention backend lacks here; None if nothing. Backends from the hub are not tried."""
    import_diffusers()
    from diffusers.models.attention_dispatch import attention_backend

    if backend.endswith("_hub"):
        return None
    try:
        with quiet("diffusers"), attention_backend(backend):
            return None
    except (RuntimeError, ImportError, ValueError) as error:
        return " ".join(str(error).split())


def settings(scheduler: str) -> list[str]:
    """Return the names of a scheduler class's settings; none if diffusers has no such class."""
    class_ = getattr(import_diffusers(), scheduler, None)
    return [] if class_ is None else list(inspect.signature(class_.__init__).parameters)[1:]


def pipeline_class(name: str) -> Any:
    """Return a pipeline class of diffusers; raises LookupError if there is none that works here."""
    diffusers = import_diffusers()
    with quiet("transformers", "diffusers"):
        class_: Any = getattr(diffusers, name, None)
    if not (isinstance(class_, type) and hasattr(class_, "from_pretrained") and callable(class_)):
        raise LookupError(f"diffusers {diffusers.__version__} has no pipeline {name}: a newer diffusers may")
    return class_


def video_problem(name: str) -> str | None:
    """Return why a class of diffusers makes no video from text alone; None if it does."""
    try:
        parameters = inspect.signature(pipeline_class(name).__call__).parameters
    except LookupError as error:
        return str(error)
    required = [
        key
        for key, parameter in list(parameters.items())[1:]
        if parameter.default is parameter.empty and key != "prompt" and parameter.kind is not parameter.VAR_KEYWORD
    ]
    if "prompt" not in parameters or not any(length in parameters for length in _FRAME_COUNTS):
        return f"{name} makes no video from text: take a text-to-video pipeline"
    if not required and not _NEEDS_PICTURE.search(name):
        return None
    return f"{name} needs more than text ({', '.join(required) or 'a picture or video'}): take a text-to-video pipeline"


def scheduler_problem(scheduler: str, config: Mapping[str, Any]) -> str | None:
    """Return why a scheduler class refuses these settings; None if it accepts them."""
    kind = getattr(import_diffusers(), scheduler)
    try:
        with quiet("diffusers"):
            kind.from_config(dict(config))
    except Exception as error:  # schedulers raise errors of any kind for settings that exclude each other
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None


@cache
def arguments(name: str) -> Mapping[str, FieldInfo]:
    """Return the arguments of a pipeline's call that can be given as text, with types and defaults.

    Raises LookupError if diffusers has no such class.
    """
    from pydantic.fields import FieldInfo

    call = pipeline_class(name).__call__
    with quiet("transformers", "diffusers"):
        try:
            hints = typing.get_type_hints(call)
        except (NameError, TypeError):  # an annotation that only a type checker can resolve
            hints = {}
    fields = {}
    for key, parameter in list(inspect.signature(call).parameters.items())[1:]:
        annotation = _without_objects(hints.get(key, Any))
        if key in _NOT_OPTIONS or annotation is None or parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[key] = FieldInfo.from_annotated_attribute(annotation, default)
    return fields


def _without_objects(annotation: Any) -> Any:
    """Return an annotation without the types that cannot be given as text; None if no type is left."""
    if annotation is Any or annotation in _PLAIN_TYPES:
        return annotation
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        kept = [part for part in map(_without_objects, inner) if part is not None]
        if not kept or kept == [types.NoneType]:
            return None
        return typing.Union[tuple(kept)]  # noqa: UP007 - of types known at run time only
    if origin in (list, dict):
        return annotation if all(_without_objects(part) is not None for part in inner) else None
    return None
