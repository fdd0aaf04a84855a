"""What a reader of a board has to know of the run behind it, told from its samples and its run.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from popbench.records import JSON, Sample


def remarks_of(samples: Sequence[Sample], about: Mapping[str, JSON]) -> Iterator[str]:
    """Tell of the corpus, of modes that showed fewer references than they say, and of how near human videos are."""
    yield from (about.get("references") or {}).get("remarks", [])
    for label, mode in about["modes"].items():
        wanted = wanted_references(mode["options"])
        shown = {
            (sample.llm, sample.task, sample.prompt_id, sample.repeat): len(sample.references)
            for sample in samples
            if sample.mode == label and sample.completion is not None
        }
        few = [count for count in shown.values() if count < wanted]
        if few:
            yield (
                f"{label}: {len(few):,} of {len(shown):,} drafts were shown fewer than {wanted} references, "
                f"{median(few):g} in the median"
            )
    matched = {(sample.task, sample.prompt_id): sample.match for sample in samples if sample.match is not None}
    if matched:
        near = [match["similarity"] for match in matched.values()]
        videos = len({match["id"] for match in matched.values()})
        yield (
            f"human: {videos:,} videos for {len(near):,} prompts; the similarity of title and prompt is "
            f"{median(near):.2f} in the median, {min(near):.2f} at least"
        )


def wanted_references(options: Mapping[str, JSON]) -> int:
    """Return how many references a mode asks for; 0 for one that shows none."""
    k = options.get("k", 0)
    return int(k) * (int(options["tags"]) if options.get("per_tag") else 1)
