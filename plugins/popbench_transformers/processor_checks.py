"""Checks whether a model takes pictures, before a run. Each problem is one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from popbench.errors import one_line
from popbench.local import quiet

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_transformers.options import TransformersOptions

_ANOTHER = "give a vision-language model, such as Qwen/Qwen2.5-VL-7B-Instruct"


def processor_problem(options: TransformersOptions, weights: Weights) -> Iterator[str]:
    """Yield why the processor of a model on this machine cannot be used; nothing for one that is not here yet."""
    if weights.folder is None:
        return
    import transformers as _transformers

    from popbench_transformers.reader import opened

    transformers: Any = _transformers  # much of it is untyped
    try:
        with quiet("transformers"), opened(options, weights) as (source, source_options):
            processor = transformers.AutoProcessor.from_pretrained(source, **source_options)
            config = transformers.AutoConfig.from_pretrained(source, **source_options)
    except Exception as error:  # it raises errors of many kinds, such as that a package is missing
        if "torchvision" in str(error).lower() and find_spec("torchvision") is None:
            yield f"model {options.model}: its processor needs torchvision: pip install torchvision"
        else:
            yield f"model {options.model}: its processor cannot be read: {one_line(error, 200)}"
        return
    known = getattr(transformers, "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING", {})
    if getattr(processor, "image_processor", None) is None or (
        not options.trust_remote_code and type(config) not in known
    ):
        yield f"model {options.model}: it takes no pictures: {_ANOTHER}"
    elif options.chat_template is None and not getattr(processor, "chat_template", None):
        yield f"model {options.model}: it has no chat template: give one with chat_template=FILE"
