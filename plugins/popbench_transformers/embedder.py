"""Text embedders of the sentence-transformers library: vectors whose nearness is nearness of meaning."""

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
from popbench_transformers.embedder_files import embedder_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LIBRARY = "sentence_transformers"


class SentenceTransformersOptions(popbench.Options):
    """Where the weights come from, and where they run."""

    model: str = pydantic.Field(min_length=1, description="a hub id, or the folder of a sentence-transformers model")
    revision: str | None = pydantic.Field(None, min_length=1, description="branch, tag or commit of a hub model")
    device: str = popbench.runtime("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    # texts beside a text change its vector by about 1e-7, which retrieval rounds away
    batch_size: int = popbench.runtime(32, ge=1, description="texts embedded together")


class SentenceTransformersEmbedder(popbench.Embedder):
    """Embeds texts with a sentence-transformers model: model=HUB_ID or model=FOLDER.

    Everything is computed in float32, whatever the weights are stored in: in half precision a text's vector would
    depend on the texts beside it. A text longer than the model reads is cut there, as the library does.
    """

    Options: ClassVar[type[popbench.Options]] = SentenceTransformersOptions
    version = "1"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._model: Any = None

    @cached_property
    def _weights(self) -> Weights:
        return embedder_weights(self.options.model, self.options.revision)

    def label(self) -> str | None:
        """Name the model by the last part of its id or path, which is a preset's own name too."""
        model = PurePath(self.options.model).name or self.options.model
        revision = self.options.revision
        return make_label(model, {} if revision is None else {"revision": revision}).replace("|", "/")

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Add which weights these are: a hub commit, or a hash of the folder in place of the path to it."""
        options = dict(self.options.determining())
        if self._weights.local and self._weights.folder is not None:
            del options["model"]
        elif not self._weights.local and self._weights.identity is not None:
            del options["revision"]  # another name of that commit
        return {**super().fingerprint(), "options": options, "weights": self._weights.identity}

    def check(self) -> list[str]:
        """List what is missing: the model, the library, the device."""
        found = []
        wrong = self._weights.problem
        if wrong is not None:
            found.append(wrong if self._weights.local else f"{wrong}; `--embedder hashing` needs no model")
        if find_spec(_LIBRARY) is None:
            found.append("sentence-transformers is not installed, and this needs it: pip install sentence-transformers")
        if self.options.device not in ("auto", "cpu"):  # these are always there, and looking takes seconds
            lacking = device_problem(self.options.device)
            if lacking is not None:
                found.append(lacking)
        return found

    def needs(self) -> popbench.Needs:
        """Ask for one GPU where there is any, and for the memory its weights take in float32."""
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

        Raises ComponentError where the model's files changed since the run was planned, or memory is short.
        """
        import numpy as np

        try:
            if self._model is None:
                self._model = self._load()
            with _silence():
                rows = self._model.encode(
                    [_plain(text) for text in texts] or [""],  # how wide rows are is seen from any text
                    batch_size=self.options.batch_size,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                    normalize_embeddings=True,
                )
        except Exception as error:  # of the many that may be raised, one kind has a remedy
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
    if weights.folder is not None and weights.problem is not None:  # also what nobody has checked
        raise popbench.ComponentError(weights.problem)
    import torch  # before silence, which torch undoes as it is imported

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
    """Show neither bars nor warnings, of this library or of those it uses."""
    logger = logging.getLogger(_LIBRARY)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet("transformers"):
            yield
    finally:
        logger.setLevel(level)


def _plain(text: str) -> str:
    """Replace halves of characters (lone surrogates), which no tokenizer takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
