"""Runs the encoders on frames and texts, in batches of one fixed shape each.

Libraries choose kernels by the shape of their input. With a fixed shape, the result of a row does not depend on the
other rows: a batch that is not full is filled up with repeats, and the length of texts is rounded up. Captioning takes
most of the time and gives words, so on CUDA the captioner runs in half precision; vectors are always float32.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers as _transformers

from popbench.errors import UsageError
from popbench.local import quiet, release_memory
from popbench_mmra.encoders import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

transformers: Any = _transformers  # much of it is untyped

QUERY = "Represent this sentence for searching relevant passages: "
"""The instruction that UAE was trained to have before a query."""
_UNUSED = ("pooler.",)
"""Weights that features do not depend on: some models are saved without them."""
_STEP = 32
"""Lengths of texts are rounded up to a multiple of this many tokens."""
_CAPTION = 20
"""The most tokens of a caption."""

_loading = threading.Lock()
"""Held while models are loaded: transformers cannot load two at once in one process."""
_computing = threading.RLock()
"""Held while a CPU computes: the number of its threads is set for the whole process."""


class LoadedEncoders:
    """The four encoders in memory. `batch` is the number of videos, or texts, that are encoded together."""

    def __init__(self, encoders: Mapping[str, Encoder], device: torch.device, dtype: torch.dtype, batch: int) -> None:
        """Load the encoders; raises what transformers raises."""
        self.device, self.batch = device, batch
        self._dtype = dtype
        with _loading, quiet("transformers"):
            self._see = FrameScaler(encoders["visual"])
            self._caption = FrameScaler(encoders["captioner"])
            self._visual = self._load(encoders["visual"], transformers.AutoModel, torch.float32)
            self._textual = self._load(encoders["textual"], transformers.AutoModel, torch.float32)
            self._retriever = self._load(encoders["retriever"], transformers.AutoModel, torch.float32)
            self._captioner = self._load(encoders["captioner"], transformers.BlipForConditionalGeneration, dtype)
            self._tokenizers = {name: _tokenizer(encoders[name]) for name in ("textual", "retriever", "captioner")}

    def _load(self, encoder: Encoder, cls: Any, dtype: torch.dtype) -> Any:
        """Load a model; raises UsageError if the file holds the weights of another one."""
        source, how = encoder.source
        model, report = cls.from_pretrained(source, dtype=dtype, output_loading_info=True, **how)
        if encoder.problem is not None:  # a hub model that has only now been downloaded
            raise UsageError(encoder.problem)
        if encoder.changed:
            raise UsageError(f"{encoder.role.option}: {encoder.model} changed meanwhile: run the same command again")
        lacks = sorted(name for name in report["missing_keys"] if not name.startswith(_UNUSED))
        lacks += [str(name[0]) for name in report["mismatched_keys"]]
        if lacks:
            more = f" and {len(lacks) - 1} more" if len(lacks) > 1 else ""
            raise UsageError(
                f"{encoder.role.option}: {encoder.model} holds weights of another model: those of {lacks[0]}{more} are "
                "missing: copy or download it again, or give another folder"
            )
        return model.to(self.device).eval()

    def prepare(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Scale frames, uint8 (F, height, width, 3), for ViT and for the captioner. Safe in any thread."""
        return self._see.scaled(frames), self._caption.scaled(frames)

    def visual(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the CLS vectors of videos' scaled frames, (videos, F, D)."""
        batches = [
            self._visual(pixel_values=rows).last_hidden_state[:, 0].float().cpu().numpy()
            for rows in self._full_batches(pixels, self._see, torch.float32)
        ]
        return self._trimmed(batches, pixels)

    def captions(self, pixels: Sequence[NDArray[np.uint8]]) -> list[list[str]]:
        """Return a caption for each scaled frame of each video, by greedy search."""
        tokenizer, texts = self._tokenizers["captioner"], []
        for rows in self._full_batches(pixels, self._caption, self._dtype):
            tokens = self._captioner.generate(pixel_values=rows, max_new_tokens=_CAPTION, num_beams=1, do_sample=False)
            texts += tokenizer.batch_decode(tokens, skip_special_tokens=True)
        frames = len(pixels[0])
        return [
            [text.strip() for text in texts[start : start + frames]] for start in range(0, frames * len(pixels), frames)
        ]

    def textual(self, titles: Sequence[str]) -> NDArray[np.float32]:
        """Return titles' vectors (titles, D): the mean of CLS and masked mean, AnglE's pooling `cls_avg`."""

        def pool(hidden: Tensor, mask: Tensor) -> Tensor:
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            return (hidden[:, 0] + (hidden * weights).sum(1) / weights.sum(1)) / 2

        return self._texts(titles, "textual", self._textual, pool)

    def retrieval(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the CLS vectors of texts after UAE's instruction, scaled to length 1, (texts, R)."""
        rows = self._texts(
            [QUERY + text for text in texts], "retriever", self._retriever, lambda hidden, _: hidden[:, 0]
        )
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        normal: NDArray[np.float32] = rows / np.maximum(lengths, 1e-12)
        return normal

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute without gradients, and in full float32 on GPUs, where cuDNN would round convolutions' inputs.

        On a CPU one core is left to the threads that decode, or they and the computing threads wait for each other.
        """
        whole = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)
        with _one_core_left(self.device), torch.inference_mode(), whole, quiet("transformers"):
            yield

    def close(self) -> None:
        """Free the models' memory."""
        self._visual = self._textual = self._retriever = self._captioner = None
        release_memory()

    def _full_batches(
        self, pixels: Sequence[NDArray[np.uint8]], eye: FrameScaler, dtype: torch.dtype
    ) -> Iterator[Tensor]:
        """Yield the frames of `batch` videos each, (batch * F, 3, height, width); the last batch is filled up."""
        for start in range(0, len(pixels), self.batch):
            videos = list(pixels[start : start + self.batch])
            videos += [videos[-1]] * (self.batch - len(videos))
            yield eye.normalized(torch.from_numpy(np.concatenate(videos)).to(self.device)).to(dtype)

    def _trimmed(self, batches: list[Any], pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        rows = np.concatenate(batches)
        return np.ascontiguousarray(rows.reshape(-1, len(pixels[0]), rows.shape[-1])[: len(pixels)], np.float32)

    def _texts(
        self, texts: Sequence[str], name: str, model: Any, pool: Callable[[Tensor, Tensor], Tensor]
    ) -> NDArray[np.float32]:
        tokenizer = self._tokenizers[name]
        longest = min(int(model.config.max_position_embeddings), int(tokenizer.model_max_length))
        ids = [tokenizer(_plain(text), truncation=True, max_length=longest)["input_ids"] for text in texts]
        by_length: dict[int, list[int]] = {}
        for index, row in enumerate(ids):
            by_length.setdefault(min(-(-len(row) // _STEP) * _STEP, longest), []).append(index)
        vectors = np.empty((len(texts), int(model.config.hidden_size)), np.float32)
        for length, members in sorted(by_length.items()):
            for start in range(0, len(members), self.batch):
                batch = members[start : start + self.batch]
                rows = [ids[index] for index in batch] + [ids[batch[-1]]] * (self.batch - len(batch))
                tokens = torch.full((self.batch, length), tokenizer.pad_token_id or 0)
                mask = torch.zeros((self.batch, length), dtype=torch.long)
                for row, text_ids in enumerate(rows):
                    tokens[row, : len(text_ids)] = torch.tensor(text_ids)
                    mask[row, : len(text_ids)] = 1
                mask = mask.to(self.device)
                hidden = model(input_ids=tokens.to(self.device), attention_mask=mask).last_hidden_state
                vectors[batch] = pool(hidden, mask).float().cpu().numpy()[: len(batch)]
        return vectors


@contextmanager
def _one_core_left(device: torch.device) -> Iterator[None]:
    """Compute with one thread less on a CPU that has several."""
    if device.type != "cpu":
        yield
        return
    with _computing:
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads - 1))
        try:
            yield
        finally:
            torch.set_num_threads(threads)


class FrameScaler:
    """Turns frames into a model's input by its preprocessor file. It scales on the CPU and normalizes on the device."""

    def __init__(self, encoder: Encoder) -> None:
        source, how = encoder.source
        self._processor = processor = transformers.AutoImageProcessor.from_pretrained(source, use_fast=False, **how)
        self._factor = float(processor.rescale_factor) if processor.do_rescale else 1.0
        mean, spread = (processor.image_mean, processor.image_std) if processor.do_normalize else (0.0, 1.0)
        self._mean, self._spread = (
            torch.tensor(value, dtype=torch.float32).reshape(-1, 1, 1) for value in (mean, spread)
        )

    def scaled(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale frames (F, height, width, 3) to the model's size, uint8 (F, 3, height, width)."""
        pixels: NDArray[np.uint8] = self._processor(
            list(frames), do_rescale=False, do_normalize=False, return_tensors="np", input_data_format="channels_last"
        )["pixel_values"].astype(np.uint8, copy=False)
        return pixels

    def normalized(self, rows: Tensor) -> Tensor:
        """Normalize scaled frames, to float32."""
        return (rows.float() * self._factor - self._mean.to(rows.device)) / self._spread.to(rows.device)


def _tokenizer(encoder: Encoder) -> Any:
    source, how = encoder.source
    return transformers.AutoTokenizer.from_pretrained(source, **how)


def _plain(text: str) -> str:
    """Replace lone surrogates (halves of characters), which tokenizers refuse."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
