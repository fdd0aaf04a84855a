"""Text embedders of the sentence-transformers library."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

import pydantic

import popbench
from popbench.local import GIB, Weights, device_problem, gpu_count, is_out_of_memory, quiet, release_memory
from popbench.specs import make_label
from popbench_transformers.embedder_files import embedder_weights, prompt_name, tells_queries
from popbench_transformers.presets import EMBEDDERS_ARE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LIBRARY = "sentence_transformers"


class SentenceTransformersOptions(popbench.Options):
    """The source of the weights, and the device."""

    model: str = pydantic.Field(min_length=1, description="a hub id, or the folder of a sentence-transformers model")
    revision: str | None = pydantic.Field(None, min_length=1, description="branch, tag or commit of a hub model")
    device: str = popbench.runtime("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    # a runtime option: other texts of a batch change a vector by about 1e-7, which retrieval rounds away
    batch_size: int = popbench.runtime(32, ge=1, description="texts embedded together")


class SentenceTransformersEmbedder(popbench.Embedder):
    """Any sentence-transformers model: model=ID or FOLDER.

    Texts of a corpus are encoded as the library's `encode_document` does, and prompts as `encode_query` does: with the
    model's own instructions, if it has any; also those under names such as `search_query`, which the library passes
    over. Everything is computed in float32, whatever the weights are stored in: in
    half precision a text's vector would depend on the texts beside it. A text longer than the model reads is cut there,
    as the library does.
    """

    Options: ClassVar[type[popbench.Options]] = SentenceTransformersOptions
    version = "1"

    @classmethod
    def describe(cls, preset: Mapping[str, popbench.JSON]) -> str:
        """Return what the embedder of a preset is."""
        return EMBEDDERS_ARE.get(str(preset.get("model")), super().describe(preset))

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._model: Any = None

    @cached_property
    def _weights(self) -> Weights:
        return embedder_weights(self.options.model, self.options.revision)

    def label(self) -> str | None:
        """Return the last part of the model's id or path. For a preset, that is its name."""
        model = PurePath(self.options.model).name or self.options.model
        revision = self.options.revision
        return make_label(model, {} if revision is None else {"revision": revision}).replace("|", "/")

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Add the identity of the weights: a hub commit, or a hash of the folder in place of its path."""
        options = dict(self.options.determining())
        if self._weights.local and self._weights.folder is not None:
            del options["model"]
        elif not self._weights.local and self._weights.identity is not None:
            del options["revision"]  # it names the same commit
        base = {**super().fingerprint(), "options": options, "weights": self._weights.identity}
        # what has nothing of the kind keeps the fingerprint, and the vectors, that it had before this was told apart
        return {**base, "roles": "query and document"} if self.tells_queries else base

    @cached_property
    def tells_queries(self) -> bool:
        """Whether the model has instructions or modules of their own for queries or documents."""
        return tells_queries(self._weights)

    def check(self) -> list[str]:
        """List what is missing: the model, the library, the device."""
        problems = []
        wrong = self._weights.problem
        if wrong is not None:
            problems.append(wrong if self._weights.local else f"{wrong}; `--embedder hashing` needs no model")
        if find_spec(_LIBRARY) is None:
            problems.append(
                "sentence-transformers is not installed, and this needs it: pip install sentence-transformers"
            )
        if self.options.device not in ("auto", "cpu"):  # these always exist, and a check takes seconds
            lacking = device_problem(self.options.device)
            if lacking is not None:
                problems.append(lacking)
        return problems

    def needs(self) -> popbench.Needs:
        """Return one GPU if there is any, and the memory of its weights in float32."""
        stored = self._weights.stored_bytes or 0
        return popbench.Needs(gpus=min(1, gpu_count(self.options.device)), memory_gb=round(2 * stored / GIB, 1))

    def close(self) -> None:
        """Free the model."""
        if self._model is None:
            return
        self._model = None
        release_memory()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts as rows of length 1, float32 (len(texts), d); loads the model in the first call.

        Raises ComponentError if the model's files have changed since the run was planned, or memory is short.
        """
        return self._encode("document", texts)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts that something is searched with; otherwise as `encode`."""
        return self._encode("query", texts)

    def _encode(self, role: str, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        try:
            if self._model is None:
                self._model = self._load()
            named = prompt_name(getattr(self._model, "prompts", None) or {}, role)
            with _silence():
                rows = getattr(self._model, f"encode_{role}")(
                    [_plain(text) for text in texts] or [""],  # without texts, any text shows the width
                    batch_size=self.options.batch_size,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                    normalize_embeddings=True,
                    **({} if named is None else {"prompt_name": named}),
                )
        except Exception as error:  # out-of-memory alone has a remedy
            if is_out_of_memory(error):
                raise popbench.ComponentError(
                    f"embedder {self.options.model}: out of memory: use a smaller batch_size= or device=cpu"
                ) from None
            raise
        return np.asarray(rows, np.float32)[: len(texts)]

    def _load(self) -> Any:
        if not self._weights.changed():
            loaded = _load(self.options, self._weights)
            if not self._weights.changed():
                return loaded
        raise popbench.ComponentError(
            f"embedder {self.options.model} changed since the run was planned: run the same command again"
        )


def _load(options: Any, weights: Weights) -> Any:
    """Load a model from exactly the files that the fingerprint is of; raises what the library raises."""
    if weights.folder is not None and weights.problem is not None:  # `check` may not have been called
        raise popbench.ComponentError(weights.problem)
    import torch  # imported first, because its import would undo the silence

    device = options.device
    if device == "auto":
        device = "cuda" if gpu_count(device) else "cpu"
    with _silence():
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            options.model if weights.folder is None else str(weights.folder),
            revision=None if weights.folder is not None else weights.commit or options.revision,
            local_files_only=weights.folder is not None,
            device=device,
            model_kwargs={"dtype": torch.float32},
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Silence progress bars and warnings of the library and of those it uses."""
    logger = logging.getLogger(_LIBRARY)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet("transformers"):
            yield
    finally:
        logger.setLevel(level)


def _plain(text: str) -> str:
    """Replace lone surrogates (halves of characters), which tokenizers refuse."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
