"""Reports how far a run is, from run.json and the ledger's sums, for runs on this machine or another.

It takes no lock, loads no model and blocks no process; a run at work on another machine writes its sums into a file.
Results of earlier commands in the same directory count if the last command needs them. Errors are in no ledger, so a
failed item counts as not done.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import permutations, product
from pathlib import Path

from popbench.errors import PopbenchError, UsageError, one_line
from popbench.files import MAX_CONFIG_BYTES, read_text
from popbench.keys import digest
from popbench.ledger.ledger import STAGES, Ledger, StageKey, StageName
from popbench.ledger.sums import TICK, usage_of
from popbench.planning.foreign_specs import check_recorded, names_place_here
from popbench.planning.pairs import pair_key
from popbench.planning.systems import cost_of, made_by
from popbench.records import parts_of
from popbench.registry import load_registry
from popbench.runs.directory import HOLDER, LOCK, check_free
from popbench.runs.heartbeat import LATELY, Sums, moments
from popbench.runs.made_by import harness_of
from popbench.runs.run_json import FILE, RunJson, read_run_json
from popbench.runs.status import ENOUGH, StageStatus, Status
from popbench.text import counted

_HOLDER_TEXT = re.compile(r"process (\d+) on (.*), since ")
_AHEAD = 86400.0
"""Seconds that another machine's clock may be ahead; later moments are ignored."""
_MORE = "an earlier command wanted more than the last: what is invalid of it counts as still to do"

_Line = tuple[str | None, tuple[str, ...]]
"""A mode, None for the human baseline, and the digests of the components from LLM to predictor."""


def read_status(path: Path, now: float | None = None) -> Status:
    """Return the state of a run; raises UsageError or RunError if it is no run, or cannot be read."""
    held = holder(path)
    if held is not None and not (path / FILE).exists():
        raise UsageError(f"{path}: the run is only being made, by {held}: ask again")
    return _RunState(path, read_run_json(path), held, time.time() if now is None else now).status()


def gpu_seconds(path: Path) -> float:
    """Add up the seconds of GPUs that all calls in a run directory took."""
    ledger = Ledger.peek(path / "ledger.sqlite")
    if ledger is None:
        return 0.0
    with closing(ledger):
        return sum(row[4] for row in ledger.spent())


def holder(path: Path) -> str | None:
    """Return the process that has a run directory now; None if none has. The lock is looked up in the kernel's list.

    Locks of other machines are not in this list, so only they are tried.
    """
    try:
        text = one_line(read_text(path / HOLDER, MAX_CONFIG_BYTES), 100)
        lock = (path / LOCK).stat()
    except (OSError, ValueError):
        return None
    match = _HOLDER_TEXT.match(text)
    if match is None:
        return None
    locks = ""
    with suppress(OSError):
        locks = Path("/proc/locks").read_text(encoding="ascii")
    if re.search(rf"^\S+ .* {match[1]} \S+:{lock.st_ino} ", locks, re.MULTILINE):
        return text
    if locks and is_here(text):
        return None
    try:
        check_free(path)
    except UsageError:
        return text
    return None


def is_here(holder_text: str) -> bool:
    """Return whether a holder is a process of this machine, by the host's name."""
    match = _HOLDER_TEXT.match(holder_text)
    return match is not None and match[2] == socket.gethostname()


@dataclass(slots=True)
class _Count:
    """How many items are settled, in all and since each of the moments of a `_RunState`."""

    done: int = 0
    invalid: int = 0
    since: list[int] = field(default_factory=lambda: [0] * (1 + len(LATELY)))

    def add(self, other: _Count) -> None:
        """Add up."""
        self.done += other.done
        self.invalid += other.invalid
        self.since = [ours + theirs for ours, theirs in zip(self.since, other.since, strict=True)]


class _RunState:
    """The state of a run at one moment; its work is looked up in the ledger by the fingerprints in run.json."""

    def __init__(self, path: Path, run_json: RunJson, held: str | None, now: float) -> None:
        self.path, self.run_json, self.held = path, run_json, held
        self.started = datetime.fromisoformat(run_json["timings"]["started"]).timestamp()
        self.notes: list[str] = []
        self.sums = self._read(now)
        self.now = self.sums.at  # of its clock
        self.moments = moments(self.started, self.now)
        self.wanted = {name: task["n"] * run_json["config"]["repeats"] for name, task in run_json["tasks"].items()}
        self.rounds = run_json.get("rounds") if run_json["config"].get("until") else None
        self.harness = harness_of(run_json)
        self.parts: dict[str, dict[str, str]] = {}
        self.specs: dict[str, tuple[str, str]] = {}
        for name, part in run_json["components"].items():
            kind, _, label = name.partition(" ")
            made = digest(part["fingerprint"])
            self.parts.setdefault(kind, {})[label] = made
            self.specs[made] = kind, part["spec"]
        self.last: float | None = None
        self._cells: dict[tuple[str, str, str, str | None], _Count] = {}

    def status(self) -> Status:
        """Return the state: what the ledger has, compared with what run.json asks for."""
        self._sort()
        usd = {part: self._cost(part) for part in dict.fromkeys(part for part, _, _ in self.sums.used)}
        amounts = [amount for amount in usd.values() if amount is not None]
        return Status(
            path=self.path,
            finished=self.run_json["finished"],
            holder=self.held,
            killed=self.held is None and (self.path / HOLDER).exists(),  # a process that ends by itself removes it
            started=self.started,
            last=self.last,
            now=self.now,
            stages=tuple(self._stages(usd)),
            gpu_seconds=sum(row[4] for row in self.sums.spent),
            usd=sum(amounts) if amounts else None,
            notes=tuple(dict.fromkeys(self.notes)),
        )

    def _read(self, now: float) -> Sums:
        """Add up the ledger, or read the sums that a process on another machine wrote."""
        if self.held is not None and not is_here(self.held):
            sums = Sums.read(self.path)
            if sums is None:
                self.notes.append("at work on another machine, which has told nothing yet: look again in a minute")
            return sums or Sums(at=now)
        ledger = Ledger.peek(self.path / "ledger.sqlite", at_rest=self.held is None)
        if ledger is None:
            return Sums(at=now)
        with closing(ledger):
            return Sums.of(ledger, self.started, now)

    def _sort(self) -> None:
        for system, task, mode, stage, status, number, last, *since in self.sums.settled:
            count = _Count(number, number if status == "invalid" else 0, since)
            for which in (mode, None):  # None: all modes
                self._cells.setdefault((system, task, stage, which), _Count()).add(count)
            if self.now + _AHEAD > last > (self.last or 0.0):
                self.last = last

    def _stages(self, usd: Mapping[str, float | None]) -> Iterator[StageStatus]:
        stop, modes = self.run_json["config"].get("stop_after"), list(self.run_json["modes"])
        llms, generators, predictors = (self.parts.get(kind, {}) for kind in ("llm", "generator", "predictor"))
        lines = [(mode, (llm,)) for mode in modes for llm in llms.values()]
        for label, part in llms.items():
            yield self._stage("write", label, part, [(mode, (part,)) for mode in modes], usd)
        if stop == "write":
            return
        for label, part in generators.items():
            yield self._stage("render", label, part, [(mode, (*chain, part)) for mode, chain in lines], usd)
        if stop == "render":
            return
        made: list[_Line] = [(mode, (*chain, part)) for mode, chain in lines for part in generators.values()]
        made += [(None, (human, human)) for human in self.parts.get("baseline", {}).values()]
        for label, part in predictors.items():
            if label in (self.run_json.get("comparisons") or {}):
                yield self._comparisons(label, part, made, usd)
            else:
                yield self._stage("score", label, part, [(mode, (*chain, part)) for mode, chain in made], usd)

    def _stage(
        self, stage: StageName, label: str, part: str, lines: Sequence[_Line], usd: Mapping[str, float | None]
    ) -> StageStatus:
        count, done, total = _Count(), 0, 0
        for task, (mode, chain) in product(self.wanted, lines):
            of_task = self._wanted(task, mode, chain)
            own = self._count(stage, task, mode, chain)
            before = [self._count(each, task, mode, chain) for each in STAGES[: STAGES.index(stage)]]
            if before and before[0].done > of_task and any(each.invalid for each in before):
                self.notes.append(_MORE)  # the sums do not say which invalid items belong to the last command
                before = []
            wanted = max(of_task - sum(each.invalid for each in before), 0)
            count.add(own)
            done += min(own.done, wanted)  # an earlier command may have wanted more
            total += wanted
        return self._status(stage, label, part, count, done, total, usd)

    def _comparisons(
        self, label: str, part: str, lines: Sequence[_Line], usd: Mapping[str, float | None]
    ) -> StageStatus:
        """Return how far a predictor is that compares pairs; until a run ends, those with an invalid side are left."""
        found: dict[tuple[str, str, str | None], _Count] = {}
        for task, (one, other) in product(self.wanted, permutations(lines, 2)):
            of = pair_key(self._key("render", task, *one), self._key("render", task, *other), part)
            mode = of.mode if None not in (one[0], other[0]) else None
            found[of.system, of.task, mode] = self._cells.get((of.system, of.task, "score", mode), _Count())
        count, total = _Count(), self.run_json["comparisons"][label]["comparisons"]
        for each in found.values():
            count.add(each)
        return self._status("score", label, part, count, min(count.done, total), total, usd)

    def _status(
        self,
        stage: StageName,
        label: str,
        part: str,
        count: _Count,
        done: int,
        total: int,
        usd: Mapping[str, float | None],
    ) -> StageStatus:
        if submitted := self.sums.submitted.get(part, 0):
            self.notes.append(f"{stage} {label}: {counted(submitted, 'job')} submitted and not finished")
        return StageStatus(
            stage=stage,
            component=label,
            done=done,
            total=total,
            invalid=count.invalid,
            rate=self._rate(count.since) if self.held is not None else None,
            mean_rate=self._mean(count.since[0]),
            gpu_seconds=sum(row[4] for row in self.sums.spent if row[:2] == (part, stage)),
            usd=usd.get(part),
            unpriced=part in usd and usd[part] is None,
            submitted=submitted,
        )

    def _wanted(self, task: str, mode: str | None, chain: tuple[str, ...]) -> int:
        """Return the items of a task; where prompts are taken in rounds, those that a system of the line has taken."""
        if self.rounds is None:
            return self.wanted[task]
        taken = []
        for system, n in self.rounds["prompts"].items():
            llm, of, generator = parts_of(system) or (system, None, system)
            kinds = ("baseline", "baseline") if of is None else ("llm", "generator")
            made = [self.parts.get(kind, {}).get(label) for kind, label in zip(kinds, (llm, generator), strict=True)]
            if of == mode and made[: len(chain)] == list(chain[:2]):
                taken.append(n * self.run_json["config"]["repeats"])
        return min(max(taken, default=0), self.wanted[task])

    def _count(self, stage: StageName, task: str, mode: str | None, chain: tuple[str, ...]) -> _Count:
        """Return how many items of a stage are settled; `chain` has the components up to that stage, or further."""
        key = self._key(stage, task, mode, chain)
        return self._cells.get((key.system, key.task, stage, None if mode is None else key.mode), _Count())

    def _key(self, stage: StageName, task: str, mode: str | None, chain: tuple[str, ...]) -> StageKey:
        """Return the ledger's key of a stage; that of the human baseline's mode is not known, and empty."""
        parts = chain[: STAGES.index(stage) + 1]
        system = made_by(*parts, rendered=stage != "write", harness=self.harness)
        fingerprint = "" if mode is None else self.run_json["modes"][mode]["fingerprints"][task]
        return StageKey(system, self.run_json["tasks"][task]["hash"], fingerprint, stage)

    def _rate(self, since: Sequence[int]) -> float | None:
        """Return recent items a second: over the shortest time with enough items, or since the start."""
        for number, moment in [*zip(since, self.moments, strict=True)][1:]:
            if number >= ENOUGH:
                return number / max(self.now - (moment if moment == self.started else moment // TICK * TICK), 1.0)
        return self._mean(since[0])

    def _mean(self, number: int) -> float | None:
        """Return items a second since the start, until now or, if no process is at work, until the last item."""
        until = self.now if self.held is not None else self.last or self.started
        return number / max(until - self.started, 1.0) if number else None

    def _cost(self, part: str) -> float | None:
        """Return what all calls of a component cost; None if it knows no prices, or cannot be loaded here."""
        if not part and self.run_json.get("reused"):
            self.notes.append("the spend is without calls that were taken from other runs")
            return None
        if part not in self.specs:
            self.notes.append("the spend is without components that the last command did not name")
            return None
        kind, spec = self.specs[part]
        usage = usage_of(kind, part, self.sums.used)
        try:  # loading it may need files or the network
            check_recorded([spec], "run.json")
            if names_place_here(spec):
                raise UsageError("it names a path, and what a run names is not looked up elsewhere")
            return cost_of(load_registry().resolve(kind, spec), usage)
        except PopbenchError as error:
            self.notes.append(f"what {spec} cost is not known here ({error})")
            return None
