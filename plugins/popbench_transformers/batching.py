"""Chooses rows to decode together: rows of similar length, as many as fit into memory, halved after out-of-memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import torch

from popbench.local import free_memory, release_memory
from popbench_transformers.decoding import Batch
from popbench_transformers.rows import Row

if TYPE_CHECKING:
    from popbench_transformers.loading import Loaded
    from popbench_transformers.sampling import Decoding

WINDOW = 256
"""The number of chats among which rows of similar length are chosen."""

_MAX_ROWS = {"cpu": 8, "cuda": 64}
_USABLE_MEMORY = 0.85
"""The share of free memory that batches may use. The rest is for fragmentation and errors of the estimate."""


class Batcher:
    """Decodes rows with one loaded model, and remembers which batch size ran out of memory."""

    def __init__(self, loaded: Loaded, batch_size: Literal["auto"] | int) -> None:
        self._loaded = loaded
        self._batch_size = batch_size
        self._most_tokens: float | None = None
        """The largest size (rows times tokens) that may fit; None until a batch has run out of memory."""

    def run(self, rows: Iterable[Row], decoding: Decoding) -> Iterator[tuple[Row, bool]]:
        """Yield each row, with True when its text is finished, or False if it does not fit into memory alone."""
        waiting = deque(sorted(rows, key=lambda row: len(row.prompt), reverse=True))
        free = self._free_memory()
        while waiting:
            taken = self._next(waiting, free)
            batch = Batch(self._loaded, taken, decoding)
            for row in batch.finished():
                yield row, True
            if not batch.out_of_memory:
                continue
            release_memory()
            undone = [row for row in taken if not row.done]
            if len(taken) == 1:
                yield taken[0], False
                continue
            self._most_tokens = _size(taken) / 2
            for row in undone:
                row.restart()
            waiting.extendleft(reversed(undone))

    def _next(self, waiting: deque[Row], free: float) -> list[Row]:
        taken = [waiting.popleft()]
        while waiting and self._fits([*taken, waiting[0]], free):
            taken.append(waiting.popleft())
        return taken

    def _fits(self, rows: Sequence[Row], free: float) -> bool:
        width = max(len(row.prompt) for row in rows) + max(row.budget for row in rows)
        if width > self._loaded.context:  # padding must not push a long row beyond the context
            return False
        if self._most_tokens is not None and _size(rows) > self._most_tokens:
            return False
        if self._batch_size != "auto":
            return len(rows) <= self._batch_size
        if len(rows) > _MAX_ROWS.get(self._loaded.device.type, _MAX_ROWS["cpu"]):
            return False
        return len(rows) * self._loaded.row_bytes(max(len(row.prompt) for row in rows), width) <= free * _USABLE_MEMORY

    def _free_memory(self) -> float:
        if not self._loaded.gpus:
            return free_memory()
        release_memory()
        # layers are spread over the GPUs, and each holds a part of every row
        return float(len(self._loaded.gpus) * min(torch.cuda.mem_get_info(index)[0] for index in self._loaded.gpus))


def _size(rows: Sequence[Row]) -> int:
    return len(rows) * (max(len(row.prompt) for row in rows) + max(row.budget for row in rows))
