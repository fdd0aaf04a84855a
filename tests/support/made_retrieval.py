"""Helpers of retrieval tests: made-up corpora and embedders, a literal version of the steps, child processes."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import popbench
from popbench.keys import digest
from popbench.progress import Progress
from popbench.records import Reference
from popbench.retrieval import RetrievalOptions, Retriever, build
from popbench_baselines.hashing import Hashing

WORDS = ["cat", "dog", "rain", "cake", "night", "song", "goal", "train", "sea", "robot", "lamp", "bread", "snow"]


class RowsCorpus(popbench.Corpus):
    """A corpus of given rows, all of them in the part `test`; other parts by name."""

    def __init__(self, rows: Sequence[Reference], **parts: Sequence[Reference]) -> None:
        super().__init__()
        self._parts = {"test": rows, **parts}
        self.asked: list[str] = []
        self.said: list[str] = []

    def rows(self, part: str) -> Iterator[Reference]:
        self.asked.append(part)
        return iter(self._parts[part])

    def content(self) -> str:
        return digest([[part, *map(list, map(_astuple, rows))] for part, rows in sorted(self._parts.items())])

    def remarks(self) -> list[str]:
        return self.said


def _astuple(row: Reference) -> tuple[Any, ...]:
    return dataclasses.astuple(row)[:6]


class StreamedCorpus(popbench.Corpus):
    """A corpus whose rows are made while they are read, and which may fail meanwhile."""

    def __init__(self, make: Callable[[], Iterator[Any]], content: str) -> None:
        super().__init__()
        self._make = make
        self._content = content

    def rows(self, part: str) -> Iterator[Reference]:
        return self._make()

    def content(self) -> str:
        return self._content


class CountingEmbedder(Hashing):
    """Counts the texts it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return super().encode(texts)


class RandomEmbedder(popbench.Embedder):
    """An embedder with random vectors from each text's hash. It is slow, and logs its texts."""

    class Options(popbench.Options):
        dim: int = 8
        name: str = ""
        seconds: float = popbench.runtime(0.0)
        log: str = popbench.runtime("")

    def __init__(self, options: Any = None, **values: Any) -> None:
        super().__init__(options or self.Options(**values))
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> Any:
        made = []
        for text in texts:
            time.sleep(self.options.seconds)
            vector = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(self.options.dim)
            made.append(vector / np.linalg.norm(vector) if text.strip() else 0 * vector)
            self.texts.append(text)
            if self.options.log:
                with Path(self.options.log).open("a", encoding="utf-8") as file:
                    file.write(text + "\n")
        return np.asarray(made, np.float32)


class RecordingProgress(Progress):
    """A progress display that records its messages."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.stages: list[tuple[str, int, int]] = []

    def notice(self, line: str) -> None:
        self.notices.append(line)

    def stage(self, name: str, total: int, done: int) -> None:
        self.stages.append((name, total, done))


def made_rows(count: int, seed: int = 0) -> list[Reference]:
    rng = np.random.default_rng(seed)

    def words(n: int) -> str:
        return " ".join(rng.choice(WORDS, n))

    return [
        Reference(f"v{index:03d}", words(3), words(2), words(5), f"{words(1)} {index % 4}", int(rng.integers(1, 60)))
        for index in range(count)
    ]


def distinct_rows(count: int, start: int = 0, tags: int = 3) -> list[Reference]:
    """Return rows with different texts."""
    return [
        Reference(f"v{at:05d}", f"title {at}", f"cover {at}", f"caption {at}", f"tag {at % tags}", at % 17)
        for at in range(start, start + count)
    ]


def text(row: Reference) -> str:
    return f"{row.title} {row.description} {row.caption}"


def references_by_steps(
    rows: Sequence[Reference],
    embedder: popbench.Embedder,
    prompt: str,
    k: int,
    tags: int,
    ratio: float,
    tag_by: str = "name",
    per_tag: bool = False,
) -> list[tuple[str, bool]]:
    """Return references by the five steps of the paper's released code, one after the other, in float64."""

    def embed(text: str) -> Any:
        return embedder.encode([text])[0].astype(np.float64)

    query = embed(prompt)

    def cosine(vector: Any) -> float:
        length = float(np.linalg.norm(vector) * np.linalg.norm(query))
        return round(float(vector @ query) / length, 5) if length else 0.0

    def distance(row: Reference) -> float:
        return round(float(((embed(text(row)) - query) ** 2).sum()), 5)

    def of_tag(tag: str) -> Any:
        if tag_by == "name":
            return embed(tag)
        return np.mean([embed(text(row)) for row in rows if row.tag == tag], axis=0)

    names = sorted({row.tag for row in rows})
    chosen = names if tag_by == "none" else sorted(names, key=lambda tag: (-cosine(of_tag(tag)), tag))[:tags]
    unpopular = math.floor(ratio * k)
    shown: tuple[list[tuple[str, bool]], list[tuple[str, bool]]] = ([], [])
    for group in [[tag] for tag in chosen] if per_tag and tag_by != "none" else [chosen]:
        pool = [row for row in rows if row.tag in group]
        pool.sort(key=lambda row: (-row.popularity, row.id))
        cut = len(pool) - math.floor(ratio * len(pool))
        for side, of_side, count in ((0, pool[:cut], k - unpopular), (1, pool[cut:], unpopular)):
            of_side.sort(key=lambda row: (distance(row), row.id))
            shown[side].extend((row.id, side == 0) for row in of_side[:count])
    return [*shown[0], *shown[1]]


def retrieved(rows: Sequence[Reference], prompt: str, **options: Any) -> list[tuple[str, bool | None]]:
    retriever = Retriever(RowsCorpus(rows), Hashing())
    return [(row.id, row.popular) for row in retriever.find(prompt, RetrievalOptions(**options)).references()]


def files_of(index: Path) -> dict[str, bytes]:
    """Return the files of an index, except the one with the number of embedded texts."""
    return {path.name: path.read_bytes() for path in index.iterdir() if path.name != "about.json"}


def child(log: str, first: int, count: int, seconds: float, shard: int) -> None:
    """Build an index of `distinct_rows` and print the messages, in a child process."""
    build.SHARD_VECTORS, build.BATCH = shard, 1
    told = RecordingProgress()
    retriever = Retriever(
        RowsCorpus(distinct_rows(count, first)), RandomEmbedder(seconds=seconds, log=log), embedder_name="drawn"
    )
    index = retriever.load(told)
    print(json.dumps({"notices": told.notices, "n": index.n}))


def start_child(
    cache: Path, log: Path, first: int = 0, count: int = 40, *, seconds: float = 0.01, shard: int = 7
) -> subprocess.Popen[str]:
    """Start `child` with a cache folder."""
    code = f"import made_retrieval; made_retrieval.child({str(log)!r}, {first}, {count}, {seconds}, {shard})"
    return subprocess.Popen(
        [sys.executable, "-c", f"import os; os.environ['POPBENCH_CACHE'] = {str(cache)!r}; {code}"],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def embedded_texts(log: Path) -> list[str]:
    """Return the embedded texts, in order."""
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def wait_for(log: Path, lines: int) -> None:
    """Wait until this many texts were embedded."""
    until = time.monotonic() + 60
    while len(embedded_texts(log)) < lines:
        assert time.monotonic() < until, f"{len(embedded_texts(log))} of {lines} texts"
        time.sleep(0.002)
