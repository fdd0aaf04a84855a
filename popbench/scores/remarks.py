"""What a reader of a board has to know of the run behind it, told from its samples and its run.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from statistics import median

from popbench.records import JSON, Sample
from popbench.runs.run_json import RunJson


class Remarks:
    """Keeps what there is to tell of samples that pass by."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str | None, str | None, Counter[int]]] = {}
        self._matched: dict[tuple[str, str], tuple[str, Mapping[str, JSON]]] = {}

    def add(self, sample: Sample) -> None:
        """Take account of a sample."""
        if sample.completion is not None:
            known = self._shown.get(sample.system)
            if known is None:
                known = self._shown[sample.system] = (sample.mode, sample.llm, Counter())
            known[2][len(sample.references)] += 1
        if sample.match is not None:
            self._matched[sample.task, sample.prompt_id] = sample.system, sample.match

    def told(self, run_json: RunJson, systems: Collection[str] | None = None) -> Iterator[str]:
        """Tell of a shard, the corpus, modes that showed fewer references than they say, and how near human videos are.

        `systems` are those that stand on the board, all for None. Of the systems of an LLM and a mode, which share
        their drafts, one is looked at.
        """
        if shard := run_json["config"].get("shard"):
            yield f"Shard {shard} of a run, with a part of its prompts: popbench merge joins the shards."
        if references := run_json.get("references"):
            yield from references.get("remarks", [])
        drafts: dict[tuple[str | None, str | None], Counter[int]] = {}
        for system, (mode, llm, counts) in self._shown.items():
            if systems is None or system in systems:
                drafts.setdefault((mode, llm), counts)
        for label, entry in run_json["modes"].items():
            wanted = wanted_references(entry["options"])
            shown = sum((counts for (of, _), counts in drafts.items() if of == label), Counter[int]())
            few = sorted(count for count in shown.elements() if count < wanted)
            if few:
                yield (
                    f"{label}: {len(few):,} of {shown.total():,} drafts were shown fewer than {wanted} references, "
                    f"{median(few):g} in the median"
                )
        matched = [match for system, match in self._matched.values() if systems is None or system in systems]
        if matched:
            near = [match["similarity"] for match in matched]
            videos = len({match["id"] for match in matched})
            yield (
                f"human: {videos:,} videos for {len(near):,} prompts; the similarity of title and prompt is "
                f"{median(near):.2f} in the median, {min(near):.2f} at least"
            )


def wanted_references(options: Mapping[str, JSON]) -> int:
    """Return how many references a mode asks for; 0 for one that shows none."""
    k = options.get("k", 0)
    return int(k) * (int(options["tags"]) if options.get("per_tag") else 1)
