"""Running components: the local engine, and what any other engine is made of. Public, for authors of engines.

Takes a component and its requests; hands on checked answers, one at a time, with clips as mp4 files. `answers` runs a
component and checks what it yields; `ComponentThread` does so in a thread of its own, and `LoadLock` lets a model load
while no other component computes. `LocalEngine` puts them together. Nothing here stores an answer.
"""

from popbench.engines.answer_stream import Rendered, answers
from popbench.engines.component_thread import ComponentThread
from popbench.engines.load_lock import LoadLock
from popbench.engines.local import LocalEngine

__all__ = ["ComponentThread", "LoadLock", "LocalEngine", "Rendered", "Running", "answers"]

Running = ComponentThread
"""The name of `ComponentThread` in earlier versions, kept for engines that import it."""
