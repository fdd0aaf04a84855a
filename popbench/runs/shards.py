"""Reads the shards of a run for `popbench merge`, and checks that they belong together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from popbench.errors import UsageError
from popbench.ledger.ledger import Ledger
from popbench.planning.config import EvalConfig, make_config
from popbench.planning.foreign_specs import SPECS, check_named, check_recorded, typed
from popbench.records import JSON
from popbench.runs.differences import change, changes
from popbench.runs.directory import check_free, shard_suffix
from popbench.runs.made_by import harness_of
from popbench.runs.run_json import FILE, ModeEntry, RunJson, ShardEntry, read_run_json

_SETTINGS = ("seed", "limit", "repeats", "stop_after", "baseline", "allow_leakage")
"""Settings that all shards share; engines, and settings that only concern a machine, may differ."""
_NAMED = 5
"""Differences that a message names at most."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard: its directory, its place among `number`, counted from 1, and its run.json."""

    path: Path
    which: int
    number: int
    run_json: RunJson

    @property
    def entry(self) -> ShardEntry:
        """What the run.json of the whole run says of this shard."""
        timings = self.run_json["timings"]
        return {
            "shard": f"{self.which}/{self.number}",
            "finished": self.run_json["finished"],
            "machine": self.run_json["machine"],
            "versions": self.run_json["versions"],
            "timings": {**timings, "seconds": float(timings.get("seconds") or 0)},
        }

    @property
    def whole(self) -> Path | None:
        """The directory of the whole run, by this one's name; None if this one was renamed."""
        suffix = shard_suffix(self.which, self.number)
        name = self.path.absolute().name
        return self.path.parent / name.removesuffix(suffix) if name.endswith(suffix) else None


def read_shards(paths: Sequence[Path]) -> list[Shard]:
    """Read shards and check that they are of one run; returns them in their order.

    Raises UsageError if one is no shard, is in use, is given twice, or differs from the first; it names what differs.
    """
    shards = sorted(map(_read, paths), key=lambda shard: (shard.number, shard.which))
    first = shards[0]
    for before, shard in pairwise(shards):
        if shard.number != first.number:
            raise UsageError(
                f"{first.path} is one of {first.number} shards, {shard.path} one of {shard.number}: leave one kind out"
            )
        if shard.which == before.which:
            where = "twice" if shard.path == before.path else f"in {before.path} and in {shard.path}"
            raise UsageError(f"shard {shard.which}/{shard.number} is given {where}: leave one out")
        check_alike(first, shard.run_json, f"{first.path} and {shard.path} are of different runs, leave one out")
    return shards


def _read(path: Path) -> Shard:
    run_json = read_run_json(path)
    check_free(path)
    share = make_config(run_json["config"]).share
    ledger = Ledger.peek(path / "ledger.sqlite")
    if share is None:
        raise UsageError(
            f"{path} is no shard of a run: popbench eval --shard I/N makes shards; whole runs are ranked together by "
            "popbench leaderboard build"
        )
    if ledger is None:
        raise UsageError(f"{path}: its ledger.sqlite is missing or empty: give the shard's command again")
    with closing(ledger):
        identity = None
        with suppress(ValueError, RecursionError):  # a damaged one is refused below, as another run's
            identity = json.loads(ledger.about("identity") or "{}")
    tasks = {name: task["hash"] for name, task in run_json["tasks"].items()}
    if identity != {"tasks": tasks, "seed": run_json["config"]["seed"]}:
        raise UsageError(f"{path}: run.json and ledger.sqlite are of different runs: give the shard's command again")
    return Shard(path, *share, run_json)


def whole_config(shard: Shard, out: Path | None, given: Mapping[str, JSON]) -> EvalConfig:
    """Return the configuration of the whole run: a shard's, with the specs that the user has `given`.

    A stranger may have written the shard's specs, so those that name paths or addresses are refused with a UsageError.
    A corpus or embedder that the shard did not use is left out.
    """
    config = make_config(shard.run_json["config"])
    replaced = {"shard": None, "out": str(out) if out is not None else config.out, "engine": EvalConfig().engine}
    used = {name.partition(" ")[0] for name in shard.run_json["components"]}
    for kind in ("corpus", "embedder"):
        if kind not in used:
            replaced[kind] = getattr(EvalConfig(), kind)
    named = {**config.as_json(), **replaced}
    own = {name: named[name] for name in SPECS if name not in given}
    file = shard.path / FILE
    check_recorded(
        [spec for value in own.values() for spec in ([value] if isinstance(value, str) else value)], str(file)
    )
    ours = f"{typed('--config', str(file))} says that the shards are your own"
    check_named({"task": own.pop("task", [])}, str(file), f"name it by --task; {ours}")
    check_named(own, str(file), f"name it in a file of yours, by --config FILE; {ours}")
    return make_config({**named, **given})


def as_recorded(config: EvalConfig, shard: Shard, given: Mapping[str, JSON]) -> EvalConfig:
    """Return a merge's configuration for run.json: with the shard's engine, corpus and embedder again."""
    theirs = make_config(shard.run_json["config"])
    kept = {name: getattr(theirs, name) for name in ("engine", "corpus", "embedder") if name not in given}
    return replace(config, **kept)


def check_alike(shard: Shard, run_json: RunJson, refusal: str) -> None:
    """Raise UsageError if a shard and another run.json differ in anything that results depend on."""
    differences = list(_differences(shard.run_json, run_json))
    if differences:
        more = f"; and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
        raise UsageError(f"{refusal}: {'; '.join(differences[:_NAMED])}{more}")


def _differences(ours: RunJson, theirs: RunJson) -> Iterator[str]:
    settings = ours["config"], theirs["config"]
    for name in _SETTINGS:
        yield from _changed(name, *(config.get(name) for config in settings))
    yield from _changed("tasks", sorted(ours["tasks"]), sorted(theirs["tasks"]))
    for name in sorted(set(ours["tasks"]) & set(theirs["tasks"])):
        task, other = ours["tasks"][name], theirs["tasks"][name]
        if task["hash"] != other["hash"]:
            hashed, changed = (
                {"version": of.get("version"), "prompts": of.get("prompts"), "draft": of.get("draft")}
                for of in (task, other)
            )
            yield f"task {name}: {changes(hashed, changed) or 'other prompts'}"
    yield from _changed_parts(ours, theirs)
    for label in dict.fromkeys([*ours["modes"], *theirs["modes"]]):
        yield from _changed_mode(label, ours["modes"].get(label), theirs["modes"].get(label))
    yield from _changed("predictors", list(ours["predictors"]), list(theirs["predictors"]))
    if settings[0].get("baseline"):  # files human videos by where its corpus is
        yield from _changed("corpus", settings[0].get("corpus"), settings[1].get("corpus"))
    if ours["systems"] != theirs["systems"]:
        versions = [{"popbench": run_json["versions"]["popbench"]} for run_json in (ours, theirs)]
        why = "others, or made of other parts"
        if harness_of(ours) != harness_of(theirs):
            why = "their drafts were read by another popbench: give each shard's command again, then merge"
        yield f"systems: {changes(*versions) or why}"


def _changed(name: str, one: JSON, other: JSON) -> Iterator[str]:
    if one != other:
        yield f"{name}: " + change(*(", ".join(value) if isinstance(value, list) else value for value in (one, other)))


def _changed_parts(ours: RunJson, theirs: RunJson) -> Iterator[str]:
    parts, others = ours["components"], theirs["components"]
    for name in dict.fromkeys([*parts, *others]):
        one, other = parts.get(name), others.get(name)
        if one is None or other is None:
            yield f"{name}: {'no part of the first' if one is None else 'missing'}"
        elif one["fingerprint"] != other["fingerprint"]:
            yield f"{name}: {changes(one['fingerprint'], other['fingerprint'])}"


def _changed_mode(label: str, one: ModeEntry | None, other: ModeEntry | None) -> Iterator[str]:
    if one is None or other is None:
        yield f"mode {label}: {'no part of the first' if one is None else 'missing'}"
    elif one["fingerprints"] != other["fingerprints"]:
        options = changes(*({"name": mode["name"], "options": mode["options"]} for mode in (one, other)))
        yield f"mode {label}: {options or 'another template, corpus or embedder'}"
