"""The index of a corpus: what is embedded for it, and what kills, full disks, damage and bad plugins do to it."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import popbench
from made_retrieval import (
    RandomEmbedder,
    RecordingProgress,
    RowsCorpus,
    StreamedCorpus,
    distinct_rows,
    embedded_texts,
    files_of,
    start_child,
    text,
    wait_for,
)
from popbench.cache import VARIABLE, key_of
from popbench.records import Reference
from popbench.retrieval import RetrievalOptions, Retriever, build, vectors
from popbench.retrieval.vectors import Vectors, keys_of
from usage_errors import refusal

OPTIONS = RetrievalOptions(k=6, tags=2, negative_ratio=0.3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def embedded(corpus: popbench.Corpus, **options: Any) -> list[str]:
    """The texts that building a corpus embeds."""
    embedder = RandomEmbedder(**options)
    Retriever(corpus, embedder).load()
    return embedder.texts


def kept(cache: Path) -> set[bytes]:
    """The keys of finished shards."""
    return {bytes(key) for path in cache.rglob("*.keys.npy") for key in np.load(path)}


# -- what is embedded


@pytest.mark.slow
def test_a_killed_build_goes_on_with_what_no_finished_shard_holds(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, log = distinct_rows(40), tmp_path / "log"
    for at in (3, 9, 22, 30):
        process = start_child(cache, log, seconds=0.03)
        wait_for(log, at)
        process.kill()
        process.communicate()
        assert not Retriever(RowsCorpus(rows), RandomEmbedder()).ready
    there = kept(cache)
    assert there
    wanted = [text(row) for row in rows if key_of(text(row)) not in there]
    assert embedded(RowsCorpus(rows)) == [*wanted, "tag 0", "tag 1", "tag 2"]
    assert not list(cache.rglob("*.part"))
    assert not list(cache.rglob(".building"))
    assert len(list(cache.rglob("*.vectors.npy"))) == len(list(cache.rglob("*.keys.npy")))
    interrupted = files_of(Retriever(RowsCorpus(rows), RandomEmbedder()).folder)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "other"))
    assert len(embedded(RowsCorpus(rows))) == 43
    assert files_of(Retriever(RowsCorpus(rows), RandomEmbedder()).folder) == interrupted


def test_a_build_that_was_killed_before_its_last_step_is_taken_as_it_is(cache: Path) -> None:
    retriever = Retriever(RowsCorpus(distinct_rows(20)), RandomEmbedder())
    retriever.load()
    retriever.folder.rename(retriever.folder.parent / ".building")
    (other := cache / "embeddings-1" / "x" / ".building").mkdir(parents=True)
    again = Retriever(RowsCorpus(distinct_rows(20)), RandomEmbedder())
    assert not again.ready
    assert embedded(RowsCorpus(distinct_rows(20))) == []
    assert again.ready
    assert other.exists()  # of another embedder


def test_a_changed_row_is_embedded_alone_and_a_removed_or_moved_one_not_at_all() -> None:
    rows = distinct_rows(30)
    assert len(embedded(RowsCorpus(rows))) == 33
    changed = [*rows[:4], replace(rows[4], caption="new words"), *rows[5:]]
    assert embedded(RowsCorpus(changed)) == ["title 4 cover 4 new words"]
    assert embedded(RowsCorpus(rows[:-1])) == []
    assert embedded(RowsCorpus(rows[::-1])) == []
    assert embedded(RowsCorpus([replace(row, popularity=1) for row in rows])) == []
    assert embedded(RowsCorpus([*rows, replace(rows[0], id="new", tag="new tag")])) == ["new tag"]


def test_parts_and_corpora_share_vectors_and_embedders_do_not() -> None:
    rows = distinct_rows(30)
    corpus = RowsCorpus(rows[:10], all=rows)
    assert len(embedded(corpus)) == 13
    corpus.options = popbench.CorpusOptions(part="all")
    assert len(embedded(corpus)) == 20
    assert embedded(RowsCorpus([replace(row, id=f"other {row.id}") for row in rows])) == []
    assert len(embedded(RowsCorpus(rows), name="another")) == 33


def test_a_text_that_occurs_often_is_embedded_once() -> None:
    rows = [Reference(f"v{at}", "t", "d", "c", "tag", at) for at in range(600)]
    assert embedded(RowsCorpus(rows)) == ["t d c", "tag"]


def test_tags_that_numpy_takes_for_one_are_told_apart() -> None:
    rows = [replace(row, tag="a" if at % 2 else "a\0") for at, row in enumerate(distinct_rows(10))]
    index = Retriever(RowsCorpus(rows), RandomEmbedder()).load()
    assert index.tags == ["a", "a\0"]
    assert [index.row(at).tag for at in range(10)] == ["a"] * 5 + ["a\0"] * 5


def test_building_tells_how_much_is_known() -> None:
    told = RecordingProgress()
    embedded(RowsCorpus(distinct_rows(10)))
    Retriever(RowsCorpus(distinct_rows(30)), RandomEmbedder(), corpus_name="mine").load(told)
    assert told.stages == [("embed mine", 30, 10)]


# -- several processes


@pytest.mark.slow
def test_two_that_build_at_once_embed_nothing_twice_and_one_waits(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = [start_child(cache, log, seconds=0.05) for _ in range(2)]
    said = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert sorted(embedded_texts(log)) == sorted([*map(text, distinct_rows(40)), "tag 0", "tag 1", "tag 2"])
    assert sorted(len(one["notices"]) for one in said) == [0, 1]
    (notice,) = [line for one in said for line in one["notices"]]
    assert notice == "Waiting for another popbench that embeds with drawn."


def test_those_who_read_do_not_wait_for_one_who_builds(cache: Path, tmp_path: Path) -> None:
    rows, log = distinct_rows(40), tmp_path / "log"
    before = Retriever(RowsCorpus(rows), RandomEmbedder()).find("a prompt", OPTIONS)
    process = start_child(cache, log, first=100, seconds=0.3)
    wait_for(log, 3)
    readers = [Retriever(RowsCorpus(rows), RandomEmbedder()) for _ in range(2)]
    for reader in readers:
        reader.prepare(["a prompt", "another"])
        assert reader.find("a prompt", OPTIONS) == before
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert Retriever(RowsCorpus(distinct_rows(40, 100)), RandomEmbedder()).load().n == 40


def test_prompts_are_found_while_another_process_tidies_their_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "MANY_SHARDS", 2)
    rows = distinct_rows(5)
    for prompt in ("one", "two", "three"):
        Retriever(RowsCorpus(rows), RandomEmbedder()).prepare([prompt])
    reader = Retriever(RowsCorpus(rows), RandomEmbedder())
    reader._embedding.vectors.find(keys_of(["one"]))
    Retriever(RowsCorpus(rows), RandomEmbedder()).load()
    reader.prepare(["one", "two", "new"])
    for prompt in ("one", "two", "new"):
        assert reader.find(prompt, OPTIONS) == Retriever(RowsCorpus(rows), RandomEmbedder()).find(prompt, OPTIONS)


# -- disks and damage


def test_a_cache_that_is_a_file_is_told(cache: Path) -> None:
    cache.write_text("", encoding="utf-8")
    message = refusal(Retriever(RowsCorpus(distinct_rows(5)), RandomEmbedder()).load)
    assert str(cache) in message
    assert "POPBENCH_CACHE" in message


def test_prompts_do_not_need_a_cache_that_can_be_written(cache: Path) -> None:
    cache.write_text("", encoding="utf-8")
    Retriever(RowsCorpus([]), RandomEmbedder()).prepare(["x"])


@pytest.mark.parametrize("after", range(0, 14, 3))
def test_a_full_disk_is_told_and_what_was_embedded_is_kept(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "SHARD_VECTORS", 10)
    monkeypatch.setattr(build, "BATCH", 10)
    synced, sync = 0, os.fsync

    def full(file: int) -> None:
        nonlocal synced
        synced += 1
        if synced > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    embedder, rows = RandomEmbedder(), distinct_rows(30)
    retriever = Retriever(RowsCorpus(rows), embedder)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        message = refusal(retriever.load)
    assert "No space left on device" in message
    assert "POPBENCH_CACHE" in message
    assert str(retriever.folder.parent.parent) in message
    assert not retriever.ready
    assert not retriever.folder.with_name(".building").exists()
    shards = min(max(after - 1, 0) // 2, 3)
    assert len(embedded(RowsCorpus(rows))) == 33 - 10 * shards - (3 if after >= 9 else 0)


def test_an_interrupted_build_goes_on_and_frees_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "SHARD_VECTORS", 10)
    monkeypatch.setattr(build, "BATCH", 5)

    class Interrupted(RandomEmbedder):
        def encode(self, texts: Sequence[str]) -> Any:
            if len(self.texts) == 15:
                raise KeyboardInterrupt
            return super().encode(texts)

    with pytest.raises(KeyboardInterrupt):
        Retriever(RowsCorpus(distinct_rows(30)), Interrupted()).load()
    told, embedder = RecordingProgress(), Interrupted()
    embedder.texts.append("other than 15")
    Retriever(RowsCorpus(distinct_rows(30)), embedder).load(told)
    assert told.notices == []
    assert len(embedder.texts) == 1 + 15 + 3  # also what was not a shard yet is kept


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _noise(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 no array\n\x00" * 9)


def _strange(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(12.0).reshape(3, 4))


def _zeros(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(32) + content[len(content) // 2 + 32 :])


@pytest.mark.parametrize("damage", [_cut, _halve, _empty, _noise, _strange, _zeros, Path.unlink])
@pytest.mark.parametrize(
    "name",
    ["vectors.npy", "keys.npy", "about.json", "rows.jsonl", "places.npy", "tag_starts.npy", "popularity.npy"],
)
def test_a_damaged_index_is_made_anew(damage: Callable[[Path], None], name: str) -> None:
    rows = distinct_rows(30)
    whole = Retriever(RowsCorpus(rows), RandomEmbedder())
    before, files = whole.find("a prompt", OPTIONS), files_of(whole.folder)
    damage(whole.folder / name)
    again = Retriever(RowsCorpus(rows), RandomEmbedder())
    assert again.find("a prompt", OPTIONS) == before
    assert files_of(again.folder) == files


@pytest.mark.slow
@pytest.mark.parametrize("damage", [_cut, _halve, _empty, _noise, _strange, _zeros, Path.unlink])
@pytest.mark.parametrize("which", ["keys", "vectors"])
def test_what_a_damaged_shard_held_is_embedded_again(
    damage: Callable[[Path], None], which: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Retriever(RowsCorpus(distinct_rows(10)), RandomEmbedder())
    whole.prepare(["a prompt"])
    before = whole.find("a prompt", OPTIONS)
    for shard in cache.rglob(f"*.{which}.npy"):
        damage(shard)
    embedder = RandomEmbedder()
    again = Retriever(RowsCorpus(distinct_rows(20)), embedder)
    again.prepare(["a prompt"])
    again.load()
    assert sorted(embedder.texts) == sorted(["a prompt", *map(text, distinct_rows(10, 10)), "tag 0", "tag 1", "tag 2"])
    assert Retriever(RowsCorpus(distinct_rows(10)), RandomEmbedder()).find("a prompt", OPTIONS) == before
    assert len(list(cache.rglob("*.keys.npy"))) == len(list(cache.rglob("*.vectors.npy"))) == 2


def test_foreign_files_in_the_cache_do_no_harm(cache: Path) -> None:
    retriever = Retriever(RowsCorpus(distinct_rows(10)), RandomEmbedder())
    retriever.prepare(["a prompt"])
    shards = next(cache.rglob("shards"))
    for name in ("readme.txt", "a.keys.npy", "b.vectors.npy", ".c.part"):
        (shards / name).write_text("mine", encoding="utf-8")
    np.save(shards / "d.keys.npy", keys_of(["x"]))
    np.save(shards / "d.vectors.npy", np.ones((1, 99), np.float32))
    again = Retriever(RowsCorpus(distinct_rows(10)), RandomEmbedder())
    assert again.find("x", OPTIONS) == retriever.find("x", OPTIONS)
    assert (shards / "readme.txt").exists()


# -- tidying


def test_shards_that_an_index_holds_are_removed_and_prompts_stay_known(cache: Path) -> None:
    retriever = Retriever(RowsCorpus(distinct_rows(10)), RandomEmbedder())
    retriever.prepare(["a prompt"])
    retriever.load()
    assert kept(cache) == {key_of(text) for text in ("a prompt", "tag 0", "tag 1", "tag 2")}
    again = RandomEmbedder()
    Retriever(RowsCorpus([]), again).prepare(["a prompt"])
    assert again.texts == []


def test_many_small_shards_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "SMALL_SHARD", 5)
    store, all_keys = Vectors(tmp_path), keys_of(str(at) for at in range(100))
    values = np.arange(200, dtype=np.float32).reshape(100, 2)
    sizes = [7] + [2] * 46 + [1]
    ends = np.cumsum(sizes).tolist()
    for size, end in zip(sizes, ends, strict=True):
        store.add(all_keys[end - size : end], values[end - size : end])
    store.tidy()
    assert len(list(tmp_path.rglob("*.keys.npy"))) == 48  # not many enough
    monkeypatch.setattr(vectors, "MANY_SHARDS", 40)
    store.tidy()
    counts = sorted(len(np.load(path)) for path in tmp_path.rglob("*.keys.npy"))
    assert sum(counts) == 100
    assert min(counts[1:]) >= 5
    for opened in (store, Vectors(tmp_path)):
        np.testing.assert_array_equal(opened.gather(opened.find(all_keys)), values)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts alone would be 32 MB here, and the vectors 20."""
    for name in ("SHARD_VECTORS", "CHUNK"):
        monkeypatch.setattr(build, name, 1024)

    class Zeros(RandomEmbedder):
        def encode(self, texts: Sequence[str]) -> Any:
            made = np.zeros((len(texts), 256), np.float32)
            made[np.arange(len(texts)), [zlib.crc32(text.encode()) % 256 for text in texts]] = 1
            return made

    def rows() -> Iterator[Reference]:
        for at in range(20_000):
            yield Reference(f"v{at}", f"title {at}", "d" * 800, "c" * 800, f"tag {at % 50}", at % 100)

    tracemalloc.start()
    try:
        Retriever(StreamedCorpus(rows, "many"), Zeros()).load()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20, peak / 2**20
