"""Ray: the same run on many machines and GPUs."""

from __future__ import annotations

import popbench
from popbench.hookspecs import Register


@popbench.hookimpl
def register_engines(register: Register) -> None:
    """Register `ray`; it is imported only when used."""
    register("ray", "popbench_ray.engine:RayEngine")
