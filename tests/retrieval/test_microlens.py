"""References on a corpus in MicroLens's raw layout are those of the five steps, done one after the other as written."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microlens_files
from popbench.retrieval import RetrievalOptions, Retriever
from popbench_baselines.hashing import Hashing
from popbench_microlens.microlens import MicroLens, MicroLensOptions

VIDEOS, TAGS = 2200, 22
PROMPTS = [
    json.loads(line)["prompt"]
    for line in (Path(__file__).parents[2] / "tasks/popcorn/prompts/concrete.jsonl").read_text("utf-8").splitlines()
]
Video = tuple[str, str, str, int]
"""Id, tag, text, comments."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return microlens_files.build(tmp_path_factory.mktemp("raw"), videos=VIDEOS, comments=20_000, tags=TAGS)


@pytest.fixture(scope="module")
def retriever(folder: Path) -> Retriever:
    return Retriever(MicroLens(MicroLensOptions(path=str(folder), part="all")), Hashing())


@pytest.fixture(scope="module")
def videos(folder: Path) -> list[Video]:
    """Read the files as they are meant, with nothing of the plugin's."""
    lines = (folder / microlens_files.COMMENTS).read_text("utf-8").splitlines()
    comments = Counter(line.split("\t")[1] for line in lines)
    captions = dict(line.split("\t", 1) for line in (folder / microlens_files.CAPTIONS).read_text("utf-8").splitlines())
    with (folder / microlens_files.TAGS).open(encoding="utf-8", newline="") as file:
        tags = dict(csv.reader(file))
    titles = {}
    for line in (folder / microlens_files.TITLES).read_text("utf-8").splitlines():
        id_, title = line.split(",", 1)
        quoted = len(title) > 1 and title[0] == title[-1] == '"'
        titles[id_] = title[1:-1].replace('""', '"') if quoted else title
    return [(id_, tags[id_], f"{titles[id_]}  {captions[id_]}", comments[id_]) for id_ in titles]


@cache
def embedding(text: str) -> Any:
    return Hashing().encode([text])[0].astype(np.float64)


def five_steps(videos: list[Video], prompt: str, k: int, tags: int, r: float = 0.1) -> list[tuple[str, bool]]:
    query = embedding(prompt)

    def cosine(text: str) -> float:
        length = float(np.linalg.norm(embedding(text)) * np.linalg.norm(query))
        return round(float(embedding(text) @ query) / length, 5) if length else 0.0

    def distance(video: Video) -> float:
        return round(float(((embedding(video[2]) - query) ** 2).sum()), 5)

    # 1. the most similar tags
    chosen = sorted({tag for _, tag, _, _ in videos}, key=lambda tag: (-cosine(tag), tag))[:tags]
    # 2. their videos by comments; the last floor(r n) are negatives
    pool = sorted((video for video in videos if video[1] in chosen), key=lambda video: (-video[3], video[0]))
    negatives = math.floor(r * len(pool))
    positive, negative = pool[: len(pool) - negatives], pool[len(pool) - negatives :]
    # 3. and 4. the nearest of both
    nearest: Callable[[Video], tuple[float, str]] = lambda video: (distance(video), video[0])  # noqa: E731
    of_negatives = math.floor(r * k)
    # 5. positives, then negatives
    return [
        *((video[0], True) for video in sorted(positive, key=nearest)[: k - of_negatives]),
        *((video[0], False) for video in sorted(negative, key=nearest)[:of_negatives]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("tags", [1, 2])
@pytest.mark.parametrize("k", [10, 50, 100])
def test_references_of_100_prompts_are_those_of_the_five_steps(
    retriever: Retriever, videos: list[Video], k: int, tags: int
) -> None:
    assert (len(videos), len(PROMPTS)) == (VIDEOS, 100)
    retriever.prepare(PROMPTS)
    for prompt in PROMPTS:
        found = retriever.find(prompt, RetrievalOptions(k=k, tags=tags)).references()
        assert [(row.id, row.popular) for row in found] == five_steps(videos, prompt, k, tags)
