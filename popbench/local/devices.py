"""What the `device` option of a plugin stands for: auto, cpu, mps, cuda or cuda:INDEX."""

from __future__ import annotations


def gpu_count(device: str) -> int:
    """Return how many CUDA GPUs a model may use: all of them, unless `device` names one, or none."""
    return len(_gpus(device))


def gpu_memory(device: str) -> float:
    """Return the bytes of memory of the GPUs that a model may use, in use or not; 0 where there are none."""
    import torch

    return float(sum(torch.cuda.get_device_properties(index).total_memory for index in _gpus(device)))


def device_problem(device: str) -> str | None:
    """Say in one line that a device is not there, and what to do about it; None where it is."""
    import torch

    if device.startswith("cuda") and not gpu_count(device):
        return f"device={device}: no such CUDA GPU here ({torch.cuda.device_count()} found): use device=auto"
    if device == "mps" and not torch.backends.mps.is_available():
        return "device=mps: no Apple GPU here: use device=auto"
    return None


def _gpus(device: str) -> range:
    """Return the indices of the GPUs that `device` stands for, as far as they are there."""
    if device in ("cpu", "mps"):
        return range(0)
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if ":" in device:
        index = int(device.partition(":")[2])
        return range(index, index + 1) if index < found else range(0)
    return range(found)
