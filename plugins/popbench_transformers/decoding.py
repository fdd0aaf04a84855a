"""Runs one batch through `model.generate`, in a thread, so that each row is returned as soon as it is finished."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from popbench.local import is_out_of_memory, peak_memory, quiet
from popbench_transformers.rows import Row
from popbench_transformers.sampling import Decoding, Sampler

if TYPE_CHECKING:
    from popbench_transformers.loading import Loaded

THREAD = "popbench-transformers"
_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""All but cuDNN's, which plans again for every length of the cache, so at every token: some 50 ms on an H100."""


class Batch:
    """Rows that are decoded together. After the end, `out_of_memory` says whether some rows are unfinished."""

    def __init__(self, loaded: Loaded, rows: Sequence[Row], decoding: Decoding) -> None:
        self._loaded = loaded
        self._rows = rows
        self._sampler = Sampler(rows, decoding)
        self._ready: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._stopped = False
        self._error: BaseException | None = None
        self._clock = 0.0
        self._memory = peak_memory(loaded.gpus)
        self.out_of_memory = False

    def finished(self) -> Iterator[Row]:
        """Yield rows as they finish. Closing the iterator stops decoding after the current step."""
        thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        thread.start()
        try:
            while (row := self._ready.get()) is not None:
                yield row
        finally:
            self._stopped = True
            thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with torch.inference_mode(), quiet("transformers"), sdpa_kernel(_ATTENTION):
                self._decode()
        except BaseException as error:  # raised in the waiting thread
            if is_out_of_memory(error):
                self.out_of_memory = True
                traceback.clear_frames(error.__traceback__)  # they keep tensors alive
            else:
                self._error = error
        finally:
            self._ready.put(None)

    def _decode(self) -> None:
        model, device = self._loaded.model, self._loaded.device
        width = max(len(row.prompt) for row in self._rows)
        pad = self._loaded.pad
        ids = torch.tensor([[pad] * (width - len(row.prompt)) + row.prompt for row in self._rows], device=device)
        mask = torch.tensor(
            [[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in self._rows], device=device
        )
        config = self._loaded.generation_config(max(row.budget for row in self._rows))
        self._clock = time.perf_counter()
        with self._memory:
            model.generate(
                input_ids=ids,
                attention_mask=mask,
                **self._rows[0].inputs,
                generation_config=config,
                logits_processor=[self._sampler],
                stopping_criteria=[self],
            )

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """Take the tokens of a step, as a stopping criterion of `generate`; return which rows are done."""
        tokens = input_ids[:, -1].tolist()
        now = time.perf_counter()
        active = [(row, token) for row, token in zip(self._rows, tokens, strict=True) if not row.done]
        share = (now - self._clock) / max(1, len(active))
        self._clock = now
        for row, token in active:
            row.seconds += share
            row.take(token, self._loaded.eos)
            if row.done:
                row.peak_memory_mb = self._memory.mb
                self._ready.put(row)
        return torch.tensor([row.done or self._stopped for row in self._rows], device=input_ids.device)
