"""A predictor that compares pairs by their titles, writers of titles of a known rank, and a painter with gaps."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import popbench
from made_tasks import task_file
from popbench.hookspecs import Register
from popbench.registry import Plugin, load_registry

ASKED: list[tuple[str, str]] = []
"""The titles of all pairs that were asked about in this process, in the order shown."""
ROWS = [{"id": f"p{n:02d}", "prompt": f"Thing {n:02d}", "category": "ab"[n % 2]} for n in range(12)]


class Ranked(popbench.LLM):
    """Writes titles that begin with its rank."""

    version = "1"

    class Options(popbench.Options):
        rank: int

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion]:
        for chat in chats:
            draft = {"title": f"{self.options.rank} {chat.prompt}", "video_prompt": f"{chat.prompt}"}
            yield popbench.Completion(chat.id, json.dumps(draft))


class Painter(popbench.VideoGenerator):
    """Paints grey clips; on the prompts that `lacks` names it is invalid."""

    version = "1"

    class Options(popbench.Options):
        lacks: tuple[str, ...] = ()
        level: int = 90

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in requests:
            if request.prompt in self.options.lacks:
                yield popbench.Failure(request.id, "no paint", invalid=True)
                continue
            yield popbench.Clip(request.id, frames=np.full((2, 16, 16, 3), self.options.level, np.uint8), fps=8)


class Duel(popbench.PairwisePredictor):
    """Prefers the title with the higher rank, or with `place` the one in that place; asked twice it fails some."""

    version = "1"
    uses = frozenset({"video", "title"})

    class Options(popbench.Options):
        place: str = ""
        opponents: int | None = popbench.runtime(None)
        refuses: str = popbench.runtime("")
        fails: str = popbench.runtime("")
        price: float | None = popbench.runtime(None)

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.opponents = self.options.opponents

    def needs(self) -> popbench.Needs:
        return popbench.Needs(remote=self.options.price is not None)

    def cost(self, usage: Any) -> float | None:
        return None if self.options.price is None else self.options.price * usage.get("calls", 0)

    def estimate(self, requests: int) -> float | None:
        return None if self.options.price is None else self.options.price * requests

    def compare(self, items: Iterable[popbench.CompareRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        of = self.options
        for item in items:
            titles = item.first.title, item.second.title
            assert item.first.path.is_file()
            assert item.second.path.is_file()
            ASKED.append(titles)
            if of.refuses and of.refuses in " ".join(titles):
                yield popbench.Failure(item.id, "will not say", invalid=True, usage={"calls": 1})
            elif of.fails and of.fails in " ".join(titles):
                yield popbench.Failure(item.id, "out of order")
            else:
                ranks = [int(title.split()[0]) for title in titles]
                better = 0.5 if ranks[0] == ranks[1] else float(ranks[0] > ranks[1])
                value = {"": better, "first": 1.0, "second": 0.0}[of.place]
                yield popbench.Score(item.id, value, usage={"calls": 1})


@popbench.hookimpl
def register_llms(register: Register) -> None:
    register("ranked", Ranked)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    register("painter-with-gaps", Painter)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("duel", Duel)


def install() -> None:
    """Register these components in this process, once, and forget what was asked."""
    ASKED.clear()
    registry = load_registry()
    if not any(plugin.name == "pairwise" for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin("pairwise", "popbench-pairwise", "1", __name__))


def settings(folder: Path, *ranks: int, predictor: Any = "duel", prompts: int = 12, **changes: Any) -> dict[str, Any]:
    """Return the settings of a run of writers with these ranks."""
    install()
    given: dict[str, Any] = {
        "llm": [f"ranked,rank={rank},label=r{rank}" for rank in ranks],
        "gen": "painter-with-gaps,label=grey",
        "mode": "basic",
        "task": str(task_file(folder / "task", ROWS[:prompts], name="things")),
        "predictor": predictor,
    }
    return given | changes


def evaluate(out: Path, *ranks: int, predictor: Any = "duel", **changes: Any) -> popbench.Run:
    """Make a run of writers with these ranks."""
    return popbench.evaluate(**settings(out.parent, *ranks, predictor=predictor, **changes), out=out)


def shares(run: popbench.Run, predictor: str = "duel") -> dict[tuple[str, str], float | None]:
    """Return the scores of a run by LLM and prompt."""
    return {(str(sample.llm), sample.prompt_id): sample.scores[predictor] for sample in run.samples()}
