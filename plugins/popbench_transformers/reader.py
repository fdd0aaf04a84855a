"""Reads a model's tokenizer, chat template and context length, without its weights."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popbench.local import ChatFormat, context_of, quiet
from popbench_transformers import gguf_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    import popbench
    from popbench.local import Weights
    from popbench_transformers.options import TransformersOptions


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns messages into tokens. `context` is the most tokens of prompt and answer together."""

    tokenizer: Any
    format: ChatFormat
    context: int

    def fits(self, messages: Sequence[popbench.Message], max_new_tokens: int) -> bool:
        """Return whether messages leave room for `max_new_tokens`, or for a quarter of the context if that is less.

        Raises what the chat template raises.
        """
        with quiet("transformers"):  # it warns of texts longer than the context
            length = len(self.format.encode(messages).tokens)
        return length + min(max_new_tokens, self.context // 4) <= self.context


@contextmanager
def opened(options: TransformersOptions, weights: Weights) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the arguments of `from_pretrained` that load exactly the files of the fingerprint, inside the block.

    A GGUF file is loaded through a link in a folder of its own: transformers would also read other files beside it. One
    of the hub is downloaded whole.
    """
    name = gguf_files.file_of(options.model, options.gguf_file)
    revision = weights.commit or options.revision
    if name is None:
        remote = {} if weights.folder is not None else {"revision": revision}
        source = options.model if weights.folder is None else str(weights.folder)
        yield source, {"trust_remote_code": options.trust_remote_code, **remote}
        return
    if weights.folder is not None:
        file = weights.folder / name
    else:
        import huggingface_hub

        file = Path(huggingface_hub.hf_hub_download(options.model, name, revision=revision))
    with tempfile.TemporaryDirectory(prefix="popbench-gguf-") as alone, _no_bars():
        link = Path(alone) / f"model{gguf_files.SUFFIX}"
        link.symlink_to(file.absolute())
        yield alone, {"gguf_file": link.name}


@contextmanager
def _no_bars() -> Iterator[None]:
    """Hide the progress bar of reading GGUF tensors, which transformers' own settings do not reach."""
    module: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    shown = getattr(module, "tqdm", None)
    if shown is None:
        yield
        return
    module.tqdm = partial(shown, disable=True)
    try:
        yield
    finally:
        module.tqdm = shown


def read(options: TransformersOptions, weights: Weights) -> Reader:
    """Load a model's tokenizer and configuration, in seconds; raises what transformers raises."""
    import transformers as _transformers

    transformers: Any = _transformers  # much of it is untyped
    with quiet("transformers"), opened(options, weights) as (source, source_options):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **source_options)
        config = transformers.AutoConfig.from_pretrained(source, **source_options)
    template = None
    if options.chat_template is not None:
        template = Path(options.chat_template).expanduser().read_text(encoding="utf-8")
    return Reader(
        tokenizer,
        ChatFormat(tokenizer, template, options.chat_template_kwargs),
        options.context or context_of(config, tokenizer.model_max_length) or sys.maxsize,
    )
