"""Memory: how much there is, how much a call used, and whether it was too little."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

GIB = 2**30
_WORDS = (
    "can't allocate memory", "Cannot allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED",
)  # fmt: skip


def machine_memory() -> float:
    """Return this machine's memory in bytes; infinity if that is unknown."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def free_memory() -> float:
    """Return this machine's free memory in bytes; a guess if that is unknown."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return min(machine_memory() / 2, 4.0 * GIB)


def release_memory() -> None:
    """Collect garbage, and empty torch's cache of GPU memory."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a GPU, or the machine, is out of memory."""
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


class peak_memory:  # noqa: N801 - used as a function is
    """Measures the peak of GPU memory in a `with` block, over the GPUs with the given indices.

    Torch counts per GPU for the whole process, so a nested block resets the count of the outer one.

    >>> from popbench import local
    >>> with local.peak_memory(range(local.gpu_count("cpu"))) as peak:
    ...     pass  # render a clip
    >>> peak.mb is None  # no GPU
    True
    """

    def __init__(self, gpus: Sequence[int]) -> None:
        self._gpus = tuple(gpus)
        self._ended: float | None = None

    @property
    def mb(self) -> float | None:
        """The peak so far, after the block that of the block, in MiB over all the GPUs; None without a GPU."""
        if not self._gpus or self._ended is not None:
            return self._ended
        import torch

        return sum(torch.cuda.max_memory_allocated(index) for index in self._gpus) / 2**20

    def __enter__(self) -> peak_memory:
        if self._gpus:
            import torch

            for index in self._gpus:
                torch.cuda.reset_peak_memory_stats(index)
        self._ended = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = self.mb
