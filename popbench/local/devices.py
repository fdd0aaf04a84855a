"""The `device` option of plugins: auto, cpu, mps, cuda or cuda:INDEX."""

from __future__ import annotations


def gpu_count(device: str) -> int:
    """Return how many CUDA GPUs `device` stands for: all that are there, one, or none."""
    return len(_gpus(device))


def gpu_memory(device: str) -> float:
    """Return the total memory of the GPUs that `device` stands for, in bytes; 0 without a GPU."""
    import torch

    return float(sum(torch.cuda.get_device_properties(index).total_memory for index in _gpus(device)))


def device_problem(device: str) -> str | None:
    """Return one line on why a device cannot be used and what to do; None if it can. For a component's `check()`.

    >>> from popbench import local
    >>> local.device_problem("cpu") is None
    True
    """
    import torch

    if device.startswith("cuda") and not gpu_count(device):
        return f"device={device}: no such CUDA GPU here ({torch.cuda.device_count()} found): use device=auto"
    if device == "mps" and not torch.backends.mps.is_available():
        return "device=mps: no Apple GPU here: use device=auto"
    return None


def _gpus(device: str) -> range:
    """Return the indices of the GPUs that `device` stands for and that exist."""
    if device in ("cpu", "mps"):
        return range(0)
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if ":" in device:
        index = int(device.partition(":")[2])
        return range(index, index + 1) if index < count else range(0)
    return range(count)
