"""Where the data of a data set may lie: what its own card says of that is a stranger's, too.

`datasets` reads the card of a folder (README.md) and follows it to any file system that is known to fsspec, some of
which run templates, log in elsewhere, or unpack whatever they are given.
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
"""fsspec's modules and their own functions, while a block is at work that restricts them."""
_depth = 0


@contextmanager
def plain_places() -> Iterator[None]:
    """Let data come from files, https and the hub only, whatever a card or a file of data names."""
    global _depth
    import fsspec

    # The package has another thing under the name of its module.
    modules: list[Any] = [sys.modules[f"{fsspec.__name__}.{name}"] for name in ("registry", "core")]
    known = modules[0].get_filesystem_class

    def restricted(protocol: Any) -> Any:
        if protocol and protocol not in _PROTOCOLS:
            raise ValueError(f"{one_line(str(protocol), 50)} is none of the places that data are read from")
        return known(protocol)

    with _lock:
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
    """Raise UsageError for a folder of data whose card names data outside of it."""
    for name in _CARDS:
        if not (folder / name).exists():
            continue
        for place in _places(_header(folder / name)):
            if _OUT.search(place):
                raise UsageError(f"{folder / name} names data outside of its folder: {one_line(place, 100)!r}")


def _header(card: Path) -> JSON:
    """Return what a card says in YAML; nothing for what `datasets` takes for none, too."""
    try:
        text = read_text(card, _LARGEST_CARD)
        if card.suffix == ".md":
            first, *lines = text.splitlines() or [""]
            text = "\n".join(lines[: lines.index("---")]) if first == "---" and "---" in lines else ""
        return yaml_value(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{card}: cannot be read ({damage(error)})") from error


def _places(value: JSON, below: bool = False) -> Iterator[str]:
    """Yield the texts under the keys that name data, as deep as they stand."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, below or key in _KEYS)
    elif isinstance(value, list):
        for item in value:
            yield from _places(item, below)
    elif below and isinstance(value, str):
        yield value
