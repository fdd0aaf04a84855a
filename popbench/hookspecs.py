"""The hooks that a plugin may implement. Each takes a `register` function and calls it once per name.

>>> import popbench
>>> @popbench.hookimpl
... def register_llms(register):
...     register("haiku", "my_package.haiku:Haiku")
...     register("haiku-hot", "my_package.haiku:Haiku", temperature=1.2)
>>> @popbench.hookimpl
... def register_tasks(register):
...     register("my_package/tasks")

A class that is named by a text is imported when the name is used, so that listing plugins stays fast. Keyword arguments
are a preset of options, which users may override.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from popbench.interfaces import Component

hookspec = pluggy.HookspecMarker("popbench")
hookimpl = pluggy.HookimplMarker("popbench")


class Register(Protocol):
    """`register(name, target, **preset)`: `target` is a class, or "module:Class", which is imported when it is used."""

    def __call__(self, name: str, target: type[Component] | str, /, **preset: Any) -> None: ...  # noqa: D102 - the class says it


class RegisterTasks(Protocol):
    """`register(folder)`: a folder whose YAML files, at any depth, are tasks."""

    def __call__(self, folder: Path | str, /) -> None: ...  # noqa: D102 - the class says it


@hookspec
def register_llms(register: Register) -> None:
    """Register language models: subclasses of `popbench.LLM`."""


@hookspec
def register_generators(register: Register) -> None:
    """Register video generators: subclasses of `popbench.VideoGenerator`."""


@hookspec
def register_predictors(register: Register) -> None:
    """Register popularity predictors: subclasses of `popbench.Predictor`."""


@hookspec
def register_embedders(register: Register) -> None:
    """Register text embedders: subclasses of `popbench.Embedder`."""


@hookspec
def register_corpora(register: Register) -> None:
    """Register corpora: subclasses of `popbench.Corpus`."""


@hookspec
def register_modes(register: Register) -> None:
    """Register modes: subclasses of `popbench.Mode`."""


@hookspec
def register_engines(register: Register) -> None:
    """Register engines: subclasses of `popbench.Engine`."""


@hookspec
def register_trackers(register: Register) -> None:
    """Register experiment trackers: subclasses of `popbench.Tracker`."""


@hookspec
def register_tasks(register: RegisterTasks) -> None:
    """Register folders of task files."""
