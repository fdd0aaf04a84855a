"""Looks up the references that LLMs were shown: samples hold only their ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from popbench.records import Reference, Sample
from popbench.runs.run_json import RunJson

References = Mapping[str, tuple[str | float, ...]]
"""By id: title, popularity and, unless empty, the description of the cover and the caption."""


def shown_references(
    samples: Sequence[Sample],
    run_json: RunJson,
    corpus: str | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> References:
    """Look up the references of samples in the run's corpus; empty if it is not available, or is another one by now.

    `corpus` is the spec that the user gave. Without it, the spec in run.json is used, unless it names a path or an
    address, since a stranger may have written it; `tell` is called with a line then.
    """
    wanted = {reference for sample in samples for reference in sample.references}
    if not wanted:
        return {}
    from popbench.planning.foreign_specs import leads_elsewhere, typed
    from popbench.planning.systems import as_part
    from popbench.registry import load_registry

    component: Any = None
    try:
        spec = corpus or run_json["config"]["corpus"]
        if corpus is None and leads_elsewhere(spec):
            tell(
                "references are shown without titles: what a run names is not looked up elsewhere; to look them up, "
                f"give {typed('--corpus', spec)}"
            )
            return {}
        resolved = load_registry().resolve("corpus", spec)
        component = resolved.component
        recorded = run_json["components"][f"corpus {resolved.spec.label}"]["fingerprint"]
        if component.check() or as_part(resolved).fingerprint != recorded:
            return {}
        references = run_json.get("references")
        rows = component.rows(references["part"]) if references else ()
        return {row.id: _shown(row) for row in rows if row.id in wanted}
    except Exception:  # a plugin's code may raise anything; the page does without
        return {}
    finally:
        if component is not None:
            component.close()


def _shown(row: Reference) -> tuple[str | float, ...]:
    return (row.title, row.popularity, *(text for text in (row.description, row.caption) if text.strip()))
