"""LiteLLM's own proxy as a real server, in front of servers of the tests.

What `litellm[proxy]` depends on is more than the proxy needs, and cannot be had from every index; what its server
imports is in popbench's extra `test`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import yaml

from server_processes import foreign_server

_NEEDED = (
    "litellm", "fastapi", "uvicorn", "websockets", "orjson", "backoff", "redis", "apscheduler", "jwt", "cryptography",
    "semver", "python_multipart", "soundfile", "mcp", "fastapi_sso", "expression",
    *(() if sys.platform == "win32" else ("uvloop",)),
)  # fmt: skip
"""What the proxy imports when it starts."""
KEY = "sk-popbench-proxy-0123456789abcdef0123456789abcdef"
"""The key that its clients need. It does not start with a short one."""
_PATIENCE = 200.0
"""Seconds in which it has to start: it takes 20 on an idle machine."""


def lacks() -> str:
    """Return the reason to skip a test of the proxy; empty if everything is installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    return f"LiteLLM's proxy needs {', '.join(missing)}: pip install 'popbench[test]'" if missing else ""


@contextmanager
def serving(models: Mapping[str, Mapping[str, str]], folder: Path) -> Iterator[str]:
    """Run the proxy for the time of the block; give its base URL.

    `models` are LiteLLM's parameters of each, by the name that clients ask for. It reaches loopback only. Raises
    RuntimeError if it does not start.
    """
    config, log = folder / "proxy.yaml", folder / "proxy.log"
    listed = [{"model_name": name, "litellm_params": dict(parameters)} for name, parameters in models.items()]
    config.write_text(yaml.safe_dump({"model_list": listed, "router_settings": {"num_retries": 0}}), encoding="utf-8")
    closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    open_ = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    own = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
        "LITELLM_OFFLINE_MODE": "true",
        "LITELLM_MODE": "PRODUCTION",  # otherwise it reads the .env file of the working directory
        "LITELLM_MASTER_KEY": KEY,
    }
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_API_BASE"))}
    with foreign_server(
        lambda port: [
            sys.executable, "-m", "litellm.proxy.proxy_cli", "--config", str(config), "--host", "127.0.0.1",
            "--port", str(port), "--telemetry", "False",
        ],
        "/health/liveliness", log, _PATIENCE, cwd=folder, env={**kept, **closed, **open_, **own},
    ) as url:  # fmt: skip
        yield url
