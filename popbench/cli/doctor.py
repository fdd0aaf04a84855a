"""`popbench doctor`: shows what this machine has, and what each component lacks on it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click

from popbench.progress.console import make_console

KEYS = (
    "HF_TOKEN", "OPENROUTER_API_KEY", "TOGETHER_API_KEY", "FIREWORKS_API_KEY", "DEEPINFRA_API_KEY", "DEEPSEEK_API_KEY",
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DASHSCOPE_API_KEY",
)  # fmt: skip
"""Keys that many models need. The command prints whether they are set, never their values."""


_KINDS = {
    "llm": "llm", "gen": "generator", "predictor": "predictor", "corpus": "corpus", "embedder": "embedder",
    "engine": "engine",
}  # fmt: skip
"""Kinds of components by their settings in popbench.toml."""


@click.command("doctor")
@click.option("--offline", is_flag=True, help="Do not try to reach the model hub.")
@click.option(
    "--for", "wanted", metavar="COMMAND", help="Say only what this command (eval, best or optimize) lacks here."
)
def command(offline: bool, wanted: str | None) -> int:
    """Check this machine: versions, devices, keys, plugins.

    Components that popbench.toml names are checked with their options. Retirement dates that lie ahead are told. Exit
    status 1 where a plugin is broken; what a component lacks here is told and is no error.

    With --for, each component of one command is checked, and nothing else; exit status 1 where something is missing.

    \b
    Examples:
      popbench doctor
      popbench doctor --for "eval --llm deepseek-r1 --gen ltx"
      popbench doctor --for "best 'a cat learns to skate' --llm gpt-4o"
    """
    if wanted is not None:
        from popbench.cli._wanted import tell_lacks

        return tell_lacks(wanted)
    from rich.table import Table
    from rich.text import Text

    from popbench.registry import load_registry
    from popbench.runs.redaction import public_spec

    console = make_console()
    table = Table(show_header=False, box=None)
    for name, value in (
        *_versions(),
        *_devices(),
        *_keys(),
        ("model hub", "not tried" if offline else _hub()),
    ):
        table.add_row(name, Text(value))
    console.print(table)
    registry = load_registry()
    health = Table(title="Plugins", title_justify="left")
    for column in ("plugin", "from", "load time", "health"):
        health.add_column(column, overflow="fold")
    for plugin in registry.plugins:
        health.add_row(
            plugin.name,
            f"{plugin.distribution} {plugin.version}",
            f"{1000 * plugin.load_seconds:.0f} ms",
            Text(f"broken: {plugin.error}" if plugin.error else "ok", style="red" if plugin.error else "green"),
        )
    console.print(health)
    checks = Table(title="Components", title_justify="left")
    for column in ("component", "here"):
        checks.add_column(column, overflow="fold")
    for kind, spec in _configured():
        checks.add_row(Text(f"{kind} {public_spec(spec)} (popbench.toml)"), Text(_check(kind, spec)))
    for item in registry:
        checks.add_row(Text(f"{item.kind} {item.name}"), Text(_check(item.kind, item.name)))
    console.print(checks)
    conflicts = registry.conflicts()
    for line in conflicts:
        click.echo(f"popbench: {line}", err=True)
    broken = any(plugin.error for plugin in registry.plugins) or any(item.error for item in registry)
    return 1 if conflicts or broken else 0


def _versions() -> Iterator[tuple[str, str]]:
    from popbench.versions import package_versions

    yield "python", f"{platform.python_version()} on {platform.platform()}"
    yield from package_versions().items()


def _devices() -> Iterator[tuple[str, str]]:
    import torch

    yield "cpu", f"{os.cpu_count()} cores, {_memory()} memory"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            yield (
                f"gpu {index}",
                f"{torch.cuda.get_device_name(index)}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free",
            )
    else:
        yield "gpu", "none that torch can use"
    yield "disk here", f"{shutil.disk_usage(Path()).free / 1e9:.0f} GB free"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    except (ValueError, OSError, AttributeError):
        return "unknown"


def _keys() -> Iterator[tuple[str, str]]:
    for name in KEYS:
        yield name, "set" if os.environ.get(name) else "not set"


def _hub() -> str:
    import socket

    from huggingface_hub import constants

    url = urlsplit(constants.ENDPOINT)
    try:
        with socket.create_connection((url.hostname or "", url.port or 443), timeout=3):
            return "reachable"
    except OSError as error:
        return (
            f"not reachable ({error.strerror or type(error).__name__}): models and data sets need a local path or cache"
        )


def _configured() -> Iterator[tuple[str, str]]:
    """Yield kind and spec of the components that popbench.toml names."""
    from popbench.planning.config import defaults

    settings = defaults()
    for name, kind in _KINDS.items():
        value = settings.get(name)
        for spec in [value] if isinstance(value, str) else value if isinstance(value, list) else ():
            yield kind, str(spec)


def _check(kind: str, spec: str) -> str:
    from popbench.errors import UsageError, one_line
    from popbench.registry import load_registry
    from popbench.specs import parse_spec

    name = parse_spec(spec)[0]
    try:
        component = load_registry().resolve(kind, spec).component
        missing, notices = component.check(), component.notices()
    except UsageError as error:  # its row has the component's name
        return str(error).removeprefix(f"{kind} {name}").removeprefix(":").strip()
    except Exception as error:  # a plugin's check may raise anything
        return f"check failed: {one_line(error)}"
    return "; ".join([*(missing or ["ready"]), *notices])
