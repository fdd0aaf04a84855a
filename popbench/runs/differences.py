"""What differs between two runs, by their run.json: the change whose effect is asked for, and what came with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten

from popbench.errors import UsageError, one_line
from popbench.records import JSON
from popbench.runs.run_json import read_about

_KINDS = ("llm", "mode", "generator")
_SHOWN = 6
"""Values of one component that are told of at most."""


def differences(before: Path, after: Path, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Say in one line each how the compared systems, the runs' options and the versions behind them differ.

    Nothing is known of exported scores but themselves, and the one line says so. Raises UsageError for a damaged
    run.json.
    """
    if not (before.is_dir() and after.is_dir() and all((run / "run.json").exists() for run in (before, after))):
        return ["not known: exported scores do not hold what a run's run.json says"]
    ours, theirs = read_about(before), read_about(after)
    try:
        return list(dict.fromkeys([*_of_systems(ours, theirs, pairs), *_of_runs(ours, theirs)]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{before} and {after}: a run.json cannot be read ({one_line(error)})") from error


def _of_systems(
    ours: Mapping[str, JSON], theirs: Mapping[str, JSON], pairs: Sequence[tuple[str, str]]
) -> Iterator[str]:
    for pair in pairs:
        labels = [system.split("|") for system in pair]
        for kind, one, other in zip(_KINDS, *labels, strict=False):
            named = f"{kind} {one}" if one == other else f"{kind} {one} → {other}"
            if kind == "mode":
                yield from _of_modes(ours["modes"].get(one, {}), theirs["modes"].get(other, {}), named)
            else:
                yield from _of_components(ours, theirs, f"{kind} {one}", f"{kind} {other}", named)


def _of_components(
    ours: Mapping[str, JSON], theirs: Mapping[str, JSON], one: str, other: str, named: str
) -> Iterator[str]:
    known = [about["components"].get(name, {}).get("fingerprint", {}) for about, name in ((ours, one), (theirs, other))]
    if known[0] != known[1]:
        yield f"{named}: {changes(*known)}"
    elif one != other:
        yield f"{named}: another label, the same component"


def _of_modes(one: Mapping[str, JSON], other: Mapping[str, JSON], named: str) -> Iterator[str]:
    names = one.get("name"), other.get("name")
    if names[0] != names[1]:  # their options and templates have nothing in common
        arrow = change(*names)
        yield named if named.endswith(f" {arrow}") else f"{named}: {arrow}"
        return
    told = []
    if one.get("options") != other.get("options"):
        told.append(changes(one.get("options", {}), other.get("options", {})))
    changed = _changed_tasks(one, other, "templates")
    if changed:
        told.append(f"other template ({', '.join(changed)})")
    if not told and _changed_tasks(one, other, "fingerprints"):
        told.append("another corpus or embedder behind its references")
    if told:
        yield f"{named}: {', '.join(told)}"


def _changed_tasks(one: Mapping[str, JSON], other: Mapping[str, JSON], what: str) -> list[str]:
    ours, theirs = one.get(what, {}), other.get(what, {})
    return sorted(task for task in set(ours) & set(theirs) if ours[task] != theirs[task])


def _of_runs(ours: Mapping[str, JSON], theirs: Mapping[str, JSON]) -> Iterator[str]:
    for kind in ("corpus", "embedder"):
        one, other = (
            {name: about["fingerprint"] for name, about in run["components"].items() if name.startswith(f"{kind} ")}
            for run in (ours, theirs)
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
        yield f"machine: {changes(ours['machine'], theirs['machine'])}"


def _only(components: Mapping[str, JSON]) -> JSON:
    return next(iter(components.values())) if len(components) == 1 else components


def changes(one: Mapping[str, JSON], other: Mapping[str, JSON]) -> str:
    """Name the values that differ: `temperature 0.7 → 0.9, top_p 1 → none`."""
    ours, theirs = _flat(one), _flat(other)
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    told = [f"{name} {change(ours.get(name), theirs.get(name))}" for name in names[:_SHOWN]]
    return ", ".join(told) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _flat(value: Mapping[str, JSON], prefix: str = "") -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for name, item in value.items():
        # Options are what users know: they are told of as they are given.
        path = name if prefix in ("", "options.") else prefix + name
        found |= _flat(item, f"{name}.") if isinstance(item, dict) else {path: item}
    return found


def change(one: JSON, other: JSON) -> str:
    """Show two values of one thing: `0.7 → 0.9`."""
    return f"{_value(one)} → {_value(other)}"


def _value(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shorten(text, 40, placeholder="…") if value is not None else "none"
