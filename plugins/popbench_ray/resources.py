"""Computes what a worker occupies from what its component says it needs."""

from __future__ import annotations

import math

from popbench_ray.nodes import Need, Size
from popbench_ray.options import RayOptions
from popbench_ray.worker import Findings

GIB = 2**30
_MARGIN = 1.2
_CONTEXT = 1.0
"""GiB of a GPU that a process takes beside its model. It and the margin cover what estimates of memory leave out."""
_SMALLEST = 8
"""Models on one GPU, at most."""


def worker_need(kind: str, label: str, findings: Findings, options: RayOptions) -> Need:
    """Return what a worker occupies: GPUs by needed memory, or a share of one GPU if several models fit on it.

    An LLM never shares a GPU, because the number of rows that it decodes together depends on the free memory.
    """
    gpus = options.gpus.get(label)
    if gpus is None:
        gpus = _gpus(kind, findings, options)
    if gpus:
        return Need(gpus=gpus)
    return Need(cpus=options.cpus, memory=findings.needs.memory_gb * GIB)


def _gpus(kind: str, findings: Findings, options: RayOptions) -> float:
    needs = findings.needs
    size = options.gpu_memory_gb or findings.gpu_memory / GIB
    if not needs.gpus:
        return 0.0
    if not needs.memory_gb or not size:
        return float(needs.gpus if needs.gpus < 1 else math.ceil(needs.gpus))
    sharing = min(_SMALLEST, math.floor(size / (needs.memory_gb * _MARGIN + _CONTEXT)))
    if sharing >= 2 and kind != "llm":
        return math.floor(10_000 / sharing) / 10_000  # as fine as Ray divides
    if needs.gpus < 1:
        return float(needs.gpus)
    gpus = 1 if needs.memory_gb <= size else math.ceil(needs.memory_gb * _MARGIN / size)
    return float(min(gpus, math.ceil(needs.gpus)))


def never_fits(label: str, need: Need, size: Size, options: RayOptions) -> str | None:
    """Return why a machine can never hold a worker, even when it is empty, and what to do; None if it can.

    Only for a Ray that was started here: no other machine can join it.
    """
    if size.holds(need):
        return None
    if need.gpus > size.gpus:
        has, less = f"{size.gpus}", f"leave {label} out of gpus=" if options.gpus.get(label) else "run it on another"
    elif need.cpus > size.cpus:
        has, less = f"{size.cpus:g}", f"give cpus={size.cpus:g} or less"
    else:
        has, less = f"{size.memory / GIB:.1f} GiB of memory for workers", "run it on another"
    return f"a worker occupies {need}, and this machine has {has}: {less}, or join a cluster that has more, address="
