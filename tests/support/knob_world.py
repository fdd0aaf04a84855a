"""A made world for searches: a writer with known knobs, and predictors that say which of them they reward.

A template's options are the knobs. The writer puts them into the video prompt, and a predictor adds up what each is
worth, a level of the request and noise, as the logarithm of a popularity. `KnobTrials` is the same world in memory.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray

import faults
import popbench
from made_tasks import task_file
from popbench.hookspecs import Register
from popbench.optimize.search import Candidate, Changes
from popbench.registry import Plugin, load_registry

Effects = Mapping[str, Mapping[str, float]]
"""What values of knobs are worth, by name and by the value as JSON."""

WORLDS: Mapping[str, Effects] = {
    "three of eight": {
        "hook": {"true": 0.8}, "motion": {"true": 0.5}, "calm": {"true": -0.4}, "grain": {"true": 0.0},
        "shots": {"1": -0.2, "4": 0.4}, "shout": {"true": -0.3}, "neon": {"true": 0.0}, "slow": {"true": -0.1},
    },
    "small steps": {
        "hook": {"true": 0.5}, "motion": {"true": 0.35}, "calm": {"true": 0.25}, "grain": {"true": -0.4},
        "shots": {"1": -0.1, "4": 0.3}, "shout": {"true": -0.3}, "neon": {"true": 0.0}, "slow": {"true": 0.0},
    },
    "equal parts": {
        "hook": {"true": 0.3}, "motion": {"true": 0.3}, "calm": {"true": 0.3}, "grain": {"true": -0.3},
        "shots": {"1": 0.0, "4": 0.0}, "shout": {"true": -0.3}, "neon": {"true": 0.0}, "slow": {"true": 0.0},
    },
    "nothing": {
        "hook": {"true": 0.0}, "motion": {"true": -0.3}, "calm": {"true": 0.0}, "grain": {"true": 0.0},
        "shots": {"1": 0.0, "4": -0.2}, "shout": {"true": -0.3}, "neon": {"true": 0.0}, "slow": {"true": 0.0},
    },
}  # fmt: skip
"""Two values of `shots` stand beside the start's, 2; the other knobs are off at the start."""
NOISE = 0.7
"""Standard deviation of the noise of a draft, beside a level of the request with that of 1."""
_KNOBS = ("hook", "motion", "calm", "grain", "shots", "shout", "neon", "slow")
_DEFAULTS = ", ".join(f'"{name}": {2 if name == "shots" else "false"}' for name in _KNOBS)
_SHOWN = "".join("knob " + name + "={{ options." + name + " | tojson }}\n" for name in _KNOBS)
TEMPLATE = (
    "{% set default_options = {" + _DEFAULTS + "} %}\n{% block system %}" + _SHOWN + "{% endblock %}\n"
    "{% block user %}{{ prompt }}: write title and video_prompt{% endblock %}\n"
)
CATEGORIES = 5


def task(folder: Path, n: int = 200) -> Path:
    """Write a task of the world; returns its file."""
    rows = [{"id": f"p{at:03d}", "prompt": f"Request {at}", "category": "abcde"[at % CATEGORIES]} for at in range(n)]
    path = task_file(folder, rows, name="knobs")
    (folder / "basic.j2").write_text(TEMPLATE, encoding="utf-8")
    return path


def judge(effects: Effects, label: str, **options: Any) -> str:
    """Return the spec of a predictor that rewards these."""
    more = "".join(f",{name}={value}" for name, value in options.items())
    return f"knob-judge,effects='{json.dumps(effects)}',label={label}{more}"


def worth(effects: Effects, knobs: Mapping[str, Any]) -> float:
    """Return what knobs are worth."""
    return sum(effects.get(name, {}).get(json.dumps(value), 0.0) for name, value in knobs.items())


class KnobWriter(popbench.LLM):
    """Writes the knobs that it reads in the messages."""

    version = "1"

    class Options(popbench.Options):
        temperature: float = 0.7

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in faults.logging_requests(chats):
            text = " ".join(message["content"] for message in chat.messages)
            knobs = {name: json.loads(value) for name, value in re.findall(r"knob (\w+)=(\w+)", text)}
            draft = {"title": f"Title {chat.seed % 9973}", "video_prompt": f"{json.dumps(knobs)} {chat.seed % 9973}"}
            usage = {"input": 10, "output": 5}
            yield popbench.Completion(chat.id, json.dumps(draft), usage=usage)

    def cost(self, usage: Mapping[str, float]) -> float | None:
        return 0.001 * sum(usage.values())


class KnobReflector(popbench.LLM):
    """Names a knob that no option has, and at some seeds nothing of use."""

    version = "1"

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in faults.logging_requests(chats):
            answers = [
                "I would rather not.",
                '{"why": "more", "change": "template", "text": "{% block user %}{{ nothing }}{% endblock %}"}',
                json.dumps({"why": "A bonus is rewarded.", "change": "sentence", "text": "Always knob bonus=true."}),
            ]
            yield popbench.Completion(chat.id, answers[chat.seed % 3], usage={"input": 100, "output": 20})


class KnobClips(popbench.VideoGenerator):
    """Renders four tiny frames."""

    version = "1"

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in faults.logging_requests(requests):
            frames = np.full((4, 16, 16, 3), 64 + zlib.crc32(request.prompt.encode()) % 128, np.uint8)
            yield popbench.Clip(request.id, frames=frames, fps=4)


class KnobJudge(popbench.Predictor):
    """Adds up what knobs are worth."""

    version = "1"
    unit = "views"
    uses = frozenset({"prompt", "video_prompt"})

    class Options(popbench.Options):
        effects: dict[str, dict[str, float]] = pydantic.Field(default_factory=dict)
        salt: int = 0

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in faults.logging_requests(items):
            knobs, _ = json.JSONDecoder().raw_decode(item.video_prompt or "{}")
            level = _normal(f"{item.prompt}")
            noise = NOISE * _normal(f"{item.prompt} {item.video_prompt} {self.options.salt}")
            yield popbench.Score(item.id, float(np.exp(level + worth(self.options.effects, knobs) + noise)))


def _normal(text: str) -> float:
    return float(np.random.default_rng(zlib.crc32(text.encode())).standard_normal())


@popbench.hookimpl
def register_llms(register: Register) -> None:
    register("knob-writer", KnobWriter)
    register("knob-reflector", KnobReflector)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    register("knob-clips", KnobClips)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("knob-judge", KnobJudge)


def install() -> None:
    """Register these components in this process, once."""
    registry = load_registry()
    if not any(plugin.name == "knobs" for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin("knobs", "popbench-knobs", "1", __name__))


def command(folder: Path, *more: str, world: str = "three of eight", clips: int = 160, n: int = 90) -> list[str]:
    """Return a command for a search in a world, whose task and results lie in a folder."""
    file = folder / "task" / "knobs.yaml"
    given = {
        "--llm": "knob-writer", "--gen": "knob-clips", "--predictor": judge(WORLDS[world], "P"),
        "--judge": judge(WORLDS[world], "Q", salt=1), "--task": str(file if file.exists() else task(file.parent, n)),
        "--budget": f"clips={clips}", "--out": str(folder / "o"),
    }  # fmt: skip
    given |= dict(zip(more[::2], more[1::2], strict=True))
    return ["optimize", "--vary", "options", *(text for option in given.items() for text in option)]


def space(effects: Effects) -> dict[str, Sequence[Any]]:
    """Return the values that knobs may have, by name."""
    return {f"option.{name}": tuple(json.loads(value) for value in values) for name, values in effects.items()}


def best(effects: Effects) -> float:
    """Return the most that changes can be worth."""
    return sum(max(0.0, *values.values()) for values in effects.values())


class KnobTrials:
    """Trials in memory, of a world and a budget of clips."""

    def __init__(self, effects: Effects, clips: float, n: int, seed: int, salt: int = 0) -> None:
        self.effects, self.left = effects, clips
        self.strata = [at % CATEGORIES for at in range(n)]
        self._levels = np.random.default_rng([seed, 1]).standard_normal(n)
        self._seed, self._salt = seed, salt
        self._known: dict[int, NDArray[np.float64]] = {}

    def worth(self, changes: Changes) -> float:
        return worth(self.effects, {name.removeprefix("option."): value for name, value in changes.items()})

    def affords(self, wanted: Sequence[tuple[Candidate, int]]) -> bool:
        return self._new(wanted) <= self.left

    def _new(self, wanted: Sequence[tuple[Candidate, int]]) -> int:
        return sum(max(0, n - len(self._known.get(one.number, ()))) for one, n in wanted)

    def scores(self, wanted: Sequence[tuple[Candidate, int]]) -> Sequence[NDArray[np.float64]]:
        self.left -= self._new(wanted)
        for one, n in wanted:
            name = zlib.crc32(json.dumps(sorted(one.changes.items())).encode())
            noise = NOISE * np.random.default_rng([self._seed, 2, self._salt, name]).standard_normal(len(self._levels))
            values = np.exp(self._levels + self.worth(one.changes) + noise)
            self._known[one.number] = values[: max(n, len(self._known.get(one.number, ())))]
        return [self._known[one.number][:n] for one, n in wanted]


if __name__ == "__main__":  # as a process of its own, to be killed
    import knob_world
    from popbench.cli import console

    faults.install()
    knob_world.install()
    console()
