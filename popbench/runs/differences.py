"""What differs between two runs, by their run.json: the change whose effect is asked for, and what came with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten

from popbench.records import JSON
from popbench.runs.run_json import FILE, ModeEntry, RunJson, read_finished

_KINDS = ("llm", "mode", "generator")
_SHOWN = 6
"""Values of one component that are told of at most."""


def differences(before: Path, after: Path, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Say in one line each how the compared systems, the runs' options and the versions behind them differ.

    Nothing is known of exported scores but themselves, and the one line says so. Raises UsageError for a damaged
    run.json.
    """
    if not (before.is_dir() and after.is_dir() and all((run / FILE).exists() for run in (before, after))):
        return ["not known: exported scores do not hold what a run's run.json says"]
    ours, theirs = read_finished(before), read_finished(after)
    return list(dict.fromkeys([*_of_systems(ours, theirs, pairs), *_of_runs(ours, theirs)]))


def _of_systems(ours: RunJson, theirs: RunJson, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    for pair in pairs:
        labels = [system.split("|") for system in pair]
        for kind, one, other in zip(_KINDS, *labels, strict=False):
            named = f"{kind} {one}" if one == other else f"{kind} {one} → {other}"
            if kind == "mode":
                yield from _of_modes(ours["modes"].get(one), theirs["modes"].get(other), named)
            else:
                yield from _of_components(ours, theirs, f"{kind} {one}", f"{kind} {other}", named)


def _of_components(ours: RunJson, theirs: RunJson, one: str, other: str, named: str) -> Iterator[str]:
    fingerprint, changed = (
        part["fingerprint"] if (part := run_json["components"].get(name)) else {}
        for run_json, name in ((ours, one), (theirs, other))
    )
    if fingerprint != changed:
        yield f"{named}: {changes(fingerprint, changed)}"
    elif one != other:
        yield f"{named}: another label, the same component"


def _of_modes(one: ModeEntry | None, other: ModeEntry | None, named: str) -> Iterator[str]:
    names = one and one["name"], other and other["name"]
    if one is None or other is None or names[0] != names[1]:  # options and templates have nothing in common
        if names[0] != names[1]:
            arrow = change(*names)
            yield named if named.endswith(f" {arrow}") else f"{named}: {arrow}"
        return
    parts = []
    if one["options"] != other["options"]:
        parts.append(changes(one["options"], other["options"]))
    templates = _changed_tasks(one.get("templates", {}), other.get("templates", {}))
    if templates:
        parts.append(f"other template ({', '.join(templates)})")
    if not parts and _changed_tasks(one["fingerprints"], other["fingerprints"]):
        parts.append("another corpus or embedder behind its references")
    if parts:
        yield f"{named}: {', '.join(parts)}"


def _changed_tasks(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    return sorted(task for task in set(ours) & set(theirs) if ours[task] != theirs[task])


def _of_runs(ours: RunJson, theirs: RunJson) -> Iterator[str]:
    for kind in ("corpus", "embedder"):
        one, other = (
            {name: part["fingerprint"] for name, part in run_json["components"].items() if name.startswith(f"{kind} ")}
            for run_json in (ours, theirs)
        )
        if one and other and one != other:
            yield f"{kind}: {changes(_only(one), _only(other))}"
    seeds = ours["config"]["seed"], theirs["config"]["seed"]
    if seeds[0] != seeds[1]:
        yield f"seed: {change(*seeds)} (random draws are not shared, so more of any difference is chance)"
    for name in ("limit", "shard", "repeats"):
        values = ours["config"].get(name), theirs["config"].get(name)
        if values[0] != values[1]:
            yield f"{name}: {change(*values)}"
    if ours["versions"] != theirs["versions"]:
        yield f"versions: {changes(ours['versions'], theirs['versions'])}"
    if ours["machine"] != theirs["machine"]:
        yield f"machine: {changes({**ours['machine']}, {**theirs['machine']})}"


def _only(components: Mapping[str, JSON]) -> JSON:
    return next(iter(components.values())) if len(components) == 1 else components


def changes(one: Mapping[str, JSON], other: Mapping[str, JSON]) -> str:
    """Name the values that differ: `temperature 0.7 → 0.9, top_p 1 → none`."""
    ours, theirs = _flat(one), _flat(other)
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    shown = [f"{name} {change(ours.get(name), theirs.get(name))}" for name in names[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _flat(value: Mapping[str, JSON], prefix: str = "") -> dict[str, JSON]:
    leaves: dict[str, JSON] = {}
    for name, item in value.items():
        # Options are what users know: they are told of as they are given.
        path = name if prefix in ("", "options.") else prefix + name
        leaves |= _flat(item, f"{name}.") if isinstance(item, dict) else {path: item}
    return leaves


def change(one: JSON, other: JSON) -> str:
    """Show two values of one thing: `0.7 → 0.9`."""
    return f"{_value(one)} → {_value(other)}"


def _value(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shorten(text, 40, placeholder="…") if value is not None else "none"
