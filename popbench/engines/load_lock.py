"""A lock for model loading: loaded models compute side by side, a loading model runs alone.

While a library loads a model it changes settings of the whole process, such as the default dtype or how modules are
made. Another thread that computes or loads at that time would run with these settings, and give other results or fail.
Nobody can see from outside when loading ends, so a component counts as loading until its first answer.
"""

from __future__ import annotations

import threading


class LoadLock:
    """Admits many owners together, or one alone.

    An owner that waits to be alone goes before those that come later: otherwise it would wait for as long as there is
    always one that computes.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: set[object] = set()
        self._alone: object | None = None
        self._waiting = 0

    def enter(self, owner: object, *, alone: bool) -> None:
        """Wait until `owner` may compute: together with others, or alone."""
        with self._changed:
            if alone:
                self._waiting += 1
                try:
                    self._changed.wait_for(lambda: not self._inside)
                finally:
                    self._waiting -= 1
                self._alone = owner
            else:
                self._changed.wait_for(lambda: self._alone is None and not self._waiting)
            self._inside.add(owner)

    def leave(self, owner: object) -> None:
        """Let others in; any thread may call it, for an owner that hangs. It does nothing for an owner not admitted."""
        with self._changed:
            self._inside.discard(owner)
            if self._alone is owner:
                self._alone = None
            self._changed.notify_all()
