"""Running components: the local engine, what any other engine is made of, and many calls at once. Public.

Takes a component and its requests; hands on checked answers, one at a time, with clips as mp4 files. `answers` runs a
component and checks what it yields; `ComponentThread` does so in a thread of its own, and `LoadLock` lets a model load
while no other component computes. `LocalEngine` puts them together. Nothing here stores an answer. `concurrently` is
for components whose work is done elsewhere, and `Retry` says what becomes of their calls that fail; `Attempts` goes by
it with a single `Call`. `preferences` asks a pairwise predictor outside of a run.
"""

from popbench.engines.answer_stream import Rendered, answers
from popbench.engines.component_thread import ComponentThread
from popbench.engines.concurrency import concurrently
from popbench.engines.load_lock import LoadLock
from popbench.engines.local import LocalEngine
from popbench.engines.pacing import Brake, Pace, backoff, retry_after
from popbench.engines.pair_answers import preferences
from popbench.engines.retry import Attempts, Call, Retry

__all__ = [
    "Attempts", "Brake", "Call", "ComponentThread", "LoadLock", "LocalEngine", "Pace", "Rendered", "Retry", "Running",
    "answers", "backoff", "concurrently", "preferences", "retry_after",
]  # fmt: skip

Running = ComponentThread
"""The name of `ComponentThread` in earlier versions, kept for engines that import it."""
