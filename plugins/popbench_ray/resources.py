"""What a worker of a component occupies, from what the component says it needs."""

from __future__ import annotations

import math

from popbench_ray.nodes import Need, Size
from popbench_ray.options import RayOptions
from popbench_ray.worker import Findings

GIB = 2**30
_MARGIN = 1.2
_CONTEXT = 1.0
"""GiB: what a process takes of a GPU beside its model; with the margin, what estimates of memory leave out."""
_SMALLEST = 8
"""Models on one GPU, at most."""


def need_of(kind: str, label: str, found: Findings, options: RayOptions) -> Need:
    """Say what a worker occupies: GPUs by the memory that is needed, a share of one where several models fit on it.

    An LLM is never put beside another: how many rows it decodes together depends on the memory that is free.
    """
    gpus = options.gpus.get(label)
    if gpus is None:
        gpus = _gpus(kind, found, options)
    if gpus:
        return Need(gpus=gpus)
    return Need(cpus=options.cpus, memory=found.needs.memory_gb * GIB)


def _gpus(kind: str, found: Findings, options: RayOptions) -> float:
    needs = found.needs
    size = options.gpu_memory_gb or found.gpu_memory / GIB
    if not needs.gpus:
        return 0.0
    if not needs.memory_gb or not size:
        return float(needs.gpus if needs.gpus < 1 else math.ceil(needs.gpus))
    together = min(_SMALLEST, math.floor(size / (needs.memory_gb * _MARGIN + _CONTEXT)))
    if together >= 2 and kind != "llm":
        return math.floor(10_000 / together) / 10_000  # as fine as Ray divides
    if needs.gpus < 1:
        return float(needs.gpus)
    whole = 1 if needs.memory_gb <= size else math.ceil(needs.memory_gb * _MARGIN / size)
    return float(min(whole, math.ceil(needs.gpus)))


def beyond(label: str, need: Need, size: Size, options: RayOptions) -> str | None:
    """Say what a machine that stays alone lacks for a worker, even an empty one, and what to do about it."""
    if size.holds(need):
        return None
    if need.gpus > size.gpus:
        has, less = f"{size.gpus}", f"leave {label} out of gpus=" if options.gpus.get(label) else "run it on another"
    elif need.cpus > size.cpus:
        has, less = f"{size.cpus:g}", f"give cpus={size.cpus:g} or less"
    else:
        has, less = f"{size.memory / GIB:.1f} GiB of memory for workers", "run it on another"
    return f"a worker occupies {need}, and this machine has {has}: {less}, or join a cluster that has more, address="
