"""Whether a cluster wants a token that is not the one here, found out before Ray is asked to join it.

Ray itself tries again and again, for 20 seconds, writes a line about each try to stderr, and then only says that it
failed. So a process that may be ended, and whose stderr is read here, asks once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_PATIENT = 10.0
"""Seconds; what is not known by then is found out by joining."""
_HOW = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to that of its head"
_SIGN = "InvalidAuthToken"
_ASK = "import os, sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]); os._exit(0)"


def refused(address: str) -> str | None:
    """Say in one line that the cluster at HOST:PORT lets nobody in with the token here; None where it may."""
    if os.environ.get("RAY_AUTH_MODE") == "token" and not _has_token():  # Ray ends the process that asks
        return f"RAY_AUTH_MODE is token, and there is none here: {_HOW}"
    with suppress(OSError, ValueError):  # no process can be had: joining will tell
        asking = subprocess.Popen(
            [sys.executable, "-c", _ASK, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        timer = threading.Timer(_PATIENT, asking.kill)
        timer.start()
        try:
            assert asking.stderr is not None
            if any(_SIGN in line for line in asking.stderr):
                return f"the cluster at {address} wants a token: {_HOW}"
        finally:
            timer.cancel()
            asking.kill()
            asking.wait()
            if asking.stderr is not None:
                asking.stderr.close()
    return None


def _has_token() -> bool:
    """Look where Ray looks for a token."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return (Path(path) if path else Path.home() / ".ray" / "auth_token").is_file()
