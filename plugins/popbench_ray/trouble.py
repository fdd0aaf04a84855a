"""What Ray says when a worker is lost, in a few words, and whether a component may be to blame."""

from __future__ import annotations

from popbench.errors import one_line

_REASONS = (
    ("node has died", "its node was lost", False),
    ("node was terminated", "its node was lost", False),
    ("Owner's node has crashed", "the node that popbench runs on has left the cluster", False),
    ("doesn't exist any more", "its node was lost", False),
    ("running low on memory", "its node ran out of memory, and Ray ended it", True),
    ("SIGSEGV", "its process died (killed, out of memory, or a crash in native code)", True),
    ("connection error code", "its process died (killed, out of memory, or a crash in native code)", True),
)


def explain(error: BaseException | None) -> tuple[str, bool]:
    """Return why a worker is gone, and whether its component, or what it was given, may be the reason."""
    text = str(error)
    for sign, why, blame in _REASONS:
        if sign in text:
            return why, blame
    lines = [line for line in text.splitlines() if line.strip()]
    return f"its worker was lost ({one_line(lines[-1] if lines else repr(error), 200)})", True
