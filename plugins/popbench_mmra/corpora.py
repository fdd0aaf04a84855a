"""Resolves the corpus that a model is trained and measured on, with its folder of videos and the target it counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import popbench
from popbench.errors import UsageError
from popbench.registry import load_registry, with_option
from popbench.specs import absolute_paths, parse_spec
from popbench_mmra.settings import TARGETS


@dataclass(frozen=True)
class Source:
    """A corpus that is complete. `name` is its name in `trained_on`; `spec` makes it again."""

    corpus: popbench.Corpus
    spec: str
    name: str
    label: str


def find_source(spec: str, videos: Path | None, target: str) -> Source:
    """Resolve a corpus; raises UsageError for one that lacks something or does not count the target."""
    if videos is not None:
        spec = with_option("corpus", spec, "videos", str(videos.absolute()))
    spec = absolute_paths(_counting(spec, target))
    resolved = load_registry().resolve("corpus", spec)
    corpus: popbench.Corpus = resolved.component
    lacks = corpus.check()
    if lacks:
        raise UsageError("\n".join(f"corpus {resolved.spec.label}: {line}" for line in lacks))
    return Source(corpus, spec, corpus.known_as or resolved.spec.name, resolved.spec.label)


def _counting(spec: str, target: str) -> str:
    """Return the spec with the target set, if the corpus can count several. A table's column is named by the user."""
    name, options = parse_spec(spec)
    field = load_registry().find("corpus", name).load().Options.model_fields.get("popularity")
    if field is None or "popularity" in options:
        possible = (options.get("popularity"),) if field is not None and get_args(field.annotation) else None
    else:
        possible = get_args(field.annotation) or None
        if target in (possible or ()) and target != field.default:
            return with_option("corpus", spec, "popularity", target)
    if field is None and target != TARGETS[0]:
        raise UsageError(f"corpus {name} counts {TARGETS[0]} alone: leave out --target, or take a corpus with {target}")
    if possible is not None and target not in possible:
        raise UsageError(f"corpus {spec} counts {' or '.join(map(str, possible))}: give the same --target")
    return spec
