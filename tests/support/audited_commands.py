"""Runs a command of popbench in a process of its own, and says whom it sought and whether it imported LiteLLM."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

AUDITED = """
import sys
sought = []
def hook(event, args):
    if event == "socket.connect" and not (isinstance(args[1], tuple) and str(args[1][0]).startswith("127.")):
        sought.append(str(args[1]))
    if event == "socket.getaddrinfo" and args[0] not in (None, "localhost", "127.0.0.1"):
        sought.append(str(args[0]))
sys.addaudithook(hook)
from popbench.cli import main
try:
    main()
finally:
    print("IMPORTED", "litellm" in sys.modules, "SOUGHT", sought)
"""


def audited_command(folder: Path, *words: str) -> str:
    """Give a command in a process of its own; return what it printed, with whether LiteLLM was imported."""
    env = {**os.environ, "PROVIDER_KEY": "sk-1234567890"}
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout + done.stderr
