"""An example plugin: two names for a writer of haiku, one for a painter of waves.

This module is imported whenever popbench lists its plugins, so it imports nothing heavy: the classes are
registered by the name of their module, and that is imported when one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import popbench

if TYPE_CHECKING:
    from popbench.hookspecs import Register


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register the writer, and a preset of it."""
    register("haiku", "popbench_example.haiku:Haiku")
    register("haiku-hot", "popbench_example.haiku:Haiku", temperature=1.2)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    """Register the painter."""
    register("waves", "popbench_example.waves:Waves")
