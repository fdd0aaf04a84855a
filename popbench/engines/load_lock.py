"""Who may compute in this process now: models that are loaded work side by side, one that loads works alone.

Libraries change settings of the whole process while they load a model (the default dtype, how modules are made), which
another thread that computes, or loads, would take up. A component that has not answered yet counts as loading.
"""

from __future__ import annotations

import threading


class LoadLock:
    """Lets many owners in together, or one alone. One that waits to be alone goes before later ones."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: set[object] = set()
        self._alone: object | None = None
        self._waiting = 0

    def enter(self, owner: object, *, alone: bool) -> None:
        """Wait for a turn."""
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
        """End a turn; also from another thread, for an owner that hangs. Without a turn it does nothing."""
        with self._changed:
            self._inside.discard(owner)
            if self._alone is owner:
                self._alone = None
            self._changed.notify_all()
