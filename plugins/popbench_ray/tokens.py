"""Checks before joining a cluster that it accepts the token of this process.

Ray itself retries for 20 seconds, writes a line about each try to stderr, and then says only that it failed. So the
question is asked once, by a child process that can be killed and whose stderr is read here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_PATIENT = 10.0
"""Seconds for the check. Without an answer by then, joining the cluster shows the problem."""
_HOW = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to that of its head"
_SIGN = "InvalidAuthToken"
_ASK = "import os, sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]); os._exit(0)"


def token_problem(address: str) -> str | None:
    """Return one line if the cluster at HOST:PORT refuses the token of this process; None if it may accept it."""
    if os.environ.get("RAY_AUTH_MODE") == "token" and not _has_token():  # Ray would end the process that asks
        return f"RAY_AUTH_MODE is token, and there is none here: {_HOW}"
    with suppress(OSError, ValueError):  # without a child process, joining shows the problem
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
                return f"the cluster at {address} needs a token: {_HOW}"
        finally:
            timer.cancel()
            asking.kill()
            asking.wait()
            if asking.stderr is not None:
                asking.stderr.close()
    return None


def _has_token() -> bool:
    """Return whether Ray would find a token, in the places where it looks for one."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return (Path(path) if path else Path.home() / ".ray" / "auth_token").is_file()
