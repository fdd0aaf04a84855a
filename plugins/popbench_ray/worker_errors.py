"""Short reasons for the loss of a worker, from Ray's errors, and whether the component may have caused it."""

from __future__ import annotations

import re

from popbench.errors import one_line

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_MODULE = re.compile(r"No module named '([^'.]+)")
_OURS = ("popbench", "popbench_ray")

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
    """Return why a worker was lost, and whether its component or an item may have caused it."""
    text = str(error)
    for sign, why, blame in _REASONS:
        if sign in text:
            return why, blame
    module = missing_module(error)
    return f"{module} is not installed there" if module else f"its worker was lost ({cause(error)})", True


def missing_module(error: BaseException | str | None) -> str | None:
    """Return the module that is not installed on the node of an error; None for any other error."""
    match = _MODULE.search(str(error))
    if match is None:
        return None
    return "popbench" if match[1] in _OURS else f"the module {match[1]}"


def cause(error: BaseException | None) -> str:
    """Return an error as one line without colours: of a traceback from a node, the last line."""
    lines = [line for line in _ESCAPES.sub("", str(error)).splitlines() if line.strip()]
    if error is not None and len(lines) < 2:
        return one_line(_ESCAPES.sub("", one_line(error)), 200)
    return one_line(lines[-1], 200)
