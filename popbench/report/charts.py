"""What a page draws its charts with: their specifications and Vega's JavaScript, both kept once they were made.

Neither depends on a run or a board. Importing altair and writing the specifications takes a second, bundling the script
several.
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
"""Height in pixels of a row in charts of a few rows and of many; its name stands above what is drawn."""

_SOURCE = Path(__file__).with_name("vega.py")


@cache
def specifications() -> Mapping[str, Mapping[str, Any]]:
    """Return the specification of every kind of chart; their data sets are named and come from each view."""

    def make() -> str:
        from popbench.report.vega import specifications as written

        return json.dumps(written())

    made_of = key_of(f"{version('altair')}\n{_SOURCE.read_text(encoding='utf-8')}").hex()
    found: dict[str, dict[str, Any]]
    try:
        found = json.loads(_kept(f"charts-{made_of}.json", make))
    except ValueError:  # damaged
        found = json.loads(make())
    return found


@cache
def javascript() -> str:
    """Return the JavaScript of Vega, Vega-Lite and Vega-Embed as one script that asks nothing of the network."""

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
