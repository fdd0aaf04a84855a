"""The options of the engine. Results do not depend on them."""

from __future__ import annotations

import pydantic

import popbench

FINEST = 0.0001
"""The smallest part of a processor or a GPU that Ray can give."""


class RayOptions(popbench.Options):
    """The cluster, what each worker occupies, and the time limits."""

    address: str | None = popbench.runtime(
        None, min_length=1, description="auto, or HOST:PORT of a cluster; without it Ray is started on this machine"
    )
    workers: int | None = popbench.runtime(None, ge=1, description="workers of one component, at most")
    batch: int = popbench.runtime(
        2, ge=1, le=1024, description="items that a worker holds at first; it gets more where its component takes more"
    )
    cpus: float = popbench.runtime(1.0, ge=FINEST, le=4096, description="processors of a worker without GPUs")
    gpus: dict[str, float] = popbench.runtime(
        {}, description='GPUs of a worker by label, for instance {"ltx": 0.5}; else what the component needs'
    )
    gpu_memory_gb: float | None = popbench.runtime(None, gt=0, description="GiB of a GPU; else what it says itself")
    item_timeout: float = popbench.runtime(
        1800.0, gt=0, description="seconds without an answer after which a worker is ended and its items tried again"
    )
    retries: int = popbench.runtime(3, ge=0, le=100, description="how often an item is tried again")
    lost_after: float = popbench.runtime(
        120.0, gt=0, description="seconds without any worker, or any word of the cluster, after which the run ends"
    )

    @pydantic.field_validator("gpus")
    @classmethod
    def _whole(cls, value: dict[str, float]) -> dict[str, float]:
        """Refuse what Ray cannot give: it gives a share of one GPU, or whole GPUs."""
        for label, gpus in value.items():
            share = FINEST <= gpus <= 1
            if not (share or (gpus >= 0 and gpus.is_integer())):
                raise ValueError(
                    f"{label} {gpus:g}: expected a share of one GPU, {FINEST:g} at least, or a whole number of them"
                )
        return value
