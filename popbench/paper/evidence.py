"""Reads what the paper's tables need from runs: results, popularity by prompt, RAG sizes, time and memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

from popbench.errors import UsageError, unknown
from popbench.leaderboard.pairs import BASIC, flipped
from popbench.leaderboard.results import compute
from popbench.records import Sample, parts_of
from popbench.runs.run_json import FILE, ModeEntry, RunJson, read_finished
from popbench.runs.samples import read_jsonl
from popbench.scores.scores import Scores, blocks, check_systems, merge, refuse_rounds
from popbench.scores.sources import read_source


@dataclass(frozen=True)
class ModeInfo:
    """A mode: its name and RAG size; 0 for basic, None if the size is unknown."""

    name: str
    size: int | None


@dataclass
class Spent:
    """Seconds and peak memory in MB of calls, each call once."""

    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


@dataclass
class Costs:
    """Calls of the runs: drafts by LLM and mode, clips by generator, scores of the one predictor."""

    drafts: dict[tuple[str, str], Spent] = field(default_factory=dict)
    clips: dict[str, Spent] = field(default_factory=dict)
    scores: Spent = field(default_factory=Spent)
    machines: list[str] = field(default_factory=list)


class Evidence:
    """The scores, modes and costs of some runs and score files, by one predictor."""

    def __init__(self, scores: Scores, results: dict[str, Any], modes: dict[str, ModeInfo], costs: Costs) -> None:
        self.results = results
        self.predictor = scores.predictor
        self.unit = scores.unit
        self.costs = costs
        self.tasks = sorted({row["task"] for row in results["systems"]} & set(scores.tasks))
        self.systems = sorted({system for row in scores.rows if (system := parts_of(row.system)) is not None})
        self.modes = {mode: modes.get(mode) or _by_convention(mode) for _, mode, _ in self.systems}
        self.specs: dict[str, str] = {}
        self._rows = {(row["task"], row["system"]): row for row in results["systems"]}
        self._pairs = {(row["task"], row["a"], row["b"]): row for row in results["pairs"]}
        self._values: dict[tuple[str, str], list[float]] = {}
        for block in blocks(scores, common=results["restricted_to_common"]):
            for name, of_prompts in zip(block.systems, block.values, strict=True):
                self._values[block.name, name] = [fmean(repeats) for repeats in of_prompts]

    @property
    def measure(self) -> str:
        """Popularity with its unit, if the unit has another name."""
        return "popularity" if self.unit == "popularity" else f"popularity ({self.unit})"

    def row(self, task: str | None, system: str) -> dict[str, Any] | None:
        """Return a system's row of results.json; None if there is none."""
        return None if task is None else self._rows.get((task, system))

    def pair(self, task: str | None, a: str, b: str) -> dict[str, Any] | None:
        """Return the pair of a against b; None if there is none."""
        if task is None:
            return None
        pair = self._pairs.get((task, a, b))
        if pair is None and (task, b, a) in self._pairs:
            pair = flipped(self._pairs[task, b, a])
        return pair

    def values(self, task: str | None, system: str) -> list[float]:
        """Return a system's popularity on each prompt."""
        return [] if task is None else self._values.get((task, system), [])


def _by_convention(label: str) -> ModeInfo:
    """Read a mode's name and size from its label; a label without k stands for the default of 10."""
    size = re.fullmatch(r"pe(?:\[(?:.*,)?k=(\d+)(?:,.*)?\]|\[(?!.*\bk=).*\])?", label)
    if label == BASIC:
        return ModeInfo(BASIC, 0)
    return ModeInfo("pe", int(size[1] or 10)) if size else ModeInfo(label, None)


def read_evidence(sources: Sequence[Path], predictor: str | None = None, *, common: bool = False) -> Evidence:
    """Read runs and score files together.

    Raises UsageError if they do not compare, and for a predictor that none of them has.
    """
    read = [scores for path in sources for scores in read_source(path)]
    refuse_rounds(read, "the paper's tables")
    merged = merge(read)
    names = [scores.predictor for scores in merged]
    if predictor is not None and predictor not in names:
        raise unknown("predictor", predictor, names, "in --predictor")
    chosen = merged[names.index(predictor or names[0])]
    if chosen.scale != "positive":
        others = [scores.predictor for scores in merged if scores.scale == "positive"]
        way = f"choose another with --predictor ({', '.join(others)})" if others else "popbench report without --paper"
        raise UsageError(
            f"{chosen.source}: predictor {chosen.predictor} scores on a real scale, and the paper's tables and figures "
            f"are of popularity above 0: {way}"
        )
    check_systems([chosen])
    if not any(parts_of(row.system) for row in chosen.rows):
        raise UsageError(
            f"{chosen.source}: no system is made of LLM, mode and generator: the paper's tables compare these "
            "(score files name such a system `llm|mode|generator`)"
        )
    modes: dict[str, ModeInfo] = {}
    specs: dict[str, str] = {}
    costs = Costs()
    for path in sources:
        if (path / FILE).exists():  # boards and exports hold scores alone
            run_json = read_finished(path)
            modes |= {label: _mode(mode) for label, mode in run_json["modes"].items()}
            specs |= {label: part["spec"] for label, part in run_json["components"].items()}
            _add_costs(costs, path, run_json, chosen.predictor)
    evidence = Evidence(chosen, compute([chosen], common=common), modes, costs)
    evidence.specs = specs
    return evidence


def _mode(mode: ModeEntry) -> ModeInfo:
    size = 0 if mode["name"] == BASIC else mode["options"].get("k")
    return ModeInfo(mode["name"], size if isinstance(size, int) else None)


def _add_costs(costs: Costs, path: Path, run_json: RunJson, predictor: str) -> None:
    """Add a run's calls. Systems share drafts and clips, so a call that is in several samples counts once."""
    seen: set[tuple[Any, ...]] = set()
    timed = next(iter(run_json["predictors"]), None) == predictor  # samples have the first predictor's time
    for sample in read_jsonl(path / "samples.jsonl"):
        if sample.llm is not None and sample.mode is not None:
            draft = ("llm", sample.llm, sample.mode, sample.task, sample.prompt_id, sample.repeat)
            if draft not in seen:
                seen.add(draft)
                _add(costs.drafts.setdefault((sample.llm, sample.mode), Spent()), sample, "llm")
        if sample.video is not None and sample.generator is not None and ("generate", sample.video) not in seen:
            seen.add(("generate", sample.video))
            _add(costs.clips.setdefault(sample.generator, Spent()), sample, "generate")
        scored = ("predict", sample.video, sample.title)
        if sample.video is not None and timed and scored not in seen:
            seen.add(scored)
            _add(costs.scores, sample, "predict")
    machine = run_json["machine"]
    named = ", ".join(machine.get("gpus") or []) or f"{machine.get('cpus')} CPUs, no GPU"
    if named not in costs.machines:
        costs.machines.append(named)


def _add(spent: Spent, sample: Sample, stage: str) -> None:
    for numbers, measured in ((spent.seconds, sample.seconds), (spent.memory, sample.peak_memory_mb)):
        number = measured.get(stage)
        if isinstance(number, int | float) and isfinite(number) and number >= 0:
            numbers.append(float(number))
