"""Reads from a run.json which components made a system, and with which version of popbench's own share in results."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from popbench.keys import digest
from popbench.planning.human import NAME as HUMAN
from popbench.planning.systems import EARLIER_HARNESSES, HARNESS, made_by
from popbench.runs.run_json import RunJson


def digests(run_json: RunJson) -> dict[str, str]:
    """Return the digest of each component's fingerprint, by its name in run.json: its kind and its label."""
    return {name: digest(part["fingerprint"]) for name, part in run_json["components"].items()}


def makers(system: str) -> tuple[str, str]:
    """Return the names in run.json of the components that make a system's drafts and clips."""
    if system == HUMAN:
        return f"baseline {HUMAN}", f"baseline {HUMAN}"
    llm, _, generator = system.split("|")
    return f"llm {llm}", f"generator {generator}"


def mode_of(run_json: RunJson, system: str, task: str) -> str | None:
    """Return the fingerprint of a system's mode on a task; None for the human baseline."""
    if system == HUMAN:
        return None
    fingerprint: str = run_json["modes"][system.split("|")[1]]["fingerprints"][task]
    return fingerprint


def fingerprint_of(
    run_json: RunJson, parts: Mapping[str, str], system: str, task: str, harness: Mapping[str, int]
) -> str:
    """Return the fingerprint that a system of these parts has on a task; `parts` are `digests` of run.json."""
    llm, generator = (parts.get(name, "") for name in makers(system))
    mode = mode_of(run_json, system, task)
    return llm if mode is None else digest(made_by(llm, generator, rendered=True, harness=harness), mode)


def harness_of(run_json: RunJson) -> Mapping[str, int]:
    """Return the versions of popbench's own share with which a run was made; this popbench's if none is known to fit.

    The fingerprints of systems tell them: run.json says no versions, and the ledger's keys are made with them.
    """
    parts = digests(run_json)
    made = ((system, *of) for system, by_task in run_json["systems"].items() for of in by_task.items())
    first = next((each for each in made if each[0] != HUMAN), None)
    if first is not None:
        system, task, recorded = first
        with suppress(LookupError, ValueError):  # of a run.json that was changed by hand
            for harness in (HARNESS, *EARLIER_HARNESSES):
                if fingerprint_of(run_json, parts, system, task, harness) == recorded:
                    return harness
    return HARNESS
