"""Running components: the local engine, and what any other engine is made of. Public, for authors of engines.

Takes a component and its requests; hands on checked answers, one at a time, with clips as mp4 files. `answers` drives
a component and checks what it yields; `Running` does so in a thread of its own, and `Turns` lets models that are being
loaded work alone. `LocalEngine` puts them together. Nothing here stores an answer or knows what it is for.
"""

from popbench.engines.answer_stream import Rendered, answers
from popbench.engines.component_thread import Running
from popbench.engines.load_lock import Turns
from popbench.engines.local import LocalEngine

__all__ = ["LocalEngine", "Rendered", "Running", "Turns", "answers"]
