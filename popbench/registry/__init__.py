"""From installed plugins to components. Public.

Takes the entry points of plugins and a spec such as `pe,k=50`; hands on the component that it describes, with typed
options and a label. `registrations` holds what a plugin registers, `registry` the names of all, `loading` the registry
of this process.
"""

from popbench.registry.loading import create, label, load_registry, make, with_option
from popbench.registry.registrations import GROUP, KINDS, Plugin, Registration
from popbench.registry.registry import Registry, Resolved

__all__ = [
    "GROUP", "KINDS", "Plugin", "Registration", "Registry", "Resolved", "create", "label", "load_registry", "make",
    "with_option",
]  # fmt: skip
