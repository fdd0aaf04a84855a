"""The specifications of charts and Vega's JavaScript, both cached on disk.

Neither depends on a run or a board. Importing altair and making the specifications takes a second, bundling the script
several seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from popbench.cache import cache_folder, key_of
from popbench.files import write_whole

ROW, DENSE_ROW = 54, 42
"""Height in pixels of a row in charts with few rows and with many; it has room for the row's name."""

_UNIT = "UNIT-OF-SPENDING"
"""What stands in the specification that is kept in the cache."""

_SOURCE = Path(__file__).with_name("vega.py")


@cache
def specifications() -> Mapping[str, Mapping[str, Any]]:
    """Return the specification of each kind of chart of a report; every view adds its own data."""

    def make() -> str:
        from popbench.report.vega import specifications as written

        return json.dumps(written())

    return _written("charts", make)


def gain(unit: str) -> Mapping[str, Any]:
    """Return the specification of the chart of a search's gain by what it has spent, in a unit."""

    def make() -> str:
        from popbench.report.vega import gain as written

        return json.dumps(written(_UNIT))

    written: dict[str, Any] = json.loads(json.dumps(_written("gain", make)).replace(_UNIT, unit))
    return written


def _written(name: str, make: Callable[[], str]) -> dict[str, Any]:
    """Return specifications from the cache folder, or make them."""
    made_of = key_of(f"{version('altair')}\n{_SOURCE.read_text(encoding='utf-8')}").hex()
    written: dict[str, Any]
    try:
        written = json.loads(_kept(f"{name}-{made_of}.json", make))
    except ValueError:  # damaged
        written = json.loads(make())
    return written


@cache
def javascript() -> str:
    """Return the JavaScript of Vega, Vega-Lite and Vega-Embed as one script that loads nothing from the network."""

    def make() -> str:
        import vl_convert

        script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
        return script

    return _kept(f"charts-{version('vl-convert-python')}.js", make)


def _kept(name: str, make: Callable[[], str]) -> str:
    """Return a text from the cache folder, or make it and keep it there if that can be."""
    kept = cache_folder() / name
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_bytes().decode("utf-8")
    text = make()
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, text.encode("utf-8"), shared=True)  # another process may do the same
    return text
