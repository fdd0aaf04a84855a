"""Titles of the references that drafts were shown: samples keep their ids, and the corpus knows the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from popbench.records import JSON, Sample

Titles = Mapping[str, tuple[str, float]]
"""Title and popularity by id."""


def titles_of(samples: Sequence[Sample], about: Mapping[str, JSON]) -> Titles:
    """Look the references of a run up in its corpus; nothing where that is not at hand, or is another one by now."""
    wanted = {reference for sample in samples for reference in sample.references}
    if not wanted:
        return {}
    from popbench.registry import load_registry
    from popbench.specs import check_recorded
    from popbench.systems import as_part

    component: Any = None
    try:
        check_recorded([about["config"]["corpus"]], "run.json")
        resolved = load_registry().resolve("corpus", about["config"]["corpus"])
        component = resolved.component
        known = about["components"][f"corpus {resolved.spec.label}"]["fingerprint"]
        if component.check() or as_part(resolved).fingerprint != known:
            return {}
        rows = component.rows(about["references"]["part"])
        return {row.id: (row.title, row.popularity) for row in rows if row.id in wanted}
    except Exception:  # a plugin's code may raise anything, and a page can do without titles
        return {}
    finally:
        if component is not None:
            component.close()
