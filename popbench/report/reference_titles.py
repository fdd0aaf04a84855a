"""Titles of the references that drafts were shown: samples keep their ids, and the corpus knows the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from popbench.records import Sample
from popbench.runs.run_json import RunJson

Titles = Mapping[str, tuple[str, float]]
"""Title and popularity by id."""


def titles_of(
    samples: Sequence[Sample],
    run_json: RunJson,
    corpus: str | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Titles:
    """Look the references of a run up in its corpus; nothing where that is not at hand, or is another one by now.

    `corpus` is what the user says that it is. What run.json says is taken where it leads nowhere else; `tell` gets a
    line where it is not.
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
        return {row.id: (row.title, row.popularity) for row in rows if row.id in wanted}
    except Exception:  # a plugin's code may raise anything, and a page can do without titles
        return {}
    finally:
        if component is not None:
            component.close()
