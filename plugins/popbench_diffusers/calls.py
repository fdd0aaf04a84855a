"""What a pipeline's call accepts beside what every one of them does: read from the call itself."""

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

_OURS = frozenset(
    {
        "prompt", "generator", "num_videos_per_prompt", "output_type", "return_dict",
        "timesteps", "attention_kwargs", "cross_attention_kwargs", "callback_on_step_end_tensor_inputs",
        "callback_steps",
    }
)  # fmt: skip
"""What the plugin sets itself, what is of use to code alone, and `timesteps`, which most calls take and then refuse."""
_PLAIN = (bool, int, float, str, dict, types.NoneType)
_MORE = re.compile("ImageToVideo|VideoToVideo|Control|VACE")
"""Classes whose calls have no default for a picture, though they declare one."""
_BACKEND = "DIFFUSERS_ATTN_BACKEND"
_LENGTHS = ("num_frames", "video_length")


def import_diffusers() -> Any:
    """Import diffusers, whatever attention backend the environment wants: rendering sets its own."""
    wanted = os.environ.pop(_BACKEND, None)
    try:
        with quiet("transformers"):  # what diffusers finds installed talks while it is imported
            import diffusers
    finally:
        if wanted is not None:
            os.environ[_BACKEND] = wanted
    return diffusers


def attention_backends() -> list[str]:
    """Name the attention backends that diffusers knows, installed or not."""
    import_diffusers()
    from diffusers.models.attention_dispatch import AttentionBackendName

    return [backend.value for backend in AttentionBackendName]


def attention_problem(backend: str) -> str | None:
    """Say what an attention backend lacks here; those of the hub are fetched when they are used, and not tried."""
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
    """Name the settings of a class of schedulers; none where diffusers has no such class."""
    found = getattr(import_diffusers(), scheduler, None)
    return [] if found is None else list(inspect.signature(found.__init__).parameters)[1:]


def pipeline_class(name: str) -> Any:
    """Return a pipeline class of diffusers; raises LookupError where it has none of that name that works here."""
    diffusers = import_diffusers()
    with quiet("transformers", "diffusers"):
        found: Any = getattr(diffusers, name, None)
    if not (isinstance(found, type) and hasattr(found, "from_pretrained") and callable(found)):
        raise LookupError(f"diffusers {diffusers.__version__} has no pipeline {name}: a newer diffusers may")
    return found


def video_problem(name: str) -> str | None:
    """Say why a class of diffusers makes no video from text alone; None where it does."""
    try:
        found = inspect.signature(pipeline_class(name).__call__).parameters
    except LookupError as error:
        return str(error)
    required = [
        key
        for key, about in list(found.items())[1:]
        if about.default is about.empty and key != "prompt" and about.kind is not about.VAR_KEYWORD
    ]
    if "prompt" not in found or not any(length in found for length in _LENGTHS):
        return f"{name} makes no video from text: take a text-to-video pipeline"
    if not required and not _MORE.search(name):
        return None
    return f"{name} needs more than text ({', '.join(required) or 'a picture or video'}): take a text-to-video pipeline"


def scheduler_problem(scheduler: str, config: Mapping[str, Any]) -> str | None:
    """Say why a class of schedulers cannot be made with these settings; None where it can."""
    kind = getattr(import_diffusers(), scheduler)
    try:
        with quiet("diffusers"):
            kind.from_config(dict(config))
    except Exception as error:  # of settings that do not go together, a scheduler may raise anything
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None


@cache
def arguments(name: str) -> Mapping[str, FieldInfo]:
    """Return what a pipeline's call accepts, with types and defaults; without what only code could give.

    Raises LookupError where diffusers has no such class.
    """
    from pydantic.fields import FieldInfo

    call = pipeline_class(name).__call__
    with quiet("transformers", "diffusers"):
        try:
            hints = typing.get_type_hints(call)
        except (NameError, TypeError):  # an annotation that only a type checker can resolve
            hints = {}
    found = {}
    for key, about in list(inspect.signature(call).parameters.items())[1:]:
        annotation = _plain(hints.get(key, Any))
        if key in _OURS or annotation is None or about.kind is about.VAR_KEYWORD:
            continue
        default = ... if about.default is about.empty else about.default
        found[key] = FieldInfo.from_annotated_attribute(annotation, default)
    return found


def _plain(annotation: Any) -> Any:
    """Return an annotation less the types that no text can give; None where nothing is left."""
    if annotation is Any or annotation in _PLAIN:
        return annotation
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        kept = [part for part in map(_plain, inner) if part is not None]
        if not kept or kept == [types.NoneType]:
            return None
        return typing.Union[tuple(kept)]  # noqa: UP007 - of types known at run time only
    if origin in (list, dict):
        return annotation if all(_plain(part) is not None for part in inner) else None
    return None
