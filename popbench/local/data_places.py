"""Restricts the places from which `datasets` reads data.

The card of a data set (README.md) may name data files, and it comes from a stranger. `datasets` follows it to any file
system that fsspec knows, some of which render templates, log in elsewhere, or unpack anything.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage, one_line
from popbench.files import read_text, yaml_value
from popbench.records import JSON

_CARDS = ("README.md", ".huggingface.yaml")
_LARGEST_CARD = 2**24
_KEYS = ("data_files", "data_dir")
_PROTOCOLS = frozenset({"", "file", "local", "hf", "http", "https"})
_OUT = re.compile(r"::|://|^[/~\\]|(^|[/\\])\.\.([/\\]|$)")

_lock = threading.Lock()
_kept: list[tuple[Any, Any]] = []
"""fsspec's modules and their original functions, while a block restricts them."""
_depth = 0


@contextmanager
def plain_places() -> Iterator[None]:
    """Let data come from files, https and the hub only, inside the block, whatever a card or a data file names."""
    global _depth
    import fsspec

    # Through sys.modules: `fsspec.registry` is a mapping, not the module of that name.
    modules: list[Any] = [sys.modules[f"{fsspec.__name__}.{name}"] for name in ("registry", "core")]
    get_filesystem_class = modules[0].get_filesystem_class

    def restricted(protocol: Any) -> Any:
        if protocol and protocol not in _PROTOCOLS:
            raise ValueError(f"{one_line(str(protocol), 50)} is none of the places that data are read from")
        return get_filesystem_class(protocol)

    with _lock:  # blocks may overlap in several threads: the first replaces the functions, the last restores them
        if not _depth:
            for module in modules:
                _kept.append((module, module.get_filesystem_class))
                module.get_filesystem_class = restricted
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            while not _depth and _kept:
                module, own = _kept.pop()
                module.get_filesystem_class = own


def check_card(folder: Path) -> None:
    """Raise UsageError if the card of a data folder names data outside of the folder."""
    for name in _CARDS:
        if not (folder / name).exists():
            continue
        for place in _places(_header(folder / name)):
            if _OUT.search(place):
                raise UsageError(f"{folder / name} names data outside of its folder: {one_line(place, 100)!r}")


def _header(card: Path) -> JSON:
    """Return the YAML header of a card; None if it has none by the rules of `datasets`."""
    try:
        text = read_text(card, _LARGEST_CARD)
        if card.suffix == ".md":
            first, *lines = text.splitlines() or [""]
            text = "\n".join(lines[: lines.index("---")]) if first == "---" and "---" in lines else ""
        return yaml_value(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{card}: cannot be read ({damage(error)})") from error


def _places(value: JSON, below: bool = False) -> Iterator[str]:
    """Yield all texts at any depth below keys that name data."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, below or key in _KEYS)
    elif isinstance(value, list):
        for item in value:
            yield from _places(item, below)
    elif below and isinstance(value, str):
        yield value
