"""Text-to-video models, run on this machine with Hugging Face diffusers.

Three presets are the paper's generators (arXiv 2502.12945, settings of its released code), others are open models of
today; `diffusers` runs any text-to-video pipeline from a folder or from the hub. Heavy libraries are imported only when
a model is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import popbench
from popbench_diffusers.aspects import with_own_sizes
from popbench_diffusers.presets import PRESETS

if TYPE_CHECKING:
    from popbench.hookspecs import Register


@popbench.hookimpl
def register_generators(register: Register) -> None:
    """Register the general name and the presets."""
    register("diffusers", "popbench_diffusers.generator:DiffusersGenerator")
    for name, preset in PRESETS.items():
        register(name, "popbench_diffusers.generator:PresetGenerator", **with_own_sizes(preset.options))
