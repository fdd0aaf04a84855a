"""Remarks for the readers of a board: facts about a run, from its samples and run.json, that qualify the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from statistics import median

from popbench.records import JSON, Sample
from popbench.runs.compared import remarks as win_shares
from popbench.runs.looks import remark
from popbench.runs.run_json import RunJson


class Remarks:
    """Collects remarks from a run's samples, one sample at a time."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str | None, str | None, Counter[int]]] = {}
        self._matched: dict[tuple[str, str], tuple[str, Mapping[str, JSON]]] = {}

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        if sample.completion is not None:
            shown = self._shown.get(sample.system)
            if shown is None:
                shown = self._shown[sample.system] = (sample.mode, sample.llm, Counter())
            shown[2][len(sample.references)] += 1
        if sample.match is not None:
            self._matched[sample.task, sample.prompt_id] = sample.system, sample.match

    def lines(self, run_json: RunJson, systems: Collection[str] | None = None) -> Iterator[str]:
        """Yield remarks about shards, earlier looks, the corpus, drafts with too few references, and human videos.

        `systems` are those on the board; None stands for all. The systems of an LLM and a mode share their drafts, so
        the drafts of one of them are counted.
        """
        if shard := run_json["config"].get("shard"):
            yield f"Shard {shard} of a run, with a part of its prompts: popbench merge joins the shards."
        yield from remark(run_json.get("looks", []))
        for predictor, compared in (run_json.get("comparisons") or {}).items():
            yield from win_shares(predictor, compared)
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
    """Return the number of references a mode asks for; 0 if it shows none."""
    k = options.get("k", 0)
    return int(k) * (int(options["tags"]) if options.get("per_tag") else 1)
