"""A judge with parts on a real scale, for tests of what boards make of such scores."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import popbench
from known_law_components import install as install_laws
from popbench.hookspecs import Register


def judged(text: str, salt: str = "") -> float:
    """Return a number from -5 to 5 in steps of a tenth that depends on a text alone."""
    return round(zlib.crc32(f"{salt} {text}".encode()) % 101 / 10 - 5, 1)


class Judge(popbench.Predictor):
    """Judges a title from -5 to 5, with a part or more; `invalid` is the share that it finds invalid."""

    version = "1"
    unit = "points"
    scale = "real"
    uses = frozenset({"title"})

    class Options(popbench.Options):
        parts: int = 2
        invalid: float = 0.0
        lacks: str = ""
        shift: float = 0.0
        zero: bool = False

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        of = self.options
        for item in items:
            if zlib.crc32(item.title.encode()) % 100 < 100 * of.invalid:
                yield popbench.Failure(item.id, "nothing to judge", invalid=True, reason="blank")
                continue
            parts = {f"part {n}": judged(item.title, str(n)) for n in range(of.parts)}
            if of.lacks and len(item.title) % 2:
                parts.pop(of.lacks, None)
            value = 0.0 if of.zero else judged(item.title) + of.shift
            yield popbench.Score(item.id, value, parts=parts)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("arbiter", Judge)


def evaluate(out: Path, *predictors: str, **changes: Any) -> popbench.Run:
    """Make a run of two systems on 12 prompts, judged by these predictors."""
    from popbench.registry import Plugin, load_registry

    install_laws()
    registry = load_registry()
    if not any(plugin.name == "judges" for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin("judges", "popbench-judges", "1", __name__))
    given: dict[str, Any] = {
        "llm": ["writer,style=a,label=a", "writer,style=bb,label=b", "writer,style=c,label=c"],
        "gen": "painter",
        "predictor": list(predictors) or ["arbiter,label=judge"],
        "mode": "basic",
        "task": ["popcorn_concrete", "popcorn_abstract"],
        "limit": 12,
        "seed": 7,
    }
    return popbench.evaluate(out=out, **(given | changes))
